"""What the done gate ran on a candidate's tree, test by test: what selection works on."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from assay.core.check import Check, Criterion, Verdict
from assay.run.run import Run
from assay.search.candidate import Vector
from assay.search.caps import look_at
from assay.verify.baseline import Baseline, Phase, Runs
from assay.verify.runners import Execution


class _Heard(Runs):
    """`inner`, with what came of the checks on final trees kept."""

    def __init__(self, inner: Runs) -> None:
        super().__init__(inner.workspace)
        self._inner = inner
        self.made: dict[str, Execution] = {}

    async def get(self, check: Check, tree: str, phase: Phase, nth: int = 0) -> Execution:
        done = await self._inner.get(check, tree, phase, nth)
        if phase == "final" and nth == 0:
            self.made[check.command] = done
        return done


async def vector_of(run: Run, tree: str, criteria: Sequence[Criterion], verdict: Verdict) -> Vector:
    """The vector of `tree`, which the gate has judged as `verdict` says: what was run then is remembered, so this runs
    nothing again."""
    start = await run.start_tree()
    gate = copy.copy(await run.proof.gate(start, run.state.prompt))
    gate.runs = heard = _Heard(gate.runs)
    if tree != start or run.proof.user_checks:
        await gate.judge(tree, criteria)
    kept: dict[str, bool] = {}
    targets: dict[str, bool] = {}
    known = {baseline.check.command: baseline for baseline in gate.ledger.known()}
    for command, done in heard.made.items():
        if (before := known.get(command)) is not None:
            _compare(before, done, command in run.proof.user_checks, kept, targets)
    red = sorted(look_at(done).signature for done in heard.made.values() if not done.run.passed)
    written = {row.note or row.command: row.after == "pass" for row in verdict.evidence if row.cls == "C"}
    return Vector(True, kept, targets, written, _digest(red))


def _compare(before: Baseline, done: Execution, own: bool, kept: dict[str, bool], targets: dict[str, bool]) -> None:
    """Tests that the runner names count one by one, and a user's check as a whole besides."""
    now = done.run.tests
    for test in before.passing:
        kept[test] = now.get(test) == "pass"
    for test in before.failing:
        targets[test] = now.get(test) == "pass"
    if own or not before.named:
        (kept if before.result == "pass" else targets)[before.check.command] = done.run.passed


def _digest(signatures: Sequence[str]) -> str:
    from hashlib import sha256

    return sha256("\n".join(signatures).encode()).hexdigest()[:16] if signatures else ""
