"""Belief rises with evidence, falls with what speaks against it, and says when to go on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.search.pools import RED, candidate, pools

from assay.search.belief import LOOSENESS, belief, doubts, futile, grounds
from assay.search.candidate import Candidate, Ground, Vector
from assay.search.effort import dial_of
from assay.search.priors import STRONG, TINY, Prior

GROUND = Ground("B", 3)


def fails(number: int, signature: str = "", passes: str = "", **fields) -> Candidate:
    targets = {name: name in passes for name in "abc"}
    return candidate(number, Vector(targets=targets, signature=signature), strategy="loop", **fields)


@given(pools, st.sampled_from([None, "A", "B", "C", "D", "E"]), st.integers(0, 20))
def test_it_is_a_probability_and_zero_without_a_green_leader(pool: list[Candidate], cls, assertions: int) -> None:
    believed = belief(pool, Ground(cls, assertions))
    found = grounds(pool)
    assert found is not None
    assert (0 < believed < 1) if found.chosen.vector.green else believed == 0
    if not found.chosen.vector.green:
        assert doubts(pool, Ground(cls, assertions)) == []


def test_more_assertions_a_better_class_and_a_better_record_raise_it() -> None:
    pool = [candidate(1)]
    by_count = [belief(pool, Ground("B", count)) for count in (1, 2, 4, 8)]
    assert by_count == sorted(by_count)
    by_class = [belief(pool, Ground(cls, 4)) for cls in ("E", "D", "C", "B", "A")]
    assert by_class == sorted(by_class)
    made = [candidate(1, strategy="loop")]
    assert belief(made, GROUND, TINY) < belief(made, GROUND, STRONG)
    assert belief([], GROUND) == 0


def test_an_ally_raises_it_and_a_rival_lowers_it() -> None:
    alone = candidate(1, behaviour={"i": "x"})
    ally = candidate(2, behaviour={"i": "x"}, strategy="slots", origin="whole")
    independent = candidate(2, behaviour={"i": "x"}, strategy="slots", origin="spec")
    copy = candidate(3, behaviour={"i": "x"}, origin="another operator")
    rival = candidate(4, behaviour={"i": "y"})
    base = belief([alone], GROUND)
    assert belief([alone, independent], GROUND) > belief([alone, ally], GROUND) > base
    assert belief([alone, copy], GROUND) == base
    assert belief([alone, rival], GROUND, chosen=1) < base
    assert belief([alone, candidate(5)], GROUND, chosen=1) == base  # nobody looked how it behaves


def test_checks_that_would_not_notice_a_change_lower_it() -> None:
    tight, loose = (candidate(1, signs={LOOSENESS: share}) for share in (0.0, 0.2))
    blank = belief([candidate(1)], GROUND)
    assert belief([loose], GROUND) < blank < belief([tight], GROUND)


def test_doubts_are_said_in_words_and_only_about_what_was_looked_at() -> None:
    pool = [candidate(1, behaviour={"i": "x"}, signs={LOOSENESS: 0.25}), candidate(2, behaviour={"i": "y"})]
    assert doubts(pool, Ground("B", 1)) == [
        "another change behaves differently and the checks can't tell which is right",
        "the checks would not notice 25% of small changes to what was changed",
        "it was found by trying until the checks passed, and one assertion speaks for it",
    ]
    assert doubts([candidate(1)], Ground("B")) == []
    assert doubts([candidate(1, RED)], Ground("B", 1)) == []


def enough(pool: list[Candidate], ground: Ground, effort, prior: Prior = STRONG) -> bool:
    """No more is tried at this effort."""
    return belief(pool, ground, prior) >= dial_of(effort).belief


def test_it_is_enough_when_belief_suffices_and_not_before() -> None:
    pool = [candidate(1, strategy="loop", origin="plan", behaviour={"i": "x"})]
    assert enough(pool, Ground("A", 20), "low")
    assert not enough(pool, Ground("D", 1), "medium")


@pytest.mark.parametrize("effort", ["low", "medium"])
def test_one_green_attempt_of_a_strong_model_is_enough_with_ordinary_effort(effort) -> None:
    pool = [candidate(1, strategy="single", steps=1)]
    assert enough(pool, Ground("B"), effort)
    assert enough(pool, Ground("B", 2), effort)
    assert not enough(pool, Ground("B", 2), "high")


def test_one_green_sample_of_a_tiny_model_is_enough_only_with_the_least_effort() -> None:
    pool = [candidate(1, strategy="slots", origin="whole", behaviour={"i": "x"})]
    assert enough(pool, GROUND, "low", TINY)
    assert not enough(pool, GROUND, "medium", TINY)
    pool.append(candidate(2, strategy="slots", origin="spec", behaviour={"i": "x"}))
    assert enough(pool, GROUND, "medium", TINY)


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ([], False),
        ([fails(1, "E1", steps=3), fails(2, "E1", steps=3)], True),
        ([fails(1, "E1")], False),
        ([fails(1, "E1"), fails(2, "E2")], False),
        ([fails(1, passes="a"), fails(2, passes="b"), fails(3, passes="a")], False),
        ([fails(1, passes="ab"), fails(2, passes="a"), fails(3, passes="b")], True),
        ([fails(1, passes="a"), fails(2), fails(3, passes="a")], True),
        ([fails(1), fails(2)], False),
    ],
)
def test_futile_is_no_new_pass_twice_or_one_failure_twice(pool: list[Candidate], expected: bool) -> None:
    assert futile(pool) is expected


def test_what_was_found_by_trying_speaks_against_its_like_and_not_against_what_was_written() -> None:
    tried = [candidate(n, behaviour={"i": str(n)}) for n in (1, 2)]
    written = replace(candidate(3, behaviour={"i": "3"}), strategy="slots", origin="whole")
    ground = Ground("A", 8)
    assert not doubts([*tried, written], ground, chosen=3)
    assert doubts([*tried, written], ground, chosen=1)
    other = replace(candidate(4, behaviour={"i": "4"}), strategy="slots", origin="line")
    assert "another change behaves differently" in doubts([*tried, written, other], Ground("A", 8), TINY, 3)[0]
