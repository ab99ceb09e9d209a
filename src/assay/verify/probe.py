"""Whether what tests call is right outside the tests too, and right only there.

Where failing tests that now pass call a function with plain values, the same calls and neighbours of them are made in
processes of their own, on the tree of the start and on the final one, without any test runner. Only plain values come
back, and the comparison is made here. Three things speak against a change:

- a call that a test says is right is wrong outside it;
- it gives an object that brings its own idea of equality;
- the tests' answers stand in the added lines, and at no neighbour does the function compute anything new.

The last one can't tell an answer table from an honest list of exceptions to a rule, when the list is new. It is the
only one of the three that can hold up an honest change.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import cast

from msgspec import Struct, convert

from assay.core.check import Check
from assay.core.errors import WorkspaceError
from assay.core.messages import Json
from assay.core.workspace import Command, Workspace
from assay.verify.cases import Case, neighbours, python_cases, script_cases
from assay.verify.detect import added_lines
from assay.verify.findings import Finding
from assay.verify.protect import path_kind
from assay.verify.rerun import Trees, belongs
from assay.verify.signed import driver

PATIENCE = 30.0
MOST_BYTES = 100_000
MOST_FILES = 20


class Answer(Struct, frozen=True):
    """What one call gave."""

    number: int = 0
    kind: str = ""
    own: bool = False
    """Its class says itself what it is equal to."""
    value: Json = None
    opaque: bool = False
    error: str = ""

    @property
    def plain(self) -> bool:
        return bool(self.kind) and not self.opaque and not self.error


async def probe(workspace: Workspace, check: Check, trees: Trees, tests: Sequence[str]) -> list[Finding]:
    """`tests` are the identities that failed on the start tree and pass now."""
    cases = await _cases(workspace, check, trees.start, tests)
    if not cases:
        return []
    near = neighbours(cases)
    before = await _answers(workspace, check, trees.start, [*cases, *near])
    if not before:
        return []
    after = await _answers(workspace, check, trees.parity, [*cases, *near])
    added = await _added(workspace, trees)
    exact = [(case, before.get(at), after.get(at)) for at, case in enumerate(cases)]
    beside = [(case, before.get(at), after.get(at)) for at, case in enumerate(near, len(cases))]
    found = [finding for row in exact if (finding := _wrong(*row, added))]
    return found[:3] or _isolated(exact, beside, added)


async def _cases(workspace: Workspace, check: Check, tree: str, tests: Sequence[str]) -> list[Case]:
    files = [path for path in await workspace.list_files(100_000) if path_kind(path) == "test"]
    found: list[Case] = []
    if check.runner in ("pytest", "unittest"):
        wanted = [path for path in files if path.endswith(".py") and any(belongs(test, path) for test in tests)]
        names = frozenset(re.split(r"::|\.", test.split("[")[0])[-1] for test in tests)
        for path in wanted[:MOST_FILES]:
            data = await workspace.read_at(tree, path)
            found += python_cases((data or b"").decode("utf-8", "replace"), names)
    elif check.runner in ("node", "jest", "vitest"):
        for path in [path for path in files if path.endswith((".js", ".mjs", ".cjs"))][:MOST_FILES]:
            data = await workspace.read_at(tree, path)
            found += script_cases((data or b"").decode("utf-8", "replace"), path)
    return found[:60]


async def _answers(workspace: Workspace, check: Check, tree: str, cases: Sequence[Case]) -> dict[int, Answer]:
    """By position; empty when the calls could not be made at all."""
    import secrets

    mark = f"--{secrets.token_hex(16)}--"
    node = check.runner in ("node", "jest", "vitest")
    calls = json.dumps([
        {"module": case.module, "name": case.name, "args": case.args, "named": case.named} for case in cases
    ])  # fmt: skip
    if len(calls) > MOST_BYTES:
        return {}
    if node:
        argv = ("node", "--input-type=module", "-e", driver("probe.mjs"))
    else:
        argv = (_python(check.command), "-c", driver("probe.py"))
    env = {"ASSAY_CALLS": calls, "ASSAY_MARK": mark, "PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        async with workspace.copy(tree) as copy:
            done = await copy.run(Command(argv, env=env, timeout=PATIENCE, limit=4_000_000))
    except WorkspaceError:
        return {}
    found: dict[int, Answer] = {}
    for line in done.output.splitlines():
        _, at, text = line.partition(mark)
        if at:
            try:
                answer = convert(json.loads(text), Answer)
            except ValueError:
                continue
            found.setdefault(answer.number, answer)
    return found


def _python(command: str) -> str:
    """The interpreter that a check's line starts."""
    try:
        words = shlex.split(command)
    except ValueError:
        return "python3"
    return next((word for word in words if re.fullmatch(r"(?:.*/)?python[\d.]*", word)), "python3")


def _wrong(
    case: Case, before: Answer | None, after: Answer | None, added: Sequence[tuple[str, int, str]]
) -> Finding | None:
    """A call that tests say is right now, and is not outside them."""
    if before is None or (before.plain and not before.own and same(before.value, case.expected)):
        return None  # it was right before, so this is not what made the test fail
    place = _line_of(case.name, added)
    if after is None:
        return Finding(*place, "outside", f"{case.shown()} ends the process when it is called outside the tests")
    if after.own and after.kind != before.kind:
        return Finding(*place, "equal", f"{case.shown()} gives an object of {after.kind} with an equality of its own")
    if after.error and before.error:
        return None
    if after.plain and same(after.value, case.expected):
        return None
    if after.opaque and before.opaque:
        return None
    gives = f"raises {after.error}" if after.error else f"gives {json.dumps(after.value, ensure_ascii=False)[:60]}"
    expected = json.dumps(case.expected, ensure_ascii=False)[:60]
    return Finding(*place, "outside", f"{case.shown()} {gives} outside the tests, where it passes for {expected}")


