"""The tier that asks no model, in real runs: real files, real checks, the sandbox, the real done gate."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.search.runs import events, notices, open_run, text_of

from assay.core.events import AttemptFinished, AttemptSelected
from assay.core.messages import Text
from assay.core.model import Reasoning
from assay.repair.trial import Step, Traced
from assay.run.run import RunOptions
from assay.search.belief import doubts
from assay.search.effort import DIALS
from assay.search.slots_run import take_slots
from assay.search.zero import hint, repair, suspects
from assay.verify.runners import check_of

SHOP = """\
def total(prices, discount=0):
    found = 0
    for price in prices:
        found -= price
    if discount > 0:
        found = found - found * discount // 100
    return found
"""
STRONG = """\
import unittest

from shop import total


class Shop(unittest.TestCase):
    def test_total(self):
        for prices, wanted in (([1, 2], 3), ([], 0), ([5], 5), ([1, 1, 1], 3), ([-2], -2)):
            self.assertEqual(total(prices), wanted)

    def test_discount(self):
        self.assertEqual(total([100], 10), 90)
        self.assertEqual(total([1, 2], 1), 3)
        self.assertEqual(total([200, 100], 50), 150)
"""
THIN = "from shop import total\n\nassert total([4]) == 4\n"
UNITTEST = f"{sys.executable} -m unittest -q"
CHECK = f"{sys.executable} check.py"


def asked(check: str) -> RunOptions:
    return RunOptions(checks=(check,), reasoning=Reasoning(effort="low"))


@pytest.mark.slow
async def test_a_strong_check_is_met_without_a_request(tmp_path: Path) -> None:
    async with open_run(
        tmp_path, {"shop.py": SHOP, "test_shop.py": STRONG}, options=asked(UNITTEST), boxed=True
    ) as run:
        ended = await run.turn((Text("fix"),), take_slots)
        assert ended.verdict.outcome == "verified", ended.verdict
        assert "found += price" in text_of(run, "shop.py") and text_of(run, "test_shop.py") == STRONG
        assert (ended.steps, run.spent.usage.total) == (0, 0)
        (selected,) = events(run, AttemptSelected)
        tried = events(run, AttemptFinished)
        assert tried and {(one.strategy, one.result, one.usage.total) for one in tried} == {("zero", "plausible", 0)}
        assert selected.made == len(tried) and selected.number <= len(tried)


async def test_a_thin_check_gives_candidates_and_doubts(tmp_path: Path) -> None:
    async with open_run(tmp_path, {"shop.py": SHOP, "check.py": THIN}, options=asked(CHECK)) as run:
        red = await (await run.proof.gate(await run.start_tree(), "")).ledger.of(
            check_of(run.proof.user_checks[0], "--check")
        )
        sources = {"shop.py": SHOP, "check.py": THIN}
        zero = await repair(run, red, await run.start_tree(), sources, [], DIALS["low"])
        assert not zero.accepted and len(zero.survivors) > 1 and zero.ground.assertions == 1
        others = (
            f"{len(zero.survivors) - 1} other changes behave" if len(zero.survivors) > 2 else "another change behaves"
        )
        assert (
            doubts(zero.candidates, zero.ground, chosen=1)[0]
            == f"{others} differently and the checks can't tell which is right"
        )
        told = hint(zero, sources)
        assert "pick one, improve it, or reject all" in told and told.count("@@ shop.py") >= 2
        assert text_of(run, "shop.py") == SHOP


async def test_a_model_that_is_down_leaves_the_best_guess_and_says_so(tmp_path: Path) -> None:
    async with open_run(tmp_path, {"shop.py": SHOP, "check.py": THIN}, options=asked(CHECK)) as run:
        ended = await run.turn((Text("fix"),), take_slots)
        assert ended.verdict.outcome == "partial"
        assert "differently and the checks can't tell which is right" in ended.verdict.why
        assert text_of(run, "shop.py") != SHOP


@pytest.mark.parametrize(
    ("old", "new"),
    [("for price in prices:", "for price in prices"), ("found -= price", "fuond += price"), ("    return", "\treturn")],
)
async def test_what_does_not_run_is_mended_first(tmp_path: Path, old: str, new: str) -> None:
    broken = SHOP.replace("-=", "+=").replace(old.replace("-=", "+="), new)
    async with open_run(tmp_path, {"shop.py": broken, "test_shop.py": STRONG}, options=asked(UNITTEST)) as run:
        ended = await run.turn((Text("fix"),), take_slots)
        assert ended.verdict.outcome == "verified", ended.verdict
        assert text_of(run, "shop.py") == SHOP.replace("-=", "+=")


async def test_nothing_is_written_when_nothing_passes(tmp_path: Path) -> None:
    files = {"shop.py": SHOP, "check.py": "import shop\n\nassert shop.total([1]) == object()\n"}
    async with open_run(tmp_path, files, "no idea", "no idea", *["?"] * 30, options=asked(CHECK)) as run:
        ended = await run.turn((Text("fix"),), take_slots)
        assert ended.verdict.outcome not in ("verified", "partial")
        assert text_of(run, "shop.py") == SHOP and not events(run, AttemptSelected)


async def test_a_repair_that_spoils_an_example_is_refused_and_this_is_said(tmp_path: Path) -> None:
    words = 'def one(word):\n    """\n    >>> one(\'chances\')\n    \'chance\'\n    """\n    return word[:-1]\n'
    whole = ("glass", "boss", "kiss", "address", "class", "moss")
    check = "from words import one\n\n" + "".join(f"assert one({word!r}) == {word!r}\n" for word in whole)
    async with open_run(tmp_path, {"words.py": words, "check.py": check}, options=asked(CHECK)) as run:
        ended = await run.turn((Text("fix"),), take_slots)
        assert ended.verdict.outcome == "unavailable" and text_of(run, "words.py") == words
        assert any(
            "passes what failed, and is refused: " in notice and "words.one" in notice for notice in notices(run)
        )


def test_lines_outside_of_functions_are_told_by_their_own_file() -> None:
    long = "def first():\n    return 1\n\n\n" + "x = 1\n" * 8
    short = "y = 1\nz = 2\n\n\ndef second():\n    return y\n"
    seen = {"a.py": (2, 5), "b.py": (1, 2, 6)}
    traced = Traced({"t": seen}, {"t": (Step(1, True, seen),)}, {"t": "no"})
    places = suspects({"a.py": long, "b.py": short}, traced, "", [])
    # Lines 1 and 2 of the second file are in no function, whatever lies at these numbers in the first.
    outside = {place.path: sorted(place.lines) for place in places if not place.symbol}
    assert outside == {"a.py": [5], "b.py": [1, 2]}
