"""Where files for agents lie, from the first to be asked to the last.

| who | folders |
| --- | --- |
| the user | `$XDG_CONFIG_HOME/assay`, `~/.agents`, `~/.claude` (or `$CLAUDE_CONFIG_DIR`), never written |
| the project | `.assay`, `.agents`, `.claude` of the working directory, then of each folder above it up to the root |
| plugins | one folder each; their names carry the plugin's: `plugin:name` |

Of two with one name the first counts, so that a repository can't take the name of what is the user's own. Kinds of
agents are asked in another order, that of `core.agents`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from assay.core.policy import OPERATOR, WORKSPACE, Label

FOLDERS = (".assay", ".agents", ".claude")
Owner = Literal["user", "project", "plugin"]
_MOST = 1_000
_DEEP = 6


class Shelf(Struct, frozen=True):
    """A folder that may hold `skills`, `commands`, `agents`, `output-styles`, `rules`."""

    path: Path
    owner: Owner
    plugin: str = ""
    """The plugin's name."""
    top: Path | None = None
    """Links may not lead out of this; None for the user's own folders."""

    @property
    def label(self) -> Label:
        return OPERATOR if self.owner == "user" else WORKSPACE

    def named(self, name: str) -> str:
        return f"{self.plugin}:{name}" if self.plugin else name


def from_root(directory: Path) -> list[Path]:
    """The folders from the project's root (the nearest parent with `.git`, or `directory` itself) down to
    `directory`."""
    chain = [directory, *directory.parents]
    for index, folder in enumerate(chain):
        if (folder / ".git").exists():
            return chain[index::-1]
    return [directory]


def find_shelves(directory: Path, own: tuple[Path, ...], *, user: bool, project: bool) -> list[Shelf]:
    """The folders that exist: those of the user (`own`, in order), then the project's. A few `stat` calls."""
    shelves = [Shelf(path, "user") for path in own if path.is_dir()] if user else []
    taken = {shelf.path for shelf in shelves}
    if project:
        chain = from_root(directory)
        for folder in reversed(chain):
            shelves += [
                Shelf(folder / name, "project", top=chain[0])
                for name in FOLDERS
                if (folder / name).is_dir() and folder / name not in taken
            ]
    return shelves


def files_below(shelf: Shelf, kind: str, name: str = "", deep: int = _DEEP) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Markdown files below folder `kind` of a shelf, or those called `name` only, each with its folders relative to it,
    sorted. Hidden folders, links that lead out of the project, and what goes beyond 1,000 files are passed over."""
    base = shelf.path / kind
    if not base.is_dir() or not _stays(base, shelf.top):
        return
    seen = 0
    for folder, directories, names in os.walk(base, followlinks=True):
        relative = Path(folder).relative_to(base).parts
        directories[:] = sorted(each for each in directories if not each.startswith(".") and each != "node_modules")
        if len(relative) >= deep:
            directories.clear()
        if name and name in names:
            # What lies below a skill is the skill's own material.
            directories.clear()
        for each in sorted(names):
            path = Path(folder) / each
            if (each == name if name else each.endswith(".md")) and _stays(path, shelf.top):
                seen += 1
                if seen > _MOST:
                    return
                yield path, relative


def _stays(path: Path, top: Path | None) -> bool:
    return top is None or Path(os.path.realpath(path)).is_relative_to(os.path.realpath(top))
