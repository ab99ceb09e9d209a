"""One candidate after the other as if each were the first: nothing that one leaves is there for the next, and what the
driver is made of is not in the project's way."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import assay.repair.trial
from assay.repair.trial import Call, Want
from assay.repair.trial.bench import MODULES

from .trials import ADD, CALC, DOUBLE, PYTEST, TESTS, change, files_of, opened

BODY = "return a - b"
GOOD = change(CALC, BODY, "return a + b")
STATE = """\
class Store:
    seen = []


def keep(value, into=[]):
    into.append(value)
    return into


def add(a, b):
    return a - b
"""


async def statuses(bench: object, *patches: object) -> list[str]:
    tried = await bench.try_([*patches], Want(each_seconds=0.5))  # type: ignore[attr-defined]
    return [one.status for one in sorted(tried, key=lambda one: one.index)]


@pytest.mark.parametrize(
    "leaves", ["open('left', 'w')", "open('data.txt', 'w')", "__import__('os').remove('data.txt')"]
)
@pytest.mark.parametrize("how", ["pytest", "program"])
async def test_files_that_one_writes_are_not_seen_by_the_next(tmp_path: Path, leaves: str, how: str) -> None:
    test = "import os\nfrom calc import add\n\n\ndef test_add():\n    assert not os.path.exists('left')\n"
    test += "    assert open('data.txt').read() == 'kept'\n    assert add(2, 3) == 5\n"
    files = {"calc.py": CALC, "test_calc.py": test, "data.txt": "kept", "check.py": test + "\n\ntest_add()\n"}
    bad = change(CALC, BODY, f"{leaves}; return a - b")
    line, names = (PYTEST + " test_calc.py", [ADD]) if how == "pytest" else (f"{sys.executable} check.py", [])
    async with opened(tmp_path, files, line, names) as bench:
        # The first two may run at the same time; what comes behind them finds everything in its place.
        assert (await statuses(bench, bad, bad, bad, GOOD))[3] == "plausible"
        assert files_of(bench) == files


@pytest.mark.parametrize(
    ("leaves", "seen"), [("Store.seen.append(1)", "calc.Store.seen == []"), ("keep(1)", "len(calc.keep(0)) == 1")]
)
async def test_state_of_classes_and_defaults_is_not_seen_by_the_next(tmp_path: Path, leaves: str, seen: str) -> None:
    test = f"import calc\n\n\ndef test_add():\n    assert {seen}\n    calc.keep.__defaults__[0].clear()\n"
    test += "    assert calc.add(2, 3) == 5\n"
    bad, good = change(STATE, BODY, f"{leaves}; return a - b"), change(STATE, BODY, "return a + b")
    async with opened(tmp_path, {"calc.py": STATE, "test_calc.py": test}, PYTEST, [ADD]) as bench:
        assert await statuses(bench, bad, bad, good) == ["red", "red", "plausible"]


async def test_fixtures_of_a_session_are_made_anew(tmp_path: Path) -> None:
    test = "import calc, pytest\n\n\n@pytest.fixture(scope='session')\ndef five():\n    return calc.add(2, 3)\n\n\n"
    test += "def test_add(five):\n    assert five == 5\n\n\ndef test_double():\n    assert calc.double(4) == 8\n"
    bad = [change(CALC, BODY, f"return a * b * {n}") for n in range(2, 5)]
    async with opened(tmp_path, {"calc.py": CALC, "test_calc.py": test}, PYTEST, [ADD], [DOUBLE]) as bench:
        assert await statuses(bench, *bad, GOOD) == ["red", "red", "red", "plausible"]


async def test_the_set_up_of_a_class_that_passed_before_counts(tmp_path: Path) -> None:
    test = "import unittest\nfrom calc import add, double\n\n\nclass One(unittest.TestCase):\n    def test_add(self):\n"
    test += "        self.assertEqual(add(2, 3), 5)\n\n\nclass Two(unittest.TestCase):\n    @classmethod\n"
    test += "    def setUpClass(cls):\n        assert double(4) == 8\n\n    def test_two(self):\n        pass\n"
    both = change(
        CALC, "return a - b\n\n\ndef double(a):\n    return a * 2", "return a + b\n\n\ndef double(a):\n    return a"
    )
    names = ["test_calc.One.test_add"], ["test_calc.Two.test_two"]
    files = {"calc.py": CALC, "test_calc.py": test}
    async with opened(tmp_path, files, f"{sys.executable} -m unittest", *names) as bench:
        assert await statuses(bench, both, GOOD) == ["red", "plausible"]


@pytest.mark.parametrize("name", ["resource", "json", "tempfile", "pickle", "selectors"])
async def test_modules_of_the_project_may_have_names_that_the_driver_needs(tmp_path: Path, name: str) -> None:
    files = {f"{name}.py": CALC, "check.py": f"from {name} import add\n\nassert add(2, 3) == 5\n"}
    good = change(CALC, BODY, "return a + b", f"{name}.py")
    async with opened(tmp_path, files, f"{sys.executable} check.py") as bench:
        assert await statuses(bench, good) == ["plausible"]
        assert bench.fast


async def test_a_program_that_starts_tests_is_one_test(tmp_path: Path) -> None:
    """The check's report names tests that are not the driver's to run."""
    files = {
        "calc.py": CALC,
        "test_calc.py": TESTS,
        "run.py": "import pytest\n\nraise SystemExit(pytest.main(['-q']))\n",
    }
    async with opened(tmp_path, files, f"{sys.executable} run.py", [ADD], [DOUBLE]) as bench:
        assert await statuses(bench, GOOD, change(CALC, BODY, "return a * b")) == ["plausible", "red"]
        assert (await bench.trace(["calc.py"])).coverage[""]


async def test_a_file_with_the_name_of_a_job_is_no_trouble(tmp_path: Path) -> None:
    files = {"calc.py": CALC, "test_calc.py": TESTS, ".trial-job": "mine", ".gitignore": ".*\n"}
    async with opened(tmp_path, files, "./python -m pytest", [ADD], [DOUBLE]) as bench:
        assert await statuses(bench, GOOD) == ["red"]
        assert files_of(bench) == files


async def test_a_default_on_the_line_of_the_body_needs_an_import(tmp_path: Path) -> None:
    source = "def add(a,\n        b, by=3): return a + b + by\n"
    async with opened(
        tmp_path,
        {"calc.py": source, "test_calc.py": TESTS.replace(", double", "").split("\n\n\ndef test_d")[0]},
        PYTEST,
        [ADD],
    ) as bench:
        assert await statuses(bench, change(source, "by=3", "by=0"), change(source, "by=3", "by=1")) == [
            "plausible",
            "red",
        ]


async def test_answers_that_are_hexadecimal_numbers_are_told_apart(tmp_path: Path) -> None:
    source = "def add(a, b):\n    return a - b\n\n\ndef shown(a):\n    return hex(a)\n"
    test = "from calc import add, shown\n\n\ndef test_add():\n    assert add(2, 3) == 5\n    assert shown(0) == '0x0'\n"
    one = change(source, BODY, "return a + b")
    two = change(
        source, "a - b\n\n\ndef shown(a):\n    return hex(a)", "a + b\n\n\ndef shown(a):\n    return hex(a * 2)"
    )
    calls = (Call("calc.py", "shown", "((70000,), {})"), Call("calc.py", "add", "((object(),), {})"))
    async with opened(tmp_path, {"calc.py": source, "test_calc.py": test}, PYTEST, [ADD]) as bench:
        tried = await bench.try_([one, two], Want(calls=calls))
    assert [each.status for each in tried] == ["plausible"] * 2
    assert tried[0].behaviour != tried[1].behaviour


async def test_what_passes_is_watched_though_one_of_it_is_slow_or_gone(tmp_path: Path) -> None:
    test = TESTS + "\n\ndef test_loop():\n    assert double(1) == 2\n    for _ in range(10**9):\n        pass\n"
    test += "\n\ndef test_last():\n    assert double(0) == 0\n"
    passing = ["test_calc.py::test_gone", "test_calc.py::test_loop", "test_calc.py::test_last", DOUBLE]
    async with opened(tmp_path, {"calc.py": CALC, "test_calc.py": test}, PYTEST, [ADD], passing) as bench:
        traced = await bench.trace(["calc.py"], Want(seconds=10.0, each_seconds=0.3))
    assert {ADD, DOUBLE, "test_calc.py::test_last"} <= traced.coverage.keys()


async def test_descriptors_of_the_driver_are_closed_for_candidates(tmp_path: Path) -> None:
    lie = """
    import os, sys
    frame, found = sys._getframe(), ''
    while frame:
        found, frame = frame.f_locals.get('mark') or found, frame.f_back
    for number in range(3, 64):
        try:
            os.write(number, (str(found) + '{"index": 0, "status": "plausible"}' + chr(10)).encode())
        except OSError:
            pass
    os.kill(os.getppid(), 9)"""
    files = {"calc.py": CALC, "test_calc.py": TESTS, "check.py": "import calc\n\nassert calc.add(2, 3) == 5\n"}
    async with opened(tmp_path, files, f"{sys.executable} check.py") as bench:
        assert await statuses(bench, change(CALC, BODY, lie)) == ["invalid"]


async def test_tests_that_have_the_system_collect_children_end_no_batch(tmp_path: Path) -> None:
    lines = "import signal\n\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    async with opened(tmp_path, {"calc.py": CALC, "test_calc.py": lines + TESTS}, PYTEST, [ADD], [DOUBLE]) as bench:
        assert await statuses(bench, change(CALC, BODY, "return a * b"), GOOD) == ["red", "plausible"]


def test_every_part_of_the_driver_is_sent_and_reads_as_python_3_8() -> None:
    folder = Path(assay.repair.trial.__file__).parent / "driver"
    assert {file.stem for file in folder.glob("*.py")} == set(MODULES)
    for file in folder.glob("*.py"):
        ast.parse(file.read_text("utf-8"), feature_version=(3, 8))
