"""The five-step job (look, read, edit, test, answer): what is sent, whether prefixes hold, how long, what is left."""

from __future__ import annotations

import subprocess
import sys

from assay.testing.server.jobs import PROMPT, five_step
from bench.peers import Peer
from bench.quiet import Resolver
from bench.report import Report, middle, ratio
from bench.session import Outcome, Told, drive, homes
from bench.tokens import Tokens

COLUMNS = ["agent", "first request, tokens", "sent in all, tokens", "to ours", "requests + others", "exact extensions"]
COLUMNS += ["shared with the one before", "wall s", "CPU s", "done", "exit", "names looked up", "left running"]


def measure(peers: list[Peer], runs: int, resolver: Resolver | None) -> Report:
    """`runs` rounds over all agents in turn, each in a fresh home; sizes are those of the last round."""
    counter = Tokens()
    found: dict[str, list[Outcome]] = {peer.name: [] for peer in peers}
    done: dict[str, bool] = {}
    with homes() as places:
        for _ in range(runs):
            for peer in peers:
                places.forget(peer)
                outcome = drive(peer, Told(five_step(), PROMPT), places.of(peer), resolver)
                found[peer.name].append(outcome)
                done[peer.name] = _repaired(outcome)
    sizes = {name: _tokens(counter, outcomes[-1]) for name, outcomes in found.items()}
    ours = next((sizes[peer.name][1] for peer in peers if peer.ours), 0)
    rows = [_row(name, found[name], sizes[name], ours, done[name]) for name in found]
    data: dict[str, object] = {name: _data(found[name], sizes[name], done[name]) for name in found}
    notes = [
        f"Tokens: {counter.unit}, of tools, system text and messages as their JSON; cache markers left out.",
        f"{runs} runs each, interleaved, every one with a fresh home; wall and CPU are medians.",
        "Exact extensions: requests after the first whose prompt begins with the whole of the one before, byte for "
        "byte. Others: requests without tools (titles and the like).",
        _names_note(resolver),
    ]
    return Report("job", "Five-step job", COLUMNS, rows, data, notes)


def _names_note(resolver: Resolver | None) -> str:
    if resolver:
        return "Network: loopback only; the resolver knows no name and counts the questions."
    return "Names looked up: not counted (needs root on Linux for a network of its own)."


def _repaired(outcome: Outcome) -> bool:
    test = [sys.executable, "test_calc.py"]
    return subprocess.run(test, cwd=outcome.project, capture_output=True, check=False).returncode == 0


def _tokens(counter: Tokens, outcome: Outcome) -> tuple[int, int]:
    """Tokens of the first request of the work, and of all requests."""
    items = [*outcome.main, *(item for item in outcome.exchanges if item not in outcome.main)]
    prompts: list[bytes] = []
    for item in items:
        assert item.seen is not None
        parts = item.seen.parts
        prompts.append(b"\n".join([parts.tools, parts.system, *parts.messages]))
    counts = counter.count(prompts)
    return (counts[0], sum(counts)) if counts else (0, 0)


def _row(name: str, outcomes: list[Outcome], tokens: tuple[int, int], ours: int, done: bool) -> list[str]:
    last = outcomes[-1]
    chains = last.conversations
    later = chains[0].requests - 1 if chains else 0
    return [
        name,
        f"{tokens[0]:,}",
        f"{tokens[1]:,}",
        ratio(tokens[1], ours),
        f"{len(last.main)}+{len(last.exchanges) - len(last.main)}",
        f"{chains[0].extensions} of {later}" if chains else "-",
        f"{chains[0].shared / chains[0].sent:.0%}" if chains and chains[0].sent else "-",
        f"{middle([one.finished.wall for one in outcomes]):.2f}",
        f"{middle([one.finished.cpu for one in outcomes]):.2f}",
        "yes" if done else "NO",
        "limit" if last.finished.exit is None else str(last.finished.exit),
        ", ".join(sorted({name for one in outcomes for name in one.names})) or "none",
        ", ".join(sorted({name for one in outcomes for name in one.finished.left})) or "none",
    ]


def _data(outcomes: list[Outcome], tokens: tuple[int, int], done: bool) -> object:
    return {
        "tokens_first": tokens[0],
        "tokens_sent": tokens[1],
        "done": done,
        "conversations": outcomes[-1].conversations,
        "wall": [one.finished.wall for one in outcomes],
        "cpu": [one.finished.cpu for one in outcomes],
        "exit": [one.finished.exit for one in outcomes],
        "names": [one.names for one in outcomes],
        "left": [one.finished.left for one in outcomes],
        "output": outcomes[-1].finished.output[-2000:],
    }
