"""What a provider does wrong, and what becomes of it."""

from __future__ import annotations

import itertools
import json
import resource
import time

import pytest

from assay.testing.server import Call, Fault, Reply, ScriptedServer
from assay.testing.server.jobs import AFTER, PROJECT_FILE, five_step

from .command import DIALECTS, EACH, KEY, Place, across, unbroken
from .conftest import Serve

COUNT = Call("@shell", {"command": "echo x >> count"})
WHOLE = "The first part, the second part and the third part of the answer."


def gaps(server: ScriptedServer) -> list[float]:
    """Seconds between the arrivals of requests."""
    return [two.arrived - one.arrived for one, two in itertools.pairwise(server.requests)]


def counted(place: Place) -> int:
    """How often COUNT had its effect."""
    path = place.project / "count"
    return path.read_text().count("x") if path.exists() else 0


def ask(place: Place, server: ScriptedServer, *words: str, dialect: str = "anthropic"):
    return place.task(server, *words, prompt="What is it?", dialect=dialect)


@pytest.mark.row(by={"rate_limit": 1, "rate_limit_date": 2})
@pytest.mark.slow
@pytest.mark.parametrize("name", ["rate_limit", "rate_limit_date"])
def test_retry_after_is_kept_to(place: Place, serve: Serve, name: str) -> None:
    server = serve(Reply("Four."), [Fault(name)])
    ask(place, server).expect(0, "answered")
    [gap] = gaps(server)
    # A date has whole seconds. The machine may be slow, but nobody waits for longer because of that.
    assert (2.0 if name == "rate_limit_date" else 3.0) <= gap < 30


@pytest.mark.row(3)
def test_a_wait_of_a_day_is_not_waited_for(place: Place, serve: Serve) -> None:
    server = serve(Reply("Four."), [Fault("rate_limit_day", times=None)])
    ended = ask(place, server).expect(4, "unavailable")
    assert len(server.requests) == 1
    assert "24 h" in ended.result["errors"][0]


FINAL = {
    "quota": (3, "auth", "quota"),
    "unauthorized": (3, "auth", "check the key in K"),
    "forbidden": (3, "auth", "check the key in K"),
    "no_model": (2, "usage", "--model"),
    "unknown_field": (2, "usage", "HTTP 400"),
}


@pytest.mark.row(by={"quota": 4, "unauthorized": 7, "forbidden": 7, "no_model": 9, "unknown_field": 9})
@pytest.mark.parametrize(("name", "dialect"), across(*FINAL))
def test_what_a_second_request_cannot_mend(place: Place, serve: Serve, name: str, dialect: str) -> None:
    code, outcome, said = FINAL[name]
    server = serve(Reply("Four."), [Fault(name, times=None)])
    ended = ask(place, server, dialect=dialect).expect(code, outcome)
    assert len(server.requests) == 1
    assert said in ended.result["errors"][0]
    assert not place.kept(KEY)


@pytest.mark.row(5)
@pytest.mark.slow
def test_an_overloaded_server_is_asked_again_with_growing_pauses_of_chance(place: Place, serve: Serve) -> None:
    servers = [serve(Reply("Four."), [Fault("overloaded", times=2)]) for _ in range(3)]
    runs = [place.start(server, "-p", "What is it?") for server in servers]
    assert [process.wait(60) for process in runs] == [0, 0, 0]
    pauses = [gaps(server) for server in servers]
    assert all(two > one for one, two in pauses), pauses
    assert len({round(one, 2) for one, _ in pauses} | {round(two, 2) for _, two in pauses}) > 3, pauses


@pytest.mark.row(6)
@pytest.mark.slow
def test_endless_trouble_ends_within_two_minutes(place: Place, serve: Serve) -> None:
    """Both statuses at once: nearly all of it is waiting."""
    servers = {"500": serve(Reply("Four."), [Fault("server_error", times=None)]),
               "503": serve(Reply("Four."), [Fault("unavailable", times=None)])}  # fmt: skip
    began = time.monotonic()
    runs = [place.start(server, "-p", "What is it?", "--output-format", "json") for server in servers.values()]
    for process, (status, server) in zip(runs, servers.items(), strict=True):
        ended = place.finish(process, began, alone=False).expect(4, "unavailable")
        assert ended.seconds < 120
        assert 2 < len(server.requests) <= 8
        assert status in ended.result["errors"][0]


