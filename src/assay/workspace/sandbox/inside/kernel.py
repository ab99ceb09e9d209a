"""The system calls that Python has no function for. Each raises `OSError` with what was tried."""

from __future__ import annotations

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
NEW_MOUNTS, NEW_PIDS, NEW_USERS = 0x20000, 0x20000000, 0x10000000
PDEATHSIG, DUMPABLE, SECCOMP, BOUNDING_DROP, SECUREBITS, NO_NEW_PRIVS, AMBIENT = 1, 4, 22, 24, 28, 38, 47
NOTHING_BACK = 0xEF
"""Securebits, all locked: root is nobody special, no capability is kept over a change of user or raised again."""
CAPABILITIES_3 = 0x20080522
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446


class Instructions(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("count", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, value: int = 0, pointer: object = None) -> None:
    arguments = (ctypes.c_ulong(value), pointer or ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    _checked(LIBC.prctl(option, *arguments), f"prctl {option}")


def unshare(flags: int) -> None:
    _checked(LIBC.unshare(flags), f"unshare {flags:#x}")


def enter(descriptor: int) -> None:
    """Into the namespace that `descriptor` stands for."""
    _checked(LIBC.setns(descriptor, 0), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    encoded = (os.fsencode(source), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags))
    _checked(LIBC.mount(*encoded, options.encode() or None), f"mount {target}")


def make_read_only(target: str) -> None:
    """A mount point; what else the mount forbids stays forbidden."""
    kept = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("none", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def drop_capabilities(last: int) -> None:
    """All of them for good, up to number `last`, and no way for a program to bring privileges in."""
    prctl(SECUREBITS, NOTHING_BACK)
    for number in range(last + 1):
        prctl(BOUNDING_DROP, number)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_3, 0)
    _checked(LIBC.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    prctl(NO_NEW_PRIVS, 1)


def filter_calls(assembled: bytes) -> None:
    """Install a seccomp filter for good; see `filters.assembled`."""
    steps = ctypes.create_string_buffer(assembled, len(assembled))
    wanted = Instructions(len(assembled) // 8, ctypes.cast(steps, ctypes.c_void_p))
    prctl(SECCOMP, 2, ctypes.byref(wanted))


def landlock(number: int, *arguments: object) -> int:
    """One of the three Landlock calls."""
    padded = (*arguments, *(ctypes.c_ulong(0) for _ in range(4 - len(arguments))))
    return _checked(LIBC.syscall(ctypes.c_long(number), *padded), f"landlock {number}")
