"""What tied candidates answer: real files, a real check, real runs of what they changed."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.search.pools import RED, candidate

from assay.core.clock import SystemClock
from assay.run.run import Run, RunOptions, RunParts
from assay.search.candidate import Candidate
from assay.search.clusters import clusters
from assay.search.tied import Tied, changed_functions
from assay.testing.models import PROFILE, ScriptedModel
from assay.testing.store import MemoryStore
from assay.verify.runners import check_of
from assay.workspace.local import LocalWorkspace
from loop.kit import NamedGate

OLD = (
    "import random\n\n\ndef add(a, b):\n    return a - b\n\n\nclass Sum:\n    def of(self, items):\n        return 0\n"
)
TEST = """import unittest
from calc import Sum, add


class Calc(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(2, 3), 5)

    def test_sum(self):
        Sum().of([1, 2])
"""
CHECK = f"{sys.executable} -m unittest test_calc"


@asynccontextmanager
async def opened(
    folder: Path, bodies: Sequence[str], check: str = CHECK
) -> AsyncGenerator[tuple[Tied, list[Candidate]]]:
    """A candidate for each of `bodies`, which stand in place of `a - b`, or of the `0` where they begin with `sum`."""
    project = folder / "project"
    project.mkdir()
    (project / "calc.py").write_text(OLD)
    (project / "test_calc.py").write_text(TEST)
    workspace = LocalWorkspace(project, sandbox=None, state_dir=folder / "state")

    async def nobody(*_: object) -> bool:
        return False

    parts = RunParts(MemoryStore(), ScriptedModel((), PROFILE), workspace, {}, NamedGate(), SystemClock(), nobody)
    run = Run(parts, RunOptions(checks=(check,)))
    try:
        start = await run.start_tree()
        await (await run.proof.gate(start, "")).ledger.of(check_of(check, "--check"))
        pool: list[Candidate] = []
        for number, body in enumerate(bodies, 1):
            text = OLD.replace("return 0", f"return {body}" if body.startswith("sum") else "return 0")
            (project / "calc.py").write_text(text if body.startswith("sum") else OLD.replace("a - b", body))
            pool.append(candidate(number, tree=await workspace.snapshot(), strategy="loop"))
        (project / "calc.py").write_text(OLD)
        yield Tied(run, start), pool
        assert (project / "calc.py").read_text() == OLD
    finally:
        await workspace.aclose()


async def test_what_passes_alike_is_told_apart_by_what_it_answers(tmp_path: Path) -> None:
    async with opened(tmp_path, ["a + b", "b + a", "a + b if a > 0 else b"]) as (tied, pool):
        seen = await tied.observed(pool)
        assert clusters(seen) == [(1, 2), (3,)]
        question, ports = tied.question(), tied.ports
        assert (question.signature, question.place) == ("add(a, b)", "calc.py:add")
        assert ports.observe is not None
        line = "calc.py:add((-7, 4), {})"
        assert [each[line] for each in await ports.observe(seen, [line])] == ["-3", "-3", "4"]
        lost = "calc.py:none((1,), {})"
        assert await ports.observe(seen[:1], [lost]) == [{}]


async def test_methods_are_told_apart_but_not_shown(tmp_path: Path) -> None:
    async with opened(tmp_path, ["sum(items)", "sum(items[:1])"]) as (tied, pool):
        seen = await tied.observed(pool)
        assert clusters(seen) == [(1,), (2,)]
        assert tied.question().place == ""


async def test_what_answers_otherwise_each_time_tells_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, ["a + b + random.random()", "random.random() + a + b"]) as (tied, pool):
        assert not any(one.behaviour for one in await tied.observed(pool))


async def test_nothing_is_run_where_nothing_is_tied_or_no_check_calls_python(tmp_path: Path) -> None:
    async with opened(tmp_path, ["a + b", "b + a"], "test -e calc.py && true") as (tied, pool):
        assert await tied.observed(pool) == pool
        assert tied.ports.observe is None
        red = [candidate(one.number, RED, tree=one.tree) for one in pool]
        assert await tied.observed([pool[0], red[1]]) == [pool[0], red[1]]


def test_changed_functions_are_found_behind_odd_line_ends() -> None:
    old = "def a():\r\n    return 1\r\n\f\r\ndef b():\r\n    return 2\r\n"
    found = changed_functions("m.py", old, old.replace("2", "3").replace("\r\n", "\n"))
    assert [(each.symbol, each.start, each.end) for each in found] == [("b", 4, 5)]
    assert changed_functions("m.py", "", "def (") == []
