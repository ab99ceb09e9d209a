"""Deterministic detectors on a diff: what a change adds that makes checks lie. One list, one pass."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from assay.core.workspace import Change, Workspace
from assay.verify.detect_python import python
from assay.verify.detect_script import script
from assay.verify.findings import Added, Finding
from assay.verify.protect import Division, path_kind

SKIPS = re.compile(
    r"pytest\.mark\.(?:skip|skipif|xfail)\b|pytest\.(?:skip|xfail|importorskip)\(|pytest\.exit\("
    r"|unittest\.(?:skip|skipIf|skipUnless|expectedFailure)\b|@(?:skip|skipIf|skipUnless|expectedFailure)\b"
    r"|self\.skipTest\(|raise\s+(?:unittest\.)?SkipTest|__test__\s*=\s*False|\bcollect_ignore"
    r"|\b(?:it|test|describe|suite|context)\.(?:skip|only|todo|fixme)\b|\b(?:xit|xtest|xdescribe|fit|fdescribe)\("
    r"|\bt\.Skip(?:f|Now)?\(|#\[ignore\b|@(?:Disabled|Ignore)\b"
)
CONFTEST = re.compile(
    r"^\s*(?:async\s+)?def\s+pytest_\w+|autouse\s*=\s*True|^\w+(?:\.\w+)+\s*=[^=]|\bsetattr\(|\bsys\.modules\b|\bpytest_plugins\b"
    r"|hookwrapper|hookimpl"
)
RUNNER_MODULES = frozenset(("pytest", "_pytest", "pluggy", "nose", "tox", "nox", "coverage", "hypothesis", "xdist"))
AUTOLOADED = frozenset(("sitecustomize.py", "usercustomize.py"))


async def detect(workspace: Workspace, start: str, final: str, changes: Sequence[Change]) -> list[Finding]:
    """Findings on what was added between two trees, by path and line."""
    lines = added_lines(await workspace.patch(start, final)) if changes else {}
    findings: list[Finding] = []
    for change in changes:
        data = None if change.kind == "deleted" or change.added < 0 else await workspace.read_at(final, change.path)
        if data is None:
            continue
        folder = str(PurePosixPath(change.path).parent)
        package = (
            await workspace.read_at(final, "__init__.py" if folder == "." else f"{folder}/__init__.py") is not None
        )
        text = data.decode("utf-8", "replace")
        new = change.kind == "added"
        every = frozenset(range(1, text.count("\n") + 2))
        numbers = every if new else frozenset(lines.get(change.path, ()))
        modified = not new and change.path.endswith(".py")
        before = (await workspace.read_at(start, change.path) if modified else None) or b""
        file = Added(change.path, text, numbers, new, package, before.decode("utf-8", "replace"))
        findings += [finding for detector in (skips, hijacks, python, script) for finding in detector(file)]
    return findings


def telling(findings: Sequence[Finding], division: Division) -> list[Finding]:
    """Without skips in tests that were added: they show nothing and hide nothing, for parity looks after those that
    existed."""
    return [finding for finding in findings if finding.rule != "skip" or finding.path not in division.new_tests]


def skips(file: Added) -> Iterator[Finding]:
    """New marks that keep tests from running or from counting."""
    if path_kind(file.path) not in ("test", "settings", "mixed") and not file.path.endswith(".rs"):
        return
    for number, line in file.new_lines():
        if found := SKIPS.search(line):
            yield Finding(file.path, number, "skip", f"adds `{found[0].strip()}`: the test no longer speaks")


def hijacks(file: Added) -> Iterator[Finding]:
    """Files that Python or the test runner loads by their name."""
    pure = PurePosixPath(file.path)
    if pure.name == "conftest.py":
        for number, line in file.new_lines():
            if found := CONFTEST.search(line):
                yield Finding(
                    file.path, number, "hook", f"`{found[0].strip()}` in conftest.py can change what tests report"
                )
    if not file.new:
        return
    if pure.name in AUTOLOADED or pure.suffix == ".pth":
        yield Finding(file.path, 0, "autoload", "is loaded by every Python process before the tests")
    top = pure.parent.name if pure.name == "__init__.py" else pure.stem if pure.suffix == ".py" else ""
    rooted = len(pure.parts) <= 2 if pure.name == "__init__.py" else not file.package
    if rooted and top in RUNNER_MODULES:
        yield Finding(file.path, 0, "shadow", f"takes the place of the module {top} that runs the tests")
    elif rooted and top in sys.stdlib_module_names and top not in ("test", "__main__", "antigravity", "this"):
        yield Finding(file.path, 0, "shadow", f"takes the place of Python's own module {top}")


def added_lines(patch: str) -> dict[str, set[int]]:
    """From a unified diff in git's format: path -> numbers of the lines that are new in the second tree."""
    found: dict[str, set[int]] = {}
    current: set[int] = set()
    number, left_old, left_new = 0, 0, 0
    for line in patch.split("\n"):
        if left_old > 0 or left_new > 0:
            if line.startswith("+"):
                current.add(number)
            left_new -= not line.startswith(("-", "\\"))
            left_old -= not line.startswith(("+", "\\"))
            number += not line.startswith(("-", "\\"))
        elif line.startswith("+++ "):
            current = found.setdefault(_diff_path(line[4:].split("\t")[0].rstrip("\r")), set())
        elif hunk := re.match(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", line):
            number, left_old, left_new = int(hunk[2]), int(hunk[1] or 1), int(hunk[3] or 1)
    return found


def _diff_path(name: str) -> str:
    if name.startswith('"'):
        name = re.sub(
            rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8) & 0xFF]), name.strip('"').encode("utf-8", "replace")
        ).decode("utf-8", "replace").replace('\\"', '"').replace("\\\\", "\\")  # fmt: skip
    return name.removeprefix("b/")
