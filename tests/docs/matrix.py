"""The fault matrix: 64 rows, the tests that cover each, and docs/reliability.md made from both.

A test covers a row by `@pytest.mark.row(N)`. The figures are those of the last recorded run
(`python tests/docs/reliability.py`), kept in matrix.json beside this file.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .tables import BLOCK, ROOT, rows

PAGE = ROOT / "docs" / "reliability.md"
RECORD = Path(__file__).with_name("matrix.json")
FAMILIES = {
    1: "Provider and stream",
    26: "Loops and budgets",
    33: "Processes and output",
    46: "Storage and sessions",
    54: "Files",
    62: "Security, seen from outside",
}
"""By the first row of each."""
RACY = frozenset((*range(10, 18), 34, 37, *range(42, 45), 49, 52, 55, 56))
"""Rows where the moment matters: they are run at least three times."""

ROWS: dict[int, tuple[str, str]] = {
    1: ("429 with `Retry-After: 3`", "waits three seconds, then succeeds"),
    2: ("429 with `Retry-After` as a date", "the same"),
    3: ("429 with `Retry-After` of a day", "no wait; exit 4, and it says when to try again"),
    4: ("429, quota spent", "one request, exit 3"),
    5: ("529 twice, then fine", "succeeds; pauses grow, and differ between two runs"),
    6: ("500 for ever", "at most eight requests and two minutes, exit 4, the status is named"),
    7: ("401 or 403", "one request, exit 3, the key is printed nowhere"),
    8: ("400, context too long", "compacts once and goes on, or exit 1; never loops"),
    9: ("404 for the model, or a field that is refused", "one request, exit 2, says what to set"),
    10: ("connection reset before the headers", "asked again, succeeds"),
    11: ("request taken, never answered", "noticed by a time limit (120 s, settable), asked again, then exit 4"),
    12: ("silence after the first token", "noticed; no text comes twice"),
    13: ("cut in the middle of the text", "asked again; no text comes twice"),
    14: ("cut inside JSON, or inside a character", "the same"),
    15: ("cut after a whole call, before the end of the reply", "the call has its effect exactly once"),
    16: ("cut in a call's arguments", "half a call is never run"),
    17: ("an error event inside a 200 stream", "treated like the status that it names"),
    18: ("arguments that are no JSON", "told to the model, not guessed at"),
    19: ("unknown tool, wrong types, extra fields", "told to the model"),
    20: ("two calls with one id, or without any", "each runs at most once, the history stays valid"),
    21: ("200 calls in one reply", "answered in order, a few at a time"),
    22: ("an empty reply, or only reasoning", "one more request, then exit 1"),
    23: ("50 MB in one piece of text", "memory below 500 MB; exit 0, 1 or 4"),
    24: ("usage figures missing or absurd", "own estimates count"),
    25: ("success is claimed, nothing was checked", "exit 10"),
    26: ("the same call with the same result for ever", "warned, then stopped: at most six requests, exit 6"),
    27: ("two calls that alternate", "stopped after six pairs, exit 6"),
    28: ("a failing call again and again", "stopped at the fourth, exit 6"),
    29: ("a poll whose output changes", "not stopped"),
    30: ("a limit in money", "no request is begun that would cross it; exit 5"),
    31: ("a limit in steps or seconds", "exit 5 at once, commands are ended"),
    32: ("a sub-agent starts a sub-agent", "depth and number are bounded, the budget is shared"),
    33: ("a command that outlasts its time limit", "ended, and the model is told"),
    34: ("background, `setsid` and double-fork children", "none survives: not at a normal end, not at the limit"),
    35: ("a grandchild that holds the output open", "the result comes within three seconds, with what there was"),
    36: ("a command that reads input, asks for a password, opens a pager or editor", "sees the end of input at once"),
    37: ("a command that ignores TERM", "killed after a grace of two seconds"),
    38: ("300 MB of output; output without end", "bounded in time, memory and disk; both ends reach the model"),
    39: ("binary output, NULs, a line of 10 MB", "a safe rendering reaches the model; the log stays valid"),
    40: ("fork bomb, more memory than there is, a file of 10 GB", "stopped by a limit; the model is told of it"),
    41: ("a shell that dies of a signal, exit 137, a deleted directory", "told as it is; the next command works"),
    42: ("Ctrl-C in a reply, a command, a check; twice", "stops within a second, log sealed, exit 130; twice: at once"),
    43: ("TERM, hang-up, the terminal is closed", "the same, and it can be gone on with"),
    44: ("the agent is killed (KILL)", "no child survives; it can be gone on with"),
    45: ("a program that wants a terminal", "gets one of its own, of any size, and can be ended"),
    46: ("a log cut at each byte of its last record", "every earlier record is kept, the cut is sealed and told"),
    47: ("NULs or garbage in the middle of a log", "what comes after is still read; a warning counts what is lost"),
    48: ("U+2028, lone surrogates, a record of 5 MB", "come back as they were"),
    49: ("killed between a call's intent and its result", "reported as unknown, never run again by itself"),
    50: ("disk full while log or file is written", "exit 9; a file is old or new, never mixed; goes on afterwards"),
    51: ("state that can't be written, no HOME, no place for temporary files", "a clear exit 9 (2 without HOME)"),
    52: ("two agents go on with one session", "the second is refused; the log is not mixed"),
    53: ("a clock that is set back; 1,000 sessions; a session of 100 MB", "order is kept; list and resume stay quick"),
    54: ("edits in CRLF, BOM, Latin-1, GBK, UTF-16, mixed line ends, no last line end, tabs",
         "no byte outside the edit changes"),
    55: ("a file that the user changed since it was read", "the edit is refused, the user's bytes stay"),
    56: ("a file that is replaced a thousand times a second", "no last write of the other side is lost silently"),
    57: ("links, hard links, pipes, devices, folders, links that lead out", "refused or followed safely; no hang"),
    58: ("the text to replace is there never, or twice", "refused, with positions"),
    59: ("mode 0755, a read-only file, extended attributes", "kept; read-only is refused"),
    60: ("a file of 1 GB, a million files, names with line feeds and bytes that are no text",
         "bounded in time and memory; names are escaped"),
    61: ("a change of which only half applies", "all or nothing"),
    62: ("no sandbox to be had", "exit 7 before the first request; nothing runs"),
    63: ("attacks by script: secrets, egress, persistence, escalation, terminal", "none succeeds"),
    64: ("a hostile repository that is merely opened", "nothing of it runs"),
}  # fmt: skip

NOTES = {
    16: "What was cut is asked for again; an argument list that merely ends is told to the model as invalid.",
    42: "Nobody is asked for approval without a terminal, so there is no such moment to interrupt.",
    61: "There is no tool that takes a patch: a change is one exact replacement, in one file, at all places or none.",
}
"""What a row does not cover, or covers in another way than its words say."""
OPEN: dict[int, str] = {}
"""Rows that no test covers yet, and why."""


class Covered(NamedTuple):
    """A test function and the rows it is for."""

    file: str
    name: str
    numbers: tuple[int, ...]
    by: dict[str, int]
    """The row of each case, where a test has cases of several."""
    loads: tuple[str, ...]

    @property
    def rows(self) -> set[int]:
        return {*self.numbers, *self.by.values()}

    def rows_of(self, case: str) -> set[int]:
        """The rows that one case is for, by the parts of its id (`reset-anthropic`)."""
        return {*self.numbers, *(number for word, number in self.by.items() if word in case.split("-"))}


def covering(folder: Path = ROOT / "tests") -> list[Covered]:
    """Every test function with a `row` or `load` mark, by file and line."""
    found: list[Covered] = []
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text("utf-8")
        if "mark.row(" in text or "mark.load(" in text:
            tree = ast.parse(text)
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    marked = _marked(str(path.relative_to(ROOT)), node)
                    if marked.rows or marked.loads:
                        found.append(marked)
    return found


def _marked(file: str, test: ast.FunctionDef | ast.AsyncFunctionDef) -> Covered:
    numbers: list[int] = []
    loads: list[str] = []
    by: dict[str, int] = {}
    for node in test.decorator_list:
        if isinstance(node, ast.Call) and (kind := ast.unparse(node.func)) in ("pytest.mark.row", "pytest.mark.load"):
            values = [ast.literal_eval(argument) for argument in node.args]
            (numbers if kind.endswith("row") else loads).extend(values)
            for keyword in node.keywords:
                by |= ast.literal_eval(keyword.value)
    return Covered(file, test.name, tuple(numbers), by, tuple(loads))


class Property(NamedTuple):
    """A property test."""

    file: str
    name: str


def properties(folder: Path = ROOT / "tests") -> Iterator[Property]:
    """Every property test."""
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text("utf-8")
        if "@given(" in text:
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
                    isinstance(mark, ast.Call) and ast.unparse(mark.func) == "given" for mark in node.decorator_list
                ):
                    yield Property(str(path.relative_to(ROOT)), node.name)


def _recorded() -> dict[str, Any]:
    return json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}


def _words(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


def _figure(cell: dict[str, float] | None) -> str:
    if not cell:
        return "not recorded"
    passed, runs = int(cell["passed"]), int(cell["runs"])
    return f"{runs} of {runs}" if passed == runs else f"**{passed} of {runs}**"


def matrix(family: str) -> str:
    """The rows of one family as a table."""
    first = next(number for number, name in FAMILIES.items() if name == family)
    last = next((number for number in FAMILIES if number > first), len(ROWS) + 1)
    figures = _recorded().get("rows", {})
    tests = covering()
    body: list[tuple[str, ...]] = []
    for number in range(first, last):
        fault, wanted = ROWS[number]
        named = [f"[{_words(test.name)}](../{test.file})" for test in tests if number in test.rows]
        state = "open: " + OPEN[number] if number in OPEN else _figure(figures.get(str(number)))
        note = f" {NOTES[number]}" if number in NOTES else ""
        body.append((str(number), fault, wanted + "." + note, "<br>".join(named) or "none", state))
    return rows(("#", "fault", "what must happen", "tests", "passed"), body)


def loads() -> str:
    """What was carried, by the tests that carry it."""
    figures = _recorded().get("loads", {})
    body = [
        (load, f"[{_words(test.name)}](../{test.file})", _load_figure(figures.get(f"{test.file}::{test.name}")))
        for test in covering()
        for load in test.loads
    ]
    return rows(("load", "test", "last run"), body)


def _load_figure(cell: dict[str, float] | None) -> str:
    return f"{cell['seconds']:.1f} s" if cell else "not recorded"


def inputs() -> str:
    """Every property test with the inputs that it tried in the last recorded runs."""
    record = _recorded()
    short, long = record.get("inputs", {}), record.get("nightly", {})
    body: list[tuple[str, ...]] = []
    for test in properties():
        key = f"{test.file}::{test.name}"
        counts = [f"{kind[key]:,}" if key in kind else "" for kind in (short, long)]
        body.append((f"[{_words(test.name)}](../{test.file})", *counts))
    return rows(("property", "inputs in `make test`", "in `make nightly`"), body)


def recorded() -> str:
    """Where the figures come from."""
    facts = _recorded().get("facts", {})
    return "".join(f"- {name}: {value}\n" for name, value in facts.items()) or "- nothing was recorded yet\n"


def table(name: str) -> str:
    kinds = {"loads": loads, "inputs": inputs, "recorded": recorded}
    return kinds[name]() if name in kinds else matrix(name)


def renewed(text: str) -> str:
    """The page with every marked table made from tests and record."""
    return BLOCK.sub(lambda block: block[1] + table(block[2]) + block[3], text)


def places(text: str) -> set[str]:
    return {block[2] for block in BLOCK.finditer(text)}
