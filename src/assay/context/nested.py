"""Instructions that come when they matter: those of folders below the working directory, and rules about certain
files, once a file there was read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from msgspec import Struct

from assay.context.instructions import Reader
from assay.context.library.places import FOLDERS, Shelf
from assay.context.library.rules import RuleFile, matches, read_rules
from assay.core.context import Fragment
from assay.core.policy import WORKSPACE


class Late(Struct, frozen=True):
    """Instructions that came late, and why."""

    fragment: Fragment
    reason: Literal["nested_traversal", "path_glob_match"]
    globs: tuple[str, ...] = ()


class Nested:
    """`given`: sources of what this session already holds, so that each comes once, also after it was resumed."""

    def __init__(self, directory: Path, reader: Reader, given: Iterable[str]) -> None:
        self._directory = directory
        reader.total = 0
        self._reader = reader
        self._given = set(given)
        self._folders: set[Path] = set()
        self._rules: list[RuleFile] | None = None
        self.faults: list[str] = []
        self.shelves: list[Shelf] = []
        """Folders for agents that were met below the working directory."""

    def about(self, path: str) -> list[Late]:
        """What there is to say about the file at `path`, relative to the working directory, and was not said before."""
        file = Path(os.path.normpath(self._directory / path))
        if not file.is_relative_to(self._directory):
            return []
        return [*self._folders_of(file), *self._rules_for(file)]

    def _folders_of(self, file: Path) -> list[Late]:
        found: list[Late] = []
        below = file.relative_to(self._directory).parts[:-1]
        folder = self._directory
        for part in below:
            folder = folder / part
            if folder in self._folders:
                continue
            self._folders.add(folder)
            for path in self._reader.of_folder(folder):
                found += [Late(each, "nested_traversal") for each in self._new(path)]
            if self._reader.reach.project:
                self._shelve(folder)
        return found

    def _shelve(self, folder: Path) -> None:
        shelves = [Shelf(folder / name, "project", top=self._reader.top) for name in FOLDERS]
        there = [shelf for shelf in shelves if shelf.path.is_dir()]
        self.shelves += there
        if there:
            self._rules = [*self._all_rules(), *read_rules(there, self.faults)]

    def _rules_for(self, file: Path) -> list[Late]:
        found: list[Late] = []
        for rule in self._all_rules():
            if str(rule.path) in self._given or not self._speaks(rule, file):
                continue
            reason = "path_glob_match" if rule.globs else "nested_traversal"
            fragments = self._reader.read(rule.path, rule.label, "rules")
            found += [Late(fragment, reason, rule.globs) for fragment in fragments]
            self._given.add(str(rule.path))
        return found

    def _speaks(self, rule: RuleFile, file: Path) -> bool:
        """A rule without globs is about all below the folder that holds its `.claude`; globs are seen from there, or
        from the root for the user's own."""
        base = next((folder.parent for folder in rule.path.parents if folder.name in FOLDERS), None)
        if base is None or not file.is_relative_to(base):
            base = self._reader.top if rule.label != WORKSPACE else None
        if base is None or not file.is_relative_to(base):
            return False
        relative = file.relative_to(base).as_posix()
        return any(matches(glob, relative) for glob in rule.globs) if rule.globs else True

    def _all_rules(self) -> list[RuleFile]:
        if self._rules is None:
            self._rules = [rule for rule in read_rules(self._reader.reach.shelves, self.faults) if rule.globs]
        return self._rules

    def _new(self, path: Path) -> list[Fragment]:
        if str(path) in self._given:
            return []
        self._given.add(str(path))
        return self._reader.read(path, WORKSPACE)
