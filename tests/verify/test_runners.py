from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from assay.core.check import Check
from assay.verify import reports
from assay.verify.runners import check_of, execute, instrumented, run_clean, runner_of
from assay.verify.signed import read_signed

from .conftest import CALC, TESTS, Project
from .dirspace import DirectoryWorkspace

MANY = """\
import pytest

@pytest.fixture
def broken():
    yield
    raise RuntimeError("late")

class TestOuter:
    class TestInner:
        @pytest.mark.parametrize("x", ["a/b::c", 3])
        def test_x(self, x):
            assert x == 3

def test_late(broken): pass

@pytest.mark.xfail
def test_known(): assert 0

@pytest.mark.skip
def test_skip(): assert 0
"""


async def test_pytest_names_every_result(project: Project, suite: Check) -> None:
    workspace = project({"tests/test_many.py": MANY, "test_gone.py": "import nowhere\n"})
    done = await execute(workspace, suite, "tree")
    assert done.run.tests == {
        "test_gone.py": "error",
        "tests/test_many.py::TestOuter::TestInner::test_x[a/b::c]": "fail",
        "tests/test_many.py::TestOuter::TestInner::test_x[3]": "pass",
        "tests/test_many.py::test_late": "error",
        "tests/test_many.py::test_known": "skip",
        "tests/test_many.py::test_skip": "skip",
    }
    assert not done.run.passed
    assert "No module named 'nowhere'" in done.report.reasons["test_gone.py"]
    assert "assert 'a/b::c' == 3" in done.run.tail
    assert done.run.log == "sha256:" + hashlib.sha256(done.output.encode()).hexdigest()
    assert "<testsuite" not in done.output
    left = {path.name for path in Path(workspace.root).rglob("*") if path.is_file()}
    assert left == {"test_many.py", "test_gone.py"}, "no cache, no bytecode, no report"


@pytest.mark.parametrize(
    "before",
    [
        "PYTHONPATH=lib ",
        "env PYTHONPATH='lib' ",
        'A="x y" PYTHONPATH="lib:other dir" PYTEST_ADDOPTS="-x -q" ',
        "PYTHONPATH=lib PYTEST_ADDOPTS=-x ",
        "cd . && PYTHONPATH=lib ",
    ],
)
async def test_variables_that_a_command_sets_keep_no_report_away(project: Project, before: str) -> None:
    test = "import part\n\n\ndef test_a():\n    assert part.ONE == 1\n\n\ndef test_b():\n    assert not part.ONE\n"
    workspace = project({"tests/test_a.py": test, "lib/part.py": "ONE = 1\n"})
    check = check_of(f"{before}{sys.executable} -m pytest tests", "--check")
    done = await run_clean(workspace, check, await workspace.snapshot())
    assert done.run.tests == {"tests/test_a.py::test_a": "pass", "tests/test_a.py::test_b": "fail"}, done.output
    assert done.reported


@pytest.mark.parametrize("how", ["-I", "-qE"])
async def test_an_interpreter_that_takes_no_variables_tells_its_results_all_the_same(
    project: Project, how: str
) -> None:
    workspace = project({"test_a.py": "def test_a(): pass\n"})
    check = check_of(f"{sys.executable} {how} -m pytest", "--check")
    done = await run_clean(workspace, check, await workspace.snapshot())
    assert done.run.tests == {"test_a.py::test_a": "pass"}, done.output


async def test_pytest_behind_make_is_seen(project: Project) -> None:
    workspace = project({"test_a.py": "def test_a(): pass\n", "Makefile": f"test:\n\t{sys.executable} -m pytest\n"})
    done = await execute(workspace, Check("make test", "make test", "test"), "tree")
    assert done.run.tests == {"test_a.py::test_a": "pass"}
    assert done.result == "pass"


