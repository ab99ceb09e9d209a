"""`assay check` alone: discover a project's checks, run them on a clean copy, and say what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from assay.core.check import Check, Result
from assay.core.workspace import Workspace
from assay.verify.baseline import Baseline, Ledger, Observe, Runs
from assay.verify.discover import discover, gating
from assay.verify.runners import check_of
from assay.verify.table import MARKS, columns


class Line(Struct, frozen=True):
    check: Check
    result: Result
    seconds: float
    counts: dict[str, int]
    """How many tests passed, failed, were skipped or ended in an error."""
    flaky: tuple[str, ...]
    failing: tuple[str, ...]
    note: str
    tail: str


class Survey(Struct, frozen=True):
    tree: str
    lines: tuple[Line, ...]
    others: tuple[Check, ...]
    """Found, but not run: they repeat what was run, or tell less."""

    @property
    def result(self) -> Result:
        """`absent` when there is nothing to run, `fail` if anything is red, `unknown` if something could not run."""
        results = [line.result for line in self.lines]
        for word in ("fail", "flaky", "unknown"):
            if word in results:
                return word
        return "pass" if "pass" in results else "absent"


async def survey(
    workspace: Workspace,
    instructions: str = "",
    commands: Sequence[str] = (),
    twice: bool = False,
    observe: Observe | None = None,
) -> Survey:
    """Run the checks that gate (or only `commands`, when given) on a clean copy of the present files, once or, to find
    flaky tests, `twice`."""
    found = [check_of(command, "--check") for command in commands] or await discover(workspace, instructions)
    chosen = found if commands else gating(found)
    tree = await workspace.snapshot()
    runs = Runs(workspace, observe)
    ledger = Ledger(runs, tree, chosen)
    lines = [_line(await ledger.of(check, once=not twice)) for check in chosen]
    return Survey(tree, tuple(lines), tuple(check for check in found if check not in chosen))


def _line(baseline: Baseline) -> Line:
    run = baseline.first.run
    return Line(
        check=baseline.check,
        result=baseline.result,
        seconds=run.seconds,
        counts=dict(Counter(run.tests.values())),
        flaky=tuple(sorted(baseline.flaky)),
        failing=tuple(baseline.failing),
        note=baseline.note,
        tail=run.tail,
    )


def survey_table(found: Survey, width: int = 100) -> list[str]:
    """What `assay check` prints: a line a check, then the names of what fails or wavers, then what was not run."""
    if not found.lines:
        return ["No checks found: no tests, build or lint configuration that is known. Name one with --check CMD."]
    body = [
        [line.check.name, line.check.command, line.check.kind, MARKS[line.result], _counts(line), f"{line.seconds:.1f}"]
        for line in found.lines
    ]
    lines = columns(["check", "command", "kind", "result", "tests", "seconds"], body, width, flexible=(0, 1))
    for line in found.lines:
        lines += [f"  fails: {test}" for test in line.failing[:10]]
        lines += [f"  … and {len(line.failing) - 10} more"] if len(line.failing) > 10 else []
        lines += [f"  flaky: {test}" for test in line.flaky[:10]]
        lines += [f"  {line.check.name}: {line.note}"] if line.note else []
    if found.others:
        lines.append(f"not run: {', '.join(check.name for check in found.others)}")
    return lines


def _counts(line: Line) -> str:
    return ", ".join(f"{number} {word}" for word, number in sorted(line.counts.items())) or "-"
