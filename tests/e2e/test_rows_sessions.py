"""Logs cut at every byte, odd content, and many or large sessions."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from assay.core.clock import Clock
from assay.core.events import ContextAdded, Noticed
from assay.core.ids import new_id
from assay.sessions.log import SessionLog
from assay.sessions.reader import LogReader
from assay.testing.server import Call, Reply

from .command import THRICE, Place, unbroken
from .conftest import Serve

SOME = 8
"""Offsets that the command itself is started for; the rest is read in this process."""


class SetBack(Clock):
    """A clock that is an hour earlier each time that it is looked at."""

    def __init__(self) -> None:
        self.time = time.time()

    def now(self) -> float:
        self.time -= 3600.0
        return self.time

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


@pytest.mark.row(46)
def test_a_log_cut_at_every_byte_of_its_last_record_keeps_all_others(place: Place, serve: Serve) -> None:
    place.damaged = True
    server = serve([Reply("One."), Reply("Two.")])
    place.task(server, prompt="First question").expect(0)
    [log] = place.logs
    data = log.read_bytes()
    start = data.rindex(b"\n", 0, -1) + 1
    whole = data.count(b"\n") - 2  # but for the format line and the record that is cut
    offsets = range(start, len(data))
    for offset in offsets:
        log.write_bytes(data[:offset])
        reader = LogReader(log)
        kept = sum(1 for _ in reader.records())
        ended = offset == len(data) - 1  # only the line end is missing
        assert kept == whole + ended
        assert bool(reader.notices) == (offset > start)
    for offset in [*offsets][:: max(len(offsets) // SOME, 1)]:
        log.write_bytes(data[:offset])
        ended = place.run(server, "--continue", "-p", "Second question", "--output-format", "json").expect(0)
        assert ended.result["result"] == "Two."
        assert offset == start or "cut off" in ended.err
        assert log.read_bytes().startswith(data[:offset])
        assert "First question" in server.requests[-1].history[0].text
        reader = LogReader(log)
        assert sum(1 for _ in reader.records()) > whole
        assert reader.notices == []


@pytest.mark.row(48)
@pytest.mark.load("a record of 5 MB in a session")
def test_strange_text_and_a_record_of_5_mb_come_back_as_they_were(place: Place, serve: Serve) -> None:
    strange = "line\u2028separated \u2029 \x85 \x0b \ufeff \U0001f600 e\u0301 \x00 \x7f"
    server = serve([Reply(strange), Reply("x" * 5_000_000 + "é"), Reply("Three.")])
    said = place.task(server, prompt=strange.replace("\0", "")).expect(0).result["result"]
    assert said == strange
    place.task(server, "--continue", prompt="More").expect(0)
    place.task(server, "--continue", prompt="And now?").expect(0)
    spoken = [turn.text for turn in server.requests[-1].history if turn.role == "assistant"]
    assert spoken == [strange, "x" * 5_000_000 + "é"]
    assert unbroken(server.requests)
    assert strange.replace("\0", "") in server.requests[-1].history[0].text
    [log] = place.logs
    assert log.read_bytes().isascii()


@pytest.mark.row(48)
@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat", "openai-responses"])
def test_half_of_a_surrogate_pair_is_kept_and_harms_nothing(place: Place, serve: Serve, dialect: str) -> None:
    arguments = '{"command": "echo \\ud83d >> count; echo said"}'
    call = Call("@shell", raw_arguments=arguments)
    server = serve([Reply("I say.", calls=(call,)), Reply("Done."), Reply("Again.")])
    ended = place.task(server, prompt="Say it", dialect=dialect)
    assert ended.code in (0, 10), repr(ended)
    assert ended.result["result"] == "Done."
    assert place.task(server, "--continue", prompt="More", dialect=dialect).expect(0).result["result"] == "Again."
    assert unbroken(server.requests)


@pytest.mark.row(52)
@THRICE
def test_of_three_that_go_on_at_once_one_does_and_the_log_is_not_mixed(place: Place, serve: Serve, time: int) -> None:
    server = serve([Reply("One."), Reply("Two.", delay=3.0)])
    place.task(server, prompt="First question").expect(0)
    words = ("--continue", "-p", "Second question", "--output-format", "json")
    started = [place.start(server, *words) for _ in range(3)]
    ended = [(process.communicate(timeout=60), process.returncode) for process in started]
    assert sorted(code for _, code in ended) == [0, 9, 9], ended
    for (out, err), code in ended:
        assert json.loads(out)["assay"]["outcome"] == ("answered" if code == 0 else "storage")
        assert code == 0 or b"in use" in err
    assert len(server.requests) == 2
    assert [event["kind"] for event in place.events()].count("turn_ended") == 2


@pytest.mark.row(53)
def test_a_clock_that_is_set_back_keeps_the_order(place: Place, serve: Serve) -> None:
    server = serve([Reply("One."), Reply("Two.")])
    place.task(server, prompt="First question").expect(0)
    [log] = place.logs
    writer = SessionLog.open(log, clock=SetBack())
    for number in range(5):
        writer.append(ContextAdded("test", f"note {number}"))
    writer.close()
    times = [record.time for record in LogReader(log).records()]
    assert times == sorted(times)
    assert place.task(server, "--continue", prompt="Second question").expect(0).result["result"] == "Two."
    assert [event["text"] for event in place.events("context")][-5:] == [f"note {number}" for number in range(5)]


@pytest.mark.row(53)
@pytest.mark.load("1,000 sessions of one project, listed")
def test_a_thousand_sessions_are_listed_and_the_newest_is_found(place: Place, serve: Serve) -> None:
    server = serve([Reply("One."), Reply("Two.")])
    place.task(server, prompt="First question").expect(0)
    [log] = place.logs
    for _ in range(999):
        shutil.copy(log, log.with_name(f"{new_id()}.jsonl"))
    first = place.run(None, "sessions", "list", "--json").expect(0)
    assert len(first.result) == 1000
    again = place.run(None, "sessions", "list", "--json").expect(0)
    assert again.result == first.result
    assert again.seconds < 20
    newest = place.task(server, "--continue", prompt="Second question").expect(0)
    assert newest.result["result"] == "Two."
    assert newest.seconds < 20


@pytest.mark.row(53)
@pytest.mark.load("a session of 100 MB, gone on with")
@pytest.mark.slow
def test_a_session_of_100_mb_is_gone_on_with(place: Place, serve: Serve) -> None:
    server = serve([Reply("One."), Reply("Two.")])
    place.task(server, prompt="First question").expect(0)
    [log] = place.logs
    writer = SessionLog.open(log)
    note = Noticed("x" * 1_000_000)
    for _ in range(100):
        writer.append(note)
    writer.close()
    assert log.stat().st_size > 100_000_000
    ended = place.task(server, "--continue", prompt="Second question").expect(0)
    assert ended.result["result"] == "Two."
    assert ended.seconds < 60
