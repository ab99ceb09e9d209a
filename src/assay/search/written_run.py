"""Written checks within a run: the tester's request, checks tried on trees, and the ones kept put beside the change."""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.check import Check, Criterion
from assay.core.errors import WorkspaceError
from assay.core.messages import Message
from assay.core.model import ModelRequest
from assay.run.run import Run
from assay.search.aside import ask_aside
from assay.search.written import Ran, Written, read_checks, request_checks
from assay.verify.baseline import Runs
from assay.verify.evidence import failure_of, narrow
from assay.verify.rerun import belongs
from assay.verify.runners import Execution


class Tester:
    """Writes checks for the task of a run that begins at the tree `start`, and tries them on trees. `seen` is all of
    the conversation that the tester may know."""

    def __init__(self, run: Run, start: str, seen: Sequence[Message]) -> None:
        self._run = run
        self._start = start
        self._seen = seen
        self._files: list[str] = []
        self._planted: dict[tuple[str, tuple[str, ...]], str] = {}
        self._tests: list[Check] | None = None

    async def write(self, count: int) -> list[Written]:
        """At most `count` checks; [] when the model has none to offer, can't be asked, or the budget has no room."""
        run = self._run
        self._files = await run.workspace.list_files(100_000)
        base = ModelRequest(
            run.options.system,
            run.tools.specs(run.state.loaded),
            self._seen,
            session=run.store.session,
            reasoning=run.options.reasoning,
        )
        request = request_checks(base, self._files, count)
        if request is None or count < 1:
            return []
        run.progress("check", "writing checks")
        said = await ask_aside(run, request, "tester", run.next_input())
        return read_checks(said.text, self._files, count) if said else []

    async def ran(self, tree: str, check: Written) -> Ran:
        """What `check` says about `tree`. Asking twice costs nothing."""
        try:
            planted = await self.planted(tree, [check])
            primary = await self._check_of(planted, check.path)
        except WorkspaceError as error:
            return Ran("none", str(error))
        if primary is None:
            return Ran("none", "nothing here runs tests")
        done = await (await self._runs()).get(narrow(primary, [check.path]), planted, "attempt")
        return read_run(done, check.path)

    async def planted(self, tree: str, checks: Sequence[Written]) -> str:
        """`tree` with the files of `checks`. Raises `WorkspaceError`."""
        key = (tree, tuple(check.path for check in checks))
        if key not in self._planted:
            async with self._run.workspace.copy(tree) as copy:
                for check in checks:
                    copy.write_file(check.path, check.text.encode("utf-8", "replace"), None)
                self._planted[key] = await copy.snapshot()
        return self._planted[key]

    async def _runs(self) -> Runs:
        return (await self._run.proof.gate(self._start, self._run.state.prompt)).runs

    async def _check_of(self, tree: str, path: str) -> Check | None:
        """What runs tests like the file `path` in a tree that has some: with several languages in a repository, the
        runner of the file's own."""
        if self._tests is None:
            self._tests = [check for check in await self._run.proof.discover_in(tree) if check.kind == "test"]
        python = path.endswith(".py")
        own = (check for check in self._tests if (check.runner in ("pytest", "unittest")) == python)
        return next(own, next(iter(self._tests), None))


def read_run(done: Execution, path: str) -> Ran:
    """An execution as the word of the test file `path`."""
    own = {test: result for test, result in done.run.tests.items() if belongs(test, path)}
    failing = [test for test, result in own.items() if result in ("fail", "error")]
    if failing:
        return Ran("fail", " | ".join(done.report.reasons.get(test, "") or test for test in failing)[:2_000])
    if own:
        passed = any(result == "pass" for result in own.values())
        return Ran("pass") if passed else Ran("none", "its tests were skipped")
    if done.run.passed:
        # Whole suites whose runner tells no identities: green says that this file is green, too.
        return Ran("none", "it was not run") if done.run.tests else Ran("pass")
    if done.result in ("unknown", "absent"):
        return Ran("none", failure_of(done))
    return Ran("fail", f"{failure_of(done)} | {done.run.tail}"[:2_000])


def criterion_of(check: Written) -> Criterion:
    """What a kept check shows, for the done gate."""
    return Criterion(f"what {check.path} tests", check.path, check.because, owner="model")
