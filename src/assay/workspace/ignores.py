"""What is never part of a tree: caches, installed dependencies, our own temporary files."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path

CACHES = (
    "__pycache__/", "*.pyc", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/", ".coverage",
    ".DS_Store", ".*.assay-tmp",
)  # fmt: skip
"""Made anew by whatever needs them; a copy does without."""

DEPENDENCIES = ("node_modules/", ".venv/", "venv/", ".tox/", ".nox/", ".eggs/", "*.egg-info/")
NOT_VERSIONED = ("target/", ".gradle/", ".next/", ".git/", ".hg/", ".svn/", ".env")
"""Ignored too where no repository says what belongs to the project."""
LONGEST = 500
"""Characters of a pattern. Whatever is longer names no file, and would only take long to compile."""


def patterns(versioned: bool) -> tuple[str, ...]:
    """Default patterns in the syntax of .gitignore; a project's own .gitignore may take any of them back."""
    return CACHES + DEPENDENCIES + (() if versioned else NOT_VERSIONED)


class Ignores:
    """A plain reading of patterns, for when git can't be asked: names, `dir/`, anchored paths and `*`, the last match
    decides. `**` inside a pattern matches any depth."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        self._rules: list[tuple[bool, bool, bool, str]] = []
        for line in lines:
            text = line.strip()
            if text and not text.startswith("#") and len(text) <= LONGEST:
                negated = text.startswith("!")
                text = text.lstrip("!")
                only_directory = text.endswith("/")
                text = text.rstrip("/")
                self._rules.append((negated, only_directory, "/" in text, text.removeprefix("/")))

    def match(self, path: str, directory: bool) -> bool:
        name = path.rpartition("/")[2]
        ignored = False
        for negated, only_directory, anchored, pattern in self._rules:
            if (directory or not only_directory) and fnmatch.fnmatchcase(path if anchored else name, pattern):
                ignored = not negated
        return ignored


def of_directory(root: str) -> Ignores:
    """The defaults and the .gitignore at the top of `root`."""
    try:
        own = tuple(Path(root, ".gitignore").read_text("utf-8", "replace").splitlines())
    except OSError:
        own = ()
    return Ignores(patterns(versioned=False) + own)


def walk(root: str, ignores: Ignores, top: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Files and symbolic links below `root/top` that are not ignored, with their paths relative to `root`."""
    todo = [top]
    while todo:
        below = todo.pop()
        try:
            with os.scandir(os.path.join(root, below)) as found:  # noqa: PTH118 - undecodable names stay as they are
                entries = list(found)
        except OSError:
            continue
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            directory = entry.is_dir(follow_symlinks=False)
            if entry.name == ".git" or ignores.match(path, directory):
                continue
            if directory:
                todo.append(path)
            elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                yield path, entry


def ignored(root: str, ignores: Ignores) -> list[str]:
    """What `walk` leaves out, directories with a slash at the end, nothing below an ignored directory."""
    todo, out = [""], list[str]()
    while todo:
        below = todo.pop()
        try:
            with os.scandir(os.path.join(root, below)) as found:  # noqa: PTH118 - as above
                entries = list(found)
        except OSError:
            continue
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            directory = entry.is_dir(follow_symlinks=False)
            if entry.name != ".git" and ignores.match(path, directory):
                out.append(path + "/" if directory else path)
            elif directory and entry.name != ".git":
                todo.append(path)
    return out