@pytest.mark.row(
    by={"reset": 10, "cut_in_text": 13, "no_end": 13, "bad_chunking": 13, "cut_in_json": 14, "cut_in_utf8": 14,
        "error_event": 17}
)  # fmt: skip
@pytest.mark.parametrize(
    ("name", "dialect"),
    across("reset", "cut_in_text", "cut_in_json", "cut_in_utf8", "no_end", "bad_chunking", "error_event"),
)
def test_a_reply_that_is_lost_is_asked_for_again_and_told_once(
    place: Place, serve: Serve, name: str, dialect: str
) -> None:
    server = serve(Reply(WHOLE + " é"), [Fault(name)])
    ended = ask(place, server, dialect=dialect).expect(0, "answered")
    assert ended.result["result"] == WHOLE + " é"
    # What Chat Completions sends last only says again that there is no more.
    whole = (name, dialect) == ("no_end", "openai-chat")
    assert len(server.requests) == (1 if whole else 2)
    assert len({seen.raw for seen in server.requests}) == 1


@pytest.mark.row(17)
@pytest.mark.parametrize(("status", "dialect"), across("400", "401", "404"))
def test_an_error_within_a_stream_counts_like_its_status(place: Place, serve: Serve, status: str, dialect: str) -> None:
    server = serve(Reply(WHOLE), [Fault("error_event", times=None, status=int(status))])
    ended = ask(place, server, dialect=dialect)
    ended.expect(*(3, "auth") if status == "401" else (2, "usage"))
    assert len(server.requests) == 1


@pytest.mark.row(16)
@pytest.mark.parametrize(("close", "dialect"), across("end", "close", "reset"))
def test_a_call_cut_in_its_arguments_is_never_run(place: Place, serve: Serve, dialect: str, close: str) -> None:
    command = {"command": "echo x >> count; echo the rest of the command that must not be missing"}
    server = serve([Reply("I count.", calls=(Call("@shell", command),)), Reply("Done.")],
                   [Fault("cut_in_arguments", close=close)])  # fmt: skip
    ask(place, server, dialect=dialect)
    assert counted(place) == 1
    assert len(server.requests) == 3
    assert len(place.events("result")) == 1


@pytest.mark.row(15)
@pytest.mark.parametrize("dialect", EACH)
def test_a_call_that_was_cut_behind_has_its_effect_once(place: Place, serve: Serve, dialect: str) -> None:
    server = serve([Reply("I count.", calls=(COUNT,)), Reply("Done.")], [Fault("cut_after_call")])
    ask(place, server, dialect=dialect)
    assert counted(place) == 1


@pytest.mark.row(by={"malformed_arguments": 18, "unknown_tool": 19, "wrong_types": 19, "extra_fields": 19})
@pytest.mark.parametrize(
    ("name", "dialect"), across("malformed_arguments", "unknown_tool", "wrong_types", "extra_fields")
)
def test_a_call_that_makes_no_sense_is_told_to_the_model(place: Place, serve: Serve, name: str, dialect: str) -> None:
    place.five_step()
    server = serve(five_step(place.project), [Fault(name, after=1)])
    ended = place.task(server, "--check", "python3 test_calc.py", dialect=dialect).expect(0, "verified")
    assert (place.project / PROJECT_FILE).read_text() == AFTER
    assert ended.result["num_turns"] == 4
    assert unbroken(server.requests)


@pytest.mark.row(20)
@pytest.mark.parametrize(("name", "dialect"), across("duplicate_id", "missing_id"))
def test_calls_with_bad_ids_run_at_most_once_each(place: Place, serve: Serve, name: str, dialect: str) -> None:
    server = serve([Reply("I count.", calls=(COUNT,)), Reply("Done.")], [Fault(name)])
    ask(place, server, dialect=dialect)
    assert counted(place) in ((1,) if name == "missing_id" else (1, 2))
    history = server.requests[-1].history
    calls = [call.id for turn in history for call in turn.calls]
    assert calls == [result.id for turn in history for result in turn.results]
    assert len(set(calls)) == len(calls)
    assert all(calls)


@pytest.mark.row(21)
@pytest.mark.parametrize("dialect", EACH)
def test_two_hundred_parallel_calls_are_answered_in_order(place: Place, serve: Serve, dialect: str) -> None:
    place.write({"a.txt": "a\n"})
    server = serve([Reply("I read.", calls=(Call("@read", {"path": "a.txt"}),)), Reply("Done.")], [Fault("parallel")])
    ask(place, server, dialect=dialect)
    history = server.requests[1].history
    calls = [call.id for turn in history for call in turn.calls]
    assert len(calls) == 200
    assert calls == [result.id for turn in history for result in turn.results]


