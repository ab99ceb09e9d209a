"""Driven by the public Python client: from its call to the first message, ours and the command it was written for."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from assay.testing.server import Reply, serve_in_thread
from bench.peers import Peer, base_environment
from bench.report import Report, ratio, spread
from bench.session import homes, make_project
from bench.tokens import Tokens

COLUMNS = ["command", "first message ms, median (least)", "to ours", "first reply ms", "end ms", "first request"]
CLIENT = "BENCH_CLIENT"
_NAMES = ("assay", "claude")


def measure(peers: list[Peer], runs: int) -> Report:
    """`runs` rounds over both in turn, after one each that is not counted. The interpreter with the client is named by
    BENCH_CLIENT."""
    python = os.environ.get(CLIENT, "")
    driven = [peer for peer in peers if peer.name in _NAMES]
    found: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in driven}
    requests: dict[str, bytes] = {}
    if not python:
        return Report("host", "Driven by a client", COLUMNS, [], {}, [f"left out: {CLIENT} names no interpreter"])
    with homes() as places:
        for number in range(runs + 1):
            for peer in driven:
                times, first = _once(python, peer, places.of(peer))
                requests[peer.name] = first
                if number:
                    found[peer.name].append(times)
    tokens = Tokens()
    counts = dict(zip(requests, tokens.count(list(requests.values())), strict=True))
    rows = [_row(name, found, counts) for name in found]
    notes = [
        f"{runs} runs each, interleaved, after one with a fresh home; first request in {tokens.unit} tokens: tools, "
        "system text and messages.",
    ]
    return Report("host", "Driven by a client", COLUMNS, rows, {"times": found, "tokens": counts}, notes)


def _once(python: str, peer: Peer, home: Path) -> tuple[dict[str, float], bytes]:
    """Times of one run, and what its first request with tools carried. Raises RuntimeError."""
    project = home.parent / "project"
    make_project(project)
    with serve_in_thread(Reply("Done.")) as server:
        variables = {
            "ANTHROPIC_BASE_URL": server.url,
            "ANTHROPIC_API_KEY": "sk-bench",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "ENABLE_TOOL_SEARCH": "true",  # as at the vendor's own address; fewer tools are sent
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
        }
        client = str(Path(__file__).with_name("host_client.py"))
        done = subprocess.run(
            [python, "-I", client, peer.program, str(project), json.dumps(variables)],
            env=base_environment(home),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{peer.name}: {done.stderr[-2000:]}")
        asked = [request for request in server.requests if request.tools] or server.requests
        parts = asked[0].parts
        return json.loads(done.stdout.splitlines()[-1]), b"".join((parts.tools, parts.system, *parts.messages))


def _row(name: str, found: dict[str, list[dict[str, float]]], counts: dict[str, int]) -> list[str]:
    def middle_of(what: str, who: str = name) -> float:
        times = sorted(each[what] for each in found[who])
        return times[len(times) // 2] if times else 0.0

    return [
        name,
        spread([each["first"] for each in found[name]]),
        ratio(middle_of("first"), middle_of("first", "assay")),
        f"{middle_of('reply') * 1000:.0f}",
        f"{middle_of('end') * 1000:.0f}",
        str(counts[name]),
    ]