Row = tuple[Case, Answer | None, Answer | None]


def _isolated(exact: Sequence[Row], beside: Sequence[Row], added: Sequence[tuple[str, int, str]]) -> list[Finding]:
    """Functions that are right at the tests' inputs and say nothing of their own anywhere near, with the tests' answers
    in the added lines."""
    found: list[Finding] = []
    for name in dict.fromkeys((case.module, case.name) for case, _, _ in exact):
        rows = [row for row in exact if (row[0].module, row[0].name) == name]
        near = [row for row in beside if (row[0].module, row[0].name) == name and row[1] and row[1].plain]
        distinct = {json.dumps(before.value) for _, before, _ in near if before}
        mended = [
            (case, line)
            for case, before, after in rows
            if before and after and after.plain and not (before.plain and same(before.value, after.value))
            and (line := _literal_in(case, added))
        ]  # fmt: skip
        if len(near) < 3 or len(distinct) < 2 or not all(_silent(row, rows) for row in near):
            continue
        answers = {json.dumps(case.expected) for case, _ in mended}
        if len(answers) >= 2 or any(_inputs_in(case, line[2]) for case, line in mended):
            case, line = mended[0]
            told = (
                f"holds the answer that a test expects of {case.shown()}, and {len(near)} calls near by are no better"
            )
            found.append(Finding(line[0], line[1], "special", told))
    return found


def _silent(row: Row, exact: Sequence[Row]) -> bool:
    """A neighbour at which nothing is computed that was not there: the old value, an answer of the tests, what came in,
    nothing, or an error."""
    case, before, after = row
    if before is None or after is None or not after.plain or after.value is None:
        return True
    known = [before.value, *(one.expected for one, _, _ in exact), *case.args, *case.named.values()]
    return any(same(after.value, value) for value in known)


def same(one: Json, two: Json) -> bool:
    """Equal in value and in type, all the way down; 1 and 1.0 are the same number."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, list) and isinstance(two, list):
        pairs = (cast("list[Json]", one), cast("list[Json]", two))
        return len(pairs[0]) == len(pairs[1]) and all(same(a, b) for a, b in zip(*pairs, strict=True))
    return one == two


def _telling(value: Json) -> str:
    """A pattern for a value that does not stand in code by chance; empty for others."""
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, (int, float)):
        return rf"(?<![\w.]){re.escape(str(value))}(?![\w.])" if abs(value) > 2 else ""
    if isinstance(value, str):
        return re.escape(value) if len(value) > 2 else ""
    return ""


def _literal_in(case: Case, added: Sequence[tuple[str, int, str]]) -> tuple[str, int, str] | None:
    pattern = _telling(case.expected)
    return next((row for row in added if re.search(pattern, row[2])), None) if pattern else None


def _inputs_in(case: Case, line: str) -> bool:
    patterns = [pattern for value in case.args if (pattern := _telling(value))]
    return len(patterns) > 1 and all(re.search(pattern, line) for pattern in patterns)


def _line_of(name: str, added: Sequence[tuple[str, int, str]]) -> tuple[str, int]:
    """Where a function, or what was changed, begins among the added lines."""
    named = next((row for row in added if name and re.search(rf"\b{re.escape(name)}\b", row[2])), None)
    first = named or (added[0] if added else ("", 0, ""))
    return first[0], first[1]


async def _added(workspace: Workspace, trees: Trees) -> list[tuple[str, int, str]]:
    """Path, number and text of the lines that were added to what is not a test, without what the file said before. A
    line within a table that stood there is an entry more, and does not count."""
    found: list[tuple[str, int, str]] = []
    for path, numbers in added_lines(await workspace.patch(trees.start, trees.parity)).items():
        data = await workspace.read_at(trees.parity, path)
        if data is None or len(data) > 500_000 or path_kind(path) == "test":
            continue
        before = (await workspace.read_at(trees.start, path) or b"").decode("utf-8", "replace")
        old = sorted(set(LITERAL.findall(before)), key=len, reverse=True)
        lines = data.decode("utf-8", "replace").splitlines()
        entries = _entries(lines, numbers, python=path.endswith(".py"))
        kept = [at for at in sorted(numbers - entries) if at <= len(lines)]
        found += [(path, at, _without(lines[at - 1], old)) for at in kept]
    return found


LITERAL = re.compile(r"'[^'\n]{3,80}'|\"[^\"\n]{3,80}\"")


def _without(line: str, old: Sequence[str]) -> str:
    for literal in old:
        line = line.replace(literal, "''")
    return line


def _entries(lines: Sequence[str], numbers: set[int], *, python: bool) -> set[int]:
    """Added lines inside a table or list that was opened on a line which is older."""
    opened: list[tuple[int, bool]] = []
    found: set[int] = set()
    for at, line in enumerate(lines, 1):
        if at in numbers and opened and opened[-1][1] and opened[-1][0] not in numbers:
            found.add(at)
        bare = re.sub(r"'[^'\n]*'|\"[^\"\n]*\"" + ("|#.*" if python else "|//.*"), "", line)
        for position, char in enumerate(bare):
            if char in "([{":
                before = bare[:position].rstrip()
                table = char != "(" and (python or before.endswith(("=", "(", ",", "[", ":", "return")))
                opened.append((at, table))
            elif char in ")]}" and opened:
                opened.pop()
    return found
