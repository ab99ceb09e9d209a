"""Resolving a path beneath a root one component at a time, so that no symbolic link leads outside."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager

from assay.core.errors import FileMissing, NotAFile, OutsideWorkspace, ReadOnly, StorageFull, WorkspaceError

MOST_LINKS = 40
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def shown(path: str) -> str:
    """`path` fit for a message: control characters and undecodable bytes escaped."""
    return path.encode("utf-8", "backslashreplace").decode().encode("unicode_escape").decode("ascii")


def told(error: OSError, path: str, doing: str) -> WorkspaceError:
    """The error of the house for what the system said about `path`."""
    text = f"{shown(path)}: can't {doing}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageFull(f"{text}; free some space, the old file is unchanged")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ReadOnly(text)
    if error.errno == errno.ENOENT:
        return FileMissing(f"{shown(path)}: no such file")
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ENXIO):
        return NotAFile(text)
    return WorkspaceError(text)


def components(root: str, path: str) -> list[str]:
    """The parts of a workspace-relative path (an absolute one beneath the root is taken as such)."""
    if not path or "\0" in path:
        raise OutsideWorkspace(f"{shown(path)!r}: not a path")
    if path.startswith("/"):
        top = root.rstrip("/") + "/"
        if not path.startswith(top):
            raise OutsideWorkspace(f"{shown(path)}: outside the workspace {root}")
        path = path[len(top) :]
    parts = [part for part in path.split("/") if part not in ("", ".")]
    depth = 0
    for part in parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise OutsideWorkspace(f"{shown(path)}: leads out of the workspace {root}")
    return parts


class Place:
    """An open directory and the name of a file in it, all links followed: what the file operations work on."""

    def __init__(self, directory: int, name: str, parts: list[str]) -> None:
        self.directory = directory
        self.name = name
        self.parts = parts
        """Of the resolved path, relative to the root."""

    def status(self) -> os.stat_result | None:
        try:
            return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None


class _Walk:
    """Directories from the root down to where we are, each one open."""

    def __init__(self, root: str, path: str) -> None:
        self.root, self.path = root, path
        self.names: list[str] = []
        try:
            self.opened = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        except OSError as error:
            raise told(error, root, "open the workspace") from error

    @property
    def here(self) -> int:
        return self.opened[-1]

    def up(self) -> None:
        if not self.names:
            raise OutsideWorkspace(f"{shown(self.path)}: leads out of the workspace {self.root}")
        self.names.pop()
        os.close(self.opened.pop())

    def top(self) -> None:
        while self.names:
            self.up()

    def down(self, name: str, create: bool) -> None:
        if create:
            try:
                os.mkdir(name, dir_fd=self.here)
            except FileExistsError:
                pass
            except OSError as error:
                raise told(error, self.path, "make its directory") from error
        try:
            self.opened.append(os.open(name, DIRECTORY, dir_fd=self.here))
        except OSError as error:
            raise told(error, self.path, "open its directory") from error
        self.names.append(name)

    def close(self) -> None:
        for fd in self.opened:
            os.close(fd)


@contextmanager
def place(root: str, path: str, *, create: bool = False, follow: bool = True) -> Generator[Place]:
    """Resolve `path` beneath `root`. `create` makes missing directories; without `follow` a link at the end stays one.

    Raises `OutsideWorkspace` when the path or a link in it leaves the root, `FileMissing` when a directory of it is
    missing, `NotAFile` when it names the root itself or goes through a file.
    """
    walk = _Walk(root, path)
    try:
        todo = components(root, path)[::-1]
        links = 0
        while todo:
            name = todo.pop()
            if name == "..":
                walk.up()
                continue
            target = _link(walk.here, name) if todo or follow else None
            if target is not None:
                links += 1
                if links > MOST_LINKS:
                    raise WorkspaceError(f"{shown(path)}: too many symbolic links")
                if target.startswith("/"):
                    rest = components(_real(root), os.path.normpath(target)) if _inside(root, target) else None
                    if rest is None:
                        raise OutsideWorkspace(f"{shown(path)}: a symbolic link leads outside, to {shown(target)}")
                    walk.top()
                    todo += rest[::-1]
                else:
                    todo += [part for part in target.split("/") if part not in ("", ".")][::-1]
            elif todo:
                walk.down(name, create and ".." not in todo)
            else:
                yield Place(walk.here, name, [*walk.names, name])
                return
        raise NotAFile(f"{shown(path)}: a directory")
    finally:
        walk.close()


def _real(root: str) -> str:
    return os.path.realpath(root)


def _inside(root: str, target: str) -> bool:
    return os.path.normpath(target).startswith(_real(root).rstrip("/") + "/")


def _link(directory: int, name: str) -> str | None:
    try:
        if not stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            return None
        return os.readlink(name, dir_fd=directory)
    except OSError:
        return None
