"""Uneven thinking: much where a turn is decided, little where it is only carried out.

The first look at a failure and the last look after a refusal decide most; edits, reads and test runs follow from them.
Thinking hard everywhere was measured to solve less than thinking unevenly, and to cost more.

With most providers another effort begins another prompt cache, and then reading the conversation anew costs more than
thinking saves. So this is done only for models whose facts say that it is free (`effort_keeps_cache`), only when the
user named an effort, and never when they said how to think (`--thinking`). No model of the catalogue has that fact: no
provider promises it.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from assay.core.events import CallFinished, ContextAdded
from assay.core.model import Effort, Profile, Reasoning
from assay.core.store import Record
from assay.loop.turn import Middleware
from assay.run.bus import Seen
from assay.run.run import Run

Phase = Literal["diagnose", "act", "review"]
FREE = "effort_keeps_cache"
_DECIDING: dict[Effort, Effort] = {"low": "low", "medium": "high", "high": "high", "max": "max"}
_BETWEEN: dict[Effort, Effort] = {"low": "low", "medium": "low", "high": "low", "max": "medium"}


def reasoning_for(phase: Phase, asked: Reasoning, profile: Profile) -> Reasoning:
    """How much to think in `phase`; `asked` itself wherever that is not ours to vary."""
    if asked.mode != "default" or asked.effort is None or profile.reasoning == "none" or FREE not in profile.quirks:
        return asked
    return replace(asked, effort=(_BETWEEN if phase == "act" else _DECIDING)[asked.effort])


class Uneven(Middleware):
    """Puts the effort of the phase into the options of `run` before each step, until somebody else changes them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._asked = self._put = run.options.reasoning
        self._phase: Phase = "diagnose"
        run.bus.subscribe(self._hear)

    def _hear(self, seen: Seen) -> None:
        match seen:
            case Record(event=ContextAdded(owner="gate")):
                self._phase = "review"
            case Record(event=CallFinished()):
                self._phase = "act"
            case _:
                pass

    async def before_step(self) -> None:
        if self._run.options.reasoning is self._put:
            self._put = reasoning_for(self._phase, self._asked, self._run.parts.model.profile)
            self._run.options = replace(self._run.options, reasoning=self._put)

    def done(self) -> None:
        """The turn is over: its options are again as they were asked for."""
        if self._run.options.reasoning is self._put:
            self._run.options = replace(self._run.options, reasoning=self._asked)
