"""How much the tests of a function assert, counted from their text."""

from __future__ import annotations

from assay.repair.strength import about

TESTS = """\
import pytest
from shop import total, other

@pytest.mark.parametrize("given, wanted", [([], 0), ([1], 1), ([1, 2], 3)])
def test_rows(given, wanted):
    assert total(given) == wanted

def test_two():
    assert total([4]) == 4
    assert total([5, 5]) == 10

def test_else():
    assert other() == 1

def helper():
    assert total([]) == 0
"""


def test_tests_that_use_the_name_count_once_for_each_row() -> None:
    sources = {"shop.py": "def total(x): ...", "tests/test_shop.py": TESTS}
    assert about(sources, "total") == about(sources, "Shop.total") == 5
    assert about(sources, "missing") == 0
    assert about(sources, "") == 0
    assert about({"tests/test_shop.py": "def ("}, "total") == 0
