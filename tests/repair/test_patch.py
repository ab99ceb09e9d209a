"""Changes as text: applied from the end, put together when they don't touch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.repair.patch import Edit, Patch, between, union

SOURCES = {"a.py": "one two three", "b.py": "four"}


def patch(*edits: Edit) -> Patch:
    return Patch(edits, "op", 1)


def test_edits_of_several_files_and_places_are_made_at_once() -> None:
    changed = patch(Edit("a.py", 0, 3, "1"), Edit("b.py", 4, 4, "!"), Edit("a.py", 8, 13, "3")).apply(SOURCES)
    assert changed == {"a.py": "1 two 3", "b.py": "four!"}


def test_a_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        patch(Edit("c.py", 0, 0, "x")).apply(SOURCES)


def test_what_overlaps_is_not_put_together() -> None:
    assert union([patch(Edit("a.py", 0, 3, "1")), patch(Edit("a.py", 2, 5, "x"))]) is None
    assert union([patch(Edit("a.py", 3, 3, "1")), patch(Edit("a.py", 3, 3, "2"))]) is None, "their order is not known"
    both = union([patch(Edit("a.py", 0, 3, "1")), patch(Edit("a.py", 4, 7, "2"))])
    assert both is not None
    assert both.apply(SOURCES) == {"a.py": "1 2 three"}


@given(st.text(max_size=40), st.data())
def test_an_edit_is_a_slice_replaced(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert patch(Edit("t", start, end, "new")).apply({"t": text}) == {"t": text[:start] + "new" + text[end:]}


@given(st.text("ab\n\r", max_size=40), st.text("ab\n\r", max_size=40))
def test_what_lies_between_two_texts_makes_one_of_the_other(before: str, after: str) -> None:
    made = between("a.py", before, after, "x")
    assert made.apply({"a.py": before}).get("a.py", before) == after
    assert made.operator == "x" and bool(made.edits) == (before != after)
