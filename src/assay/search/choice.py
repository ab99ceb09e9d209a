"""Which of several candidates is taken, by the first rules of selection: evidence alone, no model."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from assay.search.candidate import Candidate, Ground
from assay.search.effort import Dial


class Choice(Struct, frozen=True):
    number: int
    """0 when there is nothing to take."""
    why: str
    """One line."""
    enough: bool = False
    """No further candidate is needed."""
    belief: float = 0.0
    """How likely it is right, 0 to 1; 0 when that was not reckoned."""
    doubts: tuple[str, ...] = ()
    """Why green checks prove too little, a line each."""


def choose(pool: Sequence[Candidate], ground: Ground, dial: Dial) -> Choice:
    """Drop what does not apply or touches protected paths; then most tests kept, most targets met, most written checks
    passed, fewest files, fewest lines, earliest."""
    del ground, dial  # of the fuller selection; these rules need neither
    fit = [each for each in pool if each.vector.applies and not each.protected and each.tree]
    if not fit:
        return Choice(0, "no attempt applies without changing protected paths")
    best = min(fit, key=_rank)
    vector = best.vector
    met, kept = sum(vector.targets.values()), sum(vector.kept.values())
    if vector.green:
        green = sum(each.vector.green for each in fit)
        why = "the only one that turns the checks green" if green == 1 else f"the smallest of {green} that are green"
    else:
        lost = len(vector.kept) - kept
        why = f"none is green; it comes furthest: {met} of {len(vector.targets)} targets met, {lost} broken"
    return Choice(best.number, why, vector.green)


def _rank(candidate: Candidate) -> tuple[int, int, int, int, int, int]:
    vector = candidate.vector
    met, kept, written = (sum(each.values()) for each in (vector.targets, vector.kept, vector.written))
    return -kept, -met, -written, candidate.files, candidate.lines, candidate.number
