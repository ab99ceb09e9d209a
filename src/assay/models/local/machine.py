"""Questions to the operating system that Python has no call for: physical cores, and which process a pid is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def threads() -> int:
    """How many threads to compute with: one physical core is left to the rest of the machine.

    More threads than free cores are fatal to llama.cpp (its threads wait for each other at every layer), so a
    processor affinity or a container's quota counts too.
    """
    return max(1, min(physical_cores() - 1, _quota() or 1 << 16))


def physical_cores() -> int:
    """Physical cores that this process may use; logical ones where the system doesn't tell. At least 1."""
    if sys.platform == "darwin":
        told = _output("/usr/sbin/sysctl", "-n", "hw.physicalcpu")
        return int(told) if told.isdigit() else os.cpu_count() or 1
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    topology = Path("/sys/devices/system/cpu")
    cores: set[str] = set()
    for cpu in allowed:
        try:
            cores.add((topology / f"cpu{cpu}/topology/thread_siblings_list").read_text())
        except OSError:
            cores.add(str(cpu))
    return max(1, len(cores))


def process_start(pid: int) -> str:
    """A text that tells process `pid` from any other that has or had that number; empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        if sys.platform == "linux":
            return ""
        return _output("/bin/ps", "-o", "lstart=", "-p", str(pid))
    # proc(5): after the name in brackets come the state (field 3) and, as field 22, the start time in clock ticks.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def _quota() -> int:
    """Whole processors that a control group allows, or 0 when it doesn't limit them."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return 0 if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return 0


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
