"""Rows of evidence: what each criterion, check and new test can show, and how strong it is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

from msgspec import structs

from assay.core.check import Check, Criterion, Evidence, EvidenceClass, Result
from assay.verify.baseline import Baseline, Ledger, Runs, together
from assay.verify.compare import compare
from assay.verify.protect import TEST_FILE, Division
from assay.verify.rerun import Parity, Trees, belongs, excused, rerun
from assay.verify.runners import Execution, check_of, first_words

STRONG = ("A", "B", "C")
TASK = "the task as asked"
DATA = (".json", ".txt", ".csv", ".md", ".rst", ".yaml", ".yml", ".toml", ".xml", ".html", ".bin", ".snap", ".png", "")
"""Suffixes of what lies beside tests and can't test anything by itself."""


class Findings:
    """What the checks showed about one final tree. Lines in the lists are for people and models as they stand."""

    def __init__(self) -> None:
        self.rows: list[Evidence] = []
        self.red: list[str] = []
        """Makes the outcome `failed`."""
        self.weak: list[str] = []
        """Keeps the outcome from `verified`, and the model could mend it."""
        self.unchecked: list[str] = []
        self.still: dict[str, str] = {}
        """Existing tests that failed before and fail now -> why, in one line."""
        self.steady = 0
        """How many existing tests passed before and pass now."""
        self.mended: dict[str, tuple[str, ...]] = {}
        """Checks -> the existing tests that failed before and pass now."""
        self.kept: set[str] = set()
        """Texts of criteria whose check passed before and passes now."""

    @property
    def strong(self) -> bool:
        return any(row.cls in STRONG and row.after == "pass" for row in self.rows)


