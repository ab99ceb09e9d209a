"""Candidates under the failing check, in a scratch copy: many at a time within one process where the check can be
driven like that, else one by one. Nothing here is evidence; the done gate judges what passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from assay.core.errors import WorkspaceError
from assay.core.workspace import Workspace
from assay.repair.patch import Patch
from assay.repair.trial import Bench, Call, Want
from assay.search.keep import put_all
from assay.search.slots_words import Fate
from assay.verify.baseline import Baseline
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
        """With the files written and the command itself, which may leave other files behind."""
        try:
            self._tree = self._tree or await self._copy.snapshot()
            try:
                put_all(self._copy, patch.apply(self._sources))
                return self._fate(await execute(self._copy, self._check, "candidate"))
            finally:
                await self._copy.restore(self._tree)
        except WorkspaceError as error:
            return Fate("invalid", f"could not be tried: {error}")

    def _fate(self, done: Execution) -> Fate:
        red, now = self._red, done.run.tests
        passed = tuple(test for test, result in now.items() if result == "pass" and test not in self._passing)
        if done.run.passed:
            return Fate("plausible", "", passed)
        if done.run.timed_out:
            return Fate("slow", f"did not end within {self._check.timeout:.0f} s")
        reasons = {test: reason.split("\n")[0][:160] for test, reason in done.report.reasons.items() if reason.strip()}
        kept = all(now.get(test) == "pass" for test in self._passing)
        # A project's own check may be red for other reasons too: progress is what failed before and passes now.
        if red.check.source != "--check" and kept and any(now.get(test) == "pass" for test in red.failing):
            return Fate("plausible", "", passed)
        note = next(iter(reasons.values()), "") or (done.run.tail.splitlines()[-1:] or ["red"])[0][:160]
        return Fate("red", note, passed if kept else (), reasons)
