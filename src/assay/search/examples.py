"""Examples in docstrings as checks: where nothing else is red, and as a guard of what worked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from assay.core.check import Check
from assay.core.errors import WorkspaceError
from assay.repair.locate import is_test_path
from assay.run.run import Run
from assay.verify.baseline import Baseline
from assay.verify.discover import runnable

EXAMPLES = "python -m pytest -q --doctest-modules {path}"
PLAIN = "python -m doctest {path}"
MOST = 6
"""Files whose examples are run."""
LEFT_OUT = 20
"""Examples that fail before, in a file whose others guard all the same."""
LIMIT = 120.0
"""Seconds."""


async def red_examples(run: Run, tree: str, sources: Mapping[str, str]) -> Baseline | None:
    """Red examples become a check of the project for this turn: they are in its own files, and were before."""
    paths = _with_examples(run.state.prompt, sources)[:MOST]
    found = [check for path in paths for check in (_by_pytest(path), _plain(path))]
    ledger = (await run.proof.gate(tree, run.state.prompt)).ledger
    green = ""
    for check in await runnable(run.parts.workspace, found) if found else ():
        if check.source == green:
            continue
        baseline = await ledger.of(check)
        if baseline.result == "fail":
            await run.proof.add(tree, check)
            return baseline
        green = check.source if baseline.result == "pass" else green
    return None


async def guard_examples(run: Run, start: str, paths: Iterable[str]) -> None:
    """Let the examples in the files `paths` that pass on the tree `start` gate like tests of the project. What is tried
    until the tests are green may spoil what they don't look at, and examples often do."""
    known = {check.source for check in await run.proof.discover(start)}
    ledger = (await run.proof.gate(start, run.state.prompt)).ledger
    for path in [path for path in dict.fromkeys(paths) if _suits(path) and path not in known][:MOST]:
        try:
            text = (await run.parts.workspace.read_at(start, path) or b"").decode()
        except (WorkspaceError, UnicodeDecodeError):
            continue
        if ">>> " not in text:
            continue
        for check in await runnable(run.parts.workspace, [_by_pytest(path), _plain(path)]):
            baseline = await ledger.of(check)
            failing = [*baseline.failing, *baseline.flaky]
            if baseline.passing and 0 < len(failing) <= LEFT_OUT:
                # Examples that never were right are nobody's task.
                check = _by_pytest(path, failing)
                baseline = await ledger.of(check)
            if baseline.result == "pass":
                await run.proof.add(start, check)
                break


def _by_pytest(path: str, without: Iterable[str] = ()) -> Check:
    line = "".join([EXAMPLES.format(path=path), *(f" --deselect {shlex.quote(name)}" for name in without)])
    return Check("examples", line, "test", "pytest", path, LIMIT)


def _plain(path: str) -> Check:
    return Check("examples", PLAIN.format(path=path), "test", "", path, LIMIT)


def _suits(path: str) -> bool:
    return path.endswith(".py") and not is_test_path(path) and re.fullmatch(r"[\w./+][\w./+-]*", path) is not None


def _with_examples(task: str, sources: Mapping[str, str]) -> list[str]:
    """Files with examples, those named in the task, or with a function named there, first; none that is not named when
    there are many."""
    found = [path for path, text in sources.items() if ">>> " in text and _suits(path)]
    words = set(re.findall(r"\w+", task))

    def named(path: str) -> bool:
        defined = set(re.findall(r"^\s*(?:def|class) (\w+)", sources[path], re.MULTILINE))
        return path in task or path.rpartition("/")[2] in task or bool(defined & words)

    chosen = [path for path in found if named(path)]
    return chosen or (found if len(found) <= MOST else [])
