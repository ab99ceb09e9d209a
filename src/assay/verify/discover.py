"""Which commands tell whether this project works. Reads a few files; runs nothing but one probe for interpreters."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Sequence

from msgspec import structs

from assay.core.check import Check, CheckKind
from assay.core.errors import WorkspaceError
from assay.core.workspace import Command, Workspace
from assay.verify.ecosystems import compiled_checks, make_checks, node_checks, python_checks

VENVS = (".venv/bin/python", "venv/bin/python", "env/bin/python")
FAMILIES = {
    "pytest": "python", "unittest": "python", "tox": "python", "nox": "python",
    "jest": "node", "vitest": "node", "node": "node", "cargo": "rust", "go": "go", "ctest": "cmake",
}  # fmt: skip
LAUNCHERS = r"(?:(?:uv|poetry|pdm|hatch|pipenv|rye) run (?:-\S+ )*|npx |pnpm exec |yarn exec )?"
LINES: tuple[tuple[CheckKind, str], ...] = (
    ("test", rf"{LAUNCHERS}(?:python3? -m )?(?:pytest|unittest|nose2)\b"),
    ("test", rf"{LAUNCHERS}(?:tox|nox|jest|vitest)\b"),
    (
        "test",
        r"make (?:test|tests|check)\b|just test\b|(?:hatch|pdm|rye) test\b|python3? (?:manage|runtests)\.py test\b",
    ),
    ("test", r"(?:npm|pnpm|yarn|bun)(?: run)? test\b|cargo (?:nextest run|test)\b|go test\b|ctest\b|node --test\b"),
    ("test", r"(?:mvn|\./mvnw)(?: -\S+)* (?:test|verify)\b|(?:gradle|\./gradlew)(?: -\S+)* (?:test|check)\b"),
    (
        "lint",
        rf"{LAUNCHERS}(?:ruff check|flake8|eslint)\b|make lint\b|(?:npm|pnpm|yarn|bun) (?:run )?lint\b|cargo clippy\b",
    ),
    ("type", rf"{LAUNCHERS}(?:python3? -m )?(?:mypy|pyright|tsc)\b|make (?:typecheck|types)\b"),
    ("build", r"cargo (?:build|check)\b|go (?:build|vet)\b|(?:npm|pnpm|yarn|bun) run build\b"),
)


async def discover(workspace: Workspace, instructions: str = "") -> list[Check]:
    """The checks of a project, the primary one of each ecosystem first; `gating` tells which should gate.

    `instructions` is the text of AGENTS.md or CLAUDE.md: what they name for the whole suite goes before what the files
    suggest, if its program is there. An empty list means that nothing executable was found.
    """
    return await runnable(workspace, candidates(workspace, await workspace.list_files(100_000), instructions))


def candidates(workspace: Workspace, files: Sequence[str], instructions: str = "") -> list[Check]:
    """What the files and the instructions suggest, in order. A few files are read and nothing is run, so whether a
    command's program is there, and which Python it should be, is not known yet: `runnable` finds out."""

    def read(path: str) -> str:
        try:
            return workspace.read_file(path, 500_000).data.decode("utf-8", "replace")
        except WorkspaceError:
            return ""

    found = [
        *python_checks(files, read),
        *node_checks(files, read),
        *compiled_checks(files, read),
        *make_checks(files, read),
    ]
    named = named_checks(instructions)
    whole = [check for check in named if not re.search(r"::|\.(?:py|[jt]sx?|go|rs)\b|\s-k\s", check.command)]
    return [*whole, *found, *(check for check in named if check not in whole)]


async def runnable(workspace: Workspace, checks: Sequence[Check]) -> list[Check]:
    """Those of `candidates` whose program is there, with the interpreter chosen; one quick command asks for both."""
    probe = await _probe(workspace, checks)
    known: dict[str, Check] = {}
    for check in checks:
        if check.source != "instructions" or _program(check.command) in probe.programs or _is_python(check.command):
            ready = probe.interpreted(check)
            known.setdefault(ready.command, ready)
    return [*known.values()]


def gating(checks: Sequence[Check]) -> list[Check]:
    """The checks whose results decide: the first test check of each ecosystem; `make test` and the like only when there
    is no other, because it runs the same tests again; builds, types and lint only when there is no test at all."""
    tests: dict[str, Check] = {}
    for check in checks:
        if check.kind == "test":
            tests.setdefault(family(check), check)
    if len(tests) > 1:
        tests.pop("make", None)
    return [*tests.values()] or [check for check in checks if check.kind != "custom"]


