"""Rules on files: where a path lies, what a glob of a rule matches, and names that can make others run something."""

from __future__ import annotations

import os
import posixpath
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct

from assay.core.protected import protected_part


class Place(Struct, frozen=True):
    """A file as named and as the file system resolves it, both absolute; they differ where links are involved."""

    named: str
    real: str


def place_of(target: str, root: str) -> Place:
    """Raises `ValueError` for what can't name a file."""
    if "\0" in target:
        raise ValueError("a null byte in a path")
    named = posixpath.normpath(posixpath.join(root, target))
    return Place(named, os.path.realpath(named))


def within(place: Place, directories: tuple[Place, ...]) -> bool:
    """True when the file lies in one of `directories`, by its name and really."""
    by_name = any(_inside(place.named, top) for each in directories for top in (each.named, each.real))
    return by_name and any(_inside(place.real, each.real) for each in directories)


def touches(place: Place, directories: tuple[Place, ...]) -> bool:
    """True when the file lies in one of `directories` by its name, or really: a link leads there, too."""
    return any(_inside(path, top) for path in (place.named, place.real) for each in directories
               for top in (each.named, each.real))  # fmt: skip


class ProtectedNames:
    """The names of `core.protected`, found in paths as the file system and as the caller spells them."""

    def part_of(self, place: Place, root: Place) -> str:
        """The protected part of a path below `root` (or of the whole path elsewhere), or empty."""
        for path, top in ((place.named, root.named), (place.real, root.real)):
            below = path[len(top) :] if _inside(path, top) else path
            if part := protected_part([part for part in below.split("/") if part]):
                return part
        return ""


def path_matches(pattern: str, path: str, root: str, *, fold: bool = False) -> bool:
    """True when `pattern`, in gitignore's manner, matches the absolute `path` or a directory above it. With `fold`,
    case does not matter."""
    if fold:
        pattern, path, root = pattern.casefold(), path.casefold(), root.casefold()
    if pattern.startswith("//"):
        base, glob = "/", pattern[2:]
    elif pattern.startswith("~/"):
        home = str(Path.home())
        base, glob = home.casefold() if fold else home, pattern[2:]
    else:
        base, glob = root, pattern.removeprefix("./")
    if not _inside(path, base):
        return False
    below = [part for part in path[len(base.rstrip("/")) :].split("/") if part]
    wanted = [part for part in glob.split("/") if part]
    anchored = pattern.startswith(("/", "~/", "./")) or "/" in glob.rstrip("/")
    if not anchored:
        wanted.insert(0, "**")
    # `dir/` and `dir/**` speak of what is in dir; so does `dir`.
    return _segments(wanted, below)


def _inside(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


def _segments(wanted: list[str], below: list[str]) -> bool:
    """Do the wanted segments match a beginning of the path? Keeps the set of positions reached: no backtracking."""
    reached = {0}
    for number, segment in enumerate(wanted):
        if segment == "**":
            # At the end it needs something to stand for: `dir/**` is not dir itself.
            least = min(reached) + (number == len(wanted) - 1)
            reached = set(range(least, len(below) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(below) and fnmatchcase(below[at], segment)}
        if not reached:
            return False
    return True
