"""Questions that nobody answered, and leave that was given for one of them."""

from __future__ import annotations

import string
from collections.abc import Iterable

from assay.core.errors import UsageError
from assay.core.events import CallDecided, ModelReplied, SessionStarted
from assay.core.messages import ToolCall
from assay.core.policy import NOBODY, Approval, Question
from assay.core.store import Record
from assay.loop.calls import APPROVED

LASTS = 24 * 3600.0
"""Seconds after which a question has to be asked again."""
SHORTEST = 12
"""Hex digits of a digest that name it."""


class Asked:
    """A fold: the questions of this session that are open, by digest, with the time they were asked.

    A fork begins with none: leave is given to a session, and what was copied is another's.
    """

    def __init__(self) -> None:
        self.open: dict[str, tuple[float, Question]] = {}
        self._calls: dict[str, ToolCall] = {}

    def apply(self, record: Record) -> None:
        match record.event:
            case SessionStarted():
                self.open.clear()
            case ModelReplied(message=message, role="solver") if message.failure is None:
                self._calls = {call.id: call for call in message.calls}
            case CallDecided() as event if event.decision.verdict == "ask" and event.digest:
                call = self._calls.get(event.call)
                arguments = call.arguments if call else {}
                question = Question(event.call, event.tool, arguments, event.effects, event.decision, event.digest)
                self.open[event.digest] = (record.time, question)
            case CallDecided() as event if event.decision.rule == APPROVED:
                self.open.pop(event.digest, None)
            case _:
                pass

    def find(self, prefix: str, now: float) -> Question:
        """The open question whose digest begins with `prefix`. Raises `UsageError` that says what to do."""
        digits = prefix.strip().lower().removeprefix("sha256:")
        if len(digits) < SHORTEST or set(digits) - set(string.hexdigits):
            raise UsageError(f"--approve takes at least {SHORTEST} hex digits of a digest; got '{prefix[:80]}'")
        found = [(asked, question) for digest, (asked, question) in self.open.items() if digest.startswith(digits)]
        if len(found) != 1:
            there = ", ".join(digest[:SHORTEST] for digest in self.open) or "none"
            why = "several questions" if found else "no open question"
            raise UsageError(f"--approve {digits[:SHORTEST]}: {why} of this session; open: {there}")
        asked, question = found[0]
        if now - asked > LASTS:
            raise UsageError(
                f"--approve {digits[:SHORTEST]}: asked more than 24 hours ago; run the task again to be asked anew"
            )
        return question


class Once:
    """An `Approver` without a person: leave for the calls with `digests`, once each."""

    def __init__(self, digests: Iterable[str] = ()) -> None:
        self._left = set(digests)

    async def approve(self, question: Question) -> Approval:
        if question.digest not in self._left:
            return NOBODY
        self._left.discard(question.digest)
        return Approval(True)