def family(check: Check) -> str:
    """The ecosystem whose tests a check runs."""
    if check.runner in FAMILIES:
        return FAMILIES[check.runner]
    program = _program(check.command)
    if program in ("make", "just"):
        return "make"
    if program in ("npm", "npx", "pnpm", "yarn", "bun"):
        return "node"
    return {"tox": "python", "nox": "python", "hatch": "python", "pdm": "python", "rye": "python"}.get(
        program, "python" if _is_python(check.command) else "jvm" if re.search(r"mvn|gradle", program) else program
    )


def named_checks(instructions: str) -> list[Check]:
    """Lines of an instructions file that look like a check: in fenced blocks, after `$ `, or in inline code."""
    if not instructions:
        return []
    from assay.verify.runners import runner_of  # not on the way to the first request of most projects

    fenced = re.findall(r"^\s*```[^\n]*\n(.*?)^\s*```", instructions, re.M | re.S)
    rest = re.sub(r"^\s*```.*?^\s*```", "", instructions, flags=re.M | re.S)
    lines = [line for block in fenced for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", rest)
    found: dict[str, Check] = {}
    for raw in lines:
        line = re.sub(r"\s+#.*$", "", raw.strip().removeprefix("$ ")).strip()
        bare = re.sub(r"^(?:cd [\w./-]+ && )?(?:[A-Z_][A-Z0-9_]*=\S+ )*", "", line)
        kind: CheckKind | None = next((word for word, pattern in LINES if re.match(pattern, bare)), None)
        if kind is None or len(line) > 200 or re.search(r"[;|<>`]|\$\(|\.\.\.(?!\S)|path/to|…", line):
            continue
        runner = runner_of(line) or next(
            (name for name in ("tox", "nox") if re.match(rf"{LAUNCHERS}{name}\b", bare)), ""
        )
        found.setdefault(line, Check(line, line, kind, runner if kind == "test" else "", "instructions"))
    return [*found.values()]


class Probe:
    """What one look at the machine told: which programs exist, and which interpreters."""

    def __init__(self, programs: frozenset[str], plain: str, testing: str) -> None:
        self.programs = programs
        self.plain = plain
        """The project's interpreter."""
        self.testing = testing
        """The first interpreter that can import pytest."""

    def interpreted(self, check: Check) -> Check:
        """`check` with a leading `python` or `pytest` made the chosen interpreter."""
        python = self.testing if check.runner == "pytest" else self.plain
        command = re.sub(
            r"^((?:cd \S+ && )?(?:[A-Z_][A-Z0-9_]*=\S+ )*)(?:python3?(?= )|(pytest|mypy)(?=\s|$))",
            lambda match: match[1] + shlex.quote(python) + (f" -m {match[2]}" if match[2] else ""),
            check.command,
        )
        name = command if check.name == check.command else check.name
        return structs.replace(check, command=command, name=name)


async def _probe(workspace: Workspace, checks: Iterable[Check]) -> Probe:
    """Ask once. The order is the project's own environment, the user's Python, and at last the one that runs us."""
    wanted = [*checks]
    if not any(_is_python(check.command) or check.source == "instructions" for check in wanted):
        return Probe(frozenset(), "python3", "python3")
    candidates = [*VENVS, "python3", "python", sys.executable]
    programs = sorted({_program(check.command) for check in wanted if check.source == "instructions"})
    test = "import importlib.util as u, sys; sys.exit(u.find_spec('pytest') is None)"
    script = (
        f'for p in {shlex.join(candidates)}; do command -v "$p" >/dev/null 2>&1 || continue; echo "python $p"; '
        f'"$p" -c {shlex.quote(test)} >/dev/null 2>&1 && echo "pytest $p" && break; done; '
        f'for p in {shlex.join(programs) or "sh"}; do command -v "$p" >/dev/null 2>&1 && echo "program $p"; done; true'
    )
    try:
        result = await workspace.run(Command(("/bin/sh", "-c", script), timeout=20.0))
        rows = [line.split(" ", 1) for line in result.output.splitlines() if " " in line]
    except WorkspaceError:
        rows = list[list[str]]()
    plain = next((value for key, value in rows if key == "python"), sys.executable)
    testing = next((value for key, value in rows if key == "pytest"), plain)
    return Probe(frozenset(value for key, value in rows if key == "program"), plain, testing)


def _program(command: str) -> str:
    words = re.sub(r"^(?:cd \S+ && )?(?:[A-Z_][A-Z0-9_]*=\S+ )*", "", command).split()
    return words[0] if words else ""


def _is_python(command: str) -> bool:
    return bool(re.match(r"(?:.*/)?(?:python[\d.]*|pytest|mypy)$", _program(command).strip("'\"")))
