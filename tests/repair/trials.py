"""Projects on disk for tests of the driver, and a way to say a change in a few words."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from assay.core.check import Check
from assay.repair.patch import Edit, Patch
from assay.repair.trial import Bench
from assay.workspace.local import LocalWorkspace

PYTEST = f"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {sys.executable} -m pytest -q"
CALC = """\
TOTALS = []


def add(a, b):
    return a - b


def double(a):
    return a * 2
"""
TESTS = """\
from calc import add, double


def test_add():
    assert add(2, 3) == 5
    assert add(0, 0) == 0


def test_double():
    assert double(4) == 8
"""
ADD, DOUBLE = "test_calc.py::test_add", "test_calc.py::test_double"


def change(text: str, old: str, new: str, path: str = "calc.py") -> Patch:
    """`text` with the first `old` as `new`."""
    at = text.index(old)
    return Patch((Edit(path, at, at + len(old), new),), line=text.count("\n", 0, at) + 1)


@asynccontextmanager
async def opened(
    folder: Path, files: Mapping[str, str], command: str, failing: Sequence[str] = (), passing: Sequence[str] = ()
) -> AsyncGenerator[Bench]:
    """A bench over a fresh project that holds `files`."""
    root = folder / "project"
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    workspace = LocalWorkspace(root, sandbox=None, state_dir=folder / "state")
    try:
        yield Bench(workspace, Check("check", command, "test"), failing, passing)
    finally:
        await workspace.aclose()


def files_of(bench: Bench) -> dict[str, str]:
    """What lies in the project now."""
    root = Path(bench.copy.root)
    return {path.relative_to(root).as_posix(): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}
