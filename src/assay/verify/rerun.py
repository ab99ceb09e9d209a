"""The acceptance re-run: existing checks on a clean copy of the final tree with protected paths as they were."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, structs

from assay.core.check import Check
from assay.core.workspace import Workspace
from assay.verify.baseline import SLOW, Baseline, Ledger, Runs
from assay.verify.compare import Comparison, compare
from assay.verify.protect import Division
from assay.verify.runners import Execution


class Trees(Struct, frozen=True):
    """The trees that checks run on. Most often `parity` and `accepted` are the final tree itself."""

    start: str
    final: str
    parity: str
    """Final, with every test and setting as at the start: what existed must still pass here."""
    accepted: str
    """Final, with protected paths as at the start but new tests kept: user checks and new tests run here."""
    tried: str
    """Start, plus the new tests alone: here a new test must fail."""


async def compose_trees(
    workspace: Workspace, start: str, final: str, division: Division, hidden: Iterable[str]
) -> Trees:
    """`hidden` are added files that no check may see (they would take the place of the runner)."""
    hidden = [*hidden]
    kept_out = [*division.violations, *hidden]
    arriving = [path for path in (*division.new_tests, *division.new_settings) if path not in hidden]

    async def composed(tree: str, paths: list[str], source: str) -> str:
        return await workspace.compose(tree, sorted(set(paths)), source) if paths else tree

    return Trees(
        start=start,
        final=final,
        parity=await composed(final, [*division.parity, *hidden], start),
        accepted=await composed(final, kept_out, start),
        tried=await composed(start, [*arriving, *division.leave], final),
    )


class Parity(Struct, frozen=True):
    comparison: Comparison
    execution: Execution
    unsteady: tuple[str, ...] = ()
    """What failed once and passed when tried again on the same tree."""


async def rerun(runs: Runs, ledger: Ledger, check: Check, trees: Trees, division: Division) -> Parity:
    """Run a project's check again and compare identities with its baseline. What is broken is tried once more."""
    before = await ledger.of(check)
    after = await runs.get(check, trees.parity, "final")
    allowed = excused(before, division.leave)
    found = compare(before, after, allowed)
    if set(found.broken) == {check.name} and after.run.tests and trees.accepted != trees.parity:
        # Only the command as a whole is red, a coverage threshold perhaps, which counts the new tests too.
        whole = await runs.get(check, trees.accepted, "final")
        if whole.run.passed:
            return Parity(structs.replace(found, broken={}, after="pass"), whole)
    if not found.broken or after.run.seconds > SLOW:
        return Parity(found, after)
    again = await runs.get(check, trees.parity, "final", nth=1)
    steady = {name: why for name, why in compare(before, again, allowed).broken.items() if name in found.broken}
    unsteady = tuple(name for name in found.broken if name not in steady)
    result = again.result if not steady else found.after
    return Parity(structs.replace(found, broken=steady, after=result), after if steady else again, unsteady)


def excused(before: Baseline, leave: Iterable[str]) -> frozenset[str]:
    """Identities of the tests in files that the user allowed to be changed."""
    paths = [*leave]
    return frozenset(test for test in before.tests if any(belongs(test, path) for path in paths))


def belongs(test: str, path: str) -> bool:
    """Whether a test's identity names the file `path`, as a node id or as a dotted module."""
    if test == path or test.startswith(f"{path}::"):
        return True
    stem = path.rsplit("/", 1)[-1].removesuffix(".py")
    return path.endswith(".py") and "::" not in test and f".{stem}." in f".{test}."
