"""Candidates under the failing check, in a scratch copy: many at a time within one process where the check can be
driven like that, else one by one. Nothing here is evidence; the done gate judges what passes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

from msgspec.structs import replace

from assay.core.errors import WorkspaceError
from assay.core.workspace import Workspace
from assay.repair.patch import Patch
from assay.repair.trial import Bench, Call, Want
from assay.search.effort import Dial
from assay.search.keep import put_all
from assay.search.located import to_mend
from assay.search.notice import stacked
from assay.search.slots_words import Fate
from assay.search.zero import Zero, search
from assay.verify.baseline import Baseline
from assay.verify.reports import TestResult
from assay.verify.runners import Execution, execute

PATIENCE = 5.0
"""How many times as long as before its change a check may take with a candidate, plus `GRACE` seconds."""
GRACE = 10.0
SECONDS = 60.0
"""Processor seconds for one batch of candidates."""


class Trial:
    """`copy` holds the files as they were at the start, and does so again after each call. `sources` are texts of those
    that candidates change; a file that is not there yet has the text ""."""

    def __init__(
        self,
        copy: Workspace,
        red: Baseline,
        sources: Mapping[str, str],
        bench: Bench | None,
        calls: Sequence[Call] = (),
    ) -> None:
        self._copy = copy
        self._red = red
        self._sources = sources
        self._bench = bench
        self._calls = tuple(calls)
        self._passing = frozenset(red.passing)
        self._wanted = to_mend(red, sources) if red.failing else ()
        self._tree = ""
        patience = red.first.run.seconds * PATIENCE + GRACE
        # A candidate gone into a loop is met soon.
        self._check = replace(red.check, timeout=min(red.check.timeout, patience))

    async def try_(self, patches: Sequence[Patch]) -> list[Fate]:
        """How each fared, in order."""
        known = all(self._sources[edit.path] for patch in patches for edit in patch.edits)
        if self._bench is None or not self._bench.fast or not known:
            return [await self._alone(patch) for patch in patches]
        want = Want(SECONDS, plausible=len(patches), each_seconds=2.0, calls=self._calls)
        tried = {one.index: one for one in await self._bench.try_(patches, want)}
        found: list[Fate] = []
        for index in range(len(patches)):
            one = tried.get(index)
            if one is None:
                found.append(Fate("slow", "there was no time to try it"))
                continue
            note = next((reason for reason in one.failing.values() if reason), "")
            found.append(Fate(one.status, note.split("\n")[0][:160], one.passed, one.failing, one.behaviour))
        return found

    async def _alone(self, patch: Patch) -> Fate:
        """With the files written and the command itself."""
        try:
            async with self._written(patch):
                return self._fate(await execute(self._copy, self._check, "candidate"))
        except WorkspaceError as error:
            return Fate("invalid", f"could not be tried: {error}")

    async def near(self, patch: Patch, dial: Dial, task: str) -> Zero:
        """Small changes of the files as a red candidate leaves them, found without a model; each survivor's patch is
        one to the files as they were at the start. Nothing when the candidate can't be tried."""
        try:
            async with self._written(patch) as texts:
                red = Baseline(self._check, await execute(self._copy, self._check, "candidate"), None)
                if red.result != "fail":
                    return Zero()
                zero = await search(self._copy, red, {**self._sources, **texts}, (), dial, task)
        except WorkspaceError:
            return Zero()
        both = [replace(one, patch=stacked(self._sources, patch, one.patch)) for one in zero.survivors]
        return replace(zero, survivors=tuple(both))

    @asynccontextmanager
    async def _written(self, patch: Patch) -> AsyncGenerator[dict[str, str]]:
        """The candidate's files in the copy for a while, path -> text; the command may leave others behind. Raises
        `WorkspaceError`."""
        self._tree = self._tree or await self._copy.snapshot()
        texts = patch.apply(self._sources)
        try:
            put_all(self._copy, texts)
            yield texts
        finally:
            await self._copy.restore(self._tree)

    def _fate(self, done: Execution) -> Fate:
        red, now = self._red, done.run.tests
        passed = tuple(test for test, result in now.items() if result == "pass" and test not in self._passing)
        if done.run.passed:
            return Fate("plausible", "", passed)
        if done.run.timed_out:
            return Fate("slow", f"did not end within {self._check.timeout:.0f} s")
        reasons = {test: reason.split("\n")[0][:160] for test, reason in done.report.reasons.items() if reason.strip()}
        kept = all(now.get(test) == "pass" for test in self._passing)
        # A project's own check may be red for other reasons too, that had no names before.
        if red.check.source != "--check" and kept and self._wanted and all(_passes(test, now) for test in self._wanted):
            return Fate("plausible", "", passed)
        note = next(iter(reasons.values()), "") or (done.run.tail.splitlines()[-1:] or ["red"])[0][:160]
        return Fate("red", note, passed if kept else (), reasons)


def _passes(test: str, now: Mapping[str, TestResult]) -> bool:
    """A file that could not be collected before is so many tests now."""
    inside = [result for name, result in now.items() if name.startswith(f"{test}::")]
    return now.get(test) == "pass" or (bool(inside) and all(result in ("pass", "skip") for result in inside))
