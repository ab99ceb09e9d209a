"""docs/reliability.md says what the tests cover: no row without a test, no table that is out of date."""

from __future__ import annotations

import json

import pytest

from . import matrix


def test_every_row_has_a_test_or_says_why_not() -> None:
    assert sorted(matrix.ROWS) == list(range(1, 65))
    covered = {number for test in matrix.covering() for number in test.rows}
    assert covered | set(matrix.OPEN) == set(matrix.ROWS)
    assert not covered & set(matrix.OPEN), "a row that has a test is not open"


def test_every_table_is_in_its_place_and_current() -> None:
    text = matrix.PAGE.read_text("utf-8")
    assert matrix.places(text) == {*matrix.FAMILIES.values(), "loads", "inputs", "recorded"}
    assert matrix.renewed(text) == text, "run: python tests/docs/reliability.py"


@pytest.mark.parametrize("number", sorted(matrix.RACY - set(matrix.OPEN)))
def test_rows_where_the_moment_matters_were_run_three_times(number: int) -> None:
    figures = json.loads(matrix.RECORD.read_text("utf-8"))["rows"]
    assert figures[str(number)]["runs"] >= 3
