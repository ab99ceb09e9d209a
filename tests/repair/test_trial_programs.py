"""The driver with unittest, with programs that are their own test, and with commands that it can't stand in for."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from assay.repair.trial import Want
from assay.repair.trial.command import driven

from .trials import CALC, change, opened

GOOD, BAD = change(CALC, "a - b", "a + b"), change(CALC, "a - b", "a * b")
LOOP = change(CALC, "return a - b", "while True: pass")
CASES = """\
import unittest

from calc import add, double


class Calc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.two = 2

    def test_add(self):
        for a, b in ((2, 3), (0, 1)):
            with self.subTest(a=a):
                self.assertEqual(add(a, b), a + b)

    def test_double(self):
        self.assertEqual(double(self.two), 4)
"""
PROGRAM = "import calc\n\nfor a, b in ((0, 0), (2, 3)):\n    assert calc.add(a, b) == a + b, (a, b)\nprint('fine')\n"


async def statuses(bench: object, *patches: object) -> list[str]:
    tried = await bench.try_([*patches], Want(each_seconds=0.3))  # type: ignore[attr-defined]
    return [one.status for one in sorted(tried, key=lambda one: one.index)]


async def test_unittest(tmp_path: Path) -> None:
    names = ["test_calc.Calc.test_add"], ["test_calc.Calc.test_double"]
    files = {"calc.py": CALC, "test_calc.py": CASES}
    async with opened(tmp_path, files, f"{sys.executable} -m unittest -q", *names) as bench:
        assert await statuses(bench, BAD, GOOD, LOOP, change(CALC, "a * 2", "a")) == ["red", "plausible", "slow", "red"]
        traced = await bench.trace(["calc.py"])
    assert [*traced.failed] == names[0] and traced.coverage[names[0][0]] == {"calc.py": (5,)}


@pytest.mark.parametrize("how", ["check.py", "-m check", '-c "import check"'])
async def test_programs(tmp_path: Path, how: str) -> None:
    async with opened(tmp_path, {"calc.py": CALC, "check.py": PROGRAM}, f"{sys.executable} {how}") as bench:
        assert bench.fast
        assert await statuses(bench, BAD, GOOD, LOOP) == ["red", "plausible", "slow"]
        traced = await bench.trace(["calc.py"])
    # The first round of the loop passes, the second fails: two observations of one test.
    told = [(step.failed, step.lines["calc.py"]) for step in traced.steps[""] if 5 in step.lines.get("calc.py", ())]
    assert told == [(False, (5,)), (True, (5,))]


async def test_a_program_that_is_its_own_subject(tmp_path: Path) -> None:
    source = CALC + "\n\nif __name__ == '__main__':\n    assert add(2, 3) == 5\n"
    async with opened(tmp_path, {"calc.py": source}, f"{sys.executable} calc.py") as bench:
        assert await statuses(bench, change(source, "a - b", "a + b"), change(source, "a - b", "0")) == [
            "plausible",
            "red",
        ]


async def test_doctest(tmp_path: Path) -> None:
    source = 'def add(a, b):\n    """\n    >>> add(2, 3)\n    5\n    """\n    return a - b\n'
    async with opened(tmp_path, {"calc.py": source}, f"{sys.executable} -m doctest calc.py") as bench:
        assert await statuses(bench, change(source, "a - b", "a + b"), change(source, "a - b", "0")) == [
            "plausible",
            "red",
        ]


async def test_any_command_of_any_language(tmp_path: Path) -> None:
    if shutil.which("awk") is None:
        pytest.fail("awk is part of every system that tests run on")
    files = {"sum.awk": "{ total -= $1 } END { print total }\n"}
    line = "test \"$(printf '2\\n3\\n' | awk -f sum.awk)\" = 5"
    good = change(files["sum.awk"], "-=", "+=", "sum.awk")
    async with opened(tmp_path, files, line) as bench:
        assert not bench.fast
        assert (await bench.trace([])).trouble
        assert await statuses(bench, change(files["sum.awk"], "-=", "=", "sum.awk"), good) == ["red", "plausible"]
        assert (Path(bench.copy.root) / "sum.awk").read_text() == files["sum.awk"]


async def test_an_interpreter_that_is_missing_falls_back(tmp_path: Path) -> None:
    async with opened(tmp_path, {"calc.py": CALC, "check.py": PROGRAM}, "./python check.py") as bench:
        assert await statuses(bench, GOOD) == ["red"]
        assert not bench.fast


@pytest.mark.parametrize(
    ("line", "kind", "arguments"),
    [
        ("python -m pytest -q tests", "pytest", ("-q", "tests")),
        ("pytest 'tests/test_a.py::test[1-2]' 2>&1", "pytest", ("tests/test_a.py::test[1-2]",)),
        ("cd sub && A=b python3.11 -W error -B -m unittest -v", "unittest", ("-v",)),
        ("env X=1 .venv/bin/python tool.py --now", "script", ("--now",)),
        ("python -c 'import a; assert a.b() | 1'", "code", ()),
    ],
)
def test_lines_that_can_be_driven(line: str, kind: str, arguments: tuple[str, ...]) -> None:
    found = driven(line)
    assert found is not None and (found.kind, found.arguments) == (kind, arguments)


@pytest.mark.parametrize(
    "line",
    [
        "make test", "tox", "npm test", "python a.py && python b.py", "python a.py | cat", "python a.py > out",
        "python", "", "pytest $FILES", "pytest tests/*.py", "python -i a.py", "python - < a.py", "cd /tmp && pytest",
        "sh -c 'pytest'", "python 'unclosed",
    ],
)  # fmt: skip
def test_lines_that_are_run_as_they_are(line: str) -> None:
    assert driven(line) is None
