"""What the commands use together, looked up in /proc: the limits that no rlimit knows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

PAGE = os.sysconf("SC_PAGE_SIZE")
NEARLY_OUT = 33
"""A command is ended when less than this part of the machine's memory is available: what it holds may be in no
process at all, but in files in memory and in pipes."""


def over(first: list[int], memory: int, processes: int) -> Iterator[tuple[int, str]]:
    """The commands (by their first processes) that use too much, and of what: "memory" or "processes".

    A command's processes are told by their pid namespace. Memory shared between processes counts once.
    """
    spaces = {space: process for process in first if (space := _space(process))}
    members: dict[int, list[int]] = {process: [] for process in first}
    for name in os.listdir("/proc"):
        if name.isdigit() and (owner := spaces.get(_space(int(name)))):
            members[owner].append(int(name))
    used = {owner: sum(map(_own_pages, found)) * PAGE for owner, found in members.items()}
    for owner, found in members.items():
        if len(found) >= processes * 9 // 10:
            yield owner, "processes"
        elif used[owner] > memory and sum(map(_share, found)) > memory:
            yield owner, "memory"
    if used and _nearly_out():
        yield max(used, key=lambda owner: used[owner]), "memory"


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


def _share(process: int) -> int:
    """Bytes, where what n processes share counts an nth for each."""
    for line in _read(f"/proc/{process}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return _own_pages(process) * PAGE


def _nearly_out() -> bool:
    known = dict(line.split(b":", 1) for line in _read("/proc/meminfo").splitlines() if b":" in line)
    total, free = (int(known.get(name, b"0").split()[0]) for name in (b"MemTotal", b"MemAvailable"))
    return 0 < free < total // NEARLY_OUT
