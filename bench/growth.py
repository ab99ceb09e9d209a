"""A long session: N times `echo i`. What a turn costs early and late, and how memory, log and requests grow."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec

from assay.testing.server.jobs import echo
from bench.peers import Peer
from bench.quiet import Resolver
from bench.report import Report, fifths, ratio, slope
from bench.session import Outcome, Told, drive, homes

PROMPT = "Run `echo 1`, then `echo 2`, and so on, one command at a time, until I tell you to stop. Then say so."
COLUMNS = ["agent", "turns", "exit", "wall s", "gap ms, first → last fifth", "CPU s", "CPU ms/turn, all"]
COLUMNS += ["CPU ms/turn, itself", "to ours", "peak RSS / PSS MB", "request KB, first → last", "growth of requests"]
COLUMNS += ["log KB"]


class Run(msgspec.Struct):
    """One run: seconds, MB, bytes. `steps` is what each request was longer than the one before."""

    turns: int
    requests: int
    exit: int | None
    wall: float
    cpu: float
    own_cpu: float
    rss: float
    pss: float
    gaps: tuple[float, float]
    first: int
    last: int
    steps: tuple[float, float]
    log: int


def measure(peers: list[Peer], turns: list[int], resolver: Resolver | None) -> Report:
    """One run an agent and length, in a fresh home. CPU a turn is the difference between the first and last length."""
    found: dict[str, list[Run]] = {peer.name: [] for peer in peers}
    for length in turns:
        for peer in peers:
            with homes() as places:
                home = places.of(peer)
                told = Told(echo(length), PROMPT, limit=120.0 + 2.0 * length, sample=True)
                found[peer.name].append(_run(length, drive(peer, told, home, resolver), home, peer.ours))
    ours = next((_marginal(found[peer.name], "own_cpu") for peer in peers if peer.ours), 0.0)
    rows = [row for peer in peers for row in _rows(peer.name, found[peer.name], ours)]
    notes = [
        "One run each. Gap: from the last byte of a reply to the arrival of the next request; it contains the command.",
        f"CPU a turn: difference of the runs of {turns[0]} and {turns[-1]} turns, by the turns between. All: with the "
        "commands that were run, and their sandbox. Itself: only processes that stay (10 ms grain, 20 looks a second).",
        "RSS counts pages that processes share more than once, PSS does not; both are peaks of the whole tree.",
        "Growth: mean bytes that a request adds, first fifth → last fifth; equal when requests grow linearly.",
    ]
    return Report("growth", "Growth", COLUMNS, rows, dict(found), notes)


def _run(length: int, outcome: Outcome, home: Path, ours: bool) -> Run:
    sizes = [len(item.raw) for item in outcome.main]
    steps = [float(after - before) for before, after in itertools.pairwise(sizes)]
    finished = outcome.finished
    logs = home.glob(".local/state/assay/sessions/*/*.jsonl") if ours else []
    return Run(
        turns=length,
        requests=len(sizes),
        exit=finished.exit,
        wall=finished.wall,
        cpu=finished.cpu,
        own_cpu=finished.own_cpu,
        rss=finished.rss,
        pss=finished.pss,
        gaps=fifths(outcome.gaps),
        first=sizes[0] if sizes else 0,
        last=sizes[-1] if sizes else 0,
        steps=fifths(steps),
        log=sum(path.stat().st_size for path in logs),
    )


def _marginal(runs: list[Run], what: str) -> float:
    """CPU seconds a turn, from the shortest and the longest run; 0 where there is one run only."""
    if len(runs) < 2:
        return 0.0
    return slope(getattr(runs[0], what), getattr(runs[-1], what), runs[-1].requests - runs[0].requests)


def _rows(name: str, runs: list[Run], ours: float) -> list[list[str]]:
    rows: list[list[str]] = []
    for run in runs:
        longest = run is runs[-1] and len(runs) > 1
        both, own = (_marginal(runs, "cpu"), _marginal(runs, "own_cpu")) if longest else (0.0, 0.0)
        rows.append(
            [
                name,
                f"{run.turns}" if run.requests > run.turns else f"{run.turns} ({run.requests} requests)",
                "limit" if run.exit is None else str(run.exit),
                f"{run.wall:.1f}",
                " → ".join(f"{gap * 1000:.0f}" for gap in run.gaps),
                f"{run.cpu:.1f}",
                f"{both * 1000:.1f}" if longest else "-",
                f"{own * 1000:.1f}" if longest else "-",
                ratio(own, ours) if longest else "-",
                f"{run.rss:.0f} / {run.pss:.0f}",
                f"{run.first / 1000:.1f} → {run.last / 1000:.1f}",
                " → ".join(f"{step:.0f}" for step in run.steps),
                f"{run.log / 1000:.0f}" if run.log else "-",
            ]
        )
    return rows
