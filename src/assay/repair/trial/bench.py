"""The host's side of the driver: one command in the copy for each batch, and a plain way where none can be."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path

from msgspec import DecodeError, Struct, json
from msgspec.structs import replace

from assay.core.check import Check
from assay.core.errors import WorkspaceError
from assay.core.workspace import Command, CommandResult, Workspace
from assay.repair.patch import Patch
from assay.repair.trial.command import Driven, driven
from assay.repair.trial.words import Answer, Call, Status, Step, Traced, Tried, Want

MODULES = ("pool", "changing", "keeping", "observing", "runners", "tracing", "trying", "main")
"""Parts of the driver, each after those that it needs."""
JOB_PREFIX = ".trial-"
"""How the name of the file begins in which a job lies in the copy until the driver has read it."""
OUTPUT = 16_000_000
START = 30.0
"""Seconds of wall clock that are granted beyond the budget of processor time."""
RESTARTS = 4
MOST_PASSING = 400
"""Tests that passed before and are tried again; the done gate runs all."""
LARGEST_LAYOUT = 1_000_000
LONGEST_CALL = 6_000
"""Characters of the arguments of one call."""

BOOT = """\
import os, sys
known, path = sorted(sys.modules), sys.path[:]
# Nothing of the project may stand in for a module that the driver needs.
standard = os.path.dirname(os.__file__) + os.sep
sys.path[:] = [each for each in path if (each + os.sep).startswith(standard)]
import json, types
with open(sys.argv[1], encoding="utf-8") as file:
    job = json.load(file)
os.unlink(sys.argv[1])
sys.argv[1:] = []
package = sys.modules["_trial"] = types.ModuleType("_trial")
package.__path__ = []
for name, text in job.pop("driver"):
    module = sys.modules["_trial." + name] = types.ModuleType("_trial." + name)
    setattr(package, name, module)
    exec(compile(text, "<trial " + name + ">", "exec"), module.__dict__)
