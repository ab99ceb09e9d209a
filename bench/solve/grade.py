"""Grading: an agent's diff in a second clean copy, with the hidden tests in place."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from bench.process import run as run_process
from bench.solve.task import Task, git, lay_out, write

CONFIGURATION = frozenset({
    "conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml",
    "sitecustomize.py",
})  # fmt: skip
"""Names that decide how tests are run: an agent's changes to them are not taken over."""


class Verdict(msgspec.Struct, frozen=True):
    """`applied`: the diff could be applied. `passed`, `failed`: hidden tests, up to the first that fails. `why` is a
    word for a person."""

    solved: bool
    applied: bool
    passed: int = 0
    failed: int = 0
    why: str = ""


def grade(task: Task, diff: str, environment: Mapping[str, str], folder: Path | None = None) -> Verdict:
    """Whether the hidden tests pass with `diff`. `environment` has the PATH on which `python` is found.

    Solved is: hidden tests passed and none failed, as the test runner's own report says it; an exit code alone would
    believe a program that ends the interpreter.
    """
    with _copy(task, folder) as place:
        if not _apply(place.root, diff):
            return Verdict(False, False, why="the diff does not apply")
        _restore(task, place.root)
        exit_code = place.run(f"{task.grade} -x", environment, task.seconds)
        if exit_code is None:
            return Verdict(False, True, why=f"not done after {task.seconds:.0f} s")
        return _read(place.report, exit_code)


def outcomes(
    task: Task, line: str, diff: str, environment: Mapping[str, str], folder: Path | None = None
) -> dict[str, bool] | None:
    """The tests that the shell line runs in the task with `diff`, as CLASS::NAME, and whether each passes; skipped ones
    are left out. None when the diff doesn't apply, nothing could be run (a module that can't be imported, say) or it
    took too long."""
    with _copy(task, folder) as place:
        if not _apply(place.root, diff) or place.run(line, environment, task.seconds) not in (0, 1):
            return None
        try:
            cases = list(ElementTree.parse(place.report).getroot().iter("testcase"))
        except (OSError, ElementTree.ParseError):
            return None
    return {
        f"{case.get('classname', '')}::{case.get('name', '')}": case.find("failure") is None
        and case.find("error") is None
        for case in cases
        if case.find("skipped") is None
    }


class _Place(NamedTuple):
    root: Path
    home: Path
    report: Path

    def run(self, line: str, environment: Mapping[str, str], seconds: float) -> int | None:
        """The exit code of pytest; None when it took too long."""
        variables = {"PYTHONDONTWRITEBYTECODE": "1", "HOME": str(self.home), "LANG": "C.UTF-8"}
        command = ["sh", "-c", f"{line} -p no:cacheprovider --junitxml={self.report}"]
        return run_process(command, {**environment, **variables}, self.root, seconds).exit


@contextlib.contextmanager
def _copy(task: Task, folder: Path | None) -> Iterator[_Place]:
    with tempfile.TemporaryDirectory(prefix="grade-", dir=folder, ignore_cleanup_errors=True) as name:
        place = _Place(Path(name) / "copy", Path(name) / "home", Path(name) / "report.xml")
        place.home.mkdir()
        lay_out(task, place.root)
        yield place


def _apply(root: Path, diff: str) -> bool:
    if not diff.strip():
        return True
    try:
        git(root, "apply", "--binary", "--whitespace=nowarn", "-", stdin=diff)
    except subprocess.CalledProcessError:
        return False
    return True


def _restore(task: Task, root: Path) -> None:
    """Tests and what configures them as they were, then the hidden ones."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root).as_posix()
        if relative.startswith(".git/") or path.is_dir():
            continue
        if PurePosixPath(relative).name in CONFIGURATION and relative not in task.files:
            path.unlink()
    for path, text in {**task.files, **task.hidden}.items():
        if path in task.hidden or _judges(path):
            _clear(root, path)
            write(root, path, text)


def _judges(path: str) -> bool:
    """A test, what tests import from beside them, or what configures them."""
    *folders, name = PurePosixPath(path).parts
    named = name in CONFIGURATION or name.startswith("test_") or name.endswith("_test.py")
    return named or "tests" in folders


def _clear(root: Path, path: str) -> None:
    """Take away what the diff put in the way of a file: a folder in its place, or a link that leads elsewhere."""
    for folder in reversed(PurePosixPath(path).parents):
        place = root / folder
        if place.is_symlink() or place.is_file():
            place.unlink()
    target = root / path
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def _read(report: Path, exit_code: int) -> Verdict:
    try:
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return Verdict(False, True, why=f"no report of the tests, exit {exit_code}")
    total, failed, skipped = (
        sum(int(suite.get(key, "0")) for suite in suites for key in keys)
        for keys in (("tests",), ("failures", "errors"), ("skipped",))
    )
    passed = total - failed - skipped
    solved = exit_code == 0 and failed == 0 and passed > 0
    return Verdict(solved, True, passed, failed, "" if solved else "a hidden test fails")


def environment_of(python: Path | None) -> dict[str, str]:
    """The PATH on which `python` and its pytest are found: those of a virtual environment (its interpreter is given),
    else of this interpreter."""
    folder = (python or Path(sys.executable)).absolute().parent
    return {"PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
