"""From process start to the first request to the model, and what `--version` and `--help` take."""

from __future__ import annotations

from pathlib import Path

from assay.testing.server.jobs import PROMPT, echo
from bench.peers import Peer, base_environment
from bench.process import Finished, run
from bench.quiet import Resolver
from bench.report import Report, middle, ratio, spread
from bench.session import Homes, Told, drive, homes

COLUMNS = ["agent", "first request ms, median (least)", "to ours", "same, fresh home", "CPU ms of that run"]
COLUMNS += ["--version ms (CPU)", "--help ms (CPU)"]


class Measured:
    """Figures of one agent, in seconds."""

    def __init__(self) -> None:
        self.fresh: float | None = None
        self.first: list[float] = []
        self.cpu: list[float] = []
        self.version: list[Finished] = []
        self.help: list[Finished] = []


def measure(peers: list[Peer], runs: int, resolver: Resolver | None) -> Report:
    """`runs` rounds over all agents in turn, after one with a fresh home each; the task is to answer at once."""
    found = {peer.name: Measured() for peer in peers}
    told = Told(echo(0), PROMPT, limit=90.0)
    with homes() as places:
        for peer in peers:
            found[peer.name].fresh = drive(peer, told, places.of(peer), resolver).first_request
        for _ in range(runs):
            for peer in peers:
                _round(peer, found[peer.name], told, places, resolver)
    ours = middle(next((found[peer.name].first for peer in peers if peer.ours), []))
    rows = [_row(peer.name, found[peer.name], ours) for peer in peers]
    data: dict[str, object] = {
        name: {
            "fresh": one.fresh,
            "first": one.first,
            "cpu": one.cpu,
            "version": [(item.wall, item.cpu) for item in one.version],
            "help": [(item.wall, item.cpu) for item in one.help],
        }
        for name, one in found.items()
    }
    notes = [f"{runs} runs each, interleaved, after one with a fresh home; the request is timed when it arrives."]
    return Report("start", "Start", COLUMNS, rows, data, notes)


def _round(peer: Peer, into: Measured, told: Told, places: Homes, resolver: Resolver | None) -> None:
    home = places.of(peer)
    outcome = drive(peer, told, home, resolver)
    if outcome.first_request is not None:
        into.first.append(outcome.first_request)
        into.cpu.append(outcome.finished.cpu)
    into.version.append(_bare(peer, "--version", home))
    into.help.append(_bare(peer, "--help", home))


def _bare(peer: Peer, flag: str, home: Path) -> Finished:
    return run([peer.program, flag], base_environment(home), home, 60.0)


def _row(name: str, one: Measured, ours: float) -> list[str]:
    def bare(items: list[Finished]) -> str:
        return f"{middle([item.wall for item in items]) * 1000:.0f} ({middle([item.cpu for item in items]) * 1000:.0f})"

    return [
        name,
        spread(one.first),
        ratio(middle(one.first), ours),
        f"{one.fresh * 1000:.0f}" if one.fresh is not None else "-",
        f"{middle(one.cpu) * 1000:.0f}",
        bare(one.version),
        bare(one.help),
    ]
