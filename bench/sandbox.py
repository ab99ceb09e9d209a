"""What confinement adds to a command: the same trivial command spawned bare, run unconfined, and run confined."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from assay.core.workspace import Command
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.find import find_sandbox
from assay.workspace.sandbox.port import NoSandbox, Sandbox
from bench.report import Report, middle, ratio

ARGV = ("/bin/true",)
PAUSE = 0.02
"""Seconds between two commands, much less than a model thinks."""
BARE, UNCONFINED, CONFINED, ALONE = (
    "spawned bare, output read",
    "run by the workspace, unconfined",
    "run by the workspace, confined",
    "bubblewrap of its own, same filter",
)


def measure(rounds: int) -> Report:
    """`rounds` of each way in turn."""
    with tempfile.TemporaryDirectory(prefix="bench-sandbox-") as folder:
        state = Path(folder, "state")
        sandbox, alone = find_sandbox(state), find_sandbox(state)
        if isinstance(sandbox, NoSandbox) or isinstance(alone, NoSandbox):
            return Report("sandbox", "Sandbox", ["way"], [], {}, [str(sandbox)])
        taken = asyncio.run(_rounds(Path(folder), sandbox, alone, rounds))
    bare, unconfined = middle(taken[BARE]), middle(taken[UNCONFINED])
    rows = [[name, *_figures(times, bare, unconfined)] for name, times in taken.items()]
    columns = ["way", "median ms", "p10", "p95", "over bare, ms", "to bare", "over unconfined, ms"]
    return Report("sandbox", "Sandbox", columns, rows, dict(taken), [f"{rounds} commands each, interleaved"])


def _figures(times: list[float], bare: float, unconfined: float) -> list[str]:
    times = sorted(times)
    low, high = times[len(times) // 10], times[len(times) * 95 // 100]
    over = [f"{(middle(times) - base) * 1000:+.1f}" for base in (bare, unconfined)]
    return [
        *(f"{each * 1000:.1f}" for each in (middle(times), low, high)),
        over[0],
        ratio(middle(times), bare),
        over[1],
    ]


async def _rounds(folder: Path, sandbox: Sandbox, alone: Sandbox, rounds: int) -> dict[str, list[float]]:
    root = folder / "project"
    root.mkdir()
    alone.lacking = "measured without"  # only a bubblewrap has this; a seatbelt does not look at it
    workspaces = {
        name: LocalWorkspace(root, sandbox=how, state_dir=folder / "state")
        for name, how in ((UNCONFINED, None), (CONFINED, sandbox), (ALONE, alone))
    }
    ways: dict[str, Callable[[], Awaitable[object]]] = {BARE: _bare}
    ways |= {name: lambda workspace=workspace: workspace.run(Command(ARGV)) for name, workspace in workspaces.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    try:
        for way in ways.values():
            await way()  # what is started once is no part of a command
        for _ in range(rounds):
            for name, way in ways.items():
                await asyncio.sleep(PAUSE)
                began = time.perf_counter()
                await way()
                taken[name].append(time.perf_counter() - began)
    finally:
        for workspace in workspaces.values():
            await workspace.aclose()
    return taken


async def _bare() -> None:
    subprocess.run(ARGV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=dict(os.environ), check=True)
