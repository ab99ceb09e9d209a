"""What a small model can't do is said in one line, and nothing is left half done."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.search.runs import events, notices, open_run, quick, text_of

from assay.core.check import Verdict
from assay.core.events import AttemptFinished, AttemptSelected, CheckFinished
from assay.core.messages import Text
from assay.core.model import ModelRequest
from assay.core.policy import Decision, Effect, Label
from assay.repair.patch import between
from assay.run.run import Run, RunOptions
from assay.search.slots_try import Trial
from assay.search.slots_wish import is_question, wants_change
from assay.testing.models import PROFILE, FunctionModel, Reply
from assay.verify.runners import check_of

SHOP = """def total(prices):
    text = ""
    for price in prices:
        text += "x"
    return len(text) * 3 - 20


def mean(prices):
    return 1
"""
"""Wrong in more than one place: no single small change mends it."""
RIGHT = "```python\ndef total(prices):\n    return sum(prices)\n```"
TEST = """import unittest

from shop import total


class Shop(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2]), 3)
        self.assertEqual(total([5]), 5)
        self.assertEqual(total([4, 4]), 8)
        self.assertEqual(total([]), 0)
        self.assertEqual(total([7, 1]), 8)
"""
FILES = {"shop.py": SHOP, "test_shop.py": TEST}
PYTEST = f"{sys.executable} -m pytest -q -p no:cacheprovider"
ASKED = RunOptions(checks=(f"{sys.executable} -m unittest -q",))


class Keeps:
    """A gate against effects of `kind` on paths that contain `part`."""

    def __init__(self, kind: str, part: str = "") -> None:
        self.kind, self.part = kind, part

    async def decide(self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: object = None) -> Decision:
        met = any(effect.kind == self.kind and self.part in effect.target for effect in effects)
        return Decision("deny", "plan mode: nothing is written") if met else Decision("allow")


async def said(run: Run, task: str) -> Verdict:
    return (await run.turn((Text(task),), quick)).verdict


def asked(run: Run) -> str:
    return str([request.messages for request in run.parts.model.requests])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("task", "question", "change"),
    [
        ("Explain what total does and why it should round", True, False),
        ("how does total handle errors", True, False),
        ("Can you explain how to fix the bug?", True, False),
        ("What is wrong with total()?", True, False),
        ("Could you please fix total()?", False, True),
        ("Why does it fail? Fix it.", False, True),
        ("total() is wrong. Is it the sign?", False, True),
        ("total() has the wrong sign", False, True),
        ("shop.py", False, False),
        ("", False, False),
    ],
)
def test_questions_are_told_from_wishes(task: str, question: bool, change: bool) -> None:
    assert (is_question(task), wants_change(task)) == (question, change)


async def test_a_question_is_answered_although_a_test_of_the_project_fails(tmp_path: Path) -> None:
    async with open_run(tmp_path, FILES, "It sums.") as run:
        verdict = await said(run, "Explain what total() does, and what should be there.")
        assert verdict.outcome == "answered" and text_of(run, "shop.py") == SHOP
        assert not events(run, CheckFinished) and not notices(run)


@pytest.mark.parametrize("task", ["Add a function median(prices) to shop.py", "make shop.py better", "write a parser"])
async def test_what_is_not_there_is_not_made_of_what_is(tmp_path: Path, task: str) -> None:
    async with open_run(tmp_path, {"shop.py": SHOP}, "def median...", RIGHT, RIGHT) as run:
        assert (await said(run, task)).outcome == "answered"
        assert text_of(run, "shop.py") == SHOP
        (notice,) = notices(run)
        assert "nothing was changed" in notice and "\n" not in notice


async def test_an_empty_repository_has_nothing_to_change(tmp_path: Path) -> None:
    async with open_run(tmp_path, {}, "print('hello')") as run:
        assert (await said(run, "Write hello world")).outcome == "answered"
        assert len(notices(run)) == 1 and await run.workspace.list_files() == []


async def test_a_file_that_is_no_python_is_named(tmp_path: Path) -> None:
    broken = "def total(prices):\n    return ((\n\n\ndef ???\n"
    async with open_run(tmp_path, {"bad.py": broken, "shop.py": SHOP}, *["?"] * 9) as run:
        verdict = await said(run, "change total in bad.py to round")
        assert verdict.outcome == "failed" and "bad.py is no Python" in verdict.why and "(line " in verdict.why
        assert text_of(run, "bad.py") == broken and text_of(run, "shop.py") == SHOP
    files = {"shop.py": broken, "test_shop.py": TEST}
    async with open_run(tmp_path, files, *["?"] * 40, options=ASKED) as run:
        verdict = await said(run, "fix it")
        assert verdict.outcome == "failed" and "shop.py is no Python" in verdict.why, verdict
        assert text_of(run, "shop.py") == broken


async def test_another_language_is_not_tried(tmp_path: Path) -> None:
    check = "sh -c 'echo shop.js: 1 failed; exit 1'"
    files = {"shop.js": "module.exports = 1\n"}
    async with open_run(tmp_path, files, options=RunOptions(checks=(check,))) as run:
        verdict = await said(run, "fix it")
        assert verdict.outcome == "failed" and "repairs Python only" in verdict.why and check in verdict.why
    async with open_run(tmp_path, {**files, "tool.py": "x = 1\n"}, options=RunOptions(checks=(check,))) as run:
        verdict = await said(run, "fix it")
        assert verdict.outcome == "failed" and "no Python function" in verdict.why and check in verdict.why


async def test_while_nothing_may_be_written_there_are_only_words(tmp_path: Path) -> None:
    async with open_run(tmp_path, FILES, "I would drop the sign.", options=ASKED, gate=Keeps("write")) as run:
        await said(run, "fix total()")
        assert text_of(run, "shop.py") == SHOP and not events(run, AttemptFinished)
        assert notices(run) == ["nothing is changed, as policy does not allow it: plan mode: nothing is written"]


async def test_what_may_not_be_read_is_not_shown(tmp_path: Path) -> None:
    files = {**FILES, "shop.py": SHOP.replace("20", "4711")}
    async with open_run(tmp_path, files, *["?"] * 40, options=ASKED, gate=Keeps("read", "shop.py")) as run:
        assert (await said(run, "fix total() in shop.py")).outcome == "failed"
        assert "4711" not in asked(run)


async def test_an_interruption_leaves_the_files_and_the_next_turn_goes_on(tmp_path: Path) -> None:
    async with open_run(tmp_path, FILES, options=ASKED) as run:

        async def waits(request: ModelRequest) -> Reply:
            run.interrupt()
            await asyncio.sleep(60)
            return ""

        run.use_model(FunctionModel(waits, replace(PROFILE, strategy="slots")))
        assert (await said(run, "fix total()")).outcome == "interrupted"
        assert text_of(run, "shop.py") == SHOP and not list((tmp_path / "state").glob("**/copies/*"))
        # The person edits a little before going on.
        Path(run.workspace.root, "shop.py").write_text("# the shop\n" + SHOP)
        run.use_model(FunctionModel(lambda _: RIGHT, replace(PROFILE, strategy="slots")))
        assert (await said(run, "go on")).outcome in ("verified", "partial")
        text = text_of(run, "shop.py")
        assert text.startswith("# the shop\n") and "return sum(prices)" in text


async def test_what_was_kept_before_the_end_is_judged_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_run(tmp_path, FILES, *[RIGHT] * 9, options=ASKED) as run:

        async def stopped(doubts: object = ()) -> Verdict:
            run.interrupt()
            await asyncio.sleep(60)
            raise AssertionError

        monkeypatch.setattr(run, "conclude", stopped)
        assert (await said(run, "fix total()")).outcome == "interrupted"
        assert len(events(run, AttemptSelected)) == 1
        monkeypatch.undo()
        kept, asked_before = text_of(run, "shop.py"), len(asked(run))
        ended = await run.turn((), quick)
        assert ended.verdict.outcome == "verified" and text_of(run, "shop.py") == kept
        assert len(asked(run)) == asked_before


async def test_two_modules_that_are_missing_are_both_written(tmp_path: Path) -> None:
    test = "from alpha import one\nfrom beta import two\n\n\ndef test_it():\n    assert one() + two() == 3\n"
    first = "```python\ndef one():\n    return 1\n```"
    second = "```python\ndef two():\n    return 2\n```"
    options = RunOptions(checks=(PYTEST,))
    async with open_run(tmp_path, {"test_it.py": test}, first, second, *["?"] * 40, options=options) as run:
        verdict = await said(run, "write what the test needs")
        assert verdict.outcome == "partial", verdict
        assert "def one" in text_of(run, "alpha.py") and "def two" in text_of(run, "beta.py")


async def test_a_module_that_cannot_be_read_is_not_taken_for_missing(tmp_path: Path) -> None:
    test = TEST.replace("shop", "old").replace("total", "one")
    old = b"# caf\xe9\ndef one():\n    return 2\n"
    made = "```python\ndef one(prices):\n    return sum(prices)\n```"
    async with open_run(tmp_path, {"test_old.py": test, "old.py": old}, *[made] * 40, options=ASKED) as run:
        assert (await said(run, "fix one()")).outcome == "failed"
        assert Path(run.workspace.root, "old.py").read_bytes() == old


async def test_a_candidate_leaves_nothing_behind_for_the_next(tmp_path: Path) -> None:
    check = "import os, shop, flag\n\nassert shop.total([1]) == 1 or flag.ON\n"
    files = {"shop.py": SHOP, "flag.py": "ON = False\n", "check.py": check}
    cheat = "open('flag.py', 'w').write('ON = True\\n'); open('shop.py', 'a').write('#')\n"
    line = f"{sys.executable} check.py"
    async with open_run(tmp_path, files) as run:
        tree = await run.start_tree()
        red = await (await run.proof.gate(tree, "")).ledger.of(check_of(line, "--check"))
        async with run.workspace.copy(tree) as copy:
            trial = Trial(copy, red, files, None)
            after = between("shop.py", SHOP, "# later\n" + SHOP)
            fates = await trial.try_([between("shop.py", SHOP, cheat + SHOP), after])
            assert [fate.status for fate in fates] == ["plausible", "red"]
            assert await copy.snapshot() == tree
