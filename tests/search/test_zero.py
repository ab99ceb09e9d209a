"""The tier that asks no model, in real runs: real files, real checks, the sandbox, the real done gate."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from assay.core.clock import SystemClock
from assay.core.events import AttemptFinished, AttemptSelected
from assay.core.messages import Text
from assay.core.model import Reasoning
from assay.core.policy import Decision, Effect, Label
from assay.run.run import Run, RunOptions, RunParts
from assay.search.effort import DIALS
from assay.search.slots_run import take_slots
from assay.search.zero import hint, repair
from assay.testing.models import PROFILE, Reply, ScriptedModel
from assay.testing.store import MemoryStore
from assay.verify.runners import check_of
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.find import find_sandbox
from assay.workspace.sandbox.port import NoSandbox

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


class Permissive:
    async def decide(self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: object = None) -> Decision:
        return Decision("allow")


Opener = Callable[..., AbstractAsyncContextManager[Run]]


@pytest.fixture
def open_run(tmp_path: Path) -> Opener:
    @asynccontextmanager
    async def opened(files: dict[str, str], check: str, *replies: Reply, boxed: bool = False) -> AsyncGenerator[Run]:
        project = tmp_path / "project"
        for path, text in files.items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text)
        sandbox = find_sandbox(tmp_path / "sandbox") if boxed else None
        assert not isinstance(sandbox, NoSandbox), sandbox.reason
        workspace = LocalWorkspace(project, sandbox=sandbox, state_dir=tmp_path / "state")
        model = ScriptedModel(replies, replace(PROFILE, strategy="slots"))

        async def nobody(*_: object) -> bool:
            return False

        parts = RunParts(MemoryStore(), model, workspace, {}, Permissive(), SystemClock(), nobody)
        try:
            yield Run(parts, RunOptions(checks=(check,), reasoning=Reasoning(effort="low")))
        finally:
            await workspace.aclose()

    return opened


def events(run: Run, kind: type) -> list:
    return [record.event for record in run.parts.store.records() if isinstance(record.event, kind)]


def text_of(run: Run, path: str) -> str:
    return Path(run.parts.workspace.root, path).read_text()


@pytest.mark.slow
async def test_a_strong_check_is_met_without_a_request(open_run: Opener) -> None:
    async with open_run({"shop.py": SHOP, "test_shop.py": STRONG}, UNITTEST, boxed=True) as run:
        ended = await run.turn((Text("fix"),), take_slots)
        assert ended.verdict.outcome == "verified", ended.verdict
        assert "found += price" in text_of(run, "shop.py") and text_of(run, "test_shop.py") == STRONG
        assert (ended.steps, run.spent.usage.total) == (0, 0)
        (selected,) = events(run, AttemptSelected)
        tried = events(run, AttemptFinished)
        assert tried and {(one.strategy, one.result, one.usage.total) for one in tried} == {("zero", "plausible", 0)}
        assert selected.made == len(tried) and selected.number <= len(tried)


async def test_a_thin_check_gives_candidates_and_doubts(open_run: Opener) -> None:
    async with open_run({"shop.py": SHOP, "check.py": THIN}, f"{sys.executable} check.py") as run:
        red = await (await run.proof.gate(await run.start_tree(), "")).ledger.of(
            check_of(run.proof.user_checks[0], "--check")
        )
        sources = {"shop.py": SHOP, "check.py": THIN}
        zero = await repair(run, red, sources, [], DIALS["low"])
        assert not zero.accepted and len(zero.survivors) > 1 and zero.ground.assertions == 1
        others = (
            f"{len(zero.survivors) - 1} other changes behave" if len(zero.survivors) > 2 else "another change behaves"
        )
        assert zero.doubts[0] == f"{others} differently and the checks can't tell which is right"
        told = hint(zero, sources)
        assert "pick one, improve it, or reject all" in told and told.count("@@ shop.py") >= 2
        assert text_of(run, "shop.py") == SHOP


async def test_a_model_that_is_down_leaves_the_best_guess_and_says_so(open_run: Opener) -> None:
    async with open_run({"shop.py": SHOP, "check.py": THIN}, f"{sys.executable} check.py") as run:
        ended = await run.turn((Text("fix"),), take_slots)
        assert ended.verdict.outcome == "partial"
        assert "differently and the checks can't tell which is right" in ended.verdict.why
        assert text_of(run, "shop.py") != SHOP


@pytest.mark.parametrize(
    ("old", "new"),
    [("for price in prices:", "for price in prices"), ("found -= price", "fuond += price"), ("    return", "\treturn")],
)
async def test_what_does_not_run_is_mended_first(open_run: Opener, old: str, new: str) -> None:
    broken = SHOP.replace("-=", "+=").replace(old.replace("-=", "+="), new)
    async with open_run({"shop.py": broken, "test_shop.py": STRONG}, UNITTEST) as run:
        ended = await run.turn((Text("fix"),), take_slots)
        assert ended.verdict.outcome == "verified", ended.verdict
        assert text_of(run, "shop.py") == SHOP.replace("-=", "+=")


async def test_nothing_is_written_when_nothing_passes(open_run: Opener) -> None:
    files = {"shop.py": SHOP, "check.py": "import shop\n\nassert shop.total([1]) == object()\n"}
    async with open_run(files, f"{sys.executable} check.py", "no idea", "no idea", *["?"] * 30) as run:
        ended = await run.turn((Text("fix"),), take_slots)
        assert ended.verdict.outcome not in ("verified", "partial")
        assert text_of(run, "shop.py") == SHOP and not events(run, AttemptSelected)
