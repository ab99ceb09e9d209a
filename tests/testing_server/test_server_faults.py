"""What a client sees of every fault."""

import asyncio
import time
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from tests.testing_server.client import PATHS, answered, ask, read, request_body, said, send

from assay.testing.server import CATALOGUE, Call, Fault, Match, Reply, Script, ScriptedServer, ScriptError
from assay.testing.server.faults import check_faults

DIALECTS = list(PATHS)
COMMAND = "echo one && echo two"
REPLY = Reply("Let me look at it – with care.", calls=(Call("bash", {"command": COMMAND}),))


async def struck(fault: Fault, dialect: str, reply: Reply = REPLY, **options):
    """The response to the first request, and to a second one that the fault must let through."""
    async with ScriptedServer([reply], [fault]) as server:
        first = await ask(server.url, dialect, **options)
        second = await ask(server.url, dialect, **options)
        assert server.exchanges[0].fault == fault.name
        assert second.status == 200
        assert second.end == "whole"
        return first


STATUSES = {
    "rate_limit": (429, "rate_limit_error", "rate_limit_exceeded", "3"),
    "rate_limit_day": (429, "rate_limit_error", "rate_limit_exceeded", "86400"),
    "quota": (429, "billing_error", "insufficient_quota", None),
    "unauthorized": (401, "authentication_error", "invalid_api_key", None),
    "forbidden": (403, "permission_error", "access_denied", None),
    "no_model": (404, "not_found_error", "model_not_found", None),
    "unknown_field": (400, "invalid_request_error", "unknown_parameter", None),
    "server_error": (500, "api_error", None, None),
    "unavailable": (503, "overloaded_error", "overloaded", None),
    "overloaded": (529, "overloaded_error", "overloaded", None),
    "status": (500, "api_error", None, None),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", STATUSES)
async def test_status(name, dialect):
    status, anthropic, openai, retry_after = STATUSES[name]
    got = await struck(Fault(name), dialect)
    error = got.json["error"]
    assert (got.status, got.end) == (status, "whole")
    assert got.headers.get("retry-after") == retry_after
    assert error["type"] == anthropic if dialect == "anthropic" else error["code"] == openai


async def test_rate_limit_date_is_in_the_future():
    got = await struck(Fault("rate_limit_date", seconds=5), "anthropic")
    ahead = parsedate_to_datetime(got.headers["retry-after"]).timestamp() - time.time()
    assert 3 < ahead <= 6


async def test_status_takes_any_status_and_wait():
    got = await struck(Fault("status", status=408, retry_after="0"), "openai-chat")
    assert (got.status, got.headers["retry-after"]) == (408, "0")


async def test_too_long_until_a_tenth_smaller():
    async with ScriptedServer(Reply("ok"), [Fault("too_long", after=1)]) as server:
        statuses = []
        for size in (900, 1000, 990, 901, 700, 2000):
            got = await ask(server.url, "openai-chat", prompt="x" * size)
            statuses.append(got.status)
        assert statuses == [200, 400, 400, 400, 200, 200]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_too_long_with_a_fixed_size_stands(dialect):
    async with ScriptedServer(Reply("ok"), [Fault("too_long", size=1000)]) as server:
        got = [await ask(server.url, dialect, prompt="x" * size) for size in (1000, 10, 1000)]
        assert [one.status for one in got] == [400, 200, 400]
        code = got[0].json["error"].get("code", "context_length_exceeded")
        assert code == "context_length_exceeded"
        assert "too long" in got[0].json["error"]["message"]


async def test_reset_before_any_byte():
    got = await struck(Fault("reset"), "anthropic")
    assert (got.status, got.end) == (0, "reset")


async def test_hang_never_answers_and_notes_when_the_client_left():
    async with ScriptedServer(REPLY, [Fault("hang")]) as server:
        reader, writer = await send(server.url, "anthropic", request_body("anthropic"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        writer.close()
        await server.settled(1)
        exchange = server.exchanges[0]
        assert exchange.closed_early is not None
        assert exchange.closed_early - exchange.arrived >= 0.09
        assert exchange.bytes_sent == 0


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_stall_then_the_rest(dialect):
    got = await struck(Fault("stall", seconds=0.3), dialect, Reply("One two three."))
    times = [at for at, _ in got.arrivals]
    assert max(b - a for a, b in pairwise(times)) >= 0.25
    assert got.end == "whole"
    assert said(dialect, got)[0] == "One two three."


@pytest.mark.parametrize("close", ["close", "reset"])
async def test_stall_then_the_end(close):
    got = await struck(Fault("stall", seconds=0.1, close=close), "anthropic", Reply("One two three."))
    assert got.end == {"close": "cut", "reset": "reset"}[close]
    assert said("anthropic", got)[0] == "One two"


async def test_drip():
    got = await struck(Fault("drip", size=100, seconds=0.001), "anthropic")
    assert {len(piece) for _, piece in got.arrivals[:-1]} == {100}
    assert said("anthropic", got)[0] == REPLY.text


@pytest.mark.parametrize(("close", "end"), [("end", "whole"), ("close", "cut"), ("reset", "reset")])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "name",
    [
        "cut_at",
        "cut_in_text",
        "cut_in_json",
        "cut_in_utf8",
        "cut_in_arguments",
        "cut_after_call",
        "no_end",
        "error_event",
    ],
)
async def test_every_cut_ends_in_every_way(name, dialect, close, end):
    got = await struck(Fault(name, close=close, size=700), dialect)
    assert (got.status, got.end) == (200, end)
    assert b"[DONE]" not in got.body
    assert not any(e.get("type") in ("message_stop", "response.completed") for e in got.events)


async def test_cut_at_every_byte():
    whole = (await struck(Fault("unknown_tool"), "openai-chat")).body
    faults = [Fault("cut_at", size=size) for size in range(0, len(whole), 97)]
    async with ScriptedServer(REPLY, faults) as server:
        for fault in faults:
            got = await ask(server.url, "openai-chat")
            assert len(got.body) == fault.size


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_where_the_cuts_are(dialect):
    async def cut(name):
        got = await struck(Fault(name), dialect)
        return got, *said(dialect, got)

    _, text, calls = await cut("cut_in_text")
    assert REPLY.text.startswith(text)
    assert 0 < len(text) < len(REPLY.text)
    assert calls == []
    got, _, _ = await cut("cut_in_json")
    assert got.body.splitlines()[-1].startswith(b"data: {")
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(got.body.splitlines()[-1][6:])
    got, _, _ = await cut("cut_in_utf8")
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        got.body.decode()
    _, text, calls = await cut("cut_in_arguments")
    whole = msgspec.json.encode({"command": COMMAND}).decode()
    assert text == REPLY.text
    assert 0 < len(calls[0][2]) < len(whole)
    _, text, calls = await cut("cut_after_call")
    assert calls[0][2] == whole


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_error_event_comes_after_some_text(dialect):
    got = await struck(Fault("error_event", status=429), dialect)
    last = got.events[-1]
    error = last["response"]["error"] if dialect == "openai-responses" else last["error"]
    assert error.get("code", error.get("type")) in ("rate_limit_error", "rate_limit_exceeded")
    assert said(dialect, got)[0]


@pytest.mark.parametrize("name", ["cut_in_text", "cut_in_json", "no_end", "stall"])
async def test_a_whole_response_can_be_cut_too(name):
    got = await struck(Fault(name, close="close", seconds=0.01), "anthropic", stream=False)
    assert (got.status, got.end) == (200, "cut")
    assert 0 < len(got.body) < int(got.headers["content-length"])


async def test_error_event_without_a_stream_is_a_status():
    assert (await struck(Fault("error_event"), "anthropic", stream=False)).status == 529


async def test_bad_chunking():
    got = await struck(Fault("bad_chunking"), "openai-responses")
    assert got.end == "garbage"
    assert got.events[0]["type"] == "response.created"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_unknown_events_do_no_harm(dialect):
    got = await struck(Fault("unknown_events"), dialect)
    assert sum(event.get("type") == "weather" for event in got.events) > 5
    assert said(dialect, got)[1][0][2] == msgspec.json.encode({"command": COMMAND}).decode()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_spoiled_calls(dialect):
    async def calls(name, size=None):
        return said(dialect, await struck(Fault(name, size=size), dialect))[1]

    whole = msgspec.json.encode({"command": COMMAND}).decode()
    assert [call[2] for call in await calls("malformed_arguments")] == [whole[: len(whole) * 2 // 3]]
    assert [call[1] for call in await calls("unknown_tool")] == ["no_such_tool"]
    assert msgspec.json.decode((await calls("wrong_types"))[0][2]) == {"command": [1]}
    assert msgspec.json.decode((await calls("extra_fields"))[0][2]) == {"command": COMMAND, "no_such_field": True}
    twice = await calls("duplicate_id")
    assert len(twice) == 2
    assert twice[0][0] == twice[1][0] != ""
    assert [call[0] for call in await calls("missing_id")] == [""]
    many = await calls("parallel")
    assert len(many) == len({call[0] for call in many}) == 200
    assert {call[2] for call in many} == {whole}
    assert len(await calls("parallel", size=3)) == 3


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_nothing_said(dialect):
    empty = await struck(Fault("empty"), dialect)
    thinking = await struck(Fault("only_reasoning"), dialect)
    for got in (empty, thinking):
        assert got.end == "whole"
        assert said(dialect, got) == ("", [])
    assert len(thinking.body) > len(empty.body)


async def test_huge_delta_is_one_event():
    got = await struck(Fault("huge_delta", size=3_000_000), "anthropic")
    sizes = [len(event["delta"].get("text", "")) for event in got.events if event["type"] == "content_block_delta"]
    assert max(sizes) == 3_000_000


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_absurd_usage(dialect):
    async def figures(name):
        body = (await struck(Fault(name), dialect, stream=False)).json
        return body.get("usage")

    field = "completion_tokens" if dialect == "openai-chat" else "output_tokens"
    assert not await figures("usage_missing")
    assert (await figures("usage_negative"))[field] == -5
    assert (await figures("usage_huge"))[field] == 10**18


def test_every_fault_is_tested_here():
    tested = Path(__file__).read_text()
    assert [name for name in CATALOGUE if f'"{name}"' not in tested] == []


def test_an_unknown_fault_is_refused_by_name():
    with pytest.raises(ScriptError, match="no fault 'x'"):
        check_faults([Fault("x")])
    with pytest.raises(ScriptError, match="no fault 'y'"):
        ScriptedServer([Reply("a", fault=Fault("y"))])


async def test_times_after_and_for_ever():
    faults = [Fault("overloaded", times=2, after=1), Fault("server_error", times=None, when=Match(text="bad"))]
    async with ScriptedServer(Reply("ok"), faults) as server:
        statuses = [(await ask(server.url, "anthropic")).status for _ in range(5)]
        assert statuses == [200, 529, 529, 200, 200]
        assert [(await ask(server.url, "anthropic", prompt="bad")).status for _ in range(3)] == [500] * 3


async def test_a_fault_waits_for_a_reply_that_has_what_it_needs():
    script = Script(replies=(Reply("just text"), REPLY), order="request")
    async with ScriptedServer(script, [Fault("malformed_arguments")]) as server:
        first, second = [await ask(server.url, "anthropic") for _ in range(2)]
        assert said("anthropic", first)[1] == []
        assert server.exchanges[1].fault == "malformed_arguments"
        assert said("anthropic", second)[1]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_reply_s_own_fault_stands_before_it(dialect):
    script = [Reply("first", calls=REPLY.calls, fault=Fault("unavailable", times=2)), Reply("second")]
    async with ScriptedServer(script) as server:
        got = [await ask(server.url, dialect) for _ in range(3)]
        assert [one.status for one in got] == [503, 503, 200]
        last = await ask(server.url, dialect, history=answered(dialect, got[2]))
        assert said(dialect, last)[0] == "second"


async def test_the_client_s_end_in_mid_stream_is_recorded():
    async with ScriptedServer(Reply("x" * 4000, pace=0.05, chunk=10)) as server:
        reader, writer = await send(server.url, "anthropic", request_body("anthropic"))
        await reader.readuntil(b"text_delta")
        writer.close()
        await server.settled(1)
        exchange = server.exchanges[0]
        assert exchange.arrived <= exchange.first_byte < exchange.closed_early
        assert exchange.status == 200


async def test_a_client_that_stays_to_the_end_is_not_recorded_as_gone():
    async with ScriptedServer(REPLY) as server:
        reader, writer = await send(server.url, "anthropic", request_body("anthropic"))
        got = await read(reader)
        writer.close()
        assert got.end == "whole"
        assert server.exchanges[0].closed_early is None
        assert server.exchanges[0].ended is not None


async def test_stopping_the_server_is_no_early_close_by_the_client():
    async with ScriptedServer(REPLY, [Fault("hang")]) as server:
        _, writer = await send(server.url, "anthropic", request_body("anthropic"))
        while not server.exchanges:
            await asyncio.sleep(0.01)
    writer.close()
    assert server.exchanges[0].ended is not None
    assert server.exchanges[0].closed_early is None
