"""Reading and replacing single files: bytes in, bytes out, whole or not at all, and never over a change unseen."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import Callable
from functools import cache

from assay.core.errors import ChangedMeanwhile, FileMissing, NotAFile, ReadOnly, TooLarge, WorkspaceError
from assay.core.workspace import FileContent, Stamp
from assay.workspace.paths import Place, place, shown, told

READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
SUFFIX = ".assay-tmp"
"""Ends the name of a file that is about to become another; ignored by snapshots."""


def read_file(root: str, path: str, limit: int | None = None) -> FileContent:
    """The port's `read_file`."""
    with place(root, path) as at:
        return _read(at, path, limit)


def _read(at: Place, path: str, limit: int | None = None) -> FileContent:
    found = at.status()
    if found is None:
        raise FileMissing(f"{shown(path)}: no such file")
    if not stat.S_ISREG(found.st_mode):
        raise NotAFile(f"{shown(path)}: not a regular file but {_kind(found.st_mode)}")
    for _ in range(3):
        try:
            content = _read_once(at, path, limit)
        except OSError as error:
            raise told(error, path, "read it") from error
        if content:
            return content
    raise ChangedMeanwhile(f"{shown(path)}: changes while it is read; try again later")


def _read_once(at: Place, path: str, limit: int | None) -> FileContent | None:
    """None when the file changed under the reading."""
    fd = os.open(at.name, READING, dir_fd=at.directory)
    with open(fd, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise NotAFile(f"{shown(path)}: not a regular file")
        if limit is not None and before.st_size > limit:
            raise TooLarge(f"{shown(path)}: {before.st_size} bytes, more than {limit}; read a part of it by a command")
        data = file.readall() if limit is None else _bounded(file.read, limit + 1)
        after = os.fstat(fd)
    if limit is not None and len(data) > limit:
        raise TooLarge(f"{shown(path)}: grew beyond {limit} bytes")
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return None
    return FileContent(data, stamp_of(data, after))


def _bounded(read: Callable[[int], bytes | None], most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := read(most)):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _kind(mode: int) -> str:
    names = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a link"}
    return names.get(stat.S_IFMT(mode), "a device")


def stamp_of(data: bytes, status: os.stat_result) -> Stamp:
    return Stamp(hashlib.sha256(data).hexdigest(), len(data), status.st_mtime_ns, status.st_ino)


def write_file(root: str, path: str, data: bytes, expect: Stamp | None) -> Stamp:
    """The port's `write_file`. The same bytes count as unchanged, whatever the clock or a re-save says.

    A hard link is broken, on purpose: its other name may lie outside the workspace.
    """
    with place(root, path, create=expect is None) as at:
        if any(part.lower() == ".git" for part in at.parts):
            raise ReadOnly(f"{shown(path)}: files of git are not written directly; use git commands")
        old = at.status()
        _writable(at, path, old, expect)
        temporary = f".{os.urandom(6).hex()}{SUFFIX}"
        try:
            stamp = _prepare(at, temporary, data, old)
            if old is None:
                _create(at, temporary, path)
            else:
                assert expect is not None
                _replace(at, temporary, stamp.inode, path, expect)
            os.fsync(at.directory)
        except OSError as error:
            raise told(error, path, "write it") from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=at.directory)
        return stamp


def _writable(at: Place, path: str, old: os.stat_result | None, expect: Stamp | None) -> None:
    if old is None:
        if expect is not None:
            raise ChangedMeanwhile(f"{shown(path)}: it was deleted meanwhile")
        return
    if not stat.S_ISREG(old.st_mode):
        raise NotAFile(f"{shown(path)}: not a regular file but {_kind(old.st_mode)}")
    if expect is None:
        raise ChangedMeanwhile(f"{shown(path)}: it exists already; read it first")
    if not old.st_mode & 0o222 or not os.access(at.name, os.W_OK, dir_fd=at.directory):
        raise ReadOnly(f"{shown(path)}: read-only; make it writable first if it is meant to change")
    if _read(at, path).stamp.digest != expect.digest:
        raise _changed(path)


def _changed(path: str) -> ChangedMeanwhile:
    return ChangedMeanwhile(f"{shown(path)}: it changed since it was read; read it again")


def _prepare(at: Place, temporary: str, data: bytes, old: os.stat_result | None) -> Stamp:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o666 if old is None else 0o600, dir_fd=at.directory)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        if old is not None:
            _dress(fd, at, old)
        os.fsync(fd)
        return stamp_of(data, os.fstat(fd))
    finally:
        os.close(fd)


