"""The strategy in a real run: real files, real tests, a scripted model, the real done gate."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from tests.search.runs import bytes_of, events, notices, open_run, quick

from assay.core.budget import Budget
from assay.core.events import AttemptFinished
from assay.core.messages import Failure, Text
from assay.run.run import Run, RunOptions
from assay.testing.models import Reply

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


def shop_run(
    folder: Path,
    *replies: Reply,
    budget: Budget = Budget(),  # noqa: B008 - frozen
    checks: tuple[str, ...] = (CHECK,),
) -> AbstractAsyncContextManager[Run]:
    files = {"shop.py": SHOP, "test_shop.py": TESTS, "notes.txt": b"\xff"}
    return open_run(folder, files, *replies, options=RunOptions(budget=budget, checks=checks))


def attempts(run: Run) -> list[tuple[str, str]]:
    return [(event.result, event.location) for event in events(run, AttemptFinished)]


async def test_a_repair_is_verified_and_the_file_keeps_its_bytes(tmp_path: Path) -> None:
    async with shop_run(tmp_path, "no idea", CHEAT, FIXED) as run:
        ended = await run.turn((Text("total() has the wrong sign"),), quick)
        assert ended.verdict.outcome == "verified", ended.verdict
        assert bytes_of(run, "shop.py") == SHOP.replace("-=", "+=").replace("found + 7", "found").encode()
        assert attempts(run) == [("invalid", "shop.py:total"), ("red", "shop.py:total"), ("green", "shop.py:total")]
        assert ended.selected == 3 and ended.steps == 3
        assert ended.verdict.evidence[0].cls == "A"
        assert ended.verdict.diff.files == 1
        assert ended.text == ended.verdict.why, "replies are code, and the last one need not be what was taken"


async def test_what_is_refused_leaves_the_files_as_they_were(tmp_path: Path) -> None:
    replies = ["no idea", CHEAT] + ["no idea"] * 40
    async with shop_run(tmp_path, *replies) as run:
        ended = await run.turn((Text("total() has the wrong sign"),), quick)
        assert ended.verdict.outcome == "failed"
        assert "none of" in ended.verdict.why
        assert ended.text == ended.verdict.why
        assert bytes_of(run, "shop.py") == SHOP.encode()
        assert ended.verdict.diff.files == 0 and ended.selected == 0


async def test_without_a_red_check_there_are_only_words(tmp_path: Path) -> None:
    green = f"{sys.executable} -m unittest test_shop.Shop.test_nothing"
    async with shop_run(tmp_path, "It adds.", checks=(green,)) as run:
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
        assert any("--check" in notice for notice in notices(run))


@pytest.mark.parametrize(("kind", "outcome"), [("auth", "auth"), ("network", "unavailable")])
async def test_a_model_that_cannot_be_asked_ends_the_turn(tmp_path: Path, kind: str, outcome: str) -> None:
    failure = Failure("auth" if kind == "auth" else "network", "no")
    async with shop_run(tmp_path, failure) as run:
        ended = await run.turn((Text("total() is wrong"),), quick)
        assert ended.verdict.outcome == outcome


async def test_budgets_hold(tmp_path: Path) -> None:
    async with shop_run(tmp_path, *["x"] * 9, budget=Budget(steps=2)) as run:
        ended = await run.turn((Text("total() is wrong"),), quick)
        assert ended.verdict.outcome == "budget" and ended.steps == 2
