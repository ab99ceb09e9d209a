"""The strategy in a real run: real files, real tests, a scripted model, the real done gate."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from assay.core.budget import Budget
from assay.core.clock import SystemClock
from assay.core.events import AttemptFinished, Noticed
from assay.core.messages import Failure, Text
from assay.core.policy import Decision, Effect, Label
from assay.loop.turn import Stop
from assay.run.run import Run, RunOptions, RunParts
from assay.search.slots_run import take_slots
from assay.search.slots_words import Limits
from assay.testing.models import PROFILE, Reply, ScriptedModel
from assay.testing.store import MemoryStore
from assay.workspace.local import LocalWorkspace

SHOP = """\ufeff# shop
def total(prices):
    found = 0
    for price in prices:
        found -= price
    return found + 7
""".replace("\n", "\r\n")
"""Wrong in two places: no single small change mends it."""
TESTS = """import unittest

from shop import total


class Shop(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2]), 3)
        self.assertEqual(total([5]), 5)
        self.assertEqual(total([4, 4]), 8)
        self.assertEqual(total([1]), 1)
        self.assertEqual(total([2, 2, 2]), 6)

    def test_nothing(self):
        self.assertGreaterEqual(total([]), 0)
"""
CHECK = f"{sys.executable} -m unittest test_shop.Shop.test_total"
FIXED = """```python
def total(prices):
    found = 0
    for price in prices:
        found += price
    return found
```"""
CHEAT = "```python\ndef total(prices):\n    return sum(prices) if prices else -1\n```"


async def quick(run: Run) -> Stop:
    """Hardly any time for repairs without a model: what is tested here is what comes behind them."""
    return await take_slots(run, Limits(mutate_seconds=0.5))


class Permissive:
    async def decide(self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: object = None) -> Decision:
        return Decision("allow")


Opener = Callable[..., AbstractAsyncContextManager[Run]]


@pytest.fixture
def open_run(tmp_path: Path) -> Opener:
    @asynccontextmanager
    async def opened(
        *replies: Reply, budget: Budget | None = None, checks: tuple[str, ...] = (CHECK,)
    ) -> AsyncGenerator[Run]:
        project = tmp_path / "project"
        project.mkdir()
        (project / "shop.py").write_bytes(SHOP.encode())
        (project / "test_shop.py").write_text(TESTS)
        (project / "notes.txt").write_bytes(b"\xff")
        workspace = LocalWorkspace(project, sandbox=None, state_dir=tmp_path / "state")
        model = ScriptedModel(replies, replace(PROFILE, strategy="slots"))

        async def nobody(*_: object) -> bool:
            return False

        parts = RunParts(MemoryStore(), model, workspace, {}, Permissive(), SystemClock(), nobody)
        try:
            yield Run(parts, RunOptions(budget=budget or Budget(), checks=checks))
        finally:
            await workspace.aclose()

    return opened


def attempts(run: Run) -> list[tuple[str, str]]:
    store = run.parts.store
    return [(r.event.result, r.event.location) for r in store.records() if isinstance(r.event, AttemptFinished)]


async def test_a_repair_is_verified_and_the_file_keeps_its_bytes(open_run: Opener) -> None:
    async with open_run("no idea", CHEAT, FIXED) as run:
        ended = await run.turn((Text("total() has the wrong sign"),), quick)
        data = Path(run.parts.workspace.root, "shop.py").read_bytes()
        assert ended.verdict.outcome == "verified", ended.verdict
        assert data == SHOP.replace("-=", "+=").replace("found + 7", "found").encode()
        assert attempts(run) == [("invalid", "shop.py:total"), ("red", "shop.py:total"), ("green", "shop.py:total")]
        assert ended.selected == 3 and ended.steps == 3
        assert ended.verdict.evidence[0].cls == "A"
        assert ended.verdict.diff.files == 1
        assert ended.text == ended.verdict.why, "replies are code, and the last one need not be what was taken"


async def test_what_is_refused_leaves_the_files_as_they_were(open_run: Opener) -> None:
    replies = ["no idea", CHEAT] + ["no idea"] * 40
    async with open_run(*replies) as run:
        ended = await run.turn((Text("total() has the wrong sign"),), quick)
        assert ended.verdict.outcome == "failed"
        assert "none of" in ended.verdict.why
        assert ended.text == ended.verdict.why
        assert Path(run.parts.workspace.root, "shop.py").read_bytes() == SHOP.encode()
        assert ended.verdict.diff.files == 0 and ended.selected == 0


async def test_without_a_red_check_there_are_only_words(open_run: Opener) -> None:
    green = f"{sys.executable} -m unittest test_shop.Shop.test_nothing"
    async with open_run("It adds.", checks=(green,)) as run:
        Path(run.parts.workspace.root, "test_shop.py").write_text(
            TESTS.replace("3)", "4)")
            .replace("5)", "2)")
            .replace("8)", "-1)")
            .replace(" 1)", " 6)")
            .replace("2, 2]), 6)", "2, 2]), 1)")
        )
        ended = await run.turn((Text("what does total do?"), Text("<stdin>\npiped\n</stdin>")), quick)
        assert (ended.verdict.outcome, ended.text) == ("answered", "It adds.")
        asked = run.parts.model.requests[-1].messages  # type: ignore[attr-defined]
        assert "piped" in str(asked) and "what does total do?" in str(asked)
        notices = [r.event.text for r in run.parts.store.records() if isinstance(r.event, Noticed)]
        assert any("--check" in notice for notice in notices)


@pytest.mark.parametrize(("kind", "outcome"), [("auth", "auth"), ("network", "unavailable")])
async def test_a_model_that_cannot_be_asked_ends_the_turn(open_run: Opener, kind: str, outcome: str) -> None:
    failure = Failure("auth" if kind == "auth" else "network", "no")
    async with open_run(failure) as run:
        ended = await run.turn((Text("total() is wrong"),), quick)
        assert ended.verdict.outcome == outcome


async def test_budgets_hold(open_run: Opener) -> None:
    async with open_run(*["x"] * 9, budget=Budget(steps=2)) as run:
        ended = await run.turn((Text("total() is wrong"),), quick)
        assert ended.verdict.outcome == "budget" and ended.steps == 2
