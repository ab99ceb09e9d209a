"""Candidates tried by the driver against real pytest projects."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from assay.core.check import Check
from assay.repair.patch import Edit, Patch
from assay.repair.trial import Bench, Want
from assay.workspace.local import LocalWorkspace

CALC = "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a * 2\n"
TESTS = """\
from calc import add, double


def test_add():
    assert add(2, 3) == 5
    assert add(0, 0) == 0


def test_double():
    assert double(4) == 8
"""


def change(path: str, text: str, old: str, new: str) -> Patch:
    at = text.index(old)
    return Patch((Edit(path, at, at + len(old), new),))


async def test_x(tmp_path: Path) -> None:
    root = tmp_path / "p"
    root.mkdir()
    (root / "calc.py").write_text(CALC)
    (root / "test_calc.py").write_text(TESTS)
    ws = LocalWorkspace(root, sandbox=None, state_dir=tmp_path / "state")
    bench = Bench(
        ws,
        Check("c", f"{sys.executable} -m pytest -q", "test"),
        ["test_calc.py::test_add"],
        ["test_calc.py::test_double"],
    )
    print(await bench.trace(["calc.py"]))
    for n in range(2):
        t = bench.seconds
        print(
            await bench.try_(
                [
                    change("calc.py", CALC, "-", "*"),
                    change("calc.py", CALC, "-", "+"),
                    change("calc.py", CALC, "a - b", "1/0"),
                    change("calc.py", CALC, "def add(a, b)", "def add(b, a)"),
                    change("calc.py", CALC, "return a - b", "while 1: pass"),
                ]
            )
        )
        print(bench.seconds - t)
    await ws.aclose()