sys.path[:] = path
job["known"] = known
package.main.main(job)
"""
LAUNCH = """\
file=$1; boot=$2; shift 2
if [ "$1" = script ]; then
  program=$(command -v "$2") || exit 126
  IFS= read -r line < "$program" || exit 126
  case $line in '#!'*python*) shift 2; set -- ${line#??} "$@";; *) exit 126;; esac
else shift; fi
exec "$@" -B -c "$boot" "$file"
"""


class _Row(Struct):
    """A line of the driver; each kind fills its own part."""

    index: int = -1
    status: Status = "red"
    passed: list[str] = []
    failing: dict[str, str] = {}
    behaviour: dict[str, str] = {}
    seconds: float = 0.0
    why: str = ""
    test: str | None = None
    result: str = ""
    took: float = 0.0
    steps: list[tuple[int, dict[str, list[int]]]] = []
    broken: int | None = None
    symbol: list[str] = []
    calls: list[str] = []
    number: int = -1
    call: str = ""
    digest: str = ""
    text: str = ""
    trouble: str = ""
    began: list[int] | None = None
    end: float | None = None


class Bench:
    """Tries repairs in `copy`, a scratch workspace whose files are those of the start, and stay so.

    `failing` and `passing` are identities of tests as the check's runner reports them, both empty for a check without
    identities. What the check's command line runs decides how: one call of Python is driven from within, anything else
    is run as it stands for each candidate, with the files written. Raises `WorkspaceError` when the copy is no good.
    """

    def __init__(self, copy: Workspace, check: Check, failing: Sequence[str], passing: Sequence[str]) -> None:
        self.copy = copy
        self.check = check
        self.failing = tuple(failing)
        self.passing = tuple(passing)[:MOST_PASSING]
        self.seconds = 0.0
        """Processor seconds used so far, wall clock for commands that are not driven."""
        self._driven = driven(check.command)
        self._took: dict[str, float] = {}
        self._layout: bool | None = None
        self._tree = ""

    @property
    def fast(self) -> bool:
        """Candidates are tried within one process; thousands are no trouble."""
        return self._driven is not None

    @property
    def named(self) -> frozenset[str]:
        """Files that the check's command names, and files of tests: what judges must not be changed to please it."""
        words = re.findall(r"[\w./-]+", self.check.command)
        modules = [f"{word.replace('.', '/')}.py" for word in words if "/" not in word]
        tests = [test.split("::")[0] for test in (*self.failing, *self.passing)]
        dotted = [f"{'/'.join(test.split('.')[:n])}.py" for test in tests for n in range(1, test.count(".") + 1)]
        return frozenset(
            word.removeprefix("./") for word in (*words, *modules, *tests, *dotted) if word.endswith(".py")
        )

    def slow_down(self) -> None:
        """Run the command itself for each candidate from now on."""
        self._driven = None

    async def trace(self, paths: Sequence[str], want: Want = Want(seconds=10.0, each_seconds=3.0)) -> Traced:  # noqa: B008 - frozen
        """What the failing tests run in the files `paths`, and then as many of those that pass as there is time for."""
        if self._driven is None:
            return Traced(trouble="the check is no single call of Python")
        rows = await self._run("trace", want, [], paths)
        traced = _traced(rows, self.seconds, frozenset(paths))
        if traced.trouble:
            self._driven = None
        # What can't pass in here, whatever is changed, is left to the done gate.
        self.passing = tuple(test for test in self.passing if test not in traced.failed)
        # Being watched takes about five times as long.
        self._took.update({test: seconds / 5 for test, seconds in traced.took.items()})
        return traced

    async def try_(self, patches: Sequence[Patch], want: Want = Want()) -> list[Tried]:  # noqa: B008 - frozen
        """Those of `patches` that were tried before `want` was met, in the order in which they ended."""
        if self._driven is None:
            return await self._by_command(patches, want)
        found: dict[int, Tried] = {}
        left: list[int] = [*range(len(patches))]
        until = self.seconds + want.seconds
        for _ in range(RESTARTS):
            plausible = sum(tried.status == "plausible" for tried in found.values())
            if not left or plausible >= want.plausible or self.seconds >= until:
                break
            asked = replace(want, seconds=until - self.seconds, plausible=want.plausible - plausible)
            rows = await self._run("try", asked, [patches[n] for n in left])
            if any(row.trouble for row in rows) or not any(row.began for row in rows):
                self._driven = None
                return [*found.values(), *await self._by_command([patches[n] for n in left], asked)]
            for row in rows:
                if 0 <= row.index < len(left):
                    found[left[row.index]] = _tried(row, left[row.index])
            if any(row.end is not None for row in rows):
                break
            # The driver was ended from within: whoever was at work is under suspicion, the rest gets another one.
            left = [n for n in left if n not in found]
            for n in left[:2]:
                found[n] = Tried(n, "invalid", failing={"": "ended the driver"})
            left = left[2:]
        return [*found.values()]

    async def observe(
        self, patches: Sequence[Patch], calls: Sequence[Call], seconds: float = 10.0
    ) -> list[dict[str, Answer]]:
        """For no change at all, and then for each patch: call -> its result, its exception, what it made of its
        arguments and what it printed. Calls that were not reached are missing."""
        found: list[dict[str, Answer]] = [{} for _ in range(len(patches) + 1)]
        if self._driven is None or not calls:
            return found
        want = Want(seconds=seconds, calls=tuple(calls))
        for row in await self._run("observe", want, [Patch(()), *patches]):
            if 0 <= row.number < len(found):
                found[row.number][row.call] = Answer(row.digest, row.text)
        return found

    async def _run(self, mode: str, want: Want, patches: Sequence[Patch], paths: Sequence[str] = ()) -> list[_Row]:
        import os
        import secrets

        assert self._driven is not None
        mark = secrets.token_hex(16)
        name = JOB_PREFIX + secrets.token_hex(8)
        # A program is one test, whatever tests it may start.
        named = self._driven.kind in ("pytest", "unittest")
        if self._layout is None:
            self._layout = _source_layout(self.copy)
        job = {
            **_settings(self._driven),
            "driver": [(name, _part(name)) for name in MODULES],
            "mark": mark,
            "mode": mode,
            "failing": self.failing if named else (),
            "passing": self.passing if named else (),
            "took": self._took,
            "candidates": [[(e.path, e.start, e.end, e.text) for e in patch.edits] for patch in patches],
            "paths": list(paths),
            "source_layout": self._layout,
            "workers": 2 if (os.cpu_count() or 1) > 1 else 1,
            "want": {
                "seconds": want.seconds,
                "plausible": want.plausible,
                "each_seconds": want.each_seconds,
                "further": want.further,
                "calls": [(call.path, call.symbol, call.arguments, call.key) for call in want.calls],
            },
        }
        async with self._kept():
            stamp = self.copy.write_file(name, json.encode(job), None)
            result = await self.copy.run(_launch(self._driven, name, want.seconds * 2 + START))
            # Where no driver was started it is still there, and may be a file that the project ignores.
            with suppress(WorkspaceError):
                self.copy.delete_file(name, stamp)
        rows = _rows(result, mark)
        self.seconds += next((row.end for row in rows if row.end is not None), result.seconds)
        return rows

    @asynccontextmanager
    async def _kept(self) -> AsyncGenerator[None]:
        """What runs may spoil files; afterwards they are as they were."""
        if not self._tree:
            self._tree = await self.copy.snapshot()
        try:
            yield
        finally:
            if await self.copy.snapshot() != self._tree:
                await self.copy.restore(self._tree)

    async def _by_command(self, patches: Sequence[Patch], want: Want) -> list[Tried]:
        found: list[Tried] = []
        begun = self.seconds
        for n, patch in enumerate(patches):
            plausible = sum(tried.status == "plausible" for tried in found)
            if plausible >= want.plausible or self.seconds - begun >= want.seconds:
                break
            found.append(await self._written(n, patch, max(want.each_seconds * 10, 10.0)))
        return found

    async def _written(self, index: int, patch: Patch, patience: float) -> Tried:
        """One candidate, by its files and the command itself."""
        began = time.monotonic()
        async with self._kept():
            try:
                self._write(patch)
            except (WorkspaceError, UnicodeDecodeError, KeyError) as error:
                return Tried(index, "invalid", failing={"": str(error)[:200]})
            limit = min(self.check.timeout, patience)
            done = await self.copy.run(Command(("/bin/sh", "-c", self.check.command), timeout=limit))
        seconds = time.monotonic() - began
        self.seconds += seconds
        if done.exit_code == 0:
            return Tried(index, "plausible", ("",), seconds=seconds)
        lines = [line for line in done.output.splitlines() if line.strip()]
        status: Status = "slow" if done.timed_out else "red"
        return Tried(index, status, failing={"": lines[-1].strip()[:300] if lines else "red"}, seconds=seconds)

    def _write(self, patch: Patch) -> None:
        before = {edit.path: self.copy.read_file(edit.path) for edit in patch.edits}
        texts = {path: content.data.decode("utf-8-sig") for path, content in before.items()}
        for path, text in patch.apply(texts).items():
            mark = b"\xef\xbb\xbf" if before[path].data.startswith(b"\xef\xbb\xbf") else b""
            self.copy.write_file(path, mark + text.encode(), before[path].stamp)


@cache
def _part(name: str) -> str:
    return Path(__file__).with_name("driver").joinpath(f"{name}.py").read_text("utf-8")


def _settings(call: Driven) -> Mapping[str, object]:
    return {
        "kind": call.kind,
        "target": call.target,
        "arguments": call.arguments,
        "folder": call.folder,
        "script_program": call.script_program,
    }


def _launch(call: Driven, job: str, timeout: float) -> Command:
    program = ("script" if call.script_program else "python", call.program, *call.options)
    env = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_COLOR": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        # Sets must be walked alike in all children, or answers could not be compared.
        "PYTHONHASHSEED": "0",
        **call.env,
    }
    return Command(("/bin/sh", "-c", LAUNCH, "trial", job, BOOT, *program), env=env, timeout=timeout, limit=OUTPUT)


