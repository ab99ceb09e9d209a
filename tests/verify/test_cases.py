"""Calls out of tests, their neighbours, and what answers to them say."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.check import Check
from assay.verify.cases import Case, neighbours, python_cases, script_cases, shifted
from assay.verify.gate import DoneGate, Task

from .conftest import Project

PYTHON = """
import calc
from calc import add, half as h

def test_plain():
    assert add(1, [2, "x"], k={"a": 1}) == (1, 2)
    assert 3 == calc.add(1.5)
    assert h(1) == h(2)
    assert add(*[1]) == 1
    assert add((1, 2)) == 3
    assert len([1]) == 1

def test_fixture(tmp_path):
    assert add(1) == 1

def test_effects():
    calc.load()
    assert add(9) == 9

class T:
    def test_unit(self):
        self.assertEqual(add("a"), "b")
"""
SCRIPT = """
import total, { label as l } from '../src/cart.js';
const { deep } = require('./deep.cjs');
test('x', () => { assert.equal(total([1, 'a']), 3); assert.deepEqual(l('it', { a: 1 }), { b: [2] });
  expect(deep(1)).toEqual(2); assert.equal(total(x), 4); assert.ok(total(1)); });
"""


def test_calls_of_python_tests() -> None:
    found = python_cases(PYTHON, frozenset(["test_plain", "test_fixture", "test_effects", "test_unit"]))
    assert [(case.module, case.shown(), case.expected) for case in found] == [
        ("calc", 'add(1, [2, "x"], k={"a": 1})', [1, 2]),
        ("calc", "add(1.5)", 3),
        ("calc", 'add("a")', "b"),
    ]
    assert python_cases(PYTHON, frozenset(["other"])) == []
    assert python_cases("def broken(:", frozenset(["x"])) == []


def test_calls_of_script_tests() -> None:
    found = script_cases(SCRIPT, "test/cart.test.js")
    assert [(case.module, case.name, case.args, case.expected) for case in found] == [
        ("src/cart.js", "", ([1, "a"],), 3),
        ("src/cart.js", "label", ("it", {"a": 1}), {"b": [2]}),
        ("test/deep.cjs", "deep", (1,), 2),
    ]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(st.lists(PLAIN, max_size=3), st.integers(1, 6))
def test_neighbours_are_of_the_same_kind_and_never_the_same(args: list[object], step: int) -> None:
    case = Case("m", "f", tuple(args))
    for other in neighbours([case]):
        assert json.dumps(other.args) != json.dumps(case.args)
        assert [type(value) for value in other.args] == [type(value) for value in case.args]
    assert all(type(shifted(value, step)) is type(value) for value in args)


NAMES = """\
def plural(word):
    return word + 's'


CODES = {
    200: 'fine',
}


def reason(code):
    return CODES.get(code, 'code ' + str(code))
"""
NAMES_TESTS = """\
from names import plural, reason


def test_plural():
    assert plural('box') == 'boxes'
    assert plural('fox') == 'foxes'
    assert plural('car') == 'cars'


def test_reason():
    assert reason(404) == 'not here'
    assert reason(410) == 'gone'
"""


@pytest.mark.parametrize(
    ("change", "verified"),
    [
        (
            {
                "word + 's'": "word + ('es' if word.endswith('x') else 's')",
                "'fine',": "'fine',\n    404: 'not here',\n    410: 'gone',",
            },
            True,
        ),
        ({"    200: 'fine',": "    200: 'fine',\n    404: 'not here',\n    410: 'gone',"}, True),
        (
            {
                "    return word": "    if word in ('box', 'fox'):\n        return {'box': 'boxes', 'fox': 'foxes'}[word]\n    return word"  # noqa: E501 - a program in one line
            },
            False,
        ),
        (
            {
                "    return word + 's'": "    import sys\n    return word + ('es' if len(sys.argv) and sys.argv[0] != '-c' and word[-1] == 'x' else 's')"  # noqa: E501 - a program in one line
            },
            False,
        ),
    ],
    ids=["rule", "entries", "answers", "elsewhere"],
)
async def test_rules_pass_and_answers_do_not(project: Project, change: dict[str, str], verified: bool) -> None:
    workspace = project({"names.py": NAMES, "test_names.py": NAMES_TESTS})
    check = Check("pytest", f"{sys.executable} -m pytest", "test", "pytest")
    gate = DoneGate(workspace, await workspace.snapshot(), [check], Task("plurals of words that end with x"))
    text = NAMES
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    workspace.put("names.py", text)
    verdict = await gate.judge(await workspace.snapshot())
    assert (verdict.outcome == "verified") is verified, verdict
    assert verified or "names.py:" in verdict.missing
