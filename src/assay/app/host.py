"""What a program that drives us offers, and what the parts of a task offer to whoever drives it: the seams between a
surface and the rooms, one protocol each, so that neither side knows the other."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from assay.core.errors import AssayError
from assay.core.messages import Json
from assay.core.policy import Approver, Question
from assay.core.spawn import Wake

if TYPE_CHECKING:
    from assay.app.library import Expansion

Table = dict[str, Json]


class HostGone(AssayError):
    """The program that drives us can't be asked any more, did not answer in time, or said that it can't."""


class Host(Protocol):
    """The program that drives us. Its methods raise `HostGone`, always in bounded time."""

    @property
    def offered(self) -> Table:
        """Its `initialize` request: hooks, agents, skills, sdkMcpServers, ...; empty when it sent none."""
        ...

    @property
    def approver(self) -> Approver | None:
        """Who answers questions, when it wants to be asked."""
        ...

    async def hook(self, callback: str, data: Table, call: str | None, seconds: float | None = None) -> Table:
        """Run its hook callback; `data` is the hook's input, `call` the id of the tool call that it is about."""
        ...

    async def mcp(self, server: str, message: Table, seconds: float | None = None) -> Table:
        """Give a JSON-RPC message to a server that lives in its process; returns the JSON-RPC reply."""
        ...


class Tasks(Protocol):
    """Sub-agents and commands in the background."""

    @property
    def pending(self) -> bool:
        """True while something may still wake the session, or a wake-up has not been taken yet."""
        ...

    async def woken(self) -> Wake:
        """Waits for the next wake-up and takes it."""
        ...

    async def next_wake(self, agents: float, commands: float) -> Wake | None:
        """As `woken`, for whoever will leave: waits `agents` seconds for agents, `commands` when only commands are
        alive. None when nothing came, or nothing can."""
        ...

    async def stop(self, task: str) -> bool:
        """End a task; False when there is none of that id."""
        ...

    def listing(self) -> list[Table]:
        """What runs: task_id, task_type, description, status, ..."""
        ...

    def output(self, task: str) -> Table | None:
        """What a task has printed so far (`output`) and its `status`; None when there is none of that id."""
        ...


class Servers(Protocol):
    """MCP servers. Methods raise `UsageError` for a name that is none."""

    def status(self) -> list[Table]:
        """name, status (connected, failed, needs-auth, pending, disabled), serverInfo, error, tools, ..."""
        ...

    async def reconnect(self, name: str) -> None: ...

    async def toggle(self, name: str, enabled: bool) -> None: ...

    async def replace(self, servers: Table, /) -> Table:
        """Use these servers from now on; returns `added`, `removed` and `errors`."""
        ...

    def kill(self) -> None:
        """End their processes at once: for a signal handler."""
        ...


class Library(Protocol):
    """Skills, commands, agents, output styles and plugins, as `initialize` and `system/init` list them."""

    @property
    def commands(self) -> list[Table]:
        """name, description, argumentHint, ..."""
        ...

    @property
    def agents(self) -> list[Table]:
        """name, description, model."""
        ...

    @property
    def skills(self) -> list[str]: ...

    @property
    def plugins(self) -> list[Table]:
        """name, path."""
        ...

    @property
    def style(self) -> str: ...

    @property
    def styles(self) -> list[str]: ...

    async def expand(self, text: str, *, human: bool = True) -> Expansion:
        """What a prompt stands for. `human` is False for what a program composed: then it is taken as it stands."""
        ...

    def during(self, said: Expansion) -> AbstractContextManager[None]:
        """Around the turn for `said.text`: what comes along with it, and what it may do."""
        ...


class Permissions(Protocol):
    """Modes, rules of this session, and what a host may want to change about them."""

    def suggestions(self, question: Question) -> list[Table]:
        """Permission updates with which `question` would not have been asked."""
        ...

    def update(self, updates: list[Table]) -> None:
        """Apply permission updates (addRules, setMode, ...). Raises `UsageError`."""
        ...
