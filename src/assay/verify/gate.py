"""The done gate: what the harness says about a final tree (contract, sections 3 and 4).

| seen on the final tree | row | outcome |
| --- | --- | --- |
| nothing changed, no user check | | answered |
| nothing changed, user checks green / red | A | answered / failed |
| a user check is not green (or a test it ran before is gone) | A, after fail | failed |
| a test that passed in both baseline runs is not reported passed twice now | D, after fail | failed |
| a new test, or the check of a criterion that is not the model's own, is red | D, after fail | failed |
| the check of a criterion that the model wrote down is red | D, after fail | unmet: at most partial |
| a user check is green | A | every opaque criterion covered |
| project test failed in the baseline, passes with tests as at the start | B | the same |
| new test fails on start tree + new tests alone, as stated, and passes now | C | the same |
| new test passes on the start tree too | D | covers nothing |
| a criterion's plain command is green, was red | D | weak: that criterion stays uncovered |
| a criterion's check was green and is green | D | kept: covered if something else is proved |
| checks were green and are green | D | weak |
| the same tests were red and are red | D, after fail | not counted, told; weak if the prompt asks for them |
| protected path changed without leave, a test passed only at the second try | | at most partial |
| a detector speaks, or a call that a test makes is wrong outside it, or right only there | | at most partial |
| an ignored file that test runs load was changed, or makes a failing test pass by itself | | at most partial |
| every criterion covered | A B C | verified |
| some row green | | partial |
| nothing executable speaks for it | | unverified |
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import PurePosixPath

from msgspec import Struct

from assay.core.check import Check, Criterion, DiffStat, OutcomeName, Verdict
from assay.core.workspace import Change, Workspace
from assay.verify.baseline import Ledger, Observe, Runs
from assay.verify.detect import detect, telling
from assay.verify.discover import discover, gating
from assay.verify.evidence import STRONG, TASK, Court, Findings, listed
from assay.verify.findings import Finding
from assay.verify.ignored import altered
from assay.verify.probe import probe
from assay.verify.protect import Division, divide, judges, leave_from_prompt, matching
from assay.verify.rerun import compose_trees
from assay.verify.runners import check_of

Permit = Callable[[str], Awaitable[bool]]
MISSING_LIMIT = 1050
"""Characters of `Verdict.missing`: about 300 tokens."""
HIDING = ("hook", "autoload", "shadow")
PROSE = (".md", ".rst", ".txt", ".adoc", ".svg", ".png", ".jpg")


class Task(Struct, frozen=True):
    """What the user said and allowed."""

    prompt: str = ""
    checks: tuple[str, ...] = ()
    """Shell lines of `--check`."""
    grants: tuple[str, ...] = ()
    """Patterns of protected paths that settings allow to be changed."""
    guarded: tuple[str, ...] = ()
    """Patterns of further paths that settings protect."""
    since: float = 0.0
    """When the start tree was taken, in seconds since the epoch; 0: when the gate is made."""


class DoneGate:
    """Judges final trees against one start tree.

    `checks` are the project's checks that gate (`discover.gating`). `observe` hears of every execution. `permit` is
    asked before a command that a model declared is run; without it such commands run like any other, confined.
    """

    def __init__(
        self,
        workspace: Workspace,
        start: str,
        checks: Sequence[Check],
        task: Task = Task(),  # noqa: B008  (frozen)
        observe: Observe | None = None,
        permit: Permit | None = None,
    ) -> None:
        self.workspace = workspace
        self.start = start
        self.task = task
        self.since = task.since or time.time()
        self.runs = Runs(workspace, observe)
        self._checks = tuple(check for check in checks if check.command not in task.checks)
        self._permit = permit
        self.ledger = Ledger(self.runs, start, (*self._checks, *(check_of(line, "--check") for line in task.checks)))
        """Its `ensure` may be started early, in the background."""

    def add(self, check: Check) -> None:
        """Let `check` gate like the others; what was executed stays known."""
        if check.command not in self.task.checks:
            self._checks = (*self._checks, check)
            self.ledger.checks = (*self.ledger.checks, check)

    async def judge(self, final: str, criteria: Sequence[Criterion] = ()) -> Verdict:
        """The verdict on `final`. Asking twice about one tree costs nothing: executions are remembered."""
        changes = await self.workspace.changes(self.start, final) if final != self.start else []
        if not changes:
            return await self._unchanged(final, criteria)
        paths = [change.path for change in changes]
        leave = leave_from_prompt(self.task.prompt, paths) | matching(paths, self.task.grants)
        guarded = matching(paths, self.task.guarded) | await judges(self.workspace, self.start, self.task.checks)
        division = await divide(self.workspace, self.start, final, changes, leave, guarded)
        suspects = await detect(self.workspace, self.start, final, changes)
        added = {change.path for change in changes if change.kind == "added"}
        hidden = {suspect.path for suspect in suspects if suspect.rule in HIDING and suspect.path in added}
        trees = await compose_trees(self.workspace, self.start, final, division, hidden)
        court = Court(self.runs, self.ledger, trees, division, await self._added_text(final, division))
        beside = await altered(self.workspace.root, self.since, await self.workspace.list_files(1_000_000))
        court.beside = bool(beside.loaded or beside.others)
        await self._gather(court, criteria)
        suspects = telling(suspects, division)
        for check in self._checks:
            if tests := court.found.mended.get(check.command):
                suspects += await probe(self.workspace, check, trees, tests)
        suspects += [Finding(path, 0, "ignored", why) for path, why in [*beside.loaded.items()][:5]]
        return self._verdict(final, criteria, court, changes, suspects)

    async def _unchanged(self, final: str, criteria: Sequence[Criterion]) -> Verdict:
        trees = await compose_trees(self.workspace, self.start, final, Division(), ())
        court = Court(self.runs, self.ledger, trees, Division(), "")
        for command in self.task.checks:
            await court.user_check(command)
        found = court.found
        outcome: OutcomeName = "failed" if found.red else "answered"
        why = found.red[0] if found.red else "nothing was changed"
        return Verdict(
            outcome,
            why,
            tuple(criteria),
            tuple(found.rows),
            final,
            missing=told(found.red),
        )

    async def _gather(self, court: Court, criteria: Sequence[Criterion]) -> None:
        await court.ahead(self._checks, self.task.checks)
        for command in self.task.checks:
            text = next((c.text for c in criteria if c.check.strip() == command), "")
            await court.user_check(command, text)
        for check in self._checks:
            await court.project_check(check)
        primary = await self._primary(court.division)
        if court.division.new_tests and primary is not None:
            await court.new_tests(primary, criteria)
        for criterion in criteria:
            known = (*self.task.checks, *(check.command for check in self._checks))
            if not criterion.check.strip() or criterion.check.strip() in known:
                continue
            if criterion.owner == "model" and self._permit is not None and not await self._permit(criterion.check):
                court.found.unchecked.append(f"not permitted to run: `{criterion.check}`")
                continue
            await court.criterion_check(criterion, primary)

    async def _primary(self, division: Division) -> Check | None:
        """The check that runs new tests: one of the gate's, or one that only the final tree has."""
        tests = [check for check in self._checks if check.kind == "test"]
        if not tests and division.new_tests:
            tests = [check for check in gating(await discover(self.workspace)) if check.kind == "test"]
        python = any(path.endswith(".py") for path in division.new_tests)
        preferred = [check for check in tests if check.runner in ("pytest", "unittest")] if python else []
        return next(iter([*preferred, *tests]), None)

    async def _added_text(self, final: str, division: Division) -> str:
        """The source files that changed, and their names, for names that a new test misses on the start tree."""
        texts = [" ".join(PurePosixPath(path).with_suffix("").parts) for path in division.sources]
        for path in division.sources[:50]:
            data = await self.workspace.read_at(final, path)
            texts.append((data or b"")[:200_000].decode("utf-8", "replace"))
        return "\n".join(texts)

    def _verdict(
        self,
        final: str,
        criteria: Sequence[Criterion],
        court: Court,
        changes: Sequence[Change],
        suspects: Sequence[Finding],
    ) -> Verdict:
        found, division = court.found, court.division
        declared = tuple(criteria) or (Criterion(TASK, owner="user"),)
        asked = [] if self.task.checks else asked_for(self.task.prompt, [*found.still])
        open_criteria = [c.text for c in declared if not covered(c, found, bool(asked))]
        limits = [*found.weak, *(str(suspect) for suspect in suspects)]
        if division.violations:
            limits.insert(0, f"protected paths were changed: {listed(division.violations)}; put them back as they were")
        if asked:
            limits.append(f"asked for, and still failing: {reasons(asked, found)}")
        elif limits and found.still and not found.strong:
            limits.append(f"failing before and now, with the tests as they were: {reasons([*found.still], found)}")
        outcome, why = conclude(found, limits, open_criteria)
        lines = [*found.red, *limits]
        if not lines and open_criteria and self._provable(division):
            lines.append(f"no test failed before and passes now, so nothing shows: {listed(open_criteria)}. {HINT}")
        return Verdict(
            outcome=outcome,
            why=why,
            criteria=declared,
            evidence=tuple(found.rows),
            tree=final,
            diff=DiffStat(
                files=len(changes),
                added=sum(max(change.added, 0) for change in changes),
                removed=sum(max(change.removed, 0) for change in changes),
                protected=division.violations,
            ),
            unchecked=tuple(dict.fromkeys([*found.unchecked, *limits])),
            missing="" if outcome == "verified" else told(lines),
        )

    def _provable(self, division: Division) -> bool:
        """A test could show it: the project has tests and more than prose was changed."""
        runnable = any(check.kind == "test" for check in self._checks)
        return runnable and any(not path.lower().endswith(PROSE) for path in division.sources)