class Court:
    """Gathers evidence for one final tree; every answer comes from `runs`, never from a model."""

    def __init__(self, runs: Runs, ledger: Ledger, trees: Trees, division: Division, added: str) -> None:
        self.runs = runs
        self.ledger = ledger
        self.trees = trees
        self.division = division
        self.added = added
        """The source text that the change added, for names that a new test may miss on the start tree."""
        self.found = Findings()
        self.beside = False
        """Files that no tree holds were changed since the start."""
        self._tried: tuple[Execution, Execution] | None = None
        """The run of the new tests, on the start tree and on the accepted one."""

    def row(
        self, criterion: str, cls: EvidenceClass, before: Result, after: Result, done: Execution, note: str = ""
    ) -> Evidence:
        run = done.run
        evidence = Evidence(
            criterion, done.check.command, cls, before, after, self.trees.final, run.log, round(run.seconds, 3), note
        )
        self.found.rows.append(evidence)
        return evidence

    async def ahead(self, checks: Sequence[Check], commands: Sequence[str]) -> None:
        """Run what the rows of the project's `checks` and of the user's `commands` will ask for, side by side."""
        wanted = [(check_of(command, "--check"), self.trees.accepted) for command in commands]
        wanted += [(check, self.trees.parity) for check in checks]
        await together(
            *(self.ledger.of(check, once=True) for check, _ in wanted[: len(commands)]),
            *(self.ledger.of(check) for check in checks),
            *(self.runs.get(check, tree, "final") for check, tree in wanted),
        )

    async def user_check(self, command: str, criterion: str = "") -> None:
        """Class A."""
        check = check_of(command, "--check")
        before = await self.ledger.of(check, once=True)
        after = await self.runs.get(check, self.trees.accepted, "final")
        broken = compare(before, after, excused(before, self.division.leave)).broken
        result: Result = "pass" if after.run.passed and not broken else "fail"
        kept = "green before the change too" if before.result == "pass" and self.trees.final != self.trees.start else ""
        note = kept if result == "pass" else listed([f"{test} {why}" for test, why in broken.items()])
        self.row(criterion or command, "A", before.result, result, after, note)
        if result == "fail":
            self.found.red.append(f"the check `{command}` fails: {note or failure_of(after)}")

    async def project_check(self, check: Check) -> None:
        """Class B when tests that failed before pass now, else D."""
        found = self.found
        before = await self.ledger.of(check)
        if before.note:
            found.unchecked.append(f"`{check.command}` before the change: {before.note}")
        if before.flaky:
            found.unchecked.append(f"flaky, left out: {listed(sorted(before.flaky))}")
        if before.result in ("unknown", "absent"):
            return
        if before.result == "flaky":
            found.unchecked.append(f"`{check.command}` is flaky as a whole, left out")
            return
        parity = await rerun(self.runs, self.ledger, check, self.trees, self.division)
        if self.beside and parity.comparison.fixed:
            parity = await self._caused(check, before, parity)
        self._weigh(check, before, parity)

    async def _caused(self, check: Check, before: Baseline, parity: Parity) -> Parity:
        """Causality: without the change to the tree the tests must fail again. That was seen before the change; where
        ignored files changed since, it is looked at once more."""
        again = await self.runs.get(check, self.trees.start, "final", nth=2)
        idle = compare(before, again).fixed
        if not idle:
            return parity
        self.found.weak.append(f"pass without the change too, by files that git ignores: {listed(idle)}")
        fixed = tuple(test for test in parity.comparison.fixed if test not in idle)
        return structs.replace(parity, comparison=structs.replace(parity.comparison, fixed=fixed))

    def _weigh(self, check: Check, before: Baseline, parity: Parity) -> None:
        found, comparison, done = self.found, parity.comparison, parity.execution
        if parity.unsteady:
            found.weak.append(f"passed only when tried again: {listed(parity.unsteady)}")
        found.red += [f"{test} passed before, {why}" for test, why in comparison.broken.items()]
        found.still |= {test: first_words(done.report.reasons.get(test, ""), 160) for test in comparison.still}
        found.steady += comparison.kept
        if comparison.still:
            found.unchecked.append(f"failed before and still fail: {listed(comparison.still)}")
        if comparison.broken:
            note = f"{len(comparison.broken)} regressed: {listed(list(comparison.broken))}"
            self.row(f"nothing that passed fails ({check.name})", "D", before.result, "fail", done, note)
        elif comparison.fixed and check.kind == "test":
            found.mended[check.command] = comparison.fixed
            self.row(TASK, "B", "fail", "pass", done, f"now pass: {listed(comparison.fixed)}")
        elif comparison.kept or done.run.passed:
            after: Result = "pass" if not comparison.still else "fail"
            note = f"{comparison.kept} tests pass as before" if comparison.kept else ""
            self.row(f"nothing that passed fails ({check.name})", "D", before.result, after, done, note)

    async def new_tests(self, check: Check, criteria: Sequence[Criterion]) -> None:
        """Class C for the tests that the change adds, D for those that the start tree passes as well."""
        paths = [path for path in self.division.new_tests if PurePosixPath(path).suffix not in DATA]
        if not paths:
            return
        narrowed = narrow(check, [path for path in paths if TEST_FILE.fullmatch(PurePosixPath(path).name)])
        before, after = await self.runs.both(narrowed, self.trees.tried, self.trees.accepted)
        known = await self.ledger.of(check)
        self._tried = (before, after)
        fresh = [test for test in after.run.tests if test not in known.tests and test not in known.flaky]
        if not after.run.tests:
            if before.result == "fail" and after.run.passed and known.result in ("pass", "absent"):
                self.row(TASK, "C", "fail", "pass", after, "fails on the unchanged tree with the new tests alone")
            return
        self.found.red += [
            f"the new test {test} fails: {first_words(after.report.reasons.get(test, ''))}"
            for test in fresh
            if test in after.failing
        ]
        passing = [test for test in fresh if after.run.tests[test] == "pass"]
        doubts = {test: self.doubt(test, before, expected(test, criteria)) for test in passing}
        proven = [test for test, doubt in doubts.items() if not doubt]
        if proven:
            self.row(TASK, "C", "fail", "pass", after, f"failed on the unchanged tree: {listed(proven)}")
        elif passing:
            why = listed(sorted(set(doubts.values())))
            self.row("the new tests pass", "D", before.result, "pass", after, why)
            told = f"the new tests prove nothing: {listed([f'{t} {d}' for t, d in doubts.items()])}"
            # Beside a test that failed and passes now, further ones are welcome as they are.
            (self.found.unchecked if self.found.strong else self.found.weak).append(told)

    def doubt(self, test: str, before: Execution, expect: str) -> str:
        """Why a new test that passes now proves nothing; empty when it failed on the unchanged tree as it should."""
        result = before.run.tests.get(test)
        if result == "pass":
            return "passes on the unchanged tree too"
        reason = before.report.reasons.get(test, "")
        if result != "fail":
            modules = [name for name in before.report.reasons if test.startswith((f"{name}::", f"{name}."))]
            reason = reason or "\n".join(before.report.reasons[name] for name in modules)
            if not reason:
                return "did not run on the unchanged tree"
        if expect:
            lost = [word for word in expect.casefold().split() if word not in reason.casefold()]
            return f"failed on the unchanged tree without the stated {lost[0]!r}: {first_words(reason)}" if lost else ""
        if result != "fail" and not self._misses_added_name(reason):
            return f"could not run on the unchanged tree: {first_words(reason)}"
        return ""

    def _misses_added_name(self, reason: str) -> bool:
        """The failure is about a name that the change adds."""
        found = re.findall(
            r"cannot import name '(\w+)'|No module named '([\w.]+)'|has no attribute '(\w+)'"
            r"|name '(\w+)' is not defined|fixture '(\w+)' not found",
            reason,
        )
        names = {name.rsplit(".", 1)[-1] for groups in found for name in groups if name}
        return any(re.search(rf"\b{re.escape(name)}\b", self.added) for name in names)

    async def criterion_check(self, criterion: Criterion, primary: Check | None) -> None:
        """Run the check that a criterion names: on the start tree with the new tests, and on the accepted tree."""
        found = self.found
        check = criterion_command(criterion.check, primary)
        before, after = self._within_new_tests(check) or await self.runs.both(
            check, self.trees.tried, self.trees.accepted
        )
        if after.result in ("unknown", "absent"):
            found.weak.append(f"the check of “{criterion.text}” could not run: `{check.command}` {failure_of(after)}")
            return
        flaky = {test for item in self.ledger.known() for test in item.flaky}
        failing = [test for test in after.failing if test not in flaky]
        if not after.run.passed and (failing or not after.failing):
            same = bool(failing) and all(before.run.tests.get(test) in ("fail", "error") for test in failing)
            self.row(criterion.text, "D", before.result, "fail", after, "the same tests as before fail" if same else "")
            told = f"the check of “{criterion.text}” fails: `{check.command}` {failure_of(after)}"
            # What a model wrote down for itself and did not reach is a criterion unmet; what broke shows elsewhere.
            (found.weak if criterion.owner == "model" else found.red).append(told)
            return
        cls, note = self._class_of(before, after, criterion, flaky)
        self.row(criterion.text, cls, before.result, "pass", after, note)
        if cls == "D" and before.result == "pass":
            found.kept.add(criterion.text)
        elif cls == "D":
            found.weak.append(f"“{criterion.text}” has weak evidence only: no test that existed or was added shows it")

    def _within_new_tests(self, check: Check) -> tuple[Execution, Execution] | None:
        """What the run of the new tests said about one of them, when that is all that `check` asks for."""
        base, _, test = check.command.rpartition(" ")
        if self._tried is None or base != pytest_base(check):
            return None
        parts = [part_of(done, check, test.strip("'")) for done in self._tried]
        return (parts[0], parts[1]) if parts[1].run.tests else None

    def _class_of(
        self, before: Execution, after: Execution, criterion: Criterion, flaky: set[str]
    ) -> tuple[EvidenceClass, str]:
        passing = [test for test, result in after.run.tests.items() if result == "pass" and test not in flaky]
        known = {test for item in self.ledger.known() for test in item.tests}
        fresh = [t for t in passing if t not in known and any(belongs(t, path) for path in self.division.new_tests)]
        fixed = [t for t in passing if t not in fresh and before.run.tests.get(t) in ("fail", "error")]
        if fixed:
            return "B", f"now pass: {listed(fixed)}"
        doubts = {test: self.doubt(test, before, criterion.expect) for test in fresh}
        proven = [test for test, doubt in doubts.items() if not doubt]
        if proven:
            return "C", f"failed on the unchanged tree: {listed(proven)}"
        return "D", listed([f"{test} {doubt}" for test, doubt in doubts.items()])


