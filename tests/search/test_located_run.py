"""Localisation in a real run: real files, a real failing check, a gate that keeps some files from the model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from assay.core.clock import SystemClock
from assay.core.policy import Decision, Effect, Label
from assay.run.run import Run, RunOptions, RunParts
from assay.search.located import located, read_sources
from assay.testing.models import PROFILE, ScriptedModel
from assay.testing.store import MemoryStore
from assay.verify.runners import check_of
from assay.workspace.local import LocalWorkspace

SHOP = "def total(prices):\r\n    return plus(prices)\r\n\r\n\r\ndef plus(prices):\r\n    return prices.sum\r\n"
TEST = """import unittest
from shop import total


class Shop(unittest.TestCase):
    def test_total(self):
        total([1])
"""
CHECK = f"{sys.executable} -m unittest test_shop"


class Gate:
    def __init__(self, kept: str) -> None:
        self._kept = kept

    async def decide(self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: object = None) -> Decision:
        return Decision("ask" if any(effect.target == self._kept for effect in effects) else "allow")


@pytest.mark.parametrize("kept", ["", "shop.py"])
async def test_a_red_check_leads_to_code_that_may_be_read(tmp_path: Path, kept: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "shop.py").write_bytes(SHOP.encode())
    (project / "test_shop.py").write_text(TEST)
    (project / "bad.py").write_bytes(b"\xff\xfe")
    (project / "notes.txt").write_text("plus")
    workspace = LocalWorkspace(project, sandbox=None, state_dir=tmp_path / "state")

    async def nobody(*_: object) -> bool:
        return False

    run = Run(
        RunParts(MemoryStore(), ScriptedModel((), PROFILE), workspace, {}, Gate(kept), SystemClock(), nobody),
        RunOptions(checks=(CHECK,)),
    )
    try:
        sources, digests = await read_sources(workspace)
        assert sorted(sources) == sorted(digests) == ["shop.py", "test_shop.py"]
        ledger = (await run.proof.gate(await run.start_tree(), "")).ledger
        red = await ledger.of(check_of(CHECK, "--check"))
        found = await located(run, red)
        if kept:
            assert (found.text, found.seen) == ("", {})
        else:
            assert found.text.startswith("shop.py:5-6 plus  def plus(prices):\nshop.py:1-2 total  def total(prices):\n")
            assert "```python\ndef plus(prices):\n    return prices.sum\n```" in found.text
            assert found.seen == {"shop.py": digests["shop.py"]}
    finally:
        await workspace.aclose()
