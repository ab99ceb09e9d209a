"""Fan-out of what happens in a run to whoever watches. A watcher that fails is dropped, never the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from assay.core.hooks import HookReport
from assay.core.model import ModelEvent
from assay.core.store import Record


class Progress(Struct, frozen=True):
    """What the harness is busy with; shown and forgotten."""

    phase: str
    """frame, think, call, check, judge, attempt."""
    text: str


class ChildSeen(Struct, frozen=True):
    """Something that happened in a sub-agent, at whatever depth; seen by whoever watches the session."""

    task: str
    agent: str
    """Its kind."""
    call: str
    """The call that began it, one of its parent's."""
    seen: Record | ModelEvent | Progress | HookReport


Seen: TypeAlias = Record | ModelEvent | Progress | HookReport | ChildSeen
Watcher = Callable[[Seen], None]


class Bus:
    def __init__(self) -> None:
        self._watchers: list[Watcher] = []

    def subscribe(self, watcher: Watcher) -> None:
        self._watchers.append(watcher)

    def emit(self, seen: Seen) -> None:
        for watcher in self._watchers[:]:
            try:
                watcher(seen)
            except Exception:  # noqa: BLE001 - whatever befalls a screen, the work goes on and is in the log
                self._watchers.remove(watcher)
