"""What was true before anything was changed: every check run twice on a clean copy of the start tree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal

from assay.core.check import Check, CheckRun, Result
from assay.core.workspace import Workspace
from assay.verify.reports import TestResult
from assay.verify.runners import Execution, run_clean

Phase = Literal["baseline", "attempt", "final"]
Observe = Callable[[CheckRun, Phase], None]
SLOW = 60.0
"""Seconds: a check that took longer is not run a second time for the baseline, and this is said."""


class Runs:
    """Executions of checks on clean copies, one at a time, remembered by tree and command.

    `observe` hears of every execution that really happened.
    """

    def __init__(self, workspace: Workspace, observe: Observe | None = None) -> None:
        self.workspace = workspace
        self._observe = observe
        self._known: dict[tuple[str, str, int], Execution] = {}
        self._lock = asyncio.Lock()

    async def get(self, check: Check, tree: str, phase: Phase, nth: int = 0) -> Execution:
        """The `nth` execution of `check` on `tree`; different numbers are independent executions."""
        key = (tree, check.command, nth)
        async with self._lock:
            if key not in self._known:
                self._known[key] = done = await run_clean(self.workspace, check, tree)
                if self._observe is not None:
                    self._observe(done.run, phase)
            return self._known[key]


class Baseline:
    """One check on the start tree, from one or two executions."""

    def __init__(self, check: Check, first: Execution, second: Execution | None, note: str = "") -> None:
        self.check = check
        self.first = first
        self.second = second
        self.note = note
        """Why there is no second execution, or why the first tells little; empty when all is well."""
        again = second.run.tests if second is not None else first.run.tests
        names = [*first.run.tests, *(name for name in again if name not in first.run.tests)]
        self.flaky = frozenset(name for name in names if first.run.tests.get(name) != again.get(name))
        self.tests: dict[str, TestResult] = {
            name: result for name, result in first.run.tests.items() if name not in self.flaky
        }
        """Steady identities and their results."""

    @property
    def named(self) -> bool:
        """The runner tells identities."""
        return bool(self.first.run.tests)

    @property
    def result(self) -> Result:
        """`flaky` when the command as a whole changed its mind and no identities tell which tests did."""
        first = self.first.result
        if self.second is None or self.second.result == first:
            return first
        if self.flaky and self.tests:
            return "fail" if any(result in ("fail", "error") for result in self.tests.values()) else "pass"
        return "flaky"

    @property
    def passing(self) -> list[str]:
        return [name for name, result in self.tests.items() if result == "pass"]

    @property
    def failing(self) -> list[str]:
        return [name for name, result in self.tests.items() if result in ("fail", "error")]


class Ledger:
    """The baselines of a start tree. `ensure` may be awaited any number of times, also at once from several tasks, and
    cancelled: what was run stays known.

    Checks that the user supplied run once (their result before is for information); the others twice.
    """

    def __init__(self, runs: Runs, tree: str, checks: Iterable[Check], slow: float = SLOW) -> None:
        self.tree = tree
        self.checks = tuple(checks)
        self._runs = runs
        self._slow = slow
        self._known: dict[str, Baseline] = {}

    async def ensure(self) -> dict[str, Baseline]:
        """Baselines by command, in the order of the checks."""
        return {check.command: await self.of(check) for check in self.checks}

    def known(self) -> list[Baseline]:
        """The baselines that are there already."""
        return [*self._known.values()]

    async def of(self, check: Check, once: bool = False) -> Baseline:
        """The baseline of one check, which need not be among those of `ensure`."""
        if check.command not in self._known:
            self._known[check.command] = await self._measure(check, once or check.source == "--check")
        return self._known[check.command]

    async def _measure(self, check: Check, once: bool) -> Baseline:
        first = await self._runs.get(check, self.tree, "baseline")
        if first.result in ("unknown", "absent"):
            return Baseline(check, first, None, unrunnable(first))
        if once:
            return Baseline(check, first, None)
        if first.run.seconds > self._slow:
            return Baseline(check, first, None, f"ran once ({first.run.seconds:.0f} s): flaky tests are not known")
        return Baseline(check, first, await self._runs.get(check, self.tree, "baseline", nth=1))


def unrunnable(done: Execution) -> str:
    """Why an execution says nothing about the code, in one line."""
    if done.result == "absent":
        return "found no tests"
    if done.run.timed_out:
        return f"did not end within {done.check.timeout:g} s"
    last = done.run.tail.splitlines()[-1] if done.run.tail else ""
    return f"could not run (exit {done.run.exit_code}): {last[:160]}".rstrip(": ")
