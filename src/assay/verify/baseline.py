"""What was true before anything was changed: every check run twice on a clean copy of the start tree."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal, TypeVar

from assay.core.check import Check, CheckRun, Result
from assay.core.workspace import Workspace
from assay.verify.reports import TestResult
from assay.verify.runners import Execution, run_clean

Phase = Literal["baseline", "attempt", "final"]
T = TypeVar("T")
Observe = Callable[[CheckRun, Phase], None]
SLOW = 60.0
"""Seconds: a check that took longer is not run a second time for the baseline, and this is said."""


MOST_LANES = 3
"""Executions at once: what a change needs at first is a check before it, the same again, and after it."""


class Runs:
    """Executions of checks on clean copies, remembered by tree and command; several at once where there are processors
    for it and each has a network and processes of its own.

    `observe` hears of every execution that really happened, in the order in which they were asked for.
    """

    def __init__(self, workspace: Workspace, observe: Observe | None = None, lanes: int = 0) -> None:
        """`lanes`: how many at once; 0 for what this machine is good for."""
        self.workspace = workspace
        self._observe = observe
        self._known: dict[_Key, Execution] = {}
        self._asked: dict[_Key, asyncio.Lock] = {}
        self._untold: dict[_Key, tuple[CheckRun, Phase] | None] = {}
        """Executions that nobody has heard of, in the order of asking; None while one is under way."""
        self._lanes = asyncio.Semaphore(lanes or (min(processors(), MOST_LANES) if workspace.confined else 1))

    async def get(self, check: Check, tree: str, phase: Phase, nth: int = 0) -> Execution:
        """The `nth` execution of `check` on `tree`; different numbers are independent executions."""
        key = (tree, check.command, nth)
        # A lock for each: whoever asks second waits for the first, and goes on in its place when that is cancelled.
        async with self._asked.setdefault(key, asyncio.Lock()):
            if key not in self._known:
                self._untold[key] = None
                try:
                    async with self._lanes:
                        self._known[key] = done = await run_clean(self.workspace, check, tree)
                    self._untold[key] = done.run, phase
                finally:
                    if self._untold[key] is None:
                        del self._untold[key]
                    self._tell()
            return self._known[key]

    def _tell(self) -> None:
        while self._untold:
            key, said = next(iter(self._untold.items()))
            if said is None:
                return
            del self._untold[key]
            if self._observe is not None:
                self._observe(*said)

    async def both(self, check: Check, before: str, after: str) -> tuple[Execution, Execution]:
        """The executions on two trees: as baseline and as final."""
        first, second = await together(self.get(check, before, "baseline"), self.get(check, after, "final"))
        return first, second


_Key = tuple[str, str, int]
"""Tree, command, which of several executions."""


async def together(*works: Awaitable[T]) -> list[T]:
    """All of them at once, in order; when one raises, or whoever waits is cancelled, none goes on."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return [*await asyncio.gather(*tasks)]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
