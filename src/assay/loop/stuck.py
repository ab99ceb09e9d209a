"""Middleware that notices a model going in circles.

The same call with the same result is warned about at the third time and stopped at the fifth; two calls that alternate
without any new result are stopped at the sixth pair; a call that keeps failing in the same way is stopped at the fourth
time. A poll whose output changes is progress and never counts. Thresholds: research of stuck detectors in the field
(OpenHands: same action and observation 4 times, action and error 3, alternation 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from assay.core.events import CallFinished
from assay.core.messages import Image, Text, ToolCall
from assay.loop.turn import Answered, Inject, Middleware, Stop

WARN_AT = 3
STOP_AT = 5
FAILING_STOP_AT = 4
PAIRS_STOP_AT = 6


class Stuck(Middleware):
    """Keeps only digests of the last few steps, so its cost does not grow with the session."""

    def __init__(self) -> None:
        self._steps: list[tuple[bytes, bool]] = []

    async def after_calls(self, answered: Sequence[Answered]) -> Stop | Inject | None:
        digest = sha256()
        for call, finished in answered:
            digest.update(_fingerprint(call, finished))
        failing = all(finished.result.is_error for _, finished in answered)
        self._steps = [*self._steps[-2 * PAIRS_STOP_AT :], (digest.digest(), failing)]
        repeats = self._repeats()
        names = ", ".join(sorted({call.name for call, _ in answered}))
        if repeats >= (FAILING_STOP_AT if failing else STOP_AT):
            return Stop("stuck", f"the same call ({names}) gave the same result {repeats} times in a row")
        if self._pairs() >= PAIRS_STOP_AT:
            return Stop("stuck", f"two steps ({names}) alternated {PAIRS_STOP_AT} times without anything new")
        if repeats == WARN_AT:
            return Inject(
                "stuck",
                f"You have made the same call ({names}) {repeats} times with the same result. "
                "Doing it again will end the turn: change the approach, or say what blocks you.",
            )
        return None

    def _repeats(self) -> int:
        last = self._steps[-1]
        count = 0
        for step in reversed(self._steps):
            if step != last:
                break
            count += 1
        return count

    def _pairs(self) -> int:
        if len(self._steps) < 2 or self._steps[-1] == self._steps[-2]:
            return 0
        pair = self._steps[-2:]
        count = 0
        for start in range(len(self._steps) - 2, -1, -2):
            if self._steps[start : start + 2] != pair:
                break
            count += 1
        return count


def _fingerprint(call: ToolCall, finished: CallFinished) -> bytes:
    """A digest of what was asked and what came back, blind to ids and to how long it took."""
    import json  # after the first reply; not on the way to the first request

    digest = sha256(call.name.encode("utf-8", "surrogatepass"))
    digest.update(json.dumps(call.arguments, sort_keys=True).encode())
    for part in finished.result.content:
        match part:
            case Text(text):
                digest.update(text.encode("utf-8", "surrogatepass"))
            case Image(_, data):
                digest.update(data.encode())
    return digest.digest()
