"""Functions of the program that are run at points of a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from assay.core.messages import Json

HookInput: TypeAlias = dict[str, Json]
"""`hook_event_name`, `session_id`, `transcript_path`, `cwd`, `permission_mode`, and what the event brings."""
HookContext: TypeAlias = dict[str, Json]
HookOutput: TypeAlias = Mapping[str, Json]
"""`decision`, `reason`, `continue_`, `stopReason`, `systemMessage`, `hookSpecificOutput`; {} for no opinion."""
HookCallback: TypeAlias = Callable[[HookInput, str | None, HookContext], Awaitable[HookOutput]]


@dataclass
class HookMatcher:
    """Which calls (or sources, or reasons) some hooks are for."""

    matcher: str | None = None
    """A name, several as `Edit|Write`, or a regular expression; None for all."""
    hooks: list[HookCallback] = field(default_factory=list[HookCallback])
    timeout: float | None = None
    """Seconds for each."""
    on_failure: Literal["continue", "block"] | None = None
