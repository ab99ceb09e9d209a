"""The conversations of `bench/compat` with our command: in order, complete, and as the `claude` command was seen to go
through them, but for what is argued in docs/compatibility.md."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from bench.compat.__main__ import kept
from bench.compat.argued import ARGUED, arguments, unargued
from bench.compat.cases import CASES, Case
from bench.compat.compare import Message, differences, kind_of, seen
from bench.compat.drive import Ran, run

from .command import SOURCE, Place

PAGE = (Path(__file__).parents[2] / "docs/compatibility.md").read_text("utf-8")
REAL = kept()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_conversation_goes_as_hosts_expect(case: Case, place: Place) -> None:
    ran = run(
        [sys.executable, str(place.program)],
        case,
        variables={"PYTHONPATH": SOURCE, "TMPDIR": place.variables["TMPDIR"]},
    )
    told = f"{ran.error}\n{ran.lines[-3:]}"
    assert "Traceback" not in ran.error
    assert "garbage" not in {message["type"] for message in ran.lines}
    results = [message for message in ran.lines if message["type"] == "result"]
    began = bool(results) and case.name != "unknown session"
    said = sum(action == "user" for action, _ in case.steps)
    assert len(results) == (said if began else case.name == "unknown session"), told
    assert ran.code == (1 if not results or results[-1]["is_error"] else 0), told
    assert_answers(ran, case, began)
    assert_names(ran)
    if began:
        assert_turns(ran)
    assert not place.survivors()
    found = differences(REAL[case.name], seen(ran))
    assert not unargued(case.name, found), told
    row = re.search(rf"^\| {re.escape(case.name)} \| (.*) \| (.*) \|$", PAGE, re.M)
    assert (row is not None) == bool(found), "docs/compatibility.md has a row for each that differs, and no other"
    if row:
        assert (row[1], row[2]) == ("; ".join(found), "; ".join(arguments(case.name, found)))


def assert_answers(ran: Ran, case: Case, began: bool) -> None:
    """Every request has one answer, in order."""
    asked = case.initialize + sum(action == "control" for action, _ in case.steps)
    answers = [message["response"] for message in ran.lines if message["type"] == "control_response"]
    names = [answer["request_id"] for answer in answers]  # type: ignore[index]
    assert names == [f"host-{number + 1}" for number in range(asked if began else 0)]


def assert_names(ran: Ran) -> None:
    """Whatever is a message of the session says of which, and has a name of its own."""
    named = [message for message in ran.lines if not str(message["type"]).startswith("control_")]
    assert all(message["session_id"] for message in named)
    assert len({message["uuid"] for message in named}) == len(named)


def assert_turns(ran: Ran) -> None:
    """Each turn is announced, each call has one result before the end, each stream that begins ends."""
    announced, open_calls, streams = False, set[object](), 0
    for message in ran.lines:
        kind = kind_of(message)
        if kind == "system/init":
            announced = True
        elif kind == "stream_event":
            event = _table(message["event"])["type"]
            streams += (event == "message_start") - (event == "message_stop")
            assert streams in (0, 1)
        elif kind in ("assistant", "user"):
            assert announced
            for block in _blocks(message):
                if block["type"] == "tool_use":
                    open_calls.add(block["id"])
                elif block["type"] == "tool_result":
                    open_calls.remove(block["tool_use_id"])
        elif kind == "result":
            assert announced and not open_calls and not streams
            announced = False


def _table(value: object) -> Mapping[str, object]:
    assert isinstance(value, dict)
    return value


def _blocks(message: Message) -> list[Message]:
    content = _table(message["message"])["content"]
    return content if isinstance(content, list) else []


def test_what_is_argued_is_there() -> None:
    names = {case.name for case in CASES}
    assert set(ARGUED) <= names
    assert set(REAL) == names
    assert f"{len(CASES)} conversations" in PAGE
