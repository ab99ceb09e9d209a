"""The effort dial: more of everything the further it is turned, and never another number than the user's."""

from __future__ import annotations

import itertools

import pytest

from assay.core.model import EFFORTS
from assay.search.effort import DIALS, dial_of


def test_each_step_allows_no_less_than_the_one_before() -> None:
    dials = [DIALS[effort] for effort in EFFORTS]
    for less, more in itertools.pairwise(dials):
        assert (less.mutate_seconds, less.samples, less.candidates, less.turns) < (
            more.mutate_seconds,
            more.samples,
            more.candidates,
            more.turns,
        )
        assert less.belief < more.belief
        assert less.tokens < more.tokens


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("attempts", [1, 2, 3, 7, 30])
def test_a_number_of_attempts_is_kept_to_exactly(effort: str, attempts: int) -> None:
    dial = dial_of(effort, attempts)  # type: ignore[arg-type]
    assert dial.candidates == attempts
    assert all(size > 0 for size in dial.waves)


def test_without_a_word_it_stands_in_the_middle() -> None:
    assert dial_of(None) is DIALS["medium"]
