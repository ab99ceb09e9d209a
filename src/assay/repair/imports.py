"""How far a file is from others by what imports what, read by patterns: quick, for every language alike, and not exact.

An import is taken for the files whose path ends with its words; which of several same-named files is meant is decided
by the nearest folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from assay.repair.outline.read import language_of

FARTHEST = 3
MOST_TEXT = 60_000
"""Characters of a file in which imports are looked for."""
_PYTHON = re.compile(
    r"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]*(?:\(([^()]*)\)|([^\n#]*))|import[ \t]+([\w., \t]+))", re.MULTILINE
)
_QUOTED = re.compile(
    r"^[^\n]{0,200}?\b(?:import|require|require_relative|require_once|include|include_once|from)\b[^\n\"'<]{0,200}[\"'<]([\w@./\\-]+)[\"'>]",
    re.MULTILINE,
)
_PLAIN = re.compile(r"^\s*(?:pub )?(?:import(?: static)?|use|mod|using)\s+([A-Za-z_][\w.:\\]*)", re.MULTILINE)
_HUSKS = frozenset({"__init__", "index", "mod", "lib", "main"})
"""Names of files that stand for their folder."""
_TOGETHER = frozenset({"go", "java"})
"""Languages in which the files of a folder know each other without an import."""


def distances(sources: Mapping[str, str], starts: Collection[str]) -> dict[str, int]:
    """Path -> steps of import from the nearest of `starts`, at most `FARTHEST`; `starts` themselves are 0."""
    index = _Index(sources)
    found = {path: 0 for path in starts if path in sources}
    edge = list(found)
    for step in range(1, FARTHEST + 1):
        reached = [other for path in edge for other in index.imported(path, sources[path]) if other not in found]
        edge = list(dict.fromkeys(reached))
        found.update(dict.fromkeys(edge, step))
    return found


class _Index:
    """Files by the words that their paths end with."""

    def __init__(self, paths: Collection[str]):
        self._ending: dict[tuple[str, ...], list[str]] = {}
        self._folder: dict[str, list[str]] = {}
        self._told: set[tuple[str, str]] = set()
        """Folders and languages whose files `imported` has given: they all know the same ones."""
        for path in paths:
            self._folder.setdefault(path.rpartition("/")[0], []).append(path)
            pieces = tuple(path.rpartition(".")[0].split("/"))
            for named in (pieces, pieces[:-1] if pieces[-1] in _HUSKS else ()):
                for size in range(1, min(len(named), 6) + 1):
                    self._ending.setdefault(named[-size:], []).append(path)

    def imported(self, path: str, text: str) -> Iterator[str]:
        """What a file imports; what it knows without an import only for the first one of its folder that is asked."""
        text = text[:MOST_TEXT]
        language = language_of(path)
        if language in _TOGETHER and (place := (path.rpartition("/")[0], language)) not in self._told:
            self._told.add(place)
            folder = self._folder.get(path.rpartition("/")[0], [])
            yield from (other for other in folder if other != path and language_of(other) == language)
        for wanted in _wanted(language, text):
            yield from (other for other in self._meant(path, wanted) if other != path)

    def _meant(self, path: str, wanted: Sequence[str]) -> list[str]:
        """The files for the words of an import: all of them, or without a name from inside of the file at the end, or
        without the name of the whole project at the beginning."""
        tries = (wanted, wanted[:-1], wanted[1:], wanted[1:-1])
        for words in tries:
            files = self._ending.get(tuple(words), []) if words else []
            if files:
                nearest = max(_shared(path, file) for file in files)
                meant = [file for file in files if _shared(path, file) == nearest]
                return meant if len(meant) <= 3 else []
        return []


def _wanted(language: str, text: str) -> Iterator[tuple[str, ...]]:
    """The imports of a text, each as the words of its path."""
    if language == "python":
        for match in _PYTHON.finditer(text):
            base = tuple(word for word in (match[1] or "").split(".") if word)
            for name in re.findall(r"[\w.*]+(?:[ \t]+as[ \t]+\w+)?", match[2] or match[3] or match[4] or ""):
                words = tuple(word for word in name.split()[0].split(".") if word and word != "*")
                if base or words:
                    yield (*base, *words)
        return
    for match in _QUOTED.finditer(text):
        words = [word for word in re.split(r"[/\\]", match[1]) if word not in ("", ".", "..")]
        if words:
            yield (*words[:-1], re.sub(r"\.\w{1,4}$", "", words[-1]))
    for match in _PLAIN.finditer(text):
        words = [word for word in re.split(r"[.:\\]+", match[1]) if word not in ("", "crate", "self", "super")]
        if words:
            yield tuple(words)


def _shared(one: str, other: str) -> int:
    """How many folders two paths share from the root."""
    count = 0
    for left, right in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if left != right:
            break
        count += 1
    return count