def expected(test: str, criteria: Sequence[Criterion]) -> str:
    """The words that the criterion which names this test says its failure must contain."""
    for criterion in criteria:
        parts = [part.strip("'\"") for part in criterion.check.split()]
        if criterion.expect and any(
            test == part or test.startswith((f"{part}::", f"{part}[", f"{part}.")) for part in parts if part
        ):
            return criterion.expect
    return ""


def part_of(done: Execution, check: Check, test: str) -> Execution:
    """An execution as if only `test` (a file, a class or a function by its node id) had been asked for; a module that
    could not be loaded stays."""
    tests = {
        name: result
        for name, result in done.run.tests.items()
        if name == test or name.startswith((f"{test}::", f"{test}[")) or test.startswith(f"{name}::")
    }
    passed = "pass" in tests.values() and not {"fail", "error"} & set(tests.values())
    return Execution(
        check, structs.replace(done.run, tests=tests, passed=passed), done.output, done.report, done.reported
    )


def narrow(check: Check, paths: Sequence[str]) -> Check:
    """The check restricted to some test files, where the runner can."""
    base = pytest_base(check)
    python = [path for path in paths if path.endswith(".py")]
    if not base or not python:
        return check
    command = f"{base} {' '.join(shlex.quote(path) for path in python)}"
    return structs.replace(check, name=command, command=command)


