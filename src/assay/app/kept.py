"""What a checkpoint holds, and which paths commands must not see: both need the files of the workspace."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from assay.core.workspace import Workspace

BUILT = frozenset({
    "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox", ".eggs", ".coverage",
    "htmlcov", "coverage", ".nyc_output", "build", "dist", "target", "out", "_build", ".next", ".nuxt", ".turbo",
    ".parcel-cache", ".gradle", ".cache", "obj", "cmake-build-debug", "cmake-build-release", "DerivedData",
})  # fmt: skip
"""Names of what a build makes again from the sources, without a network."""
_SUFFIXES = (".pyc", ".pyo", ".o", ".class", ".egg-info", ".log", ".tmp")
_MOST = 20_000
"""Entries that are looked at; where there are more, what is lost can't be told."""


class Kept:
    """Says whether a checkpoint taken now would hold every file at a path, made files aside: snapshots leave out what
    the project ignores."""

    def __init__(self, workspace: Workspace | None = None) -> None:
        self.workspace = workspace

    async def __call__(self, target: str) -> bool:
        if self.workspace is None:
            return False
        root = self.workspace.root
        files = set(await self.workspace.list_files(200_000))
        top = Path(os.path.normpath(Path(root, target)))
        tops = [top] if top.exists() or top.is_symlink() else _matching(top)
        seen = 0
        for top in tops:
            for path in _below(top):
                seen += 1
                name = str(path)[len(root) + 1 :]
                if seen > _MOST or not (name in files or _made(name)):
                    return False
        return True


def _matching(pattern: Path) -> list[Path]:
    """The paths that a pattern of the shell stands for; a name that begins with a dot only for one that does."""
    found = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
    return [path for path in found if pattern.name.startswith(".") or not path.name.startswith(".")]


def _below(top: Path) -> Iterator[Path]:
    """Files and links at and below `top`, not following links, without version control and made directories."""
    if top.is_symlink() or not top.is_dir():
        yield top
        return
    if top.name in BUILT:
        return
    for folder, directories, names in os.walk(top):
        here = Path(folder)
        yield from (here / name for name in names)
        yield from (here / name for name in directories if (here / name).is_symlink())
        directories[:] = [name for name in directories if name not in BUILT and name != ".git"]


def _made(name: str) -> bool:
    parts = name.split("/")
    return any(part in BUILT or part.endswith(_SUFFIXES) for part in parts)


def hidden_paths(root: str, hides: Callable[[str], bool]) -> tuple[str, ...]:
    """The existing paths below `root`, relative to it, that policy keeps from the model: the topmost only. At most
    200,000 entries are looked at."""
    found: list[str] = []
    seen = 0
    for folder, directories, names in os.walk(root):
        below = folder[len(root) + 1 :]
        for name in (*directories, *names):
            path = f"{below}/{name}" if below else name
            seen += 1
            if hides(path):
                found.append(path)
        hidden = set(found)
        directories[:] = [name for name in directories if (f"{below}/{name}" if below else name) not in hidden]
        if seen > 200_000:
            break
    return tuple(sorted(found))