def _dress(fd: int, at: Place, old: os.stat_result) -> None:
    """Owner, extended attributes and mode of the file that is about to be replaced, as far as the system lets us."""
    now = os.fstat(fd)
    if (now.st_uid, now.st_gid) != (old.st_uid, old.st_gid):
        with contextlib.suppress(OSError):
            os.fchown(fd, old.st_uid, old.st_gid)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            source = os.open(at.name, READING, dir_fd=at.directory)
            try:
                for name in os.listxattr(source):
                    with contextlib.suppress(OSError):
                        os.setxattr(fd, name, os.getxattr(source, name))
            finally:
                os.close(source)
    os.fchmod(fd, stat.S_IMODE(old.st_mode))


def _create(at: Place, temporary: str, path: str) -> None:
    try:
        # A link, unlike a rename, fails when someone else made the file meanwhile.
        os.link(temporary, at.name, src_dir_fd=at.directory, dst_dir_fd=at.directory, follow_symlinks=False)
    except FileExistsError:
        raise ChangedMeanwhile(f"{shown(path)}: someone made it meanwhile; read it first") from None
    except OSError:  # a file system without hard links
        if at.status() is not None:
            raise ChangedMeanwhile(f"{shown(path)}: someone made it meanwhile; read it first") from None
        os.rename(temporary, at.name, src_dir_fd=at.directory, dst_dir_fd=at.directory)


def _replace(at: Place, temporary: str, mine: int, path: str, expect: Stamp) -> None:
    """Swap the new file (inode `mine`) with the old one and look at what came out."""
    exchange = _exchanger()
    displaced = Place(at.directory, temporary, at.parts)
    if exchange is None or not exchange(at.directory, temporary, at.name):
        if _read(at, path).stamp.digest != expect.digest:
            raise _changed(path)
        os.rename(temporary, at.name, src_dir_fd=at.directory, dst_dir_fd=at.directory)
        return
    if _digest(displaced) == expect.digest:
        return
    # What came out is newer than what was read, so it goes back. When something else than our last word comes out
    # then, that is newer still, and goes back in turn: the last writer wins, and it isn't us.
    put = mine
    for _ in range(1000):
        newer = displaced.status()
        if newer is None or not exchange(at.directory, temporary, at.name):
            break
        out = displaced.status()
        if out is None or out.st_ino == put:
            raise _changed(path)
        put = newer.st_ino
    raise WorkspaceError(f"{shown(path)}: changes faster than it can be written")


def _digest(at: Place) -> str:
    with contextlib.suppress(OSError, WorkspaceError):
        return _read(at, at.name).stamp.digest
    return ""


@cache
def _exchanger() -> Callable[[int, str, str], bool] | None:
    """renameat2(RENAME_EXCHANGE), or renameatx_np(RENAME_SWAP) on macOS; the returned call says whether it worked."""
    import ctypes

    name = "renameat2" if sys.platform == "linux" else "renameatx_np"
    call = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if call is None:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

    def exchange(directory: int, one: str, other: str) -> bool:
        return call(directory, os.fsencode(one), directory, os.fsencode(other), 2) == 0

    return exchange


def delete_file(root: str, path: str, expect: Stamp) -> None:
    """The port's `delete_file`. Of a symbolic link the link goes, and its target stays."""
    with place(root, path) as target:
        if _read(target, path).stamp.digest != expect.digest:
            raise _changed(path)
    with place(root, path, follow=False) as at:
        if any(part.lower() == ".git" for part in at.parts):
            raise ReadOnly(f"{shown(path)}: files of git are not deleted directly; use git commands")
        temporary = f".{os.urandom(6).hex()}{SUFFIX}"
        here = at.directory
        try:
            os.rename(at.name, temporary, src_dir_fd=here, dst_dir_fd=here)
            aside = Place(here, temporary, at.parts)
            found = aside.status()
            if found and not stat.S_ISLNK(found.st_mode) and _digest(aside) != expect.digest:
                # It changed in the last moment: back, unless a newer one took its name already.
                with contextlib.suppress(FileExistsError):
                    os.link(temporary, at.name, src_dir_fd=here, dst_dir_fd=here, follow_symlinks=False)
                os.unlink(temporary, dir_fd=here)
                raise _changed(path)
            os.unlink(temporary, dir_fd=here)
            os.fsync(here)
        except OSError as error:
            raise told(error, path, "delete it") from error
