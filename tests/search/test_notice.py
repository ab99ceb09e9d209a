"""What checks would not notice: further changes to a candidate, tried and observed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from assay.repair.patch import Edit, Patch
from assay.search.notice import LOOKED_AT, SAME, Trials, looseness, stacked, unnoticed

SOURCES = {"a.py": "x = 1\n", "b.py": "y = 1\n"}
PATCH = Patch((Edit("a.py", 4, 5, "20"),), "constant", 1)


def further(*values: int) -> list[Patch]:
    """To the files as `PATCH` leaves them."""
    return [Patch((Edit("a.py", 4, 6, str(value)),), "again", 1) for value in values]


class Bench:
    """Checks that pass for what is at least `least`; behaviour is the value, cut to a multiple of ten."""

    def __init__(self, least: int) -> None:
        self.least = least
        self.observed = 0

    def _value(self, patch: Patch) -> int:
        return int(patch.apply(SOURCES)["a.py"].removeprefix("x = "))

    async def passing(self, patches: Sequence[Patch]) -> list[int]:
        return [place for place, patch in enumerate(patches) if self._value(patch) >= self.least]

    async def observe(self, patches: Sequence[Patch]) -> list[dict[str, str]]:
        self.observed += len(patches)
        return [{"call": str(self._value(patch) // 10)} for patch in patches]


async def measured(least: int, *values: int) -> float | None:
    bench = Bench(least)
    return await unnoticed(SOURCES, PATCH, further(*values), Trials(bench.passing, bench.observe))


async def test_what_passes_and_behaves_otherwise_counts_in_full_and_what_looks_the_same_in_half() -> None:
    assert await measured(20, 11, 12, 13) == 0
    assert await measured(20, 11, 12, 30) == pytest.approx(1 / 4)
    assert await measured(20, 11, 12, 21) == pytest.approx(SAME / (3 + SAME))


async def test_with_nothing_to_try_nothing_is_said() -> None:
    assert await measured(0) is None


async def test_only_some_of_those_that_pass_are_observed_and_stand_for_all() -> None:
    bench = Bench(0)
    found = await unnoticed(SOURCES, PATCH, further(*range(30, 90)), Trials(bench.passing, bench.observe), most=50)
    assert bench.observed == 1 + LOOKED_AT
    assert found == pytest.approx(50 / 51)


def test_few_changes_are_no_proof() -> None:
    assert looseness(0, 0) == 0
    assert looseness(1, 1) < looseness(10, 10) < looseness(10, 20) < 1


def test_stacked_patches_give_what_one_after_the_other_gives() -> None:
    one = stacked(SOURCES, PATCH, Patch((Edit("b.py", 0, 1, "z"),), "name", 1))
    assert one.apply(SOURCES) == {"a.py": "x = 20\n", "b.py": "z = 1\n"}
    back = stacked(SOURCES, PATCH, Patch((Edit("a.py", 4, 6, "1"),), "back", 1))
    assert back.edits == ()
    with pytest.raises(KeyError):
        stacked(SOURCES, PATCH, Patch((Edit("c.py", 0, 0, ""),)))
