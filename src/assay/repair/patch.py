"""A change to one file as text, before anybody tried it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from msgspec import Struct


class Edit(Struct, frozen=True):
    """Characters `start` to `end` of the file `path` (0-based, half-open, in the text as decoded) become `text`."""

    path: str
    start: int
    end: int
    text: str


class Patch(Struct, frozen=True):
    """One candidate. Edits of one file don't overlap."""

    edits: tuple[Edit, ...]
    operator: str = ""
    """How it came about: the name of a mutation operator, or of a wording; for reports and priors."""
    line: int = 0
    """The first line that it changes, 1-based."""

    def apply(self, sources: Mapping[str, str]) -> dict[str, str]:
        """The changed files, path -> whole text. Raises `KeyError` for a file that is not in `sources`."""
        found: dict[str, str] = {}
        for edit in sorted(self.edits, key=lambda edit: (edit.path, -edit.start)):
            text = found.get(edit.path, sources[edit.path])
            found[edit.path] = text[: edit.start] + edit.text + text[edit.end :]
        return found


def union(patches: Sequence[Patch]) -> Patch | None:
    """All of them at once, or None when two of their edits overlap."""
    edits = sorted({edit for patch in patches for edit in patch.edits}, key=lambda edit: (edit.path, edit.start))
    for left, right in itertools.pairwise(edits):
        if left.path == right.path and right.start < max(left.end, left.start + 1):
            return None
    return Patch(tuple(edits), "+".join(patch.operator for patch in patches), min(patch.line for patch in patches))


def between(path: str, before: str, after: str, operator: str = "") -> Patch:
    """The patch that makes `after` of `before`: an edit for each run of lines that differs, so that two patches of one
    file can be joined when they touch different places."""
    import difflib

    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    starts = [0, *itertools.accumulate(map(len, old))]
    edits: list[Edit] = []
    line = 0
    for word, low, high, first, last in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if word != "equal":
            line = line or low + 1
            edits.append(Edit(path, starts[low], starts[high], "".join(new[first:last])))
    return Patch(tuple(edits), operator, line)
