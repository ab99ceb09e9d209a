"""Searching files without ripgrep, within bounds of time and amount even for a regex that backtracks without end."""

from __future__ import annotations

import asyncio
import re
import time

from assay.core.errors import WorkspaceError
from assay.core.workspace import Workspace
from assay.tools.listed import FILE_BYTES, SECONDS
from assay.tools.patience import TooSlow, bounded
from assay.tools.textfile import decode

_FILE_SECONDS = 1.0
_SLICE = 0.02
"""Seconds after which others get their turn."""
_LINE = 2_000
_TOTAL = 5_000


class Found:
    """Matching lines by file, each with its number; `note` when the search ended before its time."""

    def __init__(self, partial: bool = False, note: str = "") -> None:
        self.lines: dict[str, list[tuple[int, str]]] = {}
        self.partial = partial
        self.note = note


async def scan(workspace: Workspace, files: list[str], regex: re.Pattern[str], *, across: bool = False) -> Found:
    """Lines of `files` that `regex` matches, at most some thousands, in the order of `files`. `across`: a match may go
    over the end of a line; every line that it touches counts."""
    found = Found()
    began = turn = time.monotonic()
    # A pattern that is plain text need not be tried on each line of a file that does not hold it.
    plain = not regex.flags & re.IGNORECASE and re.fullmatch(r"[\w \-/:,;=<>@#%&'\"!~`]+", regex.pattern)
    literal = regex.pattern if plain else ""
    total = 0
    for number, file in enumerate(files):
        now = time.monotonic()
        if now - began > SECONDS or total >= _TOTAL:
            found.note = f"stopped after {number} of {len(files)} files; narrow pattern, path or glob"
            break
        if now - turn > _SLICE:
            await asyncio.sleep(0)
            turn = time.monotonic()
        try:
            data = workspace.read_file(file, FILE_BYTES).data
        except WorkspaceError:
            # Gone, or too large, or no file: not what is looked for.
            continue
        text = decode(data)
        if text is None or (literal and literal not in text.view):
            continue
        try:
            with bounded(_FILE_SECONDS):
                lines = (_across_lines if across else _in_text)(text.view, regex)
        except TooSlow:
            found.note = f"the pattern is too slow (in {file}); make it simpler"
            break
        if lines:
            found.lines[file] = lines
            total += len(lines)
    return found


def _in_text(view: str, regex: re.Pattern[str]) -> list[tuple[int, str]]:
    matches = regex.search
    return [(number, line) for number, line in enumerate(_lines(view), 1) if matches(line[:_LINE])][:_TOTAL]


def _lines(view: str) -> list[str]:
    """The last line end ends a line and begins none."""
    lines = view.split("\n")
    return lines if lines[-1] else lines[:-1]


def _across_lines(view: str, regex: re.Pattern[str]) -> list[tuple[int, str]]:
    lines = _lines(view)
    touched: dict[int, str] = {}
    number = done = 0
    for match in regex.finditer(view):
        start, end = match.start(), max(match.end() - 1, match.start())
        number += view.count("\n", done, start)
        done = start
        for index in range(number, min(number + view.count("\n", start, end) + 1, len(lines))):
            touched[index + 1] = lines[index]
        if len(touched) >= _TOTAL:
            break
    return list(touched.items())
