"""The rules of choice: each keeps the best, none leaves nothing, and no order of candidates matters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.search.pools import GREEN, RED, candidate, pools

from assay.search.candidate import Candidate, Vector
from assay.search.rules import COMMON, EARLY, EVIDENCE, REGRESSIONS, SMALL, TARGETS, TIES, WRITTEN, share, sift, weights

RULES = (*EVIDENCE, *TIES)


@given(pools, st.randoms())
def test_order_does_not_matter_and_exactly_one_is_left(pool: list[Candidate], dice) -> None:
    shuffled = list(pool)
    dice.shuffle(shuffled)
    sifted = sift(pool, RULES)
    assert sifted == sift(shuffled, RULES, shuffled)
    assert len(sifted.left) == 1
    assert {one.number for one in pool} == {sifted.left[0].number, *sifted.dropped}
    assert sifted.left[0].number not in sifted.dropped


@given(pools, st.sampled_from(RULES))
def test_no_rule_leaves_nothing_and_each_reason_names_its_rule(pool: list[Candidate], rule) -> None:
    sifted = sift(pool, [rule])
    assert sifted.left
    assert all(reason.startswith(f"{rule.name}: ") for reason in sifted.dropped.values())


@given(pools)
def test_a_red_candidate_is_never_chosen_before_a_green_one_that_breaks_nothing(pool: list[Candidate]) -> None:
    pool = [one for one in pool if set(one.vector.targets) == {"a"}]
    sound = [one for one in pool if one.vector.green and not one.protected]
    if sound:
        assert sift(pool, RULES).left[0].vector.green


def test_what_does_not_parse_or_touches_protected_paths_goes_first() -> None:
    pool = [candidate(1, Vector(applies=False)), candidate(2, protected=True), candidate(3, RED)]
    sifted = sift(pool, RULES)
    assert sifted.left[0].number == 3
    assert sifted.dropped == {
        1: "sound: it does not parse, or can't be imported",
        2: "sound: it changes protected paths",
    }


def test_a_regression_weighs_more_than_a_target() -> None:
    breaks = candidate(1, Vector(kept={"old": False}, targets={"t": True}))
    keeps = candidate(2, Vector(kept={"old": True}, targets={"t": False}))
    assert sift([breaks, keeps], [REGRESSIONS, TARGETS]).left == (keeps,)


def test_many_that_behave_alike_never_outweigh_a_test() -> None:
    crowd = [candidate(n, Vector(targets={"t": True, "u": False}), {"i": "x"}) for n in range(1, 9)]
    lone = candidate(9, Vector(targets={"t": True, "u": True}), {"i": "y"})
    assert sift([*crowd, lone], RULES).left == (lone,)


def test_ten_variants_of_one_origin_are_one_voice() -> None:
    variants = [candidate(n, behaviour={"i": "x"}) for n in range(1, 11)]
    others = [
        candidate(n, behaviour={"i": "y"}, strategy="slots", origin=origin) for n, origin in ((11, "a"), (12, "b"))
    ]
    assert share(variants[0], [*variants, *others]) == pytest.approx(1 / 3)
    assert sift([*variants, *others], RULES).left[0].number == 11


def test_a_written_candidate_stands_before_a_crowd_that_trying_has_found() -> None:
    variants = [candidate(n, behaviour={"i": "x"}) for n in range(1, 11)]
    written = candidate(11, behaviour={"i": "y"}, strategy="slots", lines=9)
    assert sift([*variants, written], RULES).left == (written,)


def test_what_two_operators_find_is_no_agreement() -> None:
    pool = [candidate(n, behaviour={"i": "x" if n < 4 else "y"}, origin=f"operator {n}") for n in range(1, 6)]
    assert share(pool[0], pool) == share(pool[4], pool) == 1


def test_ties_fall_to_the_smaller_change_and_then_to_the_earlier() -> None:
    assert sift([candidate(1, lines=4), candidate(2, lines=2), candidate(3, lines=2)], TIES).left[0].number == 2
    assert sift([candidate(2), candidate(1)], [EARLY]).left[0].number == 1
    assert sift([candidate(1, files=0), candidate(2, files=1)], [SMALL]).left[0].number == 2


def test_where_nobody_was_observed_there_is_no_crowd() -> None:
    assert len(sift([candidate(1), candidate(2)], [COMMON]).left) == 2
    assert sift([candidate(1), candidate(2, strategy="slots")], [COMMON]).left[0].number == 2


def test_in_a_crowd_the_early_ones_count_more() -> None:
    """Two of the likeliest changes against three of the least likely."""
    early = [candidate(n, behaviour={"i": "x"}) for n in (1, 2)]
    middle = [candidate(n, behaviour={"i": str(n)}) for n in range(3, 12)]
    late = [candidate(n, behaviour={"i": "y"}) for n in (12, 13, 14)]
    assert sift([*early, *middle, *late], [COMMON]).left == tuple(early)


def _with(written: bool, green: bool, number: int) -> Candidate:
    return candidate(number, Vector(targets={"t": green}, written={"w": written}), {"i": str(number)})


def test_a_written_check_gains_by_what_it_refuses_with_the_others_and_loses_when_it_refuses_all() -> None:
    plain = weights([_with(True, True, 1)])["w"]
    apt = weights([_with(True, True, 1), _with(False, False, 2), _with(False, False, 3)])["w"]
    lax = weights([_with(True, True, 1), _with(True, False, 2), _with(True, False, 3)])["w"]
    wrong = weights([_with(False, True, 1), _with(False, True, 2), _with(False, True, 3)])["w"]
    assert lax < plain < apt
    assert wrong < plain
    assert 0.5 < plain < 1


def test_a_check_that_is_likely_wrong_says_little() -> None:
    """One trusted check for candidate 2 outweighs two doubtful ones for candidate 1."""

    def row(number: int, green: bool, *said: bool) -> Candidate:
        names = ("good", "lax", "lax too")
        vector = Vector(targets={"t": green}, written=dict(zip(names, said, strict=True)))
        return candidate(number, vector, {"i": str(number)})

    reds = [row(number, False, False, True, True) for number in range(3, 9)]
    whole = [row(1, True, False, True, True), row(2, True, True, False, False), *reds]
    assert weights(whole)["good"] > weights(whole)["lax"]
    assert sift(whole, [TARGETS, WRITTEN]).left[0].number == 2


def test_without_written_checks_the_rule_drops_nobody() -> None:
    assert len(sift([candidate(1, GREEN), candidate(2, GREEN)], [WRITTEN]).left) == 2
