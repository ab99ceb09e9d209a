"""What checks would not notice: further changes to a candidate, tried and observed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from assay.repair.patch import Edit, Patch
from assay.search.notice import looseness, stacked, unnoticed

SOURCES = {"a.py": "x = 1\n", "b.py": "y = 1\n"}
PATCH = Patch((Edit("a.py", 4, 5, "20"),), "constant", 1)


def further(*values: int) -> list[Patch]:
    """To the files as `PATCH` leaves them."""
    return [Patch((Edit("a.py", 4, 6, str(value)),), "again", 1) for value in values]


async def measured(least: int, *values: int, most: int = 9) -> float | None:
    """With checks that pass for what is at least `least`."""

    async def passing(patches: Sequence[Patch]) -> int:
        texts = [patch.apply(SOURCES)["a.py"] for patch in patches]
        return sum(int(text.removeprefix("x = ")) >= least for text in texts)

    return await unnoticed(SOURCES, PATCH, further(*values), passing, most)


async def test_it_is_the_part_of_further_changes_that_the_checks_let_pass() -> None:
    assert await measured(20, 11, 12, 13) == 0
    assert await measured(20, 11, 12, 30) == pytest.approx(1 / 4)
    assert await measured(0, *range(30, 90), most=50) == pytest.approx(50 / 51)


async def test_changes_are_drawn_from_many_and_the_same_ones_each_time() -> None:
    late = [*[11] * 50, *[30] * 50]
    found = await measured(20, *late, most=20)
    assert found == await measured(20, *late, most=20)
    assert found is not None
    assert 0 < found < 20 / 21


async def test_with_nothing_to_try_nothing_is_said() -> None:
    assert await measured(0) is None


def test_few_changes_are_no_proof() -> None:
    assert looseness(0, 0) == 0
    assert looseness(1, 2) < looseness(10, 20) < looseness(20, 20) < 1


def test_stacked_patches_give_what_one_after_the_other_gives() -> None:
    one = stacked(SOURCES, PATCH, Patch((Edit("b.py", 0, 1, "z"),), "name", 1))
    assert one.apply(SOURCES) == {"a.py": "x = 20\n", "b.py": "z = 1\n"}
    back = stacked(SOURCES, PATCH, Patch((Edit("a.py", 4, 6, "1"),), "back", 1))
    assert back.edits == ()
    with pytest.raises(KeyError):
        stacked(SOURCES, PATCH, Patch((Edit("c.py", 0, 0, ""),)))
