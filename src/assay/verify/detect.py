"""Deterministic detectors on a diff: what a change adds that makes checks lie. One list, one pass."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from msgspec import Struct

from assay.core.workspace import Change, Workspace
from assay.verify.protect import path_kind


class Finding(Struct, frozen=True):
    path: str
    line: int
    """1-based; 0 for the file as such."""
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}" if self.line else f"{self.path}: {self.text}"


class Added(Struct, frozen=True):
    """A changed file of the final tree with the numbers of the lines that the change added."""

    path: str
    text: str
    lines: frozenset[int]
    new: bool
    package: bool
    """It lies in a Python package, so that its name hides nothing at top level."""

    def new_lines(self) -> Iterator[tuple[int, str]]:
        for number, line in enumerate(self.text.splitlines(), 1):
            if number in self.lines:
                yield number, line


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
ENTRY_FILES = re.compile(r"__main__\.py|cli\.py|main\.py|manage\.py|setup\.py|noxfile\.py|.*_cli\.py|app\.py")
ENTRY_DIRS = frozenset(("scripts", "bin", "tools", "examples", "bench", "benchmarks"))
ENTRY_FUNCTIONS = re.compile(r"_?(main|cli|run|entry|entrypoint|console)(_.*)?|.*_main|.*_cli")
EXITS = frozenset(("sys.exit", "os._exit", "os.abort", "os.kill", "exit", "quit", "atexit.register", "SystemExit"))
COMPARISONS = frozenset(("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__contains__"))
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
        file = Added(change.path, text, numbers, new, package)
        findings += [finding for detector in (skips, hijacks, syntax) for finding in detector(file)]
    return findings


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


def syntax(file: Added) -> Iterator[Finding]:
    """Exits outside entry points, and comparisons that always say yes, in added Python."""
    if not file.path.endswith(".py"):
        return
    try:
        yield from [*_walk(file, ast.parse(file.text), entry=_entry_file(file.path))]
    except (SyntaxError, ValueError):
        return
    except (RecursionError, MemoryError):
        yield Finding(file.path, 0, "deep", "is nested too deeply to be examined")


def _entry_file(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(ENTRY_FILES.fullmatch(pure.name)) or bool(ENTRY_DIRS.intersection(pure.parts[:-1]))


def _walk(file: Added, node: ast.AST, entry: bool) -> Iterator[Finding]:
    for child in ast.iter_child_nodes(node):
        inside = entry
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside = entry or bool(ENTRY_FUNCTIONS.fullmatch(child.name))
            if child.name in COMPARISONS and file.lines & set(range(child.lineno, (child.end_lineno or 0) + 1)):
                yield from _always(file, child)
        elif isinstance(child, ast.If) and "__name__" in ast.dump(child.test):
            inside = True
        elif isinstance(child, (ast.Assign, ast.Dict)) and child.lineno in file.lines:
            yield from _always_lambda(file, child)
        name = _exit_name(child)
        if name and getattr(child, "lineno", 0) in file.lines and (not inside or name == "os._exit"):
            yield Finding(file.path, getattr(child, "lineno", 0), "exit", f"{name} can end the test run early")
        yield from _walk(file, child, inside)


def _exit_name(node: ast.AST) -> str:
    """The dotted name of an exit that a call or a bare `raise SystemExit` uses."""
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func) if isinstance(node.func, (ast.Name, ast.Attribute)) else ""
    elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name):
        name = node.exc.id
    else:
        return ""
    return name if name in EXITS else ""


def _always(file: Added, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Finding]:
    returns = [part for part in ast.walk(function) if isinstance(part, ast.Return)]
    constant = [part for part in returns if isinstance(part.value, ast.Constant) and part.value.value is True]
    if returns and len(constant) == len(returns):
        yield Finding(file.path, function.lineno, "equal", f"{function.name} always says True")


def _always_lambda(file: Added, node: ast.Assign | ast.Dict) -> Iterator[Finding]:
    """The same without `def`: in a class body, put on a class, or in the namespace of one made by `type`."""
    if isinstance(node, ast.Assign):
        pairs = [(ast.unparse(target).rpartition(".")[2], node.value) for target in node.targets]
    else:
        keys = zip(node.keys, node.values, strict=True)
        pairs = [(str(key.value), value) for key, value in keys if isinstance(key, ast.Constant)]
    for name, value in pairs:
        body = value.body if isinstance(value, ast.Lambda) else None
        if name in COMPARISONS and isinstance(body, ast.Constant) and body.value is True:
            yield Finding(file.path, value.lineno, "equal", f"{name} always says True")


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
