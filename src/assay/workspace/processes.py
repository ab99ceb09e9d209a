"""Finding and ending all that a command started, also what it detached from itself.

A pid namespace does this best. Without one, descendants are found through /proc by four signs: the parent chain, the
session, a marker in their environment, and the output pipe they hold. A process that sheds all four at once gets away.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from typing import NamedTuple

MARKER = "ASSAY_COMMAND"
"""Name of the environment variable that marks every process of one command."""


class Known(NamedTuple):
    pid: int
    parent: int
    session: int
    state: str


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs as much as the read itself, thousands of times
            return file.read()
    except OSError:
        return b""


def _parse(pid: int) -> Known | None:
    line = _read(f"/proc/{pid}/stat")
    end = line.rfind(b")")
    fields = line[end + 2 :].split()
    if end < 0 or len(fields) < 4:
        return None
    return Known(pid, int(fields[1]), int(fields[3]), fields[0].decode("ascii", "replace"))


def running() -> dict[int, Known]:
    """Every live process of the machine; empty where there is no /proc."""
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - as above
    except OSError:
        return {}
    parsed = (_parse(int(name)) for name in names if name.isdigit())
    return {known.pid: known for known in parsed if known and known.state not in "ZX"}


def _holds(pid: int, pipe: str) -> bool:
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{fd}") == pipe for fd in os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH115, PTH208
    except OSError:
        return False


def family(leader: int, token: str, pipe: str = "") -> set[int]:
    """Pids that belong to the command whose first process is `leader`, itself included while it lives.

    `token` is the value of its marker; `pipe` is the link text of its output pipe, to find who still holds it.
    """
    processes = running()
    mark = f"{MARKER}={token}".encode()
    own = os.getpid()
    found = {
        pid
        for pid, known in processes.items()
        if pid != own
        and (
            pid == leader
            or known.session == leader
            or mark in _read(f"/proc/{pid}/environ").split(b"\0")
            or (pipe and _holds(pid, pipe))
        )
    }
    children: dict[int, list[int]] = {}
    for known in processes.values():
        children.setdefault(known.parent, []).append(known.pid)
    todo = list(found)
    while todo:
        for child in children.get(todo.pop(), []):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def kill_family(leader: int, token: str, pipe: str = "", deadline: float = 1.0) -> None:
    """Kill until nothing of the command is found, at most `deadline` seconds. Blocks for some milliseconds."""
    end = time.monotonic() + deadline
    while True:
        found = family(leader, token, pipe)
        if not found or time.monotonic() > end:
            return
        send(found, signal.SIGKILL)
        time.sleep(0.002)
