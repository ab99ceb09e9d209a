"""Files that no tree holds: what git ignores is laid over every clean copy as it is now, so a change to it since the
start could make checks pass. The time of a file's last change of status tells: no ordinary process can set it back.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from msgspec import Struct

from assay.verify.protect import path_kind

MOST_FILES = 400_000
CACHES = frozenset((
    ".git", ".hg", ".svn", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".cache", ".nyc_output",
    "htmlcov", "coverage", ".turbo", ".parcel-cache", ".assay", ".idea", ".vscode",
))  # fmt: skip
"""Directories that nothing is loaded from."""
BUILDS = frozenset(("build", "dist", "target", "out", "lib-cov", ".next", ".tox", ".nox", ".eggs", "obj", "_build"))
DEPENDENCIES = frozenset(("site-packages", "dist-packages", "node_modules"))
CODE = frozenset((".py", ".pyc", ".so", ".pyd", ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".node", ".sh"))
PROGRAMS = re.compile(r"(?:python|pypy|node|npm|npx|bash|sh|env|make|git)[\d.]*")
RUNNERS = re.compile(r"(?:pytest|_pytest|pluggy|unittest|sitecustomize|usercustomize|xdist|nose2?)(?:\.py|$)")
GENERATED = re.compile(r"_?version\.py")


class Altered(Struct, frozen=True):
    """Ignored files that changed since the start."""

    loaded: dict[str, str] = {}
    """What test runs load, or may, and no clean checkout would have -> why it matters."""
    others: tuple[str, ...] = ()
    """The rest: build output and data; whether it makes a test pass is tried."""


async def altered(root: str, since: float, files: Sequence[str]) -> Altered:
    """`since` is in seconds since the epoch; `files` are those that are not ignored, relative to `root`."""
    if since <= 0:
        return Altered()
    return await asyncio.to_thread(_altered, root, since, frozenset(files))


def _altered(root: str, since: float, known: frozenset[str]) -> Altered:
    loaded, others = dict[str, str](), list[str]()
    groups: dict[str, tuple[list[str], list[str]]] = {}
    for path, changed, link in _walk(root):
        group = _package(path)
        recent = changed >= since and path not in known
        if group:
            new, old = groups.setdefault(group, ([], []))
            (new if recent else old).append(path)
        if not recent:
            continue
        if why := _always(path, link, root):
            loaded[path] = why
        elif group:
            continue
        elif PurePosixPath(path).suffix in CODE and not _built(path):
            if not GENERATED.fullmatch(PurePosixPath(path).name):
                loaded[path] = "is code that git ignores: a clean checkout would not have it"
        else:
            others.append(path)
    for new, old in groups.values():
        if new and old:
            # An installation writes all files of a package; some only, and somebody edited what was installed.
            loaded.update({path: "was edited where it is installed" for path in new if path not in loaded})
    return Altered(loaded, tuple(others))


def _walk(root: str) -> Iterator[tuple[str, float, bool]]:
    """Path, time of the last change of status, and whether it is a symbolic link, of every file below `root`."""
    count, waiting = 0, [root]
    while waiting:
        try:
            entries = [*os.scandir(waiting.pop())]
        except OSError:
            continue
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in CACHES and not (entry.name == "__pycache__" and not _installed(entry.path)):
                        waiting.append(entry.path)
                    continue
                count += 1
                yield entry.path[len(root) + 1 :], entry.stat(follow_symlinks=False).st_ctime, entry.is_symlink()
            except OSError:
                continue
        if count > MOST_FILES:
            return


def _installed(path: str) -> bool:
    return bool(DEPENDENCIES.intersection(path.split("/")))


def _built(path: str) -> bool:
    parts = path.split("/")[:-1]
    return any(part in BUILDS or part.endswith((".egg-info", ".dist-info")) for part in parts)


def _package(path: str) -> str:
    """The directory of the installed package that a file belongs to; empty outside packages."""
    parts = path.split("/")
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] in DEPENDENCIES and len(parts) > at + 2 and parts[at + 1] not in (".bin", "__pycache__"):
            return "/".join(parts[: at + (3 if parts[at + 1].startswith("@") else 2)])
    return ""


def _always(path: str, link: bool, root: str) -> str:
    pure = PurePosixPath(path)
    if path_kind(path) == "settings" and not _built(path) and not (_package(path) and pure.suffix != ".pth"):
        if pure.suffix == ".pth" and not _runs_code(Path(root, path)):
            return ""
        return "is loaded by every test run, and git ignores it"
    place = pure.parent.name
    if (place in (".bin", "bin", "Scripts") and PROGRAMS.fullmatch(pure.name)) or (place == ".bin" and not link):
        return "takes the place of a program"
    if len(pure.parts) > 1 and pure.parent.name in DEPENDENCIES and RUNNERS.match(pure.name):
        return "takes the place of a test runner"
    return ""


def _runs_code(path: Path) -> bool:
    try:
        return any(line.startswith(("import ", "import\t")) for line in path.read_text("utf-8", "replace").splitlines())
    except OSError:
        return False
