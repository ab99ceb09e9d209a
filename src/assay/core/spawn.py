"""The port through which a run's tools begin what goes on beside it: sub-agents, and commands in the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from msgspec import Struct

from assay.core.agents import AgentDefinition
from assay.core.messages import Json, Usage
from assay.core.policy import OPERATOR, WORKSPACE, Label
from assay.core.workspace import Process

TaskStatus = Literal["running", "completed", "failed", "stopped"]
GENERAL = "general-purpose"


class Errand(Struct, frozen=True):
    """What a sub-agent is sent out for."""

    description: str
    """A few words."""
    prompt: str
    kind: str = GENERAL
    model: str = ""
    """PROVIDER/NAME or an alias; empty for what its kind or the settings say, else the parent's."""
    background: bool = False
    name: str = ""
    """What it is to be called."""
    isolated: bool = False
    """It is to work on a copy of the files, whatever its kind says."""


class Report(Struct, frozen=True):
    """How a task stands, or how it ended."""

    task: str
    what: Literal["agent", "command"]
    status: TaskStatus
    description: str
    text: str = ""
    """The last words of an agent; what a command printed, bounded, its end at least."""
    kind: str = ""
    """Of agent."""
    output: str = ""
    """A file with all that it printed, or the log of the agent; empty when there is none."""
    call: str = ""
    """The call that began it."""
    background: bool = False
    model: str = ""
    usage: Usage = Usage()
    calls: int = 0
    seconds: float = 0.0
    dollars: float | None = None
    label: Label = WORKSPACE
    """Of what it knows."""


class Wake(Struct, frozen=True):
    """A turn that nobody typed: something in the background has come to its end."""

    prompt: str
    origin: dict[str, Json]
    label: Label = OPERATOR


class Spawner(Protocol):
    """What the tools of one run begin.

    Contract: a child's budget is taken out of its parent's, its gate is never looser than the user allowed, and its log
    is its own. Its session begins with its parent's label, because the prompt was written by whoever read what the
    parent read; while both live they share one label, because they share the files; and the parent keeps what the
    child's was at its end. Whatever was begun ends with the session at the latest.

    Every method raises `UsageError` for what can't be had: an unknown kind or task, a model, more than there may be.
    """

    @property
    def kinds(self) -> Mapping[str, AgentDefinition]: ...

    async def spawn(self, errand: Errand, call: str) -> Report:
        """Send out a sub-agent. Returns when it ended, or at once (`running`) when it goes on in the background.
        Whoever stops waiting for one in the foreground stops it."""
        ...

    async def adopt(self, process: Process, description: str, call: str) -> Report:
        """Take charge of a command that goes on in the background."""
        ...

    async def look(self, task: str, patience: float = 0.0) -> Report:
        """How a task stands; waits for its end, at most `patience` seconds."""
        ...

    async def halt(self, task: str) -> Report:
        """End a task, if it has not ended, and what it began."""
        ...
