"""Middleware that compacts before the window is full, and the recovery from a provider's own "too long"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from assay.context.compact import Compactor
from assay.core.events import Compacted
from assay.core.store import Record
from assay.loop.turn import Inject, Middleware, Stop

FULL_AT = 0.8
"""Share of the context at which history is compacted; the rest is room for the reply and for one large result."""
KEEP = 0.25
"""Share of the context that stays verbatim."""


class CompactionHooks(Protocol):
    async def before_compaction(self, trigger: str, instructions: str = "") -> str:
        """Why it must not be, or nothing."""
        ...

    async def after_compaction(self, trigger: str, summary: str) -> None: ...


def _nobody() -> None:
    return None


Compaction = Literal["auto", "asked", "never"]
"""When the log's view may be compacted: as the window fills, only when somebody asks for it, or not at all."""


class Window(Middleware):
    """Compacts the log's view when the next request would come near the model's context. A fold, too: it has to be
    given every record."""

    def __init__(
        self,
        context: int,
        next_input: Callable[[], int],
        record: Callable[[Compacted], None],
        hooked: Callable[[], CompactionHooks | None] = _nobody,
        compaction: Compaction = "auto",
    ):
        self.context = context
        self._next_input = next_input
        self._record = record
        self.summary = ""
        """Of the last compaction."""
        self._compactor = Compactor()
        self._hooked = hooked
        self._compaction: Compaction = compaction

    def apply(self, record: Record) -> None:
        self._compactor.apply(record)

    async def before_step(self) -> Stop | Inject | None:
        if self._next_input() > FULL_AT * self.context:
            await self.compact(int(KEEP * self.context))
        return None

    async def compact(self, keep_tokens: int, trigger: str = "auto", focus: str = "") -> bool:
        """`shrink`, unless the user or a hook is against it."""
        if self._compaction == "never" or (trigger == "auto" and self._compaction != "auto"):
            return False
        hooks = self._hooked()
        if hooks and await hooks.before_compaction(trigger, focus):
            return False
        if not self.shrink(keep_tokens, focus):
            return False
        if hooks:
            await hooks.after_compaction(trigger, self.summary)
        return True

    def shrink(self, keep_tokens: int, focus: str = "") -> bool:
        """Compact so that about `keep_tokens` stay verbatim, or fewer when that gains nothing: our count is rough, and
        what is full by the provider's may look half empty by ours. `focus` is what the user wants kept in mind. False
        when nothing can be gained at all."""
        for keep in (keep_tokens, keep_tokens // 4, keep_tokens // 16, 0):
            if event := self._compactor.compact(keep, focus):
                self.summary = event.summary
                self._record(event)
                return True
        return False
