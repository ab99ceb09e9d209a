"""The view of files once more, kept by another part of the kernel: Landlock (linux/landlock.h), ABI 1 to 7.

Commands may read all that the mounts show, write where the mounts are meant for it, and reach no process and no
abstract socket outside. TCP ports are left to the network namespace, which has nothing but its own loopback: tests
start servers there on any port.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from . import kernel

READ = 0b1101
"""Execute, read a file, read a directory."""
ON_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""Execute, write, read, truncate, device control: what a rule for a file that is no directory may hold."""
DEVICES = 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""Write, read, truncate, device control."""
ABSTRACT_SOCKETS, SIGNALS = 1, 2
EMPTY_VERSION = 1
PATH_BENEATH = 1


def abi() -> int:
    """The version that this kernel has; 0 for none."""
    try:
        return kernel.landlock(kernel.LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(EMPTY_VERSION))
    except OSError:
        return 0


def known(version: int) -> int:
    """All rights over files that a ruleset can take away with this version."""
    return (1 << (13 + (version >= 2) + (version >= 3))) - 1 | (1 << 15 if version >= 5 else 0)


def restrict(version: int, writable: Iterable[str]) -> None:
    """This process and all it starts, for good. `writable`: directories and files, which must exist."""
    handled = known(version)
    scopes = ABSTRACT_SOCKETS | SIGNALS if version >= 6 else 0
    # struct landlock_ruleset_attr: files, network (from 4), scopes (from 6), 8 bytes each.
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    attributes = (ctypes.c_uint64 * 3)(handled, 0, scopes)
    rules = kernel.landlock(kernel.LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        _allow(rules, "/", READ)
        _allow(rules, "/dev", handled & DEVICES)
        for path in writable:
            _allow(rules, path, handled)
        kernel.landlock(kernel.LANDLOCK_RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        allowed = rights if stat.S_ISDIR(os.fstat(place).st_mode) else rights & ON_FILES
        rule = ctypes.create_string_buffer(allowed.to_bytes(8, "little") + place.to_bytes(4, "little"), 12)
        arguments = (ctypes.c_int(rules), ctypes.c_int(PATH_BENEATH), rule, ctypes.c_uint32(0))
        kernel.landlock(kernel.LANDLOCK_ADD, *arguments)
    finally:
        os.close(place)
