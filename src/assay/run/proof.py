"""The run's side of the evidence room: which checks there are, what is red now, and what the done gate says."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from assay.core.check import Check, CheckRun, Criterion, DiffStat, Verdict
from assay.core.errors import WorkspaceError
from assay.core.workspace import Workspace
from assay.verify.discover import candidates, gating, runnable

if TYPE_CHECKING:
    from assay.core.events import AttemptFinished, AttemptSelected
    from assay.verify.baseline import Phase
    from assay.verify.gate import DoneGate

Observe: TypeAlias = "Callable[[CheckRun, Phase], None]"


class Proof:
    """`checks` are the user's own (class A); `rules` the patterns of paths that settings release and protect;
    `instructions` the text of the instruction files, which may name further checks; `permit` speaks on a model's own
    commands."""

    def __init__(
        self,
        workspace: Workspace,
        checks: tuple[str, ...],
        rules: tuple[tuple[str, ...], tuple[str, ...]],
        instructions: str,
        observe: Observe,
        permit: Callable[[str], Awaitable[bool]],
    ):
        self._workspace = workspace
        self._user = checks
        self._grants, self._guarded = rules
        self._instructions = instructions
        self._observe = observe
        self._permit = permit
        self._listed: list[Check] | None = None
        self._found: list[Check] | None = None
        self._found_at = ""
        """The start tree for which the checks were found."""
        self._since = time.time()
        self._gate: tuple[str, str, DoneGate] | None = None

    @property
    def user_checks(self) -> tuple[str, ...]:
        return self._user

    def suggest(self, files: list[str]) -> list[Check]:
        """The user's checks, then what `files` suggest as the project's; nothing is run to find out."""
        self._listed = candidates(self._workspace, files, self._instructions)
        return [*self._own(), *gating(self._listed)]

    def _own(self) -> list[Check]:
        if not self._user:
            return []
        from assay.verify.runners import check_of

        return [check_of(line, "--check") for line in self._user]

    def framed(self, moment: float) -> None:
        """The start tree was taken at `moment` (seconds since the epoch), perhaps by an earlier process."""
        self._since = moment

    async def discover(self, start: str, untouched: bool = False) -> list[Check]:
        """The project's checks that gate, as the tree `start` says. A later turn starts from another tree and may have
        others. Whoever edits could plant some: unless the files are `untouched` since, a copy of `start` is asked."""
        if self._found is None or self._found_at != start:
            if untouched:
                self._found = await self._ask(self._workspace, self._listed if self._found is None else None)
            else:
                async with self._workspace.copy(start) as copy:
                    self._found = await self._ask(copy, None)
            self._found_at = start
        return self._found

    async def discover_in(self, tree: str) -> list[Check]:
        """The checks that gate, as another tree than that of the start has them."""
        async with self._workspace.copy(tree) as copy:
            return await self._ask(copy, None)

    async def add(self, start: str, check: Check) -> None:
        """Let `check`, which speaks of the tree `start`, gate like the project's own."""
        self._found = [*await self.discover(start), check]
        if self._gate is not None and self._gate[0] == start:
            self._gate[2].add(check)

    async def _ask(self, workspace: Workspace, listed: list[Check] | None) -> list[Check]:
        if listed is None:
            listed = candidates(workspace, await workspace.list_files(100_000), self._instructions)
        return gating(await runnable(workspace, listed))

    async def gate(self, start: str, prompt: str) -> DoneGate:
        """The done gate for one start tree; executions that it made are remembered."""
        from assay.verify.gate import DoneGate, Task  # not on the way to the first request

        if self._gate is None or self._gate[:2] != (start, prompt):
            task = Task(prompt, self._user, self._grants, self._guarded, self._since)
            checks = await self.discover(start)
            made = DoneGate(self._workspace, start, checks, task, self._observe, self._permit)
            self._gate = (start, prompt, made)
        return self._gate[2]

    async def red_now(self, start: str, prompt: str) -> list[CheckRun]:
        """The user's checks that fail on the start tree."""
        ledger = (await self.gate(start, prompt)).ledger
        runs = [(await ledger.of(check)).first.run for check in self._own()]
        return [run for run in runs if not run.passed]

    async def judge(self, start: str, final: str, criteria: Sequence[Criterion], prompt: str) -> Verdict:
        return await (await self.gate(start, prompt)).judge(final, criteria)

    async def write_receipt(
        self,
        verdict: Verdict,
        start: str,
        folder: str,
        attempts: Sequence[AttemptFinished] = (),
        selected: AttemptSelected | None = None,
    ) -> str:
        """Put the receipt of `verdict` into `folder`; its path, or "" when it cannot be written there."""
        if not folder:
            return ""
        from assay.verify.receipt import receipt_of, write_receipt

        path = Path(folder) / f"receipt-{verdict.tree[:12]}.json"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            receipt = await receipt_of(self._workspace, start, verdict, attempts, selected)
            path.write_bytes(write_receipt(receipt))
        except (OSError, WorkspaceError):
            # The evidence is in the log all the same; a receipt is the portable form of it.
            return ""
        return str(path)

    async def with_diff(self, verdict: Verdict, start: str) -> Verdict:
        """`verdict` with the tree as it is now and how far it is from `start`; no check is run."""
        final = await self._workspace.snapshot()
        changes = await self._workspace.changes(start, final) if final != start else []
        added = sum(max(change.added, 0) for change in changes)
        removed = sum(max(change.removed, 0) for change in changes)
        return replace(verdict, tree=final, diff=DiffStat(len(changes), added, removed))
