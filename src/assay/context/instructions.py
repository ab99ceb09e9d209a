"""Instruction files: what people already wrote for agents, from the outermost folder down to the working directory.

`AGENTS.md` and `CLAUDE.md`, always both; `.claude/CLAUDE.md` and `CLAUDE.local.md` beside them; and what lies under
`rules/` of the folders that `library.places` names. Equal texts are shown once. What lies deeper than the working
directory, and rules about certain files, come when such a file is read: `context.nested`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from assay.context.library.places import Shelf, find_shelves, from_root
from assay.core.context import Fragment
from assay.core.policy import OPERATOR, WORKSPACE, Label

NAMES = ("AGENTS.md", "CLAUDE.md")
LOCAL = "CLAUDE.local.md"
CAP = 8_000
"""Characters of one file; human-written guidance beyond that is read on demand, not carried along."""
TOTAL_CAP = 24_000


def anything(_path: str) -> bool:
    return True


class Reach(Struct, frozen=True):
    """Which instruction files count."""

    own: tuple[Path, ...] = ()
    """Files of the user's own."""
    shelves: tuple[Shelf, ...] = ()
    project: bool = True
    local: bool = True
    trusted: frozenset[str] = frozenset()
    """SHA-256 of files of the project that may import what lies outside it, as `sha256:...`."""
    readable: Callable[[str], bool] = anything
    """Whether policy lets the model see the file at an absolute path."""


class _Found(Struct, frozen=True):
    path: Path
    label: Label
    owner: str = "instructions"


def instruction_fragments(directory: Path, user_file: Path | None = None) -> list[Fragment]:
    """The files of the folders from the project's root (the nearest parent with `.git`, or the directory itself) down
    to `directory`, and the user's own first. A file over the cap is cut and says so; a file that cannot be read is
    skipped, and so is a link of the project's that leads out of it: a repository could name any file of the
    person's."""
    shelves = tuple(find_shelves(directory, (), user=False, project=True))
    return Reader(directory, Reach((user_file,) if user_file else (), shelves)).begin()


class Reader:
    """Reads instruction files within their caps, each text once."""

    def __init__(self, directory: Path, reach: Reach) -> None:
        self._chain = from_root(directory)
        self.reach = reach
        self.top = Path(os.path.realpath(self._chain[0]))
        self.notices: list[str] = []
        """What the person should know: imports that were refused."""
        self.imported: dict[Path, Path] = {}
        """What was imported, and by which file."""
        self._texts: set[str] = set()
        self.total = 0
        """Characters that were given; a new stretch begins when this is set to 0."""

    def begin(self) -> list[Fragment]:
        """What every session here starts with."""
        return [fragment for found in self._first() for fragment in self.read(found.path, found.label, found.owner)]

    def read(self, path: Path, label: Label, owner: str = "instructions") -> list[Fragment]:
        """The fragment of one file; none when it says nothing new or may not be read."""
        text = self._text(path, label)
        if not text or text in self._texts:
            return []
        self._texts.add(text)
        room = min(CAP, TOTAL_CAP - self.total)
        cut = len(text) > room
        size = len(text)
        if cut:
            room = max(room, 0)
            text = f"{text[:room]}\n[... cut at {room} of {size} characters; read {path} for the rest]"
        self.total += size
        return [Fragment(owner, f'<instructions from="{path}">\n{text}\n</instructions>', str(path), cut, label)]

    def of_folder(self, folder: Path) -> Iterator[Path]:
        """Where instruction files of one folder of the project would lie."""
        if self.reach.project:
            yield from (folder / name for name in NAMES)
            yield folder / ".claude" / "CLAUDE.md"
        if self.reach.local:
            yield folder / LOCAL

    def _first(self) -> Iterator[_Found]:
        yield from (_Found(path, OPERATOR) for path in self.reach.own)
        yield from self._rules("user")
        for folder in self._chain:
            yield from (_Found(path, WORKSPACE) for path in self.of_folder(folder))
        yield from self._rules("project")

    def _rules(self, owner: str) -> Iterator[_Found]:
        shelves = [each for each in self.reach.shelves if each.owner == owner and (each.path / "rules").is_dir()]
        if not shelves:
            return
        from assay.context.library.rules import read_rules

        for shelf in shelves:
            faults: list[str] = []
            yield from (
                _Found(rule.path, rule.label, "rules") for rule in read_rules([shelf], faults) if not rule.globs
            )
            self.notices += faults

    def _text(self, path: Path, label: Label) -> str:
        own = label == OPERATOR
        if not own and not self._inside(path):
            return ""
        text = _read(path)
        if text.startswith("---"):
            from assay.context.library.frontmatter import parse_document

            document = parse_document(text.encode("utf-8", "replace"), str(path))
            text = text if document.fault else document.body
        if "<!--" in text:
            from assay.context.imports import without_comments

            text = without_comments(text)
        return self._with_imports(path, own=own, text=text) if "@" in text else text

    def _with_imports(self, path: Path, *, own: bool, text: str) -> str:
        from assay.context.imports import Imported

        trusted = own or self._trusts(path)

        def allowed(target: Path) -> bool:
            return (trusted or target.is_relative_to(self.top)) and self.reach.readable(str(target))

        brought = Imported(allowed)
        whole = brought.text(path, text)
        self.imported |= dict.fromkeys(brought.paths, path)
        if brought.refused:
            names = ", ".join(f"@{name}" for name in brought.refused[:5])
            how = "" if trusted else f'; to trust this content, add "{digest_of(path)}" to trustedSettings'
            self.notices.append(f"{path}: not imported: {names}: outside the project, denied, or too many{how}")
        return whole

    def _inside(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self.top) and self.reach.readable(str(path))

    def _trusts(self, path: Path) -> bool:
        return bool(self.reach.trusted) and digest_of(path) in self.reach.trusted


def digest_of(path: Path) -> str:
    """SHA-256 of a file, as `trustedSettings` has it; empty for one that can't be read."""
    from hashlib import sha256

    try:
        return f"sha256:{sha256(path.read_bytes()).hexdigest()}"
    except OSError:
        return ""


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(4 * TOTAL_CAP).decode("utf-8-sig", "replace").strip()
    except OSError:
        return ""