@pytest.mark.row(22)
@pytest.mark.parametrize("name", ["empty", "only_reasoning"])
def test_an_empty_reply_gets_one_nudge(place: Place, serve: Serve, name: str) -> None:
    server = serve(Reply("Four."), [Fault(name)])
    ask(place, server).expect(0, "answered")
    assert len(server.requests) == 2
    server = serve(Reply("Four."), [Fault(name, times=None)])
    ask(place, server).expect(1, "failed")
    assert len(server.requests) == 2


@pytest.mark.row(23)
@pytest.mark.slow
def test_fifty_megabytes_in_one_delta(place: Place, serve: Serve) -> None:
    ended = ask(place, serve(Reply("Four."), [Fault("huge_delta")]))
    assert ended.code in (0, 1, 4)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    assert most < 500


@pytest.mark.row(8)
@pytest.mark.parametrize("dialect", EACH)
def test_a_context_that_is_too_long_is_compacted(place: Place, serve: Serve, dialect: str) -> None:
    place.write({"a.txt": "".join(f"line {number} of the file\n" for number in range(300))})
    reads = [
        Reply(f"Part {part}.", calls=(Call("@shell", {"command": f"tail -n +{part * 40} a.txt | head -n 200"}),))
        for part in range(4)
    ]
    server = serve([*reads, Reply("I have read it.")], [Fault("too_long", after=4)])
    ended = ask(place, server, dialect=dialect).expect(0, "answered")
    assert ended.result["result"] == "I have read it."
    assert len(server.requests[-1].raw) < len(server.requests[-2].raw)


@pytest.mark.row(8)
def test_a_context_that_is_never_short_enough(place: Place, serve: Serve) -> None:
    server = serve(Reply("Four."), [Fault("too_long", size=10)])
    ended = ask(place, server).expect(1, "failed")
    assert len(server.requests) <= 4
    assert "too long" in ended.result["errors"][0]


SHORT = {"keyRequired": False, "firstByte": 1.0, "idle": 1.0}


@pytest.mark.row(by={"hang": 11, "stall": 12})
@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault("stall", seconds=30.0), Fault("hang")], ids=lambda fault: fault.name)
@pytest.mark.parametrize(("ever", "dialect"), [(True, DIALECTS[0]), *((False, name) for name in DIALECTS)])
def test_silence_is_noticed(place: Place, serve: Serve, fault: Fault, ever: bool, dialect: str) -> None:
    times = None if ever else 1
    server = serve(Reply(WHOLE), [Fault(fault.name, times=times, seconds=fault.seconds)])
    url = server.url if dialect == "anthropic" else f"{server.url}/v1"
    settings = json.dumps({"providers": {"near": SHORT | {"baseUrl": url, "dialect": dialect}}})
    words = ("-p", "What is it?", "--output-format", "json", "--model", "near/m", "--settings", settings)
    ended = place.run(None, *words)
    ended.expect(4, "unavailable") if ever else ended.expect(0, "answered")
    assert ever or ended.result["result"] == WHOLE
    assert ended.seconds < 30


@pytest.mark.row(27)
def test_two_calls_that_alternate_are_stopped(place: Place, serve: Serve) -> None:
    def alternate(seen) -> Reply:
        return Reply("Again.", calls=(Call("@shell", {"command": f"echo {'ab'[seen.position % 2]}"}),))

    server = serve(alternate)
    ask(place, server).expect(6, "stuck")
    assert len(server.requests) <= 13


@pytest.mark.row(28)
def test_a_failing_call_is_stopped_sooner(place: Place, serve: Serve) -> None:
    server = serve(Reply("Again.", calls=(Call("@read", {"path": "missing"}),)))
    ask(place, server).expect(6, "stuck")
    assert len(server.requests) == 4


@pytest.mark.row(29)
def test_a_poll_whose_output_changes_is_progress(place: Place, serve: Serve) -> None:
    poll = Reply("Not yet.", calls=(Call("@shell", {"command": "echo x >> count; wc -l < count"}),))
    server = serve([*[poll] * 15, Reply("There it is.")])
    ended = ask(place, server)
    assert ended.result["result"] == "There it is."
    assert counted(place) == 15
