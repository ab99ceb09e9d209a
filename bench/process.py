"""One program run and what it used: time to the end, CPU, memory of its process tree, what it left running."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec

TICK = 1 / os.sysconf("SC_CLK_TCK")
PAUSE = 0.5
"""Seconds between two questions to `stop`."""
INTERVAL = 0.05
"""Seconds between two looks at the process tree."""
GRACE = 0.5
"""Seconds that processes of the tree get to end after the program has."""
SHORT = 3
"""A process seen in fewer looks than this counts as a command that was run, not as the agent itself."""


class Finished(msgspec.Struct):
    """`cpu`: seconds of the program and all children it waited for. `own_cpu`: seconds of the processes that stay
    (10 ms grain; only when sampled). `rss`, `pss`: peak of the tree, MB, likewise. `left`: what still ran afterwards.
    `exit` is None when the limit struck; negative for a signal. `started` is on the monotonic clock."""

    started: float
    wall: float
    exit: int | None
    cpu: float
    own_cpu: float = 0.0
    rss: float = 0.0
    pss: float = 0.0
    left: list[str] = []
    output: str = ""


class Sampler(threading.Thread):
    """Looks at a process tree about 20 times a second."""

    def __init__(self, root: int) -> None:
        super().__init__(name="sampler", daemon=True)
        self._root = root
        self._stop_now = threading.Event()
        self.seen: dict[int, list[float]] = {}
        """Per process: how often it was seen, and its CPU seconds at the last look."""
        self.rss = self.pss = 0.0

    def run(self) -> None:
        while not self._stop_now.wait(INTERVAL):
            self.look()

    def stop(self) -> None:
        self._stop_now.set()
        self.join()

    def look(self) -> None:
        rss = pss = 0.0
        for process in tree(self._root):
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                known = self.seen.setdefault(process, [0, 0.0])
                known[0] += 1
                known[1] = (int(fields[11]) + int(fields[12])) * TICK
                rolled = rollup(process)
                rss += rolled[0]
                pss += rolled[1]
        self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)

    def own_cpu(self) -> float:
        """CPU seconds of the processes that stayed."""
        return sum(cpu for looks, cpu in self.seen.values() if looks >= SHORT)


def rollup(process: int) -> tuple[float, float]:
    """Resident and proportional memory of one process, MB."""
    sizes = {"Rss:": 0.0, "Pss:": 0.0}
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
        words = line.split()
        if words[0] in sizes:
            sizes[words[0]] = int(words[1]) / 1024
    return sizes["Rss:"], sizes["Pss:"]


def tree(root: int) -> list[int]:
    """A process and everything below it."""
    found = [root]
    for process in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{process}/task"):
                found += map(int, Path(f"/proc/{process}/task/{thread}/children").read_text().split())
    return found


def run(
    command: list[str],
    environment: dict[str, str],
    directory: Path,
    limit: float,
    sample: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Finished:
    """Run to the end, or to `limit` seconds or until `stop` says so, and then kill. Standard input is empty; the
    output's tail is kept."""
    mark = f"BENCH_MARK={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            env={**environment, name: value},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if nice := int(os.environ.get("BENCH_NICE", "0")):
            os.setpriority(os.PRIO_PROCESS, process.pid, nice)
        sampler = Sampler(process.pid)
        if sample:
            sampler.start()
        timed_out = not _ends(process.pid, limit, stop)
        if timed_out:
            for child in reversed(tree(process.pid)):
                _kill(child)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if sample:
            sampler.stop()
        output.seek(0, os.SEEK_END)
        output.seek(max(0, output.tell() - 20_000))
        text = output.read().decode("utf-8", "replace")
    return Finished(
        started,
        wall,
        None if timed_out else process.returncode,
        used.ru_utime + used.ru_stime,
        sampler.own_cpu(),
        sampler.rss,
        sampler.pss,
        sweep(mark, process.pid),
        text,
    )


def _ends(process: int, limit: float, stop: Callable[[], bool]) -> bool:
    handle = os.pidfd_open(process)
    deadline = time.monotonic() + limit
    try:
        while (rest := deadline - time.monotonic()) > 0 and not stop():
            if select.select([handle], [], [], min(rest, PAUSE))[0]:
                return True
        return bool(select.select([handle], [], [], 0)[0])
    finally:
        os.close(handle)


def sweep(mark: str, session: int) -> list[str]:
    """Names of the processes of a run (they carry its mark, or belong to its session) that still run after a moment's
    grace; ends them."""
    deadline = time.monotonic() + GRACE
    while (found := _remaining(mark, session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in found:
        _kill(process)
    return sorted(found.values())


def _remaining(mark: str, session: int) -> dict[int, str]:
    found: dict[int, str] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError, IndexError):
            stat = Path(f"/proc/{entry}/stat").read_text()
            fields = stat.rpartition(")")[2].split()
            marked = mark.encode() in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
            if fields[0] != "Z" and (marked or int(fields[3]) == session):
                found[int(entry)] = stat[stat.index("(") + 1 : stat.rindex(")")]
    return found


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
