"""Inputs made of inputs, and candidates by what they answer."""

from __future__ import annotations

import ast

from hypothesis import given
from hypothesis import strategies as st
from tests.search.pools import candidate, pools

from assay.search.clusters import calls_in, clusters, differing, inputs_of, neighbours, shown

TEXT = """
    >>> pack([1, 2], ')')
    ...
    assert pack({'a': (1,)}, sep="(") == 3
    def pack(a, sep): repack(9); pack(name); pack(*rest); pack('unclosed
    prose: pack(-1.5) gives 0
"""


def test_calls_are_read_out_of_tests_documentation_and_prose() -> None:
    assert calls_in(TEXT, "pack") == ["(([1, 2], ')'), {})", "(({'a': (1,)},), {'sep': '('})", "((-1.5,), {})"]


@given(st.text(), st.text(alphabet="fg.(", min_size=1, max_size=3))
def test_any_text_can_be_read(text: str, name: str) -> None:
    assert all(isinstance(ast.literal_eval(given), tuple) for given in calls_in(text, name))
    assert isinstance(shown(text), str)


def test_an_input_is_shown_as_a_call() -> None:
    assert shown("src/a.py:Box.pack(([1], ')'), {'sep': 1})") == "Box.pack([1], ')', sep=1)"
    assert shown("a.py:pack((), {})") == "pack()"
    assert shown("a.py:pack(pickle:gASV") == "a.py:pack(pickle:gASV"


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3) | st.tuples(inner)
    ),
    max_leaves=6,
)


@given(values)
def test_neighbours_have_the_type_of_the_value(value: object) -> None:
    assert {type(near) for near in neighbours(value)} <= {type(value)}


def _nan_free(text: str) -> bool:
    return "inf" not in text and "nan" not in text


@given(st.lists(st.tuples(values, values), max_size=3), st.integers(0, 60))
def test_inputs_begin_with_the_known_ones_and_are_bounded_different_and_repeatable(rows: list, limit: int) -> None:
    known = [text for row in rows if _nan_free(text := f"({row!r}, {{}})")]
    made = inputs_of(known, "at least 17 of 'abc'", limit)
    assert made == inputs_of(known, "at least 17 of 'abc'", limit)
    assert len(made) == len(set(made)) <= limit
    assert made[: len(dict.fromkeys(known))] == list(dict.fromkeys(known))[:limit]
    assert all(len(ast.literal_eval(text)) == 2 for text in made if _nan_free(text))


def test_values_of_the_documentation_are_tried_where_they_fit() -> None:
    made = inputs_of(["((5, 'x'), {})"], "at most 365, or 'none'", 200)
    assert "((365, 'x'), {})" in made
    assert "((5, 'none'), {})" in made


def test_what_is_no_literal_is_left_out() -> None:
    assert inputs_of(["pickle:gASV", "((1,), {})", "(object(), {})"], limit=1) == ["((1,), {})"]


def test_strings_keep_their_form() -> None:
    made = inputs_of(["(('12-ab',), {})"], limit=200)
    assert "(('02-ab',), {})" in made
    assert "(('12-bb',), {})" in made


def test_candidates_are_together_when_all_answers_agree() -> None:
    pool = [candidate(1, behaviour={"a": "1", "b": "2"}), candidate(2, behaviour={"a": "1", "b": "3"})]
    pool += [candidate(3, behaviour={"a": "1", "b": "2"}), candidate(4)]
    assert clusters(pool) == [(1, 3), (2,), (4,)]


def test_one_candidate_that_ran_out_of_time_does_not_blind_the_others() -> None:
    pool = [candidate(n, behaviour={"a": "1", "b": str(n)}) for n in (1, 2)] + [candidate(3, behaviour={"a": "1"})]
    assert clusters(pool) == [(1,), (2,), (3,)]


@given(pools)
def test_each_candidate_is_in_one_cluster(pool: list) -> None:
    found = clusters(pool)
    assert sorted(number for group in found for number in group) == [one.number for one in pool]
    assert [len(group) for group in found] == sorted((len(group) for group in found), reverse=True)
    assert found == clusters(pool[::-1])


def test_differing_inputs_come_simplest_first() -> None:
    left, right = {"aaa": "1", "b": "2", "c": "3"}, {"aaa": "0", "b": "0", "c": "3", "d": "4"}
    assert differing(left, right) == ["b", "aaa"]


def test_arguments_stand_in_for_each_other_where_a_boundary_may_be() -> None:
    made = inputs_of(["(([1, 2], [3]), {})"], limit=200)
    assert "(([1, 2], [1, 2]), {})" in made
    assert "(([1, 2], [2, 1]), {})" in made
