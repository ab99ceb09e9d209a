"""Putting files back as a tree has them."""

from __future__ import annotations

import contextlib
import os
import stat

from assay.core.errors import WorkspaceError
from assay.workspace.files import SUFFIX
from assay.workspace.paths import place, told


def put_back(root: str, path: str, mode: int, data: bytes) -> None:
    """Make `path` the file or symbolic link (its target in `data`) that `mode`, in git's numbers, says.

    Whatever is in the way gives way: a file where a directory must be, or a directory of no more interest.
    """
    _clear_the_way(root, path)
    with place(root, path, create=True, follow=False) as at:
        temporary = f".{os.urandom(6).hex()}{SUFFIX}"
        try:
            if stat.S_ISLNK(mode):
                os.symlink(os.fsdecode(data), temporary, dir_fd=at.directory)
            else:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                fd = os.open(temporary, flags, 0o666, dir_fd=at.directory)
                with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor
                    file.write(data)
                    os.fchmod(fd, _mode(at.status(), mode, os.fstat(fd).st_mode))
            found = at.status()
            if found and stat.S_ISDIR(found.st_mode):
                import shutil

                shutil.rmtree(at.name, dir_fd=at.directory)
            os.rename(temporary, at.name, src_dir_fd=at.directory, dst_dir_fd=at.directory)
        except OSError as error:
            raise told(error, path, "put it back") from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=at.directory)


def _mode(old: os.stat_result | None, mode: int, fresh: int) -> int:
    """The mode of what is replaced, with the right to execute as the tree says."""
    bits = stat.S_IMODE(old.st_mode if old and stat.S_ISREG(old.st_mode) else fresh)
    return bits | (bits & 0o444) >> 2 if mode & 0o100 else bits & ~0o111


def _clear_the_way(root: str, path: str) -> None:
    """Remove a file or a link that stands where a directory of `path` belongs."""
    parts = path.split("/")
    for length in range(1, len(parts)):
        with place(root, "/".join(parts[:length]), create=False, follow=False) as at:
            found = at.status()
            if found is None:
                return
            if not stat.S_ISDIR(found.st_mode):
                os.unlink(at.name, dir_fd=at.directory)
                return


def remove(root: str, path: str) -> None:
    """Remove a file or link, and the directories that it leaves empty. What is gone already is fine."""
    with contextlib.suppress(WorkspaceError), place(root, path, follow=False) as at:
        found = at.status()
        if found and not stat.S_ISDIR(found.st_mode):
            try:
                os.unlink(at.name, dir_fd=at.directory)
            except OSError as error:
                raise told(error, path, "remove it") from error
    parent = path.rpartition("/")[0]
    while parent:
        with contextlib.suppress(WorkspaceError), place(root, parent, follow=False) as at:
            try:
                os.rmdir(at.name, dir_fd=at.directory)
            except OSError:  # not empty, or not there
                return
        parent = parent.rpartition("/")[0]
