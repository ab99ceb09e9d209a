"""Replies that go wrong: what an agent makes of them, how it ends, and whether half a command was run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from assay.testing.server import Call, Fault, Reply, SeenRequest
from assay.testing.server.choose import ReplyFunction
from assay.testing.server.jobs import echo
from bench.peers import Peer
from bench.report import Report
from bench.session import Outcome, Told, drive, homes

PROMPT = "Run the commands that I give you, one at a time, until I tell you to stop. Then say so."
STALL = 100.0
"""Seconds of silence in the middle of a reply."""
BEGUN, WHOLE = "begun.trace", "whole.trace"
_PADDING = "true; " * 12


class Case(NamedTuple):
    """A fault, the commands of the job that it strikes, how many there are, and how many seconds an agent gets."""

    name: str
    says: str
    fault: Fault
    command: Callable[[int], str]
    turns: int
    limit: float


def job(case: Case) -> ReplyFunction:
    """The echo job with other commands: its answers, asides and endings stay, whatever the agent needs."""
    echoed = echo(case.turns)

    def reply(seen: SeenRequest) -> Reply:
        given = echoed(seen)
        if seen.position < case.turns and given.calls:
            return replace(given, calls=(Call("@shell", {"command": case.command(seen.position)}),))
        return given

    return reply


def long_command(step: int) -> str:
    """Leaves a line in one file at its start, and in another at its end."""
    return f"echo {step} >> {BEGUN}; {_PADDING}echo {step} >> {WHOLE}"


def wordy_command(step: int) -> str:
    """Prints about 24 KB that don't repeat."""
    return f"seq -f 'line %g of {step}' 1 {1600 + step}"


CASES: tuple[Case, ...] = (
    Case(
        "cut",
        "a reply ends properly, but in the middle of a call's arguments",
        Fault("cut_in_arguments", close="end"),
        long_command,
        3,
        90.0,
    ),
    Case(
        "malformed",
        "a call's arguments stop at two thirds, in a reply that is otherwise whole",
        Fault("malformed_arguments"),
        long_command,
        3,
        90.0,
    ),
    Case("503", "503 for ever", Fault("unavailable", times=None), long_command, 3, 100.0),
    Case(
        "stall",
        f"silence for {STALL:.0f} s in the middle of a reply, then the rest",
        Fault("stall", seconds=STALL),
        long_command,
        3,
        200.0,
    ),
    Case(
        "too long",
        "400, context too long, until a request is a tenth shorter; after ten commands with 24 KB of output each",
        Fault("too_long", after=10),
        wordy_command,
        13,
        120.0,
    ),
    Case("401", "the key is refused", Fault("unauthorized", times=None), long_command, 3, 90.0),
)


class Seen(NamedTuple):
    """What became of one run. `tries`: requests that were struck, and the one after. `noticed`: seconds of silence
    until the agent hung up, None if it never did. `waits`: seconds between the first tries."""

    done: bool
    exit: int | None
    seconds: float
    tries: int
    half: bool
    noticed: float | None
    waits: list[float]


def measure(peers: list[Peer], parallel: int = 4) -> Report:
    """One run an agent and fault; `parallel` agents at a time, because most of it is waiting."""
    found: dict[str, dict[str, Seen]] = {peer.name: {} for peer in peers}
    with ThreadPoolExecutor(parallel) as pool:
        for case in CASES:
            for peer, seen in zip(peers, pool.map(lambda peer, case=case: _run(peer, case), peers), strict=True):
                found[peer.name][case.name] = seen
    rows = [[name, *(cell(cells[case.name], case) for case in CASES)] for name, cells in found.items()]
    data: dict[str, object] = {
        name: {case: seen._asdict() for case, seen in cells.items()} for name, cells in found.items()
    }
    notes = [f"{case.name}: {case.says}" for case in CASES]
    notes.append(
        "done: the job reached its end and the exit code is 0. Tries: requests that were struck, and the one after."
    )
    return Report("faults", "Faults", ["agent", *(case.name for case in CASES)], rows, data, notes)


def _run(peer: Peer, case: Case) -> Seen:
    with homes() as places:
        told = Told(job(case), PROMPT, (case.fault,), case.limit)
        return _judge(drive(peer, told, places.of(peer)), case)


def _judge(outcome: Outcome, case: Case) -> Seen:
    struck = [item for item in outcome.main if item.fault]
    gone = [item.closed_early - item.first_byte for item in struck if item.closed_early and item.first_byte]
    served = [item for item in outcome.exchanges if item.seen and not item.fault]
    last = served[-1].seen.position if served and served[-1].seen else -1
    toolless = not any(item.seen and item.seen.tools for item in outcome.exchanges)
    again = bool(struck) and struck[-1] is not outcome.main[-1]
    return Seen(
        done=last >= case.turns or (toolless and bool(served) and served[-1] is outcome.exchanges[-1]),
        exit=outcome.finished.exit,
        seconds=outcome.finished.wall,
        tries=len(struck) + again,
        half=_lines(outcome.project / BEGUN) > _lines(outcome.project / WHOLE),
        noticed=min(gone) if gone else None,
        waits=[after.arrived - before.ended for before, after in pairwise(struck) if before.ended][:6],
    )


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def cell(seen: Seen, case: Case) -> str:
    """How one run ended, in a few words."""
    if seen.tries == 0:
        return "not struck: asks for no such reply"
    if seen.exit is None:
        ending = f"still at it after {case.limit:.0f} s"
    elif seen.done:
        ending = "done" if seen.exit == 0 else f"done, but exit {seen.exit}"
    else:
        ending = f"exit {seen.exit}" if seen.exit else "exit 0, NOT done"
    tries = f"{seen.tries} {'try' if seen.tries == 1 else 'tries'}"
    if case.name == "stall":
        tries = "not noticed" if seen.noticed is None else f"noticed after {seen.noticed:.0f} s"
    parts = [ending, tries, f"{seen.seconds:.0f} s"]
    if seen.half:
        parts.append("**ran half a command**")
    return ", ".join(parts)
