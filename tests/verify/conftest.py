from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.core.check import Check

from .dirspace import DirectoryWorkspace

CALC = "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a * 2\n"
FIXED = CALC.replace("a - b", "a + b")
TESTS = """\
from calc import add, double


def test_add():
    assert add(2, 3) == 5


def test_double():
    assert double(4) == 8
"""

Project = Callable[[dict[str, str]], DirectoryWorkspace]


@pytest.fixture(autouse=True)
def _same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in plain directories are remembered, signatures included; in the sandbox every key is its own."""
    monkeypatch.setattr("secrets.token_hex", lambda size: "5" * 2 * size)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A workspace with the given files."""

    def make(files: dict[str, str]) -> DirectoryWorkspace:
        root = tmp_path / "project"
        root.mkdir()
        workspace = DirectoryWorkspace(root)
        for path, text in files.items():
            workspace.put(path, text)
        return workspace

    return make


@pytest.fixture
def calculator(project: Project) -> DirectoryWorkspace:
    """A bug that one of two tests shows."""
    return project({"calc.py": CALC, "tests/test_calc.py": TESTS, "pytest.ini": "[pytest]\n"})


@pytest.fixture
def suite() -> Check:
    return Check("pytest", f"{sys.executable} -m pytest", "test", "pytest")
