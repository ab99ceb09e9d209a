"""Written checks at work: what they say of a turn's candidates, and which of them stay beside the one that is taken."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from assay.core.errors import WorkspaceError
from assay.core.events import ContextAdded, CriteriaDeclared, Noticed
from assay.repair.mutate.change import Place
from assay.repair.mutate.rank import mutations
from assay.run.run import Run
from assay.search.candidate import Candidate
from assay.search.clusters import clusters
from assay.search.tied import changes_of
from assay.search.written import MUTANTS, Earned, Written, earn, kills
from assay.search.written_run import Tester, criterion_of
from assay.sessions.fold import History

OWNER = "written"
SPREAD = 8
"""Of the mutants, every which one is tried: neighbours in the ranking are alike."""


class Votes:
    """The checks written for one turn, which begins at the tree `start`; the tester sees what the session's records up
    to number `shared` show, and no later work."""

    def __init__(self, run: Run, start: str, shared: int) -> None:
        self._run = run
        self._start = start
        history = History()
        for record in run.store.records():
            if record.number <= shared:
                history.apply(record)
        self._tester = Tester(run, start, history.messages())
        self._checks: list[Written] = []
        self._earned: list[Earned] = []
        self.dropped: dict[str, str] = {}
        """Path of a check without a vote -> why."""

    async def write(self, count: int) -> None:
        self._checks = await self._tester.write(count)

    async def cast(self, pool: Sequence[Candidate]) -> list[Candidate]:
        """`pool` with what the checks say that have a vote (`Vector.written`). Asked anew with each wave: new
        candidates may contradict what had a vote before."""
        if not self._checks:
            return [*pool]
        fit = [one for one in pool if one.vector.applies and all(one.vector.kept.values()) and not one.protected]
        alike = {number: str(group[0]) for group in clusters(fit) for number in group}
        trees = {one.number: one.tree for one in fit}
        self._earned, self.dropped = await earn(self._checks, self._start, trees, alike, self._tester.ran)
        said = {
            one.number: {each.check.path: each.votes[one.number] for each in self._earned if one.number in each.votes}
            for one in pool
        }
        return [replace(one, vector=replace(one.vector, written=said[one.number])) for one in pool]

    async def kept(self, chosen: Candidate) -> list[Written]:
        """The checks that speak for `chosen` and can tell it from a change much like it."""
        speaking = [each.check for each in self._earned if each.votes.get(chosen.number)]
        if not speaking:
            return []
        near = await self._mutants(chosen.tree)
        found: list[Written] = []
        for check in speaking:
            # Where nothing can be changed a little (other languages), having failed before the change is all there is.
            if not near or await kills(check, near, self._tester.ran):
                found.append(check)
            else:
                self.dropped[check.path] = "it would not notice small changes to the result"
        return found

    async def plant(self, checks: Sequence[Written]) -> None:
        """Put `checks` beside the work in the session's files, and tell the conversation."""
        run, placed = self._run, list[Written]()
        for check in checks:
            try:
                run.workspace.write_file(check.path, check.text.encode("utf-8", "replace"), None)
            except WorkspaceError as error:
                run.record(Noticed(f"the written check {check.path} can't be kept: {error}"))
                continue
            placed.append(check)
        if placed:
            names = ", ".join(check.path for check in placed)
            run.record(CriteriaDeclared((*run.state.criteria, *(criterion_of(check) for check in placed))))
            run.record(ContextAdded(OWNER, f"Tests that were written from the task alone were added: {names}.", names))

    async def _mutants(self, tree: str) -> list[str]:
        """Trees like `tree` but for a small change to a function that it changed."""
        run = self._run
        sources: dict[str, str] = {}
        places: list[Place] = []
        for path, (text, found) in (await changes_of(run, self._start, tree)).items():
            if found:
                sources[path] = text
                places += [Place(path, each.start, each.end, each.symbol, 1.0) for each in found]
        trees: list[str] = []
        for nth, patch in enumerate(mutations(sources, places, MUTANTS * SPREAD)):
            if nth % SPREAD == 0:
                try:
                    trees.append(await self._with(tree, patch.apply(sources)))
                except WorkspaceError:
                    break
        return trees

    async def _with(self, tree: str, files: dict[str, str]) -> str:
        async with self._run.workspace.copy(tree) as copy:
            for path, text in files.items():
                copy.write_file(path, text.encode("utf-8", "replace"), copy.read_file(path).stamp)
            return await copy.snapshot()
