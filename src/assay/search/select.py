"""Which of several candidates to take, and why each of the others went (the rules are in `rules`, the comparator in
`compare`). Pure but for its ports, so that stored pools can be judged again at no cost."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from assay.core.messages import Usage
from assay.search.candidate import Candidate
from assay.search.clusters import clusters
from assay.search.compare import BRACKET, Ports, Question, knock_out
from assay.search.rules import EVIDENCE, TIES, share, sift


class Selection(Struct, frozen=True):
    number: int
    """The chosen candidate's; 0 when there was none."""
    why: str
    """One line."""
    dropped: dict[int, str] = {}
    """Every other one's number -> the rule by which it went, and its reason."""
    asked: int = 0
    """Questions put to a model."""
    usage: Usage = Usage()


async def select(
    pool: Sequence[Candidate],
    ports: Ports = Ports(),  # noqa: B008 - frozen
    question: Question = Question(),  # noqa: B008 - frozen
) -> Selection:
    """One of `pool`. What was run decides, and the comparator only among green candidates that it leaves, when there is
    something to ask with."""
    if not pool:
        return Selection(0, "nothing was made")
    sifted = sift(pool, EVIDENCE)
    dropped, asked, usage = dict(sifted.dropped), 0, Usage()
    left, last = sifted.left, sifted.last
    if ports.ask is not None and len(left) > 1 and all(one.vector.green for one in left):
        left, beaten, asked, usage = await _compared(left, question, ports)
        dropped |= beaten
        last = "comparison" if beaten else last
    settled = sift(left, TIES, pool)
    dropped |= settled.dropped
    chosen = settled.left[0]
    return Selection(chosen.number, _why(pool, chosen, settled.last or last), dropped, asked, usage)


def leader(pool: Sequence[Candidate]) -> Candidate | None:
    """The candidate that evidence and ties alone would take; None from an empty pool."""
    left = sift(pool, EVIDENCE).left
    return sift(left, TIES, pool).left[0] if left else None


async def _compared(
    left: Sequence[Candidate], question: Question, ports: Ports
) -> tuple[tuple[Candidate, ...], dict[int, str], int, Usage]:
    """The comparator's word on the ways of behaving among `left`; whoever behaves as a loser goes with it."""
    left = await _observed(left, ports)
    groups = _ways(left)
    if len(groups) < 2:
        return tuple(left), {}, 0, Usage()
    by_number = {candidate.number: candidate for candidate in left}
    leaders = [sift([by_number[number] for number in group], TIES, left).left[0] for group in groups]
    leaders.sort(key=lambda candidate: (-share(candidate, left), candidate.number))
    lost, asked, usage = await knock_out(leaders, question, ports)
    if lost:
        lost |= {one.number: "comparison: not among the likeliest ways of behaving" for one in leaders[BRACKET:]}
    dropped = {
        number: lost[one.number] for one in leaders if one.number in lost for number in _group(groups, one.number)
    }
    return tuple(candidate for candidate in left if candidate.number not in dropped), dropped, asked, usage


async def _observed(left: Sequence[Candidate], ports: Ports) -> Sequence[Candidate]:
    """`left`, and where nobody observed some of them yet, what all of them answer to the inputs of the others."""
    calls = sorted({call for candidate in left for call in candidate.behaviour})
    if not calls or ports.observe is None or all(candidate.behaviour for candidate in left):
        return left
    answers = await ports.observe(left, calls)
    return [replace(one, behaviour=dict(answer)) for one, answer in zip(left, answers, strict=True)]


def _ways(left: Sequence[Candidate]) -> list[tuple[int, ...]]:
    """Who behaves alike; where nobody was observed, who changed the same."""
    if any(one.behaviour for one in left):
        return clusters(left)
    found: dict[str, list[int]] = {}
    for one in left:
        found.setdefault(one.patch or str(one.number), []).append(one.number)
    return [tuple(numbers) for numbers in found.values()]


def _group(groups: Sequence[tuple[int, ...]], number: int) -> tuple[int, ...]:
    return next(group for group in groups if number in group)


def _why(pool: Sequence[Candidate], chosen: Candidate, last: str) -> str:
    shown = "green" if chosen.vector.green else "not green"
    if len(pool) == 1:
        return f"the only candidate, {shown}"
    return f"{shown}; of {len(pool)} candidates the last others went by {last}"
