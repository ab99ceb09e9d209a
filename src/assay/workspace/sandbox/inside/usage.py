"""What the commands use together, looked up in /proc: the limits that no rlimit knows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

PAGE = os.sysconf("SC_PAGE_SIZE")
NEARLY_OUT = 33
"""A command is ended when less than this part of the machine's memory is available: what it holds may be in no
process at all, but in files in memory and in pipes."""


class Machine(NamedTuple):
    """The whole machine, at the price of two small reads."""

    threads: int
    available: int
    """Bytes of memory."""
    memory: int


def machine() -> Machine:
    known = dict(line.split(b":", 1) for line in _read("/proc/meminfo").splitlines() if b":" in line)
    total, available = (int(known[name].split()[0]) * 1024 for name in (b"MemTotal", b"MemAvailable"))
    return Machine(int(_read("/proc/loadavg").split()[3].partition(b"/")[2]), available, total)


def over(first: list[int], memory: int, processes: int, before: Machine) -> Iterator[tuple[int, str]]:
    """The commands (by their first processes) that use too much, and of what: "memory" or "processes".

    A command's processes are told by their pid namespace. Pages that they share after a fork count for each, so a sum
    that is too big only counts when the machine has really lost most of it since `before`. The exact numbers that the
    kernel has are not asked for: that waits for a lock which a process that forks all the time never gives up.
    """
    now = machine()
    members = _members(first)
    used = {owner: sum(map(_own_pages, found)) * PAGE for owner, found in members.items()}
    for owner, found in members.items():
        if len(found) >= processes * 9 // 10:
            yield owner, "processes"
        elif used[owner] > memory and before.available - now.available > memory * 3 // 4:
            yield owner, "memory"
    if used and now.available < now.memory // NEARLY_OUT:
        yield max(used, key=lambda owner: used[owner]), "memory"


def _members(first: list[int]) -> dict[int, list[int]]:
    spaces = {space: process for process in first if (space := _space(process))}
    members: dict[int, list[int]] = {process: [] for process in first}
    for name in os.listdir("/proc"):
        if name.isdigit() and (owner := spaces.get(_space(int(name)))):
            members[owner].append(int(name))
    return members


def _space(process: int) -> int:
    try:
        return os.stat(f"/proc/{process}/ns/pid").st_ino
    except OSError:
        return 0


def _read(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read()
    return b""


def _own_pages(process: int) -> int:
    fields = _read(f"/proc/{process}/statm").split()
    return int(fields[1]) - int(fields[2]) if len(fields) > 2 else 0