HINT = "Add a test that fails on the old code and passes on the new."


def conclude(found: Findings, limits: Sequence[str], open_criteria: Sequence[str]) -> tuple[OutcomeName, str]:
    if found.red:
        return "failed", found.red[0]
    if not open_criteria and not limits:
        return "verified", "every criterion has evidence and nothing regressed"
    if found.steady or any(row.after == "pass" for row in found.rows):
        return "partial", limits[0] if limits else f"only weak evidence for: {listed(open_criteria)}"
    return "unverified", limits[0] if limits else "nothing executable speaks for the change"


def covered(criterion: Criterion, found: Findings, asked: bool) -> bool:
    """A criterion with a check needs its own strong row, or to be kept; an opaque one any strong row."""
    own = [row for row in found.rows if row.criterion == criterion.text or row.command == criterion.check.strip() != ""]
    if any(row.cls in STRONG and row.after == "pass" for row in own):
        return not (asked and not criterion.check)
    if not found.strong or asked:
        return False
    kept = any(row.before == "pass" == row.after for row in own)
    return not criterion.check.strip() or criterion.text in found.kept or kept


def reasons(tests: Sequence[str], found: Findings) -> str:
    return listed([f"{test}: {found.still[test]}".rstrip(": ") for test in tests])


ALL_TESTS = re.compile(
    r"\b(?:failing|broken|red|all)\b[^.\n]{0,20}\btests?\b|\b(?:fix|repair|mend)\b[^.\n]{0,20}\btests?\b"
    r"|\btests?\b[^.\n]{0,20}\b(?:pass|passes|green|fail|fails|failing|red|broken)\b",
    re.I,
)


def asked_for(prompt: str, still: Sequence[str]) -> list[str]:
    """Failing tests that the prompt asks to see pass: those it names, or all when it speaks of the tests in general."""
    if ALL_TESTS.search(prompt):
        return list(still)
    named: list[str] = []
    for test in still:
        parts = [part.split("[")[0] for part in re.split(r"::|/|\.(?!py\b)", test)]
        if any(
            len(part) > 4 and re.search(rf"(?<!\w){re.escape(part)}(?!\w)", prompt) for part in parts if part != "tests"
        ):
            named.append(test)
    return named


def told(lines: Sequence[str]) -> str:
    """What to tell the model, bounded."""
    if not lines:
        return ""
    text = "Not done yet; the checks say:"
    for number, line in enumerate(lines):
        row = f"\n- {line if len(line) <= 400 else line[:399] + '…'}"
        if len(text) + len(row) > MISSING_LIMIT - 20:
            return f"{text}\n- … {len(lines) - number} more"
        text += row
    return text
