"""Where protected names lie below a directory: found once by a walk, then by looking at what changed since."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import NamedTuple

from assay.core.protected import INTERNALS, WORKTREE_INTERNALS, taken_back

SKIPPED = frozenset({
    "node_modules", "vendor", "target", ".venv", "venv", ".tox", ".nox", ".eggs", ".next", ".gradle", "__pycache__",
    ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis",
})  # fmt: skip
"""Installed by others and full of such names, which nobody there reads as the project's own."""
MOST_DIRECTORIES = 20_000
COARSE = 20_000_000
"""Nanoseconds within which a directory may change twice and show one time of change."""


class Identity(NamedTuple):
    """What is there: the same number, or for a link the same target, means the same thing."""

    device: int
    inode: int
    parent: int
    """The inode of the directory that it is in."""
    target: str = ""


class Watch:
    """`look` is cheap when little changed: one stat for each directory, since its time of change can't be set back."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._known: dict[str, _Listing] = {}

    def look(self) -> dict[str, Identity]:
        """Every protected thing below the root by its path."""
        found: dict[str, Identity] = {}
        todo, seen = [""], dict[str, _Listing]()
        while todo and len(seen) < MOST_DIRECTORIES:
            path = todo.pop()
            listing = self._listed(path)
            if listing is not None:
                seen[path] = listing
                todo += listing.below
                for name in (*listing.protected, *(each for vcs in listing.vcs for each in self._internals(vcs))):
                    with contextlib.suppress(OSError):
                        found[name] = self._identity(name)
        self._known = seen
        return found

    def _internals(self, path: str) -> list[str]:
        found = [f"{path}/{name}" for name in INTERNALS[path.rpartition("/")[2].casefold()]]
        trees = f"{path}/worktrees"
        with contextlib.suppress(OSError), os.scandir(f"{self._root}/{trees}") as entries:
            # A link can lead to anything, and git makes none here.
            found += [trees] if os.path.islink(f"{self._root}/{trees}") else []  # noqa: PTH114
            for entry in entries:
                below = [f"{trees}/{entry.name}/{name}" for name in WORKTREE_INTERNALS]
                found += [f"{trees}/{entry.name}"] if entry.is_symlink() else below
        return found

    def _identity(self, path: str) -> Identity:
        full = f"{self._root}/{path}"
        status = os.lstat(full)
        if stat.S_ISLNK(status.st_mode):
            return Identity(0, 0, 0, os.readlink(full))  # noqa: PTH115
        return Identity(status.st_dev, status.st_ino, os.lstat(os.path.dirname(full)).st_ino)  # noqa: PTH120

    def _listed(self, path: str) -> _Listing | None:
        full = f"{self._root}/{path}"
        try:
            status = os.lstat(full)
            key = (status.st_dev, status.st_ino, status.st_ctime_ns)
            known = self._known.get(path)
            if known is not None and known.key == key:
                return known
            if not stat.S_ISDIR(status.st_mode):
                return None
            settled = time.time_ns() - status.st_ctime_ns > COARSE
            with os.scandir(full) as entries:
                return _listing(path, key if settled else None, list(entries))
        except OSError:
            return None


class _Listing(NamedTuple):
    key: tuple[int, int, int] | None
    """None when the directory may change again without showing it."""
    protected: tuple[str, ...]
    vcs: tuple[str, ...]
    below: tuple[str, ...]


def _listing(path: str, key: tuple[int, int, int] | None, entries: list[os.DirEntry[str]]) -> _Listing:
    protected: list[str] = []
    vcs: list[str] = []
    below: list[str] = []
    for entry in entries:
        full = f"{path}/{entry.name}" if path else entry.name
        directory = entry.is_dir(follow_symlinks=False)
        folded = entry.name.casefold()
        if folded in INTERNALS:
            (vcs if directory else protected).append(full)
        elif taken_back(entry.name, directory=directory or entry.is_symlink()):
            protected.append(full)
        elif directory and folded not in SKIPPED:
            below.append(full)
    return _Listing(key, tuple(protected), tuple(vcs), tuple(below))