async def test_unittest_names_every_result(project: Project) -> None:
    source = (
        "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_good(self):\n        print('ok', end='')\n"
        "    def test_bad(self):\n        self.assertEqual(1, 2)\n    @unittest.skip('x')\n"
        "    def test_skip(self): pass\n"
        "    def test_sub(self):\n        for n in (0, 1):\n            with self.subTest(n=n): self.assertFalse(n)\n"
    )
    workspace = project({"tests/test_u.py": source, "tests/test_v.py": "import nowhere\n", "tests/__init__.py": ""})
    check = Check("u", f"{sys.executable} -m unittest discover -s tests -t .", "test", "unittest")
    done = await execute(workspace, check, "tree")
    assert done.run.tests == {
        "tests.test_u.T.test_good": "pass",
        "tests.test_u.T.test_bad": "fail",
        "tests.test_u.T.test_skip": "skip",
        "tests.test_u.T.test_sub": "fail",
        "tests.test_v": "error",
    }
    assert "1 != 2" in done.report.reasons["tests.test_u.T.test_bad"]


@pytest.mark.parametrize(
    ("command", "result", "code"),
    [
        ("true", "pass", 0),
        ("exit 3", "fail", 3),
        ("no-such-program-here", "unknown", 127),
        ("sleep 30", "unknown", 124),
        ("python3 -c pass # pytest", "fail", 0),
    ],
)
async def test_results_of_plain_commands(project: Project, command: str, result: str, code: int) -> None:
    check = Check(command, command, "custom", runner_of(command), timeout=0.3 if "sleep" in command else 60.0)
    done = await execute(project({}), check, "tree")
    assert (done.result, done.run.exit_code) == (result, code)
    assert done.run.passed == (result == "pass")


async def test_an_empty_suite_is_absent_and_a_missing_pytest_unknown(project: Project, suite: Check) -> None:
    workspace = project({"a.py": ""})
    empty = check_of(f"{sys.executable} -m unittest", "--check")
    assert (await execute(workspace, empty, "tree")).result == "absent"
    assert (await execute(workspace, suite, "tree")).result == "absent"
    workspace.put("bin/python3", "#!/bin/sh\necho No module named pytest; exit 1\n")
    Path(workspace.root, "bin/python3").chmod(0o755)
    assert (await execute(workspace, check_of("bin/python3 -m pytest", "--check"), "tree")).result == "unknown"


async def test_forced_success_does_not_pass(project: Project) -> None:
    workspace = project({"test_a.py": "def test_a(): assert 0\n"})
    check = check_of(f"{sys.executable} -m pytest || true", "--check")
    done = await execute(workspace, check, "tree")
    assert (done.run.exit_code, done.run.passed, done.failing) == (0, False, ["test_a.py::test_a"])


async def test_the_copy_is_clean_and_goes(calculator: DirectoryWorkspace) -> None:
    tree = await calculator.snapshot()
    calculator.put("calc.py", "garbage(")
    done = await run_clean(calculator, check_of("pwd; cat calc.py; touch left", "--check"), tree)
    folder, _, text = done.output.partition("\n")
    assert text.strip() == CALC.strip()
    assert not Path(folder).exists()
    assert not Path(calculator.root, "left").exists()


async def test_source_layout_reads_the_copy(project: Project, suite: Check) -> None:
    files = {
        "pyproject.toml": '[tool.x]\nwhere = "src"\n',
        "src/calc.py": CALC.replace("-", "+"),
        "tests/test_calc.py": TESTS,
    }
    assert (await execute(project(files), suite, "tree")).run.passed


def test_commands_gain_a_report_and_nothing_else() -> None:
    def line(command: str, runner: str) -> str:
        return instrumented(Check("x", command, "test", runner))

    assert line("go test ./...", "go") == "go test -json ./..."
    assert line("npm test", "jest") == 'npm test -- --json --outputFile="$ASSAY_REPORT"'
    assert line("yarn test", "vitest").startswith("yarn test --reporter=default --reporter=json")
    assert line("npx jest a | tee b", "jest") == "npx jest a | tee b"
    assert line("python -m pytest -x", "pytest") == "python -m pytest -x"


@pytest.mark.parametrize(
    ("command", "runner"),
    [
        ("pytest -q", "pytest"), (".venv/bin/pytest", "pytest"), ("python -m pytest", "pytest"), ("cat pytest.ini", ""),
        ("pytest-watch", ""), ("python -W error -m unittest", "unittest"), ("python -m unittest2", ""),
        ("cargo +nightly test", "cargo"),
        ("go vet", ""), ("npx vitest run", "vitest"), ("node --import x --test", "node"), ("make test", ""),
    ],
)  # fmt: skip
def test_runner_of(command: str, runner: str) -> None:
    assert runner_of(command) == runner


