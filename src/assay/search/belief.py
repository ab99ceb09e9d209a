"""How likely the candidate that would be taken is right, what speaks against believing it, and when more of the same
is futile.

Green checks are evidence, not proof: with two or three examples visible, one in eight changes that a search finds is
wrong (docs/solving.md).
Belief is Bayes' rule in odds: what this kind of attempt usually achieves, times how much rarer a wrong candidate passes
such checks than a right one, times agreement of candidates that came about in different ways, less for every other way
of behaving that the checks let pass as well. The constants were fitted on the odd tasks of a stored pool and looked at
on the even ones (`python -m bench.solve.replay --belief`).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from assay.core.check import EvidenceClass
from assay.search.candidate import Candidate, Ground
from assay.search.clusters import clusters
from assay.search.priors import FOUND, STRONG, Prior
from assay.search.rules import TRYING, voice
from assay.search.select import leader

FALSE_PASS: dict[EvidenceClass, float] = {"A": 0.05, "B": 0.10, "C": 0.20, "D": 0.60, "E": 0.70}
"""How often a wrong candidate passes checks of a class when there are enough of them."""
NOTHING = 0.9
"""The same when nothing was red and nothing shows what was asked for."""
THIN = 0.2
WRITTEN_THIN = 0.02
"""What a single assertion adds to that; several share it. Much where changes were tried until the checks were green,
for that makes wrong ones green; little for what was written once and then checked."""
UNCOUNTED = 3
"""Assertions of checks where nobody counted them."""
ENOUGH = 5
"""From so many on, their number is no reason for doubt."""
AGREEMENT = 1.5
MOST_AGREEMENT = 3.0
"""The factor for each green candidate of another origin that behaves like the chosen one, and its bound."""
UNSEEN = "spec"
INDEPENDENT = 4.0
"""The origin of candidates written from the specification without a look at the code at fault, and the factor when one
of these and one that came about otherwise behave alike: their mistakes have no common source but the specification."""
RIVAL = 2.5
RIVALS = 4
"""What each other way of behaving among green candidates divides the odds by, and how many of them count at most."""
LOOSE = 10.0
"""How fast belief falls with `LOOSENESS`: the odds are divided by one plus this times that."""
UNKNOWN = 0.1
"""What `LOOSENESS` is taken to be where changes were tried and nobody looked: its mean on the pool."""
SURE = 0.93
"""The belief from which nothing speaks against calling a green result verified."""
SAME_FAILURE = 2
"""Candidates in a row that fail in the same way before more of the same is futile."""
NO_PROGRESS = 2
"""Candidates in a row that pass nothing that the best before them did not."""

LOOSENESS = "loose"
"""The sign (`Candidate.signs`) for the part of small changes to a candidate that the checks let pass (`notice`)."""


SAMPLED = (TRYING, "slots")
"""Strategies that go on making candidates until one passes."""


class Grounds(Struct, frozen=True):
    """What belief in a candidate rests on."""

    chosen: Candidate
    rivals: int
    """Other ways of behaving among green candidates."""
    allies: int
    """Other voices (`rules.voice`) with a green candidate that behaves like it."""
    independent: bool
    """One that was written from the specification alone behaves like one that was not."""
    loose: float | None
    """None when nobody looked."""


def belief(
    pool: Sequence[Candidate],
    ground: Ground,
    prior: Prior = STRONG,
    chosen: int = 0,
) -> float:
    """How likely `chosen` (a number; 0 for the leader) is right, 0 to 1. Without a green check there is no belief.

    `prior` is the record of the model that makes candidates; for one that no model made it is `FOUND`."""
    found = grounds(pool, chosen)
    if found is None or not found.chosen.vector.green:
        return 0.0
    tried = found.chosen.strategy == TRYING
    start = FOUND if tried and not found.chosen.model else prior
    odds = start.mean / (1 - start.mean) / false_pass(found.chosen, ground)
    odds *= min(AGREEMENT**found.allies, MOST_AGREEMENT) * (INDEPENDENT if found.independent else 1.0)
    odds /= RIVAL ** min(found.rivals, RIVALS)
    odds /= 1 + LOOSE * (UNKNOWN if found.loose is None and tried else found.loose or 0.0)
    return odds / (1 + odds)


def false_pass(chosen: Candidate, ground: Ground) -> float:
    """How often a wrong candidate would be green all the same: the best class decides, and written checks that it
    passes count as independent ones."""
    thin = (THIN if chosen.strategy == TRYING else WRITTEN_THIN) / (ground.assertions or UNCOUNTED)
    best = NOTHING if ground.cls is None else FALSE_PASS[ground.cls] + thin
    written = sum(chosen.vector.written.values())
    return min(best, NOTHING) * max(FALSE_PASS["C"] ** written, 0.04)


def grounds(pool: Sequence[Candidate], chosen: int = 0) -> Grounds | None:
    """What is known for and against `chosen` (a number; 0 for the leader); None from an empty pool."""
    found = next((one for one in pool if one.number == chosen), None) if chosen else leader(pool)
    if found is None:
        return None
    green = [one for one in pool if one.vector.green and not one.protected]
    groups = clusters(green)
    own = next((group for group in groups if found.number in group), (found.number,))
    voices = {voice(one) for one in green if one.number in own}
    unseen = {one.origin == UNSEEN for one in green if one.number in own}
    observed = {one.number for one in green if one.behaviour}
    # Trying enough changes always finds some that pass and are wrong: they speak against each other, and not against
    # what somebody wrote.
    peers = {one.number for one in green if found.strategy == TRYING or one.strategy != TRYING}
    rivals = sum(1 for group in groups if group is not own and observed.issuperset(group) and peers & {*group})
    return Grounds(found, rivals, max(len(voices) - 1, 0), unseen == {True, False}, found.signs.get(LOOSENESS))


def doubts(pool: Sequence[Candidate], ground: Ground, prior: Prior = STRONG, chosen: int = 0) -> list[str]:
    """Why green checks prove too little here, a line each for a person (and for `Run.conclude`); [] when belief is
    `SURE` or nothing in particular speaks against the candidate. Not a word about what was not looked at."""
    found = grounds(pool, chosen)
    if found is None or not found.chosen.vector.green or belief(pool, ground, prior, chosen) >= SURE:
        return []
    lines: list[str] = []
    if found.rivals:
        others = "another change behaves" if found.rivals == 1 else f"{found.rivals} other changes behave"
        lines.append(f"{others} differently and the checks can't tell which is right")
    if found.loose:
        lines.append(f"the checks would not notice {found.loose:.0%} of small changes to what was changed")
    if found.chosen.strategy in SAMPLED and not found.allies and 0 < ground.assertions < ENOUGH:
        count = "one assertion speaks" if ground.assertions == 1 else f"only {ground.assertions} assertions speak"
        lines.append(f"it was found by trying until the checks passed, and {count} for it")
    return lines


def futile(made: Sequence[Candidate]) -> bool:
    """The last candidates (`made` in order) failed in one and the same way, or none of them passed anything that the
    best before had not."""
    last = made[-SAME_FAILURE:]
    signatures = {one.vector.signature for one in last}
    if len(last) == SAME_FAILURE and len(signatures) == 1 and "" not in signatures and not last[-1].vector.green:
        return True
    if len(made) <= NO_PROGRESS:
        return False
    before = [_passes(one) for one in made[:-NO_PROGRESS]]
    best = max(before, key=len)
    return not any(_passes(one) - best for one in made[-NO_PROGRESS:])


def _passes(candidate: Candidate) -> frozenset[str]:
    vector = candidate.vector
    return frozenset(name for part in (vector.targets, vector.kept) for name, good in part.items() if good)