def _source_layout(copy: Workspace) -> bool:
    """A Python project whose packages lie under `src`, as the done gate sees it."""
    for name in ("pyproject.toml", "setup.cfg", "setup.py"):
        try:
            if b"src" in copy.read_file(name, LARGEST_LAYOUT).data:
                return True
        except WorkspaceError:
            continue
    return False


def _rows(result: CommandResult, mark: str) -> list[_Row]:
    found: list[_Row] = []
    for line in result.output.splitlines():
        if line.startswith(mark):
            try:
                found.append(json.decode(line[len(mark) :], type=_Row))
            except DecodeError:
                continue
    return found


def _tried(row: _Row, index: int) -> Tried:
    failing = row.failing or ({"": row.why} if row.why else {})
    return Tried(index, row.status, tuple(row.passed), failing, row.seconds, row.behaviour)


def _traced(rows: Sequence[_Row], seconds: float, paths: Collection[str]) -> Traced:
    """What the driver said of the files `paths`, and of no others: tests could have said it in its place."""
    if not any(row.began for row in rows):
        return Traced(trouble="the driver could not be started", seconds=seconds)
    if trouble := next((row.trouble for row in rows if row.trouble), ""):
        return Traced(trouble=trouble, seconds=seconds)
    if not any(row.test is not None for row in rows):
        return Traced(trouble="no test could be watched", seconds=seconds)
    coverage: dict[str, dict[str, tuple[int, ...]]] = {}
    steps: dict[str, tuple[Step, ...]] = {}
    failed: dict[str, str] = {}
    took: dict[str, float] = {}
    calls: dict[str, dict[str, Call]] = {}
    for row in rows:
        if row.test is not None:
            bad = row.result in ("fail", "error", "late")
            last = len(row.steps) - 1 if row.broken is None else row.broken
            steps[row.test] = tuple(
                Step(line, bad and n == last, {path: tuple(lines) for path, lines in seen.items() if path in paths})
                for n, (line, seen) in enumerate(row.steps)
            )
            coverage[row.test] = _joined(steps[row.test])
            if row.result != "late":
                took[row.test] = row.took
            if bad:
                failed[row.test] = row.why
        if len(row.symbol) == 2 and row.symbol[0] in paths:
            path, symbol = row.symbol
            made = calls.setdefault(f"{path}:{symbol}", {})
            made.update({text: Call(path, symbol, text) for text in row.calls if len(text) <= LONGEST_CALL})
    every = {symbol: tuple(made.values()) for symbol, made in calls.items()}
    return Traced(coverage, steps, failed, every, took, seconds)


def _joined(steps: Sequence[Step]) -> dict[str, tuple[int, ...]]:
    found: dict[str, set[int]] = {}
    for step in steps:
        for path, lines in step.lines.items():
            found.setdefault(path, set()).update(lines)
    return {path: tuple(sorted(lines)) for path, lines in found.items()}
