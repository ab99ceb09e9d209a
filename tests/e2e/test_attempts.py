"""Several attempts at one task, through the real command: what they cost, which is taken, and what is left behind."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from assay.sessions.reader import LogReader
from assay.testing.server import Call, Reply, SeenRequest, prompt_bytes, shared_prefix
from assay.testing.server.jobs import BEFORE

from .command import DIALECTS, Place, interrupt, wait_for
from .conftest import Serve

CHECK = ("--check", "python3 test_calc.py")
MARK = "This is another attempt"
RIGHT = "return a + b"


def attempt_of(seen: SeenRequest) -> str:
    """What makes the attempt different that a request belongs to; "" for the turn's own."""
    text = seen.history[0].text
    return text[text.index(MARK) :] if MARK in text else ""


def edits(line: str, words: str) -> list[Reply]:
    """An attempt that writes `line` into the function and says so."""
    fix = Call("@edit", {"path": "calc.py", "old": "return a - b", "new": line})
    return [Reply("I look.", calls=(Call("@read", {"path": "calc.py"}),)), Reply("", calls=(fix,)), Reply(words)]


def played(*attempts: Sequence[Reply]) -> Callable[[SeenRequest], Reply]:
    """Attempts by order of their first requests; the last reply of each again and again."""
    order = [""]

    def answer(seen: SeenRequest) -> Reply:
        own = attempt_of(seen)
        if own not in order:
            order.append(own)
        script = attempts[min(order.index(own), len(attempts) - 1)]
        done = sum(turn.role == "assistant" for turn in seen.history)
        return script[min(done, len(script) - 1)]

    return answer


WRONG = edits("return a * b", "It multiplies now.")
ALSO_WRONG = edits("return a", "It gives a.")
FIXED = edits(RIGHT, "It adds now.")


def firsts(requests: Sequence[SeenRequest]) -> list[SeenRequest]:
    """The first request of each attempt."""
    found: dict[str, SeenRequest] = {}
    for seen in requests:
        found.setdefault(attempt_of(seen), seen)
    return list(found.values())


def logs(place: Place) -> list[Path]:
    return sorted(place.state.glob("sessions/*/*/attempts/*.jsonl"))


def test_what_the_first_attempt_solves_costs_no_further_request(place: Place, serve: Serve) -> None:
    place.five_step()
    alone = serve(played(FIXED))
    place.task(alone, *CHECK).expect(0, "verified")
    (place.project / "calc.py").write_text(BEFORE)
    server = serve(played(FIXED))
    ended = place.task(server, *CHECK, "--attempts", "3", "--effort", "high").expect(0, "verified")
    assert len(server.requests) == len(alone.requests) == 3
    assert [one.parts.messages for one in server.requests] == [one.parts.messages for one in alone.requests]
    told = ended.result["assay"]["attempts"]
    assert (told["made"], told["first_passed"], told["selected"], told["each"]) == (1, True, 0, [])
    assert not logs(place)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_second_of_three_is_right_and_costs_a_suffix(place: Place, serve: Serve, dialect: str) -> None:
    place.five_step()
    server = serve(played(WRONG, FIXED))
    ended = place.task(server, *CHECK, "--attempts", "3", dialect=dialect).expect(0, "verified")
    assert RIGHT in (place.project / "calc.py").read_text()
    assert ended.result["result"] == "It adds now."
    proof = ended.result["assay"]
    told = proof["attempts"]
    assert (told["made"], told["first_passed"], told["selected"]) == (2, False, 2)
    assert [(each["number"], each["result"]) for each in told["each"]] == [(1, "red"), (2, "green")]
    assert told["each"][1]["steps"] == 3
    assert proof["tokens"]["by_role"]["attempt"] == told["each"][1]["tokens"]
    assert sum(proof["tokens"]["by_role"].values()) == proof["tokens"]["total"]
    one, two = firsts(server.requests)
    assert (one.parts.tools, one.parts.system) == (two.parts.tools, two.parts.system)
    # All of the first request but the ends of its last message, and behind it the attempt's own text alone.
    shared = shared_prefix(one.parts, two.parts)
    assert prompt_bytes(one.parts) - shared < 120
    assert prompt_bytes(two.parts) - shared < len(attempt_of(two)) + 240
    receipt = json.loads(next(place.state.glob("sessions/*/*/receipt-*.json")).read_text())
    assert [each["number"] for each in receipt["attempts"]] == [1, 2]
    assert receipt["selected"]["number"] == 2
