"""Two directories seen as one, as overlayfs shows them: what the harness reads and writes of a copy by overlay.

The format is the kernel's (Documentation/filesystems/overlayfs.rst): a character device 0/0 in the upper directory
hides a name of the lower one, and a directory marked opaque hides all that is below its name there.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from typing import NamedTuple

from assay.core.errors import ChangedMeanwhile, FileMissing, NotAFile, OutsideWorkspace, ReadOnly, WorkspaceError
from assay.core.workspace import FileContent, Stamp
from assay.workspace import files
from assay.workspace.paths import MOST_LINKS, components, shown, told
from assay.workspace.restore import put_back
from assay.workspace.trees import Altered

OPAQUE = "user.overlay.opaque"


class Found(NamedTuple):
    top: str
    """The directory it lies in: the upper or the lower one."""
    status: os.stat_result


class Merged:
    """`upper` over `lower`; only `upper` is ever written. `names` are the paths by which the whole is known."""

    def __init__(self, lower: str, upper: str, names: tuple[str, ...]) -> None:
        self.lower, self.upper = lower, upper
        self._names = names

    def status(self, parts: list[str]) -> Found | None:
        """Of a path whose directories are real ones, no links."""
        through = True
        whole = "/".join(parts)
        for number in range(1, len(parts) + 1):
            path = f"{self.upper}/{'/'.join(parts[:number])}"
            try:
                found = os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                break
            if hidden(found):
                return None
            if number == len(parts):
                return Found(self.upper, found)
            if not stat.S_ISDIR(found.st_mode):
                return None
            through = through and not opaque(path)
        if not through:
            return None
        try:
            return Found(self.lower, os.lstat(f"{self.lower}/{whole}"))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def resolve(self, path: str, *, follow: bool = True) -> list[str]:
        """The parts of `path` with all links followed, also when nothing is there. Raises `OutsideWorkspace`."""
        todo = self._components(path)[::-1]
        done: list[str] = []
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                if not done:
                    raise OutsideWorkspace(f"{shown(path)}: leads out of the workspace {self._names[0]}")
                done.pop()
                continue
            found = self.status([*done, part]) if todo or follow else None
            if found is None or not stat.S_ISLNK(found.status.st_mode):
                done.append(part)
                continue
            links += 1
            if links > MOST_LINKS:
                raise WorkspaceError(f"{shown(path)}: too many symbolic links")
            target = os.readlink("/".join([found.top, *done, part]))  # noqa: PTH115
            if target.startswith("/"):
                done = []
                todo += self._components(os.path.normpath(target))[::-1]
            else:
                todo += [each for each in target.split("/") if each not in ("", ".")][::-1]
        if not done:
            raise NotAFile(f"{shown(path)}: a directory")
        return done

    def _components(self, path: str) -> list[str]:
        top = next((name for name in self._names if path.startswith(f"{name}/")), self._names[0])
        return components(top, path)

    def read(self, path: str, limit: int | None = None) -> FileContent:
        parts = self.resolve(path)
        found = self.status(parts)
        if found is None:
            raise FileMissing(f"{shown(path)}: no such file")
        return files.read_file(found.top, "/".join(parts), limit)

    def write(self, path: str, data: bytes, expect: Stamp | None) -> Stamp:
        parts = _no_git(self.resolve(path), path)
        found = self.status(parts)
        if found is None and expect is not None:
            raise ChangedMeanwhile(f"{shown(path)}: it was deleted meanwhile")
        if found is not None and not stat.S_ISREG(found.status.st_mode):
            raise NotAFile(f"{shown(path)}: not a regular file")
        if found is not None and expect is None:
            raise ChangedMeanwhile(f"{shown(path)}: it exists already; read it first")
        try:
            self._reach(parts, path)
            if found is None:
                self._uncover(parts)
            elif found.top == self.lower:
                self._lift(parts)
        except OSError as error:
            raise told(error, path, "write it") from error
        return files.write_file(self.upper, "/".join(parts), data, expect)

    def delete(self, path: str, expect: Stamp) -> None:
        if self.read(path).stamp.digest != expect.digest:
            raise ChangedMeanwhile(f"{shown(path)}: it changed since it was read; read it again")
        self.hide(_no_git(self.resolve(path, follow=False), path))

    def hide(self, parts: list[str]) -> None:
        """Take a file, a link or an empty directory out of the merged view. What is gone already is fine."""
        found = self.status(parts)
        if found is None:
            return
        name = "/".join([self.upper, *parts])
        try:
            if found.top == self.upper:
                os.rmdir(name) if stat.S_ISDIR(found.status.st_mode) else os.unlink(name)  # noqa: PTH106, PTH108
            if self.status(parts):
                self._reach(parts, name)
                os.mknod(name, stat.S_IFCHR, 0)
        except OSError as error:
            raise told(error, "/".join(parts), "remove it") from error

    def hide_all(self, paths: list[str]) -> None:
        """Hide files, and the directories of the lower side that have nothing else in them."""
        parents: set[str] = set()
        for path in paths:
            self.hide(path.split("/"))
            parents.add(path.rpartition("/")[0])
        while parents - {""}:
            path = max(parents, key=lambda each: each.count("/"))
            parents.discard(path)
            upper = f"{self.upper}/{path}"
            with contextlib.suppress(OSError):
                kept = {entry.name: hidden(entry.stat(follow_symlinks=False)) for entry in os.scandir(upper)}
                if all(kept.values()) and kept.keys() >= set(os.listdir(f"{self.lower}/{path}")):  # noqa: PTH208
                    for name in kept:
                        os.unlink(f"{upper}/{name}")  # noqa: PTH108
                    os.rmdir(upper)  # noqa: PTH106
                    os.mknod(upper, stat.S_IFCHR, 0)
                    parents.add(path.rpartition("/")[0])

    def put(self, path: str, mode: int, data: bytes) -> None:
        """`put_back`, into the upper directory; whatever is in the way gives way."""
        parts = path.split("/")
        try:
            for number in range(1, len(parts)):
                found = self.status(parts[:number])
                if found is not None and not stat.S_ISDIR(found.status.st_mode):
                    self.hide(parts[:number])
            self._reach(parts, path)
            self._uncover(parts)
        except OSError as error:
            raise told(error, path, "put it back") from error
        put_back(self.upper, path, mode, data)

    def altered(self) -> Altered:
        """What differs from the lower directory, files of git left out."""
        out = Altered([], [], [])
        for path, status in _walk(self.upper):
            if hidden(status):
                out.gone.append(path)
            elif stat.S_ISDIR(status.st_mode):
                out.directories.append(path)
                if opaque(f"{self.upper}/{path}"):
                    out.gone.append(path)
            elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                out.files.append(path)
        return out

    def _reach(self, parts: list[str], path: str) -> None:
        """Have the directories of `parts` in the upper directory, with the modes that they have below."""
        for number in range(1, len(parts)):
            here, upper = parts[:number], "/".join([self.upper, *parts[:number]])
            found = self.status(here)
            if found is None:
                self._uncover(here)
                os.mkdir(upper)  # noqa: PTH102
                # What the whiteout hid must stay hidden below the new directory.
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    for name in os.listdir("/".join([self.lower, *here])):  # noqa: PTH208
                        if self.status([*here, name]):
                            os.mknod(f"{upper}/{name}", stat.S_IFCHR, 0)
            elif not stat.S_ISDIR(found.status.st_mode):
                raise NotAFile(f"{shown(path)}: goes through a file")
            elif found.top == self.lower:
                os.mkdir(upper)  # noqa: PTH102
                os.chmod(upper, stat.S_IMODE(found.status.st_mode))  # noqa: PTH101

    def _uncover(self, parts: list[str]) -> None:
        """Remove a whiteout that stands at `parts` itself."""
        name = "/".join([self.upper, *parts])
        with contextlib.suppress(FileNotFoundError):
            if hidden(os.lstat(name)):
                os.unlink(name)  # noqa: PTH108

    def _lift(self, parts: list[str]) -> None:
        import shutil

        path = "/".join(parts)
        shutil.copy2(f"{self.lower}/{path}", f"{self.upper}/{path}", follow_symlinks=False)


def hidden(status: os.stat_result) -> bool:
    """A whiteout."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def opaque(directory: str) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return os.getxattr(directory, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False


def _no_git(parts: list[str], path: str) -> list[str]:
    if any(part.lower() == ".git" for part in parts):
        raise ReadOnly(f"{shown(path)}: files of git are not written directly; use git commands")
    return parts


def _walk(top: str) -> Iterator[tuple[str, os.stat_result]]:
    todo = [""]
    while todo:
        below = todo.pop()
        with contextlib.suppress(OSError), os.scandir(f"{top}/{below}") as entries:
            for entry in entries:
                if entry.name != ".git":
                    path = f"{below}/{entry.name}" if below else entry.name
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        todo.append(path)
                    yield path, status
