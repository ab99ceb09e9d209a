"""Candidates tried by the driver against real pytest projects."""

from __future__ import annotations

import sys
from pathlib import Path

from assay.repair.trial import Call, Want
from assay.search.clusters import inputs_of

from .trials import ADD, CALC, DOUBLE, PYTEST, TESTS, change, files_of, opened

FILES = {"calc.py": CALC, "test_calc.py": TESTS}
SCALED = """\
def scale():
    return 3


FACTOR = scale()
LIMIT = 9


def times(a, by=FACTOR):
    return min(a * by, LIMIT)
"""
SCALED_TESTS = """\
from calc import LIMIT, times


def test_times():
    assert times(2) == 4


def test_limit():
    assert times(99) == LIMIT == 9
"""
PACKAGE = {
    "src/pack/__init__.py": "",
    "src/pack/text.py": """\
class Text:
    @property
    def size(self):
        return len(self.value) + 1

    def __init__(self, value):
        self.value = value
""",
    "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["src"]\n',
    "tests/conftest.py": """\
import sys

import pytest
from pack.text import Text


@pytest.fixture(scope="session")
def text():
    return Text("ab")
""",
    "tests/test_text.py": """\
import pytest
from pack.text import Text


@pytest.mark.parametrize("word, size", [("a", 1), ("abc", 3)])
def test_size(word, size, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text(word)
    assert Text(open("x").read()).size == size


def test_fixture(text, capsys):
    print(text.size)
    assert capsys.readouterr().out == "2\\n"
""",
}


async def test_each_candidate_gets_its_own_word(tmp_path: Path) -> None:
    patches = [
        change(CALC, "a - b", "a * b"),
        change(CALC, "a - b", "a + b"),
        change(CALC, "a - b", "1 / 0"),
        change(CALC, "return a - b", "while True: pass"),
        change(CALC, "a - b", "a +"),
        # The failing test goes green, another one breaks.
        change(
            CALC, "return a - b\n\n\ndef double(a):\n    return a * 2", "return a + b\n\n\ndef double(a):\n    return a"
        ),
    ]
    async with opened(tmp_path, FILES, PYTEST, [ADD], [DOUBLE]) as bench:
        before = files_of(bench)
        tried = {one.index: one for one in await bench.try_(patches, Want(each_seconds=0.3))}
        assert files_of(bench) == before
    assert {n: one.status for n, one in tried.items()} == {
        0: "red", 1: "plausible", 2: "red", 3: "slow", 4: "invalid", 5: "red",
    }  # fmt: skip
    assert tried[1].passed == (ADD, DOUBLE)
    assert "assert 6 == 5" in tried[0].failing[ADD] and "ZeroDivisionError" in tried[2].failing[ADD]
    assert DOUBLE in tried[5].failing and ADD in tried[5].passed


async def test_changes_that_only_an_import_brings_into_effect(tmp_path: Path) -> None:
    source, tests = SCALED, SCALED_TESTS
    patches = [
        change(source, "return 3", "return 2"),  # ran at import
        change(source, "FACTOR = scale()", "FACTOR = 2"),  # outside of functions
        change(source, "by=FACTOR", "by=2"),  # a default
        change(source, "LIMIT = 9", "LIMIT = 4"),  # breaks the other test
    ]
    names = ["test_calc.py::test_times"], ["test_calc.py::test_limit"]
    async with opened(tmp_path, {"calc.py": source, "test_calc.py": tests}, PYTEST, *names) as bench:
        tried = await bench.try_(patches)
    assert {one.index: one.status for one in tried} == {0: "plausible", 1: "plausible", 2: "plausible", 3: "red"}


async def test_fixtures_parameters_conftest_and_folders(tmp_path: Path) -> None:
    files = PACKAGE
    names = [f"tests/test_text.py::{name}" for name in ("test_size[a-1]", "test_size[abc-3]", "test_fixture")]
    source = files["src/pack/text.py"]
    patches = [change(source, " + 1", " + 2", "src/pack/text.py"), change(source, " + 1", "", "src/pack/text.py")]
    async with opened(tmp_path, files, PYTEST, names) as bench:
        tried = sorted(await bench.try_(patches), key=lambda one: one.index)
        assert [one.status for one in tried] == ["red", "plausible"]
        assert set(tried[1].passed) == set(names)
        traced = await bench.trace(["src/pack/text.py"])
    assert traced.coverage[names[0]] == {"src/pack/text.py": (4, 7)}


async def test_a_module_that_can_not_be_imported_is_mended_from_outside(tmp_path: Path) -> None:
    source = "import collection\n\n\ndef count(words):\n    return collection.Counter(words)\n"
    tests = "from calc import count\n\n\ndef test_count():\n    assert count('aab')['a'] == 2\n"
    patches = [
        change(source, "import collection\n", "import collections as collection\n"),
        change(source, "import collection\n", "import math as collection\n"),
        change(source, "import collection\n", "import nothing\n"),
    ]
    async with opened(tmp_path, {"calc.py": source, "test_calc.py": tests}, PYTEST, ["test_calc.py"]) as bench:
        tried = sorted(await bench.try_(patches), key=lambda one: one.index)
    assert [one.status for one in tried] == ["plausible", "red", "red"]


async def test_tests_are_watched_line_by_line(tmp_path: Path) -> None:
    async with opened(tmp_path, FILES, PYTEST, [ADD], [DOUBLE]) as bench:
        traced = await bench.trace(["calc.py"])
    assert traced.trouble == ""
    assert traced.coverage[ADD] == {"calc.py": (5,)}
    assert [(step.line, step.failed) for step in traced.steps[ADD] if step.lines] == [(5, True)]
    assert [*traced.failed] == [ADD] and "assert -1 == 5" in traced.failed[ADD]
    assert [call.arguments for call in traced.calls["calc.py:add"]] == ["((2, 3), {})"]


