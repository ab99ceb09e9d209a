"""Pure-Python libraries whose own tests judge a change: where their code and tests are, and which tests fail."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from bench.solve.clone import Clone, code_lines
from bench.solve.grade import outcomes
from bench.solve.task import Task


class Library(NamedTuple):
    """`repository` OWNER/NAME, `package` the folder of its code, `path` what has to be on PYTHONPATH."""

    repository: str
    package: str
    path: str = ""

    @property
    def name(self) -> str:
        return self.repository.rpartition("/")[2]

    def check(self, tests: str) -> str:
        """The shell line that runs the files `tests`. Options of the project that need further plugins are off."""
        prefix = f"PYTHONPATH={self.path} " if self.path else ""
        return f"{prefix}python -m pytest -q -o addopts= {tests}"


LIBRARIES = (
    Library("mahmoud/boltons", "boltons"),
    Library("more-itertools/more-itertools", "more_itertools"),
    Library("pypa/packaging", "src/packaging", "src"),
    Library("marshmallow-code/marshmallow", "src/marshmallow", "src"),
    Library("jaraco/inflect", "inflect"),
)


def sources(clone: Clone, library: Library) -> dict[str, str]:
    """The library's code and tests and the files at its top, without its documentation and its changes: what a fix
    was about must not lie beside the task."""
    kept: dict[str, str] = {}
    for folder in (library.package, "tests"):
        kept |= dict(clone.texts(folder))
    names = {"pyproject.toml", "setup.cfg", "setup.py", "conftest.py", "pytest.ini", "tox.ini"} & set(clone.files())
    return kept | {name: clone.read(name) for name in sorted(names)}


def pairs(files: Mapping[str, str], library: Library) -> dict[str, list[str]]:
    """Each module and the test files that are named after it; all of the tests for a library of one module."""
    tests = [path for path in files if path.startswith("tests/") and PurePosixPath(path).name.startswith("test_")]
    found: dict[str, list[str]] = {}
    for path in sorted(files):
        stem = PurePosixPath(path).stem
        if str(PurePosixPath(path).parent) == library.package and path.endswith(".py"):
            mine = [test for test in tests if PurePosixPath(test).stem == f"test_{stem.strip('_')}"]
            if stem == "__init__" and len(files[path]) > 20_000:
                mine = tests
            if mine:
                found[path] = mine
    return found


PATIENCE = 60.0
"""Seconds that the tests may take while a set is made: a fault that never ends is told from a slow one by that."""


def failing(task: Task, line: str, environment: Mapping[str, str], folder: Path | None = None) -> set[str] | None:
    """The tests that fail in the task as it is laid out, as CLASS::NAME without parameters; None when nothing could be
    run or it took too long."""
    found = outcomes(task, line, "", environment, folder)
    return None if found is None else {name.partition("[")[0] for name, passes in found.items() if not passes}


def without_tests(source: str, module: str, names: set[str]) -> str:
    """A test file without some tests, which are named as in a report."""
    lines = code_lines(source)
    doomed: list[tuple[int, int]] = []

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}.{node.name}")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and f"{prefix}::{node.name}" in names:
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                doomed.append((first, node.end_lineno or first))
                if len(body) == sum(f"{prefix}::{getattr(one, 'name', '')}" in names for one in body):
                    doomed[-1] = (node.lineno, node.lineno - 1)  # never empty a class: keep it to be valid

    visit(ast.parse(source).body, module)
    for first, last in sorted(doomed, reverse=True):
        del lines[first - 1 : last]
    return "".join(lines)


def module_of(path: str) -> str:
    """A test file's name in a report."""
    return path.removesuffix(".py").replace("/", ".")


def diff_lines(clone: Clone, old: str, new: str, path: str) -> int:
    """How many lines of a file were added and removed between two commits."""
    try:
        told = clone.git("diff", "--numstat", old, new, "--", path).split()
        return int(told[0]) + int(told[1])
    except (subprocess.CalledProcessError, ValueError, IndexError):
        return 1_000_000
