"""Evidence as plain lines of text, for terminals and for markdown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from assay.core.check import Evidence, Result

MARKS: dict[str, str] = {"pass": "pass", "fail": "FAIL", "flaky": "flaky", "absent": "none", "unknown": "?"}


def evidence_table(rows: Sequence[Evidence], width: int = 100, now: Sequence[Result] = ()) -> list[str]:
    """Lines at most `width` cells wide. `now` adds a column with the results of a re-check."""
    head = ["criterion", "command", "class", "before", "after", "tree", "seconds"]
    body = [
        [row.criterion, row.command, row.cls, MARKS[row.before], MARKS[row.after], row.tree[:8], f"{row.seconds:.1f}"]
        for row in rows
    ]
    if now:
        head.append("now")
        body = [[*cells, MARKS[result]] for cells, result in zip(body, now, strict=True)]
    return columns(head, body, width, flexible=(0, 1))


def markdown_table(rows: Sequence[Evidence]) -> list[str]:
    """The same as a markdown table, with log digests."""

    def cell(text: str) -> str:
        return clean(text).replace("\\", "\\\\").replace("|", "\\|").replace("`", "'")

    lines = [
        "| criterion | command | class | before | after | tree | log | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (
            cell(row.criterion),
            f"`{cell(row.command)}`",
            row.cls,
            row.before,
            row.after,
            row.tree[:12],
            row.log[:19],
        )
        lines.append(f"| {' | '.join(cells)} | {row.seconds:.2f} |")
    return lines


def columns(head: Sequence[str], body: Sequence[Sequence[str]], width: int, flexible: Sequence[int]) -> list[str]:
    """Aligned columns two spaces apart; those in `flexible` share what the others leave, and are cut to fit."""
    table = [[clean(cell) for cell in line] for line in (head, *body)]
    sizes = [max(cells(line[at]) for line in table) for at in range(len(head))]
    room = width - sum(size for at, size in enumerate(sizes) if at not in flexible) - 2 * (len(head) - 1)
    for position, at in enumerate(flexible):
        share = room // (len(flexible) - position)
        later = sum(sizes[other] for other in flexible[position + 1 :])
        sizes[at] = max(4, min(sizes[at], max(share, room - later)))
        room -= sizes[at]
    return ["  ".join(fit(cell, sizes[at]) for at, cell in enumerate(line)).rstrip() for line in table]


def clean(text: str) -> str:
    """One line without control or formatting characters, so that a file name can't play with a terminal."""
    return "".join(
        " " if char in "\n\t" else char for char in text if char in "\n\t" or unicodedata.category(char)[0] != "C"
    )


def cells(text: str) -> int:
    """How many terminal cells a clean text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(text: str, size: int) -> str:
    """`text` padded or cut to exactly `size` cells."""
    if cells(text) <= size:
        return text + " " * (size - cells(text))
    while text and cells(text) > size - 1:
        text = text[:-1]
    return fit(text + "…", size)
