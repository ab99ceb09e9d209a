"""`python -m bench`: run the measurements, print tables, write JSON to bench/results/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from bench import copy, faults, growth, host, install, job, long, quiet, sandbox, start
from bench.peers import Peer, find_peers
from bench.report import Report, machine, markdown, save

NAMES = ("start", "host", "job", "growth", "faults", "install", "long", "copy", "sandbox")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure assay and other agents against one scripted server on loopback. Linux only.",
        epilog="BENCH_PEERS: folders where other agents are installed. BENCH_ASSAY: the assay program to measure. "
        "BENCH_CLIENT: an interpreter with claude-agent-sdk, for host. "
        "BENCH_NICE: priority of what is measured, e.g. -10.",
    )
    parser.add_argument("what", nargs="*", metavar="|".join(NAMES), help="default: all")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="rounds of start, job and copy (5)")
    parser.add_argument("--turns", default="50,200", metavar="N,M", help="lengths of the growth runs (50,200)")
    parser.add_argument("--steps", type=int, default=10_000, metavar="N", help="requests of the long run (10000)")
    parser.add_argument("--peers", default="", metavar="A,B", help="only these of the others (all that are installed)")
    parser.add_argument("--open-network", action="store_true", help="don't make a network of its own, even as root")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 when assay itself is not there."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    asked = _parser().parse_args(given)
    wanted = asked.what or list(NAMES)
    for name, measure in (
        ("copy", lambda: copy.measure(asked.runs)),
        ("sandbox", lambda: sandbox.measure(max(200, asked.runs))),
    ):
        if name in wanted and not quiet.inside():
            _show(measure())
            given = [word for word in given if word != name]
            wanted = [other for other in wanted if other != name]
        if not wanted:
            return 0
    names = [name for name in asked.peers.split(",") if name]
    peers, missing = find_peers(names, dialects=True)
    if not any(peer.ours for peer in peers):
        sys.stderr.write("error: no assay program: install the package into this environment, or set BENCH_ASSAY\n")
        return 2
    if not quiet.inside():
        if missing:
            sys.stdout.write(f"not installed, left out: {', '.join(missing)}\n\n")
        if "install" in wanted:
            _show(install.measure(peers))
            wanted = [name for name in wanted if name != "install"]
        if wanted and not asked.open_network and quiet.possible():
            rest = [word for word in given if word not in NAMES]
            return quiet.enter([*wanted, *rest])
    resolver = quiet.Resolver() if quiet.inside() else None
    turns = [int(part) for part in asked.turns.split(",")]
    single = [peer for peer in peers if not peer.name.startswith("assay-")]
    plans: dict[str, Callable[[list[Peer]], Report]] = {
        "start": lambda _: start.measure(single, asked.runs, resolver),
        "host": lambda _: host.measure(single, asked.runs),
        "job": lambda every: job.measure(every, asked.runs, resolver),
        "growth": lambda _: growth.measure(single, turns, resolver),
        "faults": lambda _: faults.measure(single),
        "long": lambda _: long.measure(asked.steps),
    }
    for name in wanted:
        _show(plans[name](peers))
    return 0


def _show(report: Report) -> None:
    path = save(report)
    facts = machine()
    report.notes.append(f"{facts['time']}, {facts['cores']} cores, load {facts['load']} at the end; {path.name}")
    sys.stdout.write(markdown(report) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