def test_go_events() -> None:
    text = (
        '{"Action":"output","Package":"m","Test":"TestA","Output":"a_test.go:3: want 1\\n"}\nplain\n'
        '{"Action":"fail","Package":"m","Test":"TestA"}\n{"Action":"pass","Package":"m","Test":"TestB/sub"}\n'
        '{"Action":"skip","Package":"m","Test":"TestC"}\n{"Action":"fail","Package":"m"}\n'
    )
    report, plain = reports.go_events(text)
    assert report.tests == {"m::TestA": "fail", "m::TestB/sub": "pass", "m::TestC": "skip"}
    assert report.reasons == {"m::TestA": "a_test.go:3: want 1\n"}
    assert plain == "a_test.go:3: want 1\nplain\n"


def test_cargo_lines() -> None:
    text = (
        "     Running unittests src/lib.rs (target/debug/deps/x-1)\ntest t::a ... ok\ntest t::b ... FAILED\n"
        "test t::p - should panic ... ok\n\n---- t::b stdout ----\nleft: 1\nright: 2\n\n   Doc-tests x\n"
        "test src/lib.rs - f (line 3) ... ignored\n"
    )
    report = reports.cargo(text)
    assert report.tests == {
        "src/lib.rs::t::a": "pass", "src/lib.rs::t::b": "fail", "src/lib.rs::t::p": "pass",
        "doc x::src/lib.rs - f (line 3)": "skip",
    }  # fmt: skip
    assert "right: 2" in report.reasons["src/lib.rs::t::b"]


def test_node_in_both_forms() -> None:
    tap = "# Subtest: math\n    # Subtest: adds\n    ok 1 - adds\n"
    tap += "    not ok 2 - subs\n    ok 3 - later # SKIP\nnot ok 1 - math\n"
    spec = "▶ math\n  ✔ adds (0.4ms)\n  ✖ subs (0.1ms)\n"
    spec += "  ﹣ later (0.1ms) # SKIP\n✖ math (1.2ms)\n✖ failing tests:\n\n✖ subs (0.1ms)\n"
    expected = {"math > adds": "pass", "math > subs": "fail", "math > later": "skip", "math": "fail"}
    assert reports.node(tap).tests == expected
    assert reports.node(spec).tests == expected


def test_jest_json() -> None:
    text = (
        '{"testResults": [{"name": "/p/a.test.js", "status": "failed", "assertionResults": ['
        '{"fullName": "math adds", "status": "passed"}, '
        '{"fullName": "math subs", "status": "failed", "failureMessages": ["\\u001b[31mError\\u001b[39m: no"]},'
        '{"fullName": "later", "status": "pending"}]},'
        '{"name": "/p/b.test.js", "status": "failed", "message": "Cannot find module", "assertionResults": []}]}'
    )
    report = reports.jest(text, "/p")
    assert report.tests == {
        "a.test.js::math adds": "pass", "a.test.js::math subs": "fail", "a.test.js::later": "skip",
        "b.test.js": "error",
    }  # fmt: skip
    assert report.reasons["a.test.js::math subs"] == "Error: no"


def test_ctest_lines() -> None:
    text = "1/3 Test  #1: alpha ....   Passed    0.01 sec\n"
    text += "2/3 Test  #2: beta ....***Failed    0.01 sec\n3/3 Test  #3: c ....***Not Run   0.00 sec\n"
    assert reports.ctest(text).tests == {"alpha": "pass", "beta": "fail", "c": "skip"}


@pytest.mark.parametrize("text", ["", "<", "<a/>", "{", "[]", "\0", "ok", "null", '{"testResults": 3}'])
def test_broken_reports_are_empty(text: str) -> None:
    for report in (
        reports.junit(text),
        reports.jest(text, ""),
        read_signed(text, "k").report,
        reports.go_events(text)[0],
    ):
        assert report.tests == {}
