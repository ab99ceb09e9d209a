"""What is said about a file that was written: little to the model, a diff to the person."""

from __future__ import annotations

from assay.core.messages import Json, Text
from assay.core.tool import ToolOutcome
from assay.core.workspace import Stamp
from assay.tools.bound import one_line, visible
from assay.tools.syntax import broken_by

_DIFF_LINES = 200
_DIFF_SIZE = 20_000
_COMPARED = 5_000
"""Lines that may differ before a diff is no longer worth its time."""


def written(path: str, said: str, texts: tuple[str | None, str], stamp: Stamp) -> ToolOutcome:
    """The outcome of writing `path`: `said` to the model, and a syntax error if the change brought one.

    `texts` are the views before (None for a new file) and after; the diff between them goes to `debug`, bounded.
    """
    before, after = texts
    broken = broken_by(path, before, after)
    text = f"{said}. {broken}" if broken else said
    diff, added, removed = _diff(path, before or "", after)
    debug: dict[str, Json] = {"diff": diff, "added": added, "removed": removed, "digest": stamp.digest}
    display = one_line(f"{said} (+{added} -{removed}){' — ' + broken if broken else ''}")
    return ToolOutcome((Text(visible(text)),), display, debug, seen={path: stamp.digest})


def _diff(path: str, before: str, after: str) -> tuple[str, int, int]:
    """A unified diff, and the lines added and removed. What both begin and end with is not compared."""
    from difflib import unified_diff

    old, new = before.splitlines(), after.splitlines()
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    start, old_end, new_end = max(head - 3, 0), len(old) - tail, len(new) - tail
    if max(old_end, new_end) - head > _COMPARED:
        return f"{path}: {new_end - head} lines in place of {old_end - head}", new_end - head, old_end - head
    part = unified_diff(old[start : old_end + 3], new[start : new_end + 3], f"a/{path}", f"b/{path}", lineterm="")
    rows = [_moved(row, start) if row.startswith("@@") else row for row in part]
    added = sum(row.startswith("+") for row in rows[2:])
    removed = sum(row.startswith("-") for row in rows[2:])
    if len(rows) > _DIFF_LINES:
        rows[_DIFF_LINES:] = [f"… {len(rows) - _DIFF_LINES} more lines"]
    return "\n".join(rows)[:_DIFF_SIZE], added, removed


def _moved(header: str, by: int) -> str:
    """`@@ -1,4 +1,5 @@` for a part that begins `by` lines into the file."""
    import re

    return re.sub(r"([-+])(\d+)", lambda at: f"{at.group(1)}{int(at.group(2)) + by}", header)