def pytest_base(check: Check) -> str:
    """The part of a plain pytest line up to the program, or nothing."""
    match = re.match(r"^[^|;&<>]*?(?:-m pytest|(?:^|/|\s)pytest)(?=\s|$)", check.command)
    return match[0] if match and check.runner == "pytest" else ""


def criterion_command(text: str, primary: Check | None) -> Check:
    """What a criterion names as its check: a shell line, or a test id for the project's pytest. A bare `pytest` or
    `python -m pytest` means the project's own."""
    base = pytest_base(primary) if primary is not None else ""
    line = text.strip()
    if base and re.fullmatch(r"[\w./-]+\.py(?:::\S.*)?", line):
        line = f"{base} {shlex.quote(line)}"
    elif base:
        line = re.sub(r"^(?:python3?\s+-m\s+)?(?:pytest|py\.test)(?=\s|$)", base.replace("\\", r"\\"), line)
    return check_of(line, "criterion")


def failure_of(done: Execution) -> str:
    """Why an execution is red, in one line."""
    if done.run.timed_out:
        return f"did not end within {done.check.timeout:g} s"
    if done.failing:
        return listed([f"{test}: {first_words(done.report.reasons.get(test, ''), 120)}" for test in done.failing])
    if done.run.exit_code == 0:
        return "ended without a test that passes" if done.reported else "ended without the runner's report"
    lines = done.run.tail.splitlines()[-3:]
    return f"exit {done.run.exit_code}: {' | '.join(line.strip() for line in lines)[-240:]}"


def listed(items: Sequence[str], limit: int = 4) -> str:
    """A bounded enumeration."""
    shown = ", ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
