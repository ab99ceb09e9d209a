"""Calls read from the text of a reply: code as it is, in fences and blocks, never as an escaped JSON string.

Two shapes of edits. *Blocks*: exact search and replace, after a line with the path. *Whole*: a fence with the complete
file, after a line with nothing but its path. Both are read with good will (a path in bold, quoted, as a heading or
behind the fence's language; markers of other lengths), and what can't be meant otherwise than as an edit but is not one
comes back as a call with `invalid`, so that the model is told what is wrong with it. Prose, examples and marks of merge
conflicts are left alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Literal

from assay.core.ids import new_id
from assay.core.messages import Json, ToolCall

Edits = Literal["tool", "blocks", "whole"]
OWN = "written_"
"""How the ids of calls begin that were read from text."""
_SEARCH = re.compile(r"^\s{0,3}(<{5,9})\s*(?:SEARCH|ORIGINAL)\b:?\s*(.*)$", re.I)
_MIDDLE = re.compile(r"^\s{0,3}(={5,9})\s*$")
_REPLACE = re.compile(r"^\s{0,3}>{5,9}\s*(?:(?:REPLACE|UPDATED)\b.*)?$", re.I)
_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})\s*([^`]*)$")
_PATH = re.compile(
    r"(?:#{1,6}\s+)?(?:[-*]\s+)?(?:\*\*|__)?(?:(?:file(?:name)?|path)\s*:\s*)?[`\"']?"
    r"((?:\.{0,2}/)?[\w@+.\-]+(?:/[\w@+.\- ]*[\w@+.\-])*)[`\"']?:?(?:\*\*|__)?:?\s*$",
    re.I,
)
_NAMES = frozenset({"makefile", "dockerfile", "license", "readme", "gemfile", "rakefile", "procfile", "justfile"})
_ACTIONS = {"run": ("Bash", "command"), "read": ("Read", "file_path")}


def calls_in(text: str, edits: Edits, actions: bool = False) -> list[ToolCall]:
    """The calls that `text` means, in its order; ids are new. `edits`: the shape of edits that was asked for; blocks
    count with `whole` as well, which models fall back to. `actions`: fences named `run` and `read` are calls, too."""
    return _Reading(text, edits, actions).calls()


class _Reading:
    def __init__(self, text: str, edits: Edits, actions: bool) -> None:
        self._lines = text.replace("\r\n", "\n").split("\n")
        self._edits, self._actions = edits, actions
        self._found: list[ToolCall] = []
        self._path = ""
        """The file of the last block; one that names none is for the same."""
        self._around: list[str] = []
        """Marks of the open fences that are read through for the blocks in them."""
        self._searches = [n for n, line in enumerate(self._lines) if _SEARCH.match(line)]
        self._closings: dict[tuple[str, int], int] = {}
        """Character and least length of a mark -> the last line found that closes such a fence."""

    def calls(self) -> list[ToolCall]:
        at = 0
        while at < len(self._lines):
            if self._closes(at):
                at += 1
            elif self._edits != "tool" and (start := _SEARCH.match(self._lines[at])):
                at = self._block(at, start)
            elif fence := _FENCE.match(self._lines[at]):
                at = self._fenced(at, fence)
            else:
                at += 1
        return self._found

    def _block(self, at: int, start: re.Match[str]) -> int:
        """A block that begins at line `at`; returns the line behind it."""
        self._path = _path_of(start[2], bare=True) or self._path_above(at) or self._path
        end = self._next(_REPLACE, at + 1)
        if end is None:
            self._wrong("Edit", "a SEARCH block without a >>>>>>> REPLACE line: the reply was cut off")
            return len(self._lines)
        rules = [n for n in range(at + 1, end) if _MIDDLE.match(self._lines[n])]
        # Headings are underlined in the same way.
        rules = [n for n in rules if len(self._lines[n].strip()) == len(start[1])] or rules
        if len(rules) != 1:
            self._wrong("Edit", f"a SEARCH/REPLACE block with {len(rules)} lines ======= between; there must be one")
            return end + 1
        if not self._path:
            self._wrong("Edit", "a SEARCH/REPLACE block without a line above it that names the file")
            return end + 1
        old, new = self._lines[at + 1 : rules[0]], self._lines[rules[0] + 1 : end]
        # Lines that are to go take their line end with them.
        tail = "\n" if old and not new else ""
        self._add("Edit", file_path=self._path, old_string="\n".join(old) + tail, new_string="\n".join(new))
        return end + 1

    def _fenced(self, at: int, fence: re.Match[str]) -> int:
        """A fence that opens at line `at`. Blocks in it are read as such; returns where to go on."""
        info = fence[3].strip()
        end = self._closing(at, fence[2])
        word = info.split(" ")[0].lower()
        if self._actions and word in _ACTIONS:
            name, argument = _ACTIONS[word]
            if end == len(self._lines):
                self._wrong(name, f"the ```{word} fence is not closed")
            elif (body := "\n".join(self._lines[at + 1 : end])).strip():
                self._add(name, **{argument: body.strip("\n")})
            return end + 1
        if self._edits != "tool" and bisect_left(self._searches, at + 1) < bisect_left(self._searches, end):
            if end < len(self._lines):
                self._around.append(fence[2])
            self._path = _path_of(info.rpartition(" ")[2], bare=True) or self._path_above(at) or self._path
            return at + 1
        path = _path_of(info.rpartition(" ")[2], bare=True) or self._path_above(at)
        if self._edits != "whole" or not path:
            return end + 1
        if end == len(self._lines):
            self._wrong("Write", f"the fence with {path} is not closed: the reply was cut off")
        else:
            self._add("Write", file_path=path, content="".join(f"{line}\n" for line in self._lines[at + 1 : end]))
        return end + 1

    def _closing(self, at: int, mark: str) -> int:
        """The line that closes a fence, or the number of lines."""
        key = mark[0], len(mark)
        if self._closings.get(key, at) <= at:
            self._closings[key] = self._next(_closing(mark), at + 1) or len(self._lines)
        return self._closings[key]

    def _closes(self, at: int) -> bool:
        """Line `at` ends a fence that was read through, and whatever was left open in it."""
        for nth, mark in enumerate(self._around):
            if _closing(mark).match(self._lines[at]):
                del self._around[nth:]
                return True
        return False

    def _next(self, pattern: re.Pattern[str], start: int) -> int | None:
        return next((n for n in range(start, len(self._lines)) if pattern.match(self._lines[n])), None)

    def _path_above(self, at: int) -> str:
        """The path on the last line with text above `at`, an opening fence between them passed over."""
        above = [line for line in self._lines[max(at - 4, 0) : at] if line.strip()]
        while above:
            line = above.pop()
            fence = _FENCE.match(line)
            if fence is None:
                return _path_of(line)
            if path := _path_of(fence[3].strip().rpartition(" ")[2], bare=True):
                return path
        return ""

    def _add(self, name: str, **arguments: Json) -> None:
        self._found.append(ToolCall(OWN + new_id(), name, arguments))

    def _wrong(self, name: str, why: str) -> None:
        self._found.append(ToolCall(OWN + new_id(), name, {}, why))


def _closing(mark: str) -> re.Pattern[str]:
    """What a line is like that closes a fence which began with `mark`."""
    return re.compile(rf"^ {{0,3}}{re.escape(mark[0])}{{{len(mark)},}}\s*$")


def _path_of(text: str, bare: bool = False) -> str:
    """The path that a line consists of; "" for prose. `bare`: a single word beside something else, which must look like
    a path all the more."""
    found = _PATH.fullmatch(text.strip())
    path = found[1] if found else ""
    name = path.rpartition("/")[2]
    known = re.search(r"[^.]\.\w{1,12}$", name) or name.startswith(".") or name.lower() in _NAMES
    return path if known and not (bare and " " in path) else ""