async def test_trying_ends_when_enough_is_found(tmp_path: Path) -> None:
    patches = [change(CALC, "a - b", f"a + b + {n} - {n}") for n in range(40)]
    async with opened(tmp_path, FILES, PYTEST, [ADD], [DOUBLE]) as bench:
        tried = await bench.try_(patches, Want(plausible=2))
        assert 2 <= sum(one.status == "plausible" for one in tried) <= 3
        assert len(await bench.try_(patches[:1] * 30, Want(plausible=99, further=4))) < 12
        assert len(await bench.try_(patches, Want(seconds=0.0))) <= 2


async def test_answers_are_compared_by_digest(tmp_path: Path) -> None:
    patches = [
        change(CALC, "a - b", "a + b"),
        change(CALC, "a - b", "b + a"),
        change(CALC, "a - b", "a + b if a else 0"),
    ]
    async with opened(tmp_path, FILES, PYTEST, [ADD], [DOUBLE]) as bench:
        calls = (await bench.trace(["calc.py"])).calls["calc.py:add"]
        calls = [
            Call("calc.py", "add", arguments) for arguments in inputs_of([call.arguments for call in calls], "", 30)
        ]
        tried = sorted(await bench.try_(patches, Want(calls=tuple(calls))), key=lambda one: one.index)
        answered = await bench.observe(patches, calls)
    observed = [{call: answer.digest for call, answer in each.items()} for each in answered]
    assert answered[1]["calc.py:add((2, 3), {})"].text == "5"
    assert [one.status for one in tried] == ["plausible"] * 3
    assert tried[0].behaviour == tried[1].behaviour == observed[1] == observed[2]
    assert tried[0].behaviour != tried[2].behaviour and observed[3] == tried[2].behaviour
    assert observed[0] != observed[1] and set(observed[0]) == {call.key for call in calls}


async def test_a_project_that_takes_warnings_for_errors_is_tried_again_and_again(tmp_path: Path) -> None:
    """A second run in one process warns that installed plugins are there already."""
    installed = {
        "helper.py": "LOADED = True\n",
        "helper-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: helper\nVersion: 1.0\n",
        "helper-1.0.dist-info/entry_points.txt": "[pytest11]\nhelper = helper\n",
        "helper-1.0.dist-info/RECORD": "helper.py,,\n",
    }
    ini = "[pytest]\nfilterwarnings = error::pytest.PytestAssertRewriteWarning\n"
    files = {"calc.py": SCALED, "test_calc.py": SCALED_TESTS, "pytest.ini": ini}
    names = ["test_calc.py::test_times"], ["test_calc.py::test_limit"]
    command = f"{sys.executable} -m pytest -q"
    async with opened(tmp_path, {**files, **installed}, command, *names) as bench:
        tried = await bench.try_([change(SCALED, "FACTOR = scale()", "FACTOR = 2")])
        assert [one.status for one in tried] == ["plausible"], tried
        assert bench.fast


async def test_what_passes_outside_and_never_inside_speaks_against_no_candidate(tmp_path: Path) -> None:
    alone = "import sys\n\n\ndef test_alone():\n    assert '_trial' not in sys.modules\n"
    files = {"calc.py": CALC, "test_calc.py": TESTS, "test_alone.py": alone}
    async with opened(tmp_path, files, PYTEST, [ADD], [DOUBLE, "test_alone.py::test_alone"]) as bench:
        await bench.trace(["calc.py"])
        good, bad = await bench.try_([change(CALC, "a - b", "a + b"), change(CALC, "a * 2", "a")])
        assert (good.status, bad.status) == ("plausible", "red")


async def test_options_that_remember_failures_hide_no_test(tmp_path: Path) -> None:
    files = {**FILES, "pytest.ini": "[pytest]\naddopts = --lf\n"}
    async with opened(tmp_path, files, f"{PYTEST} --ff", [ADD], [DOUBLE]) as bench:
        patches = [change(CALC, "a - b", "a * b"), change(CALC, "a - b", "a + b")]
        red, tried = sorted(await bench.try_(patches), key=lambda one: one.index)
        assert (red.status, tried.status, tried.passed) == ("red", "plausible", (ADD, DOUBLE)), tried


BOXES = """\
class Box:
    n = 2

    def scaled(self, by):
        if by < 0:
            raise ValueError
        return self.n + by
"""
GUARD = "        if by < 0:\n            raise ValueError\n"


async def test_calls_that_are_no_literals_have_neighbours_too(tmp_path: Path) -> None:
    tests = "from boxes import Box\n\n\ndef test_box():\n    assert Box().scaled(3) == 6\n"
    right = change(BOXES, "self.n + by", "self.n * by", "boxes.py")
    careless = change(BOXES, GUARD + "        return self.n + by", "        return self.n * by", "boxes.py")
    failing = "test_boxes.py::test_box"
    async with opened(tmp_path, {"boxes.py": BOXES, "test_boxes.py": tests}, PYTEST, [failing]) as bench:
        calls = (await bench.trace(["boxes.py"])).calls["boxes.py:Box.scaled"]
        first, second = sorted(await bench.try_([right, careless], Want(calls=calls)), key=lambda one: one.index)
        assert (first.status, second.status) == ("plausible", "plausible")
        assert first.behaviour[calls[0].key] == second.behaviour[calls[0].key] and first.behaviour != second.behaviour
