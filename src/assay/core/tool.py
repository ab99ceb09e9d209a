"""The port for tools: what a model may call, what the call would do, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from assay.core.messages import Image, Json, Text
from assay.core.model import ToolSpec
from assay.core.policy import OPERATOR, WORKSPACE, Effect, Label
from assay.core.workspace import Workspace


def _silent(text: str) -> None:
    del text


class ToolOutcome(Struct, frozen=True):
    """One result for three listeners."""

    content: tuple[Text | Image, ...]
    """For the model: bounded, plain."""
    display: str = ""
    """For the person: one line."""
    debug: dict[str, Json] = {}
    """For whoever looks into the log: exit status, sizes, paths of spilled output."""
    is_error: bool = False
    seen: dict[str, str] = {}
    """Workspace-relative path -> SHA-256 of the bytes that the model has now seen or written."""
    finish: bool = False
    """The model asks to end the turn; the done gate decides."""
    label: Label = WORKSPACE
    """Of `content`: what the model has read from here on is no better than this."""
    loads: tuple[str, ...] = ()
    """Names of deferred tools that every later request carries."""


class ToolContext(Struct, frozen=True):
    """What a tool may touch."""

    workspace: Workspace
    seen: dict[str, str]
    """The union of every `ToolOutcome.seen` of this session so far: a fold of the log, to be read only."""
    spill: str = ""
    """A directory for output too long to show; empty when nothing may be kept."""
    call: str = ""
    """The id of the call that is answered."""
    label: Label = OPERATOR
    """Of the session now: who hands words on, to a child or a server, hands on this."""
    progress: Callable[[str], None] = _silent
    """Tells whoever watches how far it is."""


class Tool(Protocol):
    """Contract: `effects` is quick, pure and raises `InvalidArguments` for arguments that make no sense; `run` is
    called only after the gate allowed those effects, does all I/O through the workspace, bounds its output, and reports
    trouble as an outcome with `is_error`, not as an exception."""

    @property
    def spec(self) -> ToolSpec: ...

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]: ...

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome: ...


def failed(message: str, display: str = "", label: Label = OPERATOR) -> ToolOutcome:
    """An outcome that tells the model what went wrong in `message`: our own words, unless `label` says otherwise."""
    first = display or message.partition("\n")[0]
    return ToolOutcome((Text(message),), first if len(first) <= 160 else f"{first[:159]}…", is_error=True, label=label)
