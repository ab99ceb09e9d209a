"""The port to what users have run at points of a session: their commands, and callbacks of a host program."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from assay.core.messages import Json

HookEvent = Literal[
    "SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PermissionRequest", "PermissionDenied",
    "PostToolUse", "PostToolUseFailure", "PostToolBatch", "Stop", "StopFailure", "SubagentStart", "SubagentStop",
    "PreCompact", "PostCompact", "Notification", "InstructionsLoaded", "UserPromptExpansion",
]  # fmt: skip
"""Those that happen here; hooks of others are told to be never run."""


class HookAnswer(Struct, frozen=True):
    """What all hooks of one event said together; the strictest decision counts."""

    decision: Literal["", "allow", "ask", "deny", "block"] = ""
    """`allow`, `ask` and `deny` are about a call that is to be made; `block` sends back a prompt, a result, or the end
    of a turn."""
    reason: str = ""
    arguments: dict[str, Json] | None = None
    """The call's arguments as a hook wants them instead."""
    output: str | None = None
    """The call's result as a hook wants it instead."""
    context: tuple[str, ...] = ()
    """Text for the model."""
    stop: str | None = None
    """The turn is to end, for this reason."""
    messages: tuple[str, ...] = ()
    """Lines for the person."""
    updates: tuple[dict[str, Json], ...] = ()
    """Changes of the permissions of this session that go with an `allow`."""
    interrupt: bool = False
    """With `deny`: the turn is to end."""


SILENT = HookAnswer()


class HookReport(Struct, frozen=True):
    """One hook began or ended; for whoever watches, never logged."""

    hook: str
    """Names this run of it."""
    event: HookEvent
    name: str
    """`Event:matcher`."""
    ended: bool = False
    outcome: Literal["", "success", "error", "cancelled"] = ""
    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = None


class Hooks(Protocol):
    """Contract: never raises for what a hook does, and always returns in bounded time; a hook that fails where it
    guards a call denies it."""

    def listens(self, event: HookEvent) -> bool:
        """False when nobody waits for `event`; then `fire` need not be called."""
        ...

    async def fire(self, event: HookEvent, subject: str, data: dict[str, Json]) -> HookAnswer:
        """`subject` is what matchers are compared with (the tool, the source, the reason); `data` the fields of this
        event (the common ones are added)."""
        ...
