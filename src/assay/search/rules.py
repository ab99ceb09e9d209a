"""Which of several candidates, as far as what was run can tell: small rules in a row, each keeping the best.

Every rule gives each candidate a score and keeps those with the highest, so none can leave nothing, and the order in
which candidates come does not matter. Regressions stand before targets, targets before written checks; how many behave
alike and how small a change is decide only among what all of these leave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

from assay.search.candidate import Candidate
from assay.search.clusters import clusters

Score: TypeAlias = tuple[float, ...]
Pool: TypeAlias = Sequence[Candidate]

TRYING = "zero"
"""The strategy that finds candidates by trying changes against the checks, without a model."""
TRUST = 0.8
"""How likely a written check is right before anything speaks for or against it: class C is wrong one time in five."""
SLIP = 0.05
"""How often a right candidate fails a right check: the run was cut short, or flaky."""
LUCK = 0.3
"""How often a right candidate passes a wrong check all the same."""
REFUSED = (0.7, 0.5)
"""How often a right check, and a wrong one, refuses a candidate that other evidence has refused."""
ALL_WRONG = 0.2
"""How often all of several candidates that other evidence passes are wrong, so that a right check refuses them all."""


class Rule(Struct, frozen=True):
    """`score` sees the pool that is left and the whole one; `lost` says in words why a candidate went."""

    name: str
    score: Callable[[Candidate, Pool, Pool], Score]
    lost: Callable[[Candidate], str]


class Sifted(Struct, frozen=True):
    left: tuple[Candidate, ...]
    """By number; never empty when the pool was not."""
    dropped: dict[int, str] = {}
    last: str = ""
    """The rule that dropped somebody last; "" when none did."""


def sift(pool: Pool, rules: Sequence[Rule], whole: Pool | None = None) -> Sifted:
    """What `rules` leave of `pool`, one after the other. `whole`: everything that was made, for rules that compare."""
    left = tuple(sorted(pool, key=lambda candidate: candidate.number))
    whole = pool if whole is None else whole
    dropped: dict[int, str] = {}
    last = ""
    for rule in rules:
        if len(left) < 2:
            break
        scores = {candidate.number: rule.score(candidate, left, whole) for candidate in left}
        best = max(scores.values())
        for candidate in left:
            if scores[candidate.number] < best:
                dropped[candidate.number] = f"{rule.name}: {rule.lost(candidate)}"
                last = rule.name
        left = tuple(candidate for candidate in left if candidate.number not in dropped)
    return Sifted(left, dropped, last)


def _sound(candidate: Candidate, _left: Pool, _whole: Pool) -> Score:
    return (candidate.vector.applies, not candidate.protected)


def _unsound(candidate: Candidate) -> str:
    return "it changes protected paths" if candidate.vector.applies else "it does not parse, or can't be imported"


def _kept(candidate: Candidate, _left: Pool, _whole: Pool) -> Score:
    """Failures count where they were seen: a candidate whose suite was never run has broken nothing yet, and is left to
    the targets."""
    return (-sum(not good for good in candidate.vector.kept.values()),)


def _broken(candidate: Candidate) -> str:
    broken = [name for name, good in candidate.vector.kept.items() if not good]
    return f"breaks {len(broken)} that passed before ({broken[0]})" if broken else "breaks more that passed before"


def _targets(candidate: Candidate, _left: Pool, _whole: Pool) -> Score:
    return (sum(candidate.vector.targets.values()), sum(candidate.vector.kept.values()))


def _red(candidate: Candidate) -> str:
    red = [name for name, good in candidate.vector.targets.items() if not good]
    return f"{len(red)} still fail ({red[0]})" if red else "less was shown to be green"


def weights(whole: Pool) -> dict[str, float]:
    """How likely each written check is right, from 0 to 1, by the candidates that other evidence has judged already.

    A check gains with every way of behaving that it refuses and the other evidence refuses too, and loses with those
    that it lets pass; one that refuses all that is green is most likely wrong. What it says about single green ones is
    left out: that is what it is asked about afterwards."""
    names = sorted({name for candidate in whole for name in candidate.vector.written})
    green = [candidate for candidate in whole if candidate.vector.green]
    red = [candidate for candidate in whole if not candidate.vector.green and candidate.vector.applies]
    found: dict[str, float] = {}
    for name in names:
        odds = TRUST / (1 - TRUST)
        right, wrong = REFUSED
        for passes in _ways(red, name):
            odds *= (1 - right) / (1 - wrong) if passes else right / wrong
        says = _ways(green, name)
        if len(says) > 1 and not any(says):
            odds *= ALL_WRONG / (1 - LUCK)
        found[name] = odds / (1 + odds)
    return found


def _ways(pool: Pool, name: str) -> list[bool]:
    """What the check says, once for each way of behaving, or of failing where behaviour is not known."""
    found: dict[object, bool] = {}
    for candidate in pool:
        if name in candidate.vector.written:
            behaviour = tuple(sorted(candidate.behaviour.items())) or candidate.vector.signature or candidate.number
            found.setdefault((behaviour, candidate.vector.written[name]), candidate.vector.written[name])
    return list(found.values())


def _written(candidate: Candidate, _left: Pool, whole: Pool) -> Score:
    """The logarithm of how likely its results are if it is right, over all checks, each right as likely as `weights`
    says (the form of Chen et al., 2024, with the size of the agreeing set left out)."""
    trusted = weights(whole)
    total = 0.0
    for name, said in sorted(candidate.vector.written.items()):
        passes = trusted[name] * (1 - SLIP) + (1 - trusted[name]) * LUCK
        total += math.log(passes if said else 1 - passes)
    return (round(total, 9),)


def _refused(candidate: Candidate) -> str:
    red = [name for name, good in candidate.vector.written.items() if not good]
    return f"fails {len(red)} written checks ({red[0]})" if red else "fewer written checks speak for it"


def voice(candidate: Candidate) -> tuple[str, str, str]:
    """Whose word it is. Ten variants of one origin are one voice, and so is all that trying changes has found: that
    each of two operators can be made to pass a check does not make them witnesses of each other."""
    tried = candidate.strategy == TRYING
    return (candidate.strategy, "" if tried else candidate.origin, candidate.model)


def share(candidate: Candidate, pool: Pool) -> float:
    """The part of the voices in `pool` that behave as `candidate` does."""
    own = next(cluster for cluster in clusters(pool) if candidate.number in cluster)
    return len({voice(other) for other in pool if other.number in own}) / len({voice(other) for other in pool})


def _common(candidate: Candidate, left: Pool, _whole: Pool) -> Score:
    """By voices; then before a crowd whoever did not come from trying changes until the checks were green, which by
    itself makes wrong ones green; then by the crowd, in which early ones count more: likelier changes come first.
    Where nobody was observed, there are no voices and no crowd."""
    if not any(other.behaviour for other in left):
        return (0.0, candidate.strategy != TRYING, 0.0)
    own = next(cluster for cluster in clusters(left) if candidate.number in cluster)
    written = any(other.strategy != TRYING for other in left if other.number in own)
    crowd = sum(1 / math.sqrt(place) for place, other in enumerate(left, 1) if other.number in own)
    return (round(share(candidate, left), 9), written, round(crowd, 9))


def _small(candidate: Candidate, _left: Pool, _whole: Pool) -> Score:
    return (-(candidate.files or math.inf), -candidate.lines)


def _early(candidate: Candidate, _left: Pool, _whole: Pool) -> Score:
    return (-candidate.number,)


SOUND = Rule("sound", _sound, _unsound)
REGRESSIONS = Rule("regressions", _kept, _broken)
TARGETS = Rule("targets", _targets, _red)
WRITTEN = Rule("written checks", _written, _refused)
COMMON = Rule("behaviour", _common, lambda _: "fewer behave like it")
SMALL = Rule("size", _small, lambda candidate: f"{candidate.files} files and {candidate.lines} lines")
EARLY = Rule("order", _early, lambda _: "a later one, and nothing tells them apart")

EVIDENCE = (SOUND, REGRESSIONS, TARGETS, WRITTEN)
"""What was run decides first."""
TIES = (COMMON, SMALL, EARLY)
"""Then what is only likely; the last leaves exactly one."""
