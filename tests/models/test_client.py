from __future__ import annotations

import asyncio
from email.utils import formatdate

import pytest
from tests.models.cases import native, request, user
from tests.models.loopback import FakeClock, cut, refuse, reset, serving, stall, stream
from tests.models.replies import TEXT, WHOLE, anthropic

from assay.core.errors import AssayError, AuthError, ProviderUnavailable, UsageError
from assay.core.messages import Failure, Text, UserMessage
from assay.core.model import Finished, ModelRequest, Profile, Retrying, TextDelta
from assay.models.client import HttpModel
from assay.models.endpoint import Endpoint
from assay.models.failures import failure_error
from assay.models.http import Timeouts

DIALECTS = list(WHOLE)
KEY = "sk-very-secret-0123456789"
HELLO = ModelRequest("Be brief.", (), [UserMessage((Text("Hello."),))], session="s-1")
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def model(url: str, dialect: str = "anthropic", clock: FakeClock | None = None, **timeouts: float) -> HttpModel:
    profile = Profile("some/m", "m", dialect, images=True)
    style = "x-api-key" if dialect == "anthropic" else "bearer"
    version = "2023-06-01" if dialect == "anthropic" else ""
    endpoint = Endpoint(url, "some", KEY, "SOME_API_KEY", style, version, Timeouts(**timeouts))
    return HttpModel(profile, endpoint, clock=clock or FakeClock())


async def ask(asked: HttpModel, wanted: ModelRequest = HELLO) -> tuple[list, Finished]:
    """All events but the last, and the last; closes the model."""
    events = [event async for event in asked.stream(wanted)]
    await asked.aclose()
    assert sum(isinstance(event, Finished) for event in events) == 1
    return events[:-1], events[-1]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_reply_comes_through(dialect):
    async with serving(stream(WHOLE[dialect])) as server:
        events, last = await ask(model(server.url, dialect))
    assert last.message.stop == "calls" and [call.id for call in last.message.calls] == ["call_a", "call_b"]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "I look → 🔎."
    sent = server.requests[0]
    assert last.sent_bytes == len(sent.body)
    assert sent.headers["accept-encoding"] == "identity"
    if dialect == "anthropic":
        assert sent.target == "/v1/messages"
        assert sent.headers["x-api-key"] == KEY and sent.headers["anthropic-version"] == "2023-06-01"
    else:
        assert sent.target == ("/v1/chat/completions" if dialect == "openai-chat" else "/v1/responses")
        assert sent.headers["authorization"] == f"bearer {KEY}"


async def test_connections_are_used_again():
    async with serving(stream(TEXT["anthropic"])) as server:
        asked = model(server.url)
        for _ in range(3):
            assert [event async for event in asked.stream(HELLO)][-1].message.text == "Done."
        await asked.aclose()
        assert server.connections == 1


async def test_a_kept_connection_that_the_server_closed_is_replaced():
    async def answer_and_close(exchange):
        await stream(TEXT["anthropic"])(exchange)
        exchange.writer.close()

    async with serving(answer_and_close) as server:
        asked = model(server.url)
        for _ in range(3):
            assert [event async for event in asked.stream(HELLO)][-1].message.text == "Done."
        await asked.aclose()


async def test_retries_pause_longer_each_time_and_are_told():
    clock = FakeClock()
    async with serving(refuse(529, OVERLOADED), refuse(529, OVERLOADED), stream(TEXT["anthropic"])) as server:
        events, last = await ask(model(server.url, clock=clock))
    told = [event for event in events if isinstance(event, Retrying)]
    assert last.message.text == "Done." and len(server.requests) == 3
    assert [event.attempt for event in told] == [1, 2] and [event.delay for event in told] == clock.slept
    assert clock.slept[0] < clock.slept[1]
    assert "HTTP 529" in told[0].reason


@pytest.mark.parametrize("status", [500, 503])
async def test_an_endless_error_ends_within_a_minute(status):
    clock = FakeClock()
    async with serving(refuse(status, b"down for\nmaintenance")) as server:
        _, last = await ask(model(server.url, clock=clock))
    failure = last.message.failure
    assert len(server.requests) <= 8 and sum(clock.slept) <= 60
    assert failure is not None and failure.attempts == len(server.requests)
    assert f"HTTP {status}" in failure.message and "\n" not in failure.message and "tried 8 times" in failure.message
    assert failure_error(failure).exit_code == 4


@pytest.mark.parametrize("as_date", [False, True])
async def test_retry_after_is_honoured(as_date):
    clock = FakeClock()
    value = formatdate(clock.time + 3, usegmt=True) if as_date else "3"
    limit = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    async with serving(refuse(429, limit, retry_after=value), stream(TEXT["anthropic"])) as server:
        _, last = await ask(model(server.url, clock=clock))
    assert last.message.text == "Done."
    assert 3 <= clock.slept[0] <= 4.5


async def test_a_long_retry_after_is_not_waited_for():
    clock = FakeClock()
    async with serving(refuse(429, {}, retry_after="86400")) as server:
        _, last = await ask(model(server.url, clock=clock))
    failure = last.message.failure
    assert len(server.requests) == 1 and not clock.slept
    assert failure.kind == "rate_limit" and "24 h" in failure.message
    assert isinstance(failure_error(failure), ProviderUnavailable)


@pytest.mark.parametrize(
    ("status", "error", "kind", "exit_code"),
    [
        (401, {"type": "authentication_error", "message": f"invalid key {KEY}"}, "auth", 3),
        (403, {"type": "permission_error", "message": "no"}, "auth", 3),
        (429, {"code": "insufficient_quota", "message": "You exceeded your current quota"}, "quota", 3),
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low"}, "quota", 3),
        (402, {"message": "Insufficient Balance"}, "quota", 3),
        (404, {"type": "not_found_error", "message": "model: m"}, "not_found", 2),
        (400, {"message": "unknown field 'x'"}, "bad_request", 2),
        (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum"}, "context_too_long", 1),
        (400, {"type": "exceed_context_size_error", "message": "too big"}, "context_too_long", 1),
        (413, {"type": "request_too_large", "message": "too big"}, "context_too_long", 1),
        (302, {}, "bad_request", 2),
    ],
)
@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])
async def test_what_no_retry_can_mend_is_asked_once(status, error, kind, exit_code, dialect):
    async with serving(refuse(status, {"type": "error", "error": error})) as server:
        _, last = await ask(model(server.url, dialect))
    failure = last.message.failure
    assert len(server.requests) == 1
    assert failure.kind == kind and failure.attempts == 1
    assert KEY not in failure.message and "some/m" in failure.message
    assert failure_error(failure).exit_code == exit_code
    if kind == "auth":
        assert "SOME_API_KEY" in failure.message


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("clean", [False, True])
async def test_a_reply_cut_in_a_call_is_asked_for_again(dialect, clean):
    whole = WHOLE[dialect]
    half = whole[: whole.rindex(b"call_b")]
    async with serving(cut(half, clean=clean), stream(whole)) as server:
        events, last = await ask(model(server.url, dialect))
    assert len(server.requests) == 2
    assert [event.reason for event in events if isinstance(event, Retrying)]
    assert last.message.text == "I look → 🔎." and len(last.message.calls) == 2


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_reply_that_is_always_cut_runs_nothing(dialect):
    whole = WHOLE[dialect]
    async with serving(cut(whole[: whole.rindex(b"call_b")], clean=True)) as server:
        _, last = await ask(model(server.url, dialect))
    assert last.message.failure.kind == "cut" and last.message.stop == "failed"
    assert not last.message.calls and last.message.text == "I look → 🔎."
    assert len(server.requests) == 4


async def test_a_chat_reply_is_whole_at_its_finish_reason_even_if_the_usage_is_lost():
    whole = WHOLE["openai-chat"]
    async with serving(cut(whole[: whole.index(b'{"id": "c", "choices": []')])) as server:
        _, last = await ask(model(server.url, "openai-chat"))
    assert last.message.stop == "calls" and last.message.usage.estimated and len(server.requests) == 1


async def test_a_reset_before_the_answer_is_retried():
    async with serving(reset(), stream(TEXT["anthropic"])) as server:
        _, last = await ask(model(server.url))
    assert last.message.text == "Done." and len(server.requests) == 2


async def test_nobody_there():
    async with serving(reset()) as server:
        url = server.url
    clock = FakeClock()
    _, last = await ask(model(url, clock=clock))
    failure = last.message.failure
    assert failure.kind == "network" and failure.attempts <= 4 and sum(clock.slept) < 5
    assert "is the server running" in failure.message


@pytest.mark.parametrize("headers", [False, True])
async def test_a_server_that_never_answers_is_noticed(headers):
    async with serving(stall(headers=headers)) as server:
        _, last = await ask(model(server.url, connect=0.05, first_byte=0.05))
    assert last.message.failure.kind == "timeout" and len(server.requests) == 2
    assert "no answer within 0.05 s" in last.message.failure.message


async def test_a_stalled_stream_is_noticed_and_asked_for_again():
    half = TEXT["anthropic"][:-200]
    async with serving(stall(half), stream(TEXT["anthropic"])) as server:
        _, last = await ask(model(server.url, idle=0.05))
    assert last.message.text == "Done." and len(server.requests) == 2


async def test_an_error_in_the_stream_is_retried():
    busy = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
    async with serving(stream(busy), stream(TEXT["anthropic"])) as server:
        _, last = await ask(model(server.url))
    assert last.message.text == "Done." and len(server.requests) == 2


async def test_an_answer_that_is_no_stream():
    error = refuse(200, {"error": {"message": "busy", "type": "overloaded_error"}}, content_type="application/json")
    other = refuse(200, {"content": []}, content_type="application/json")
    async with serving(error, other) as server:
        events, last = await ask(model(server.url))
    assert "busy" in next(event.reason for event in events if isinstance(event, Retrying))
    assert last.message.failure.kind == "protocol" and "not as a stream" in last.message.failure.message


async def test_empty_replies_are_not_spun_on():
    async with serving(stream(anthropic([]))) as server:
        _, last = await ask(model(server.url))
    assert last.message.failure.kind == "empty" and len(server.requests) == 1


async def test_missing_usage_is_estimated():
    blocks = [({"type": "text", "text": ""}, [{"type": "text_delta", "text": "word " * 100}])]
    async with serving(stream(anthropic(blocks, usage={}))) as server:
        _, last = await ask(model(server.url))
    usage = last.message.usage
    assert usage.estimated and 20 <= usage.input <= 200 and 100 <= usage.output <= 200


async def test_a_delta_of_50_mb_is_given_up():
    async def endless(exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ")
        for _ in range(200):
            await exchange.send(b"x" * 262_144)

    async with serving(endless) as server:
        _, last = await ask(model(server.url))
    assert last.message.failure.kind == "protocol" and len(server.requests) == 2


async def test_refused_reasoning_is_left_out_at_once():
    refusal = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "Invalid `signature` in thinking block"},
    }
    async with serving(refuse(400, refusal), stream(TEXT["anthropic"])) as server:
        _, last = await ask(model(server.url), request(user("One."), native("anthropic"), user("Two.")))
    first, second = (exchange.body for exchange in server.requests)
    assert b"c2ln" in first and b"c2ln" not in second and last.message.text == "Done."


@pytest.mark.parametrize("by_task", [False, True])
async def test_cancelling_closes_the_socket_at_once(by_task):
    async with serving(stall(TEXT["anthropic"][:-200])) as server:
        asked = model(server.url)
        events = asked.stream(HELLO)
        assert isinstance(await anext(events), TextDelta)
        if by_task:
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            await events.aclose()
        await asyncio.wait_for(server.gone.wait(), 10)
        await asked.aclose()


def test_a_key_never_shows():
    endpoint = Endpoint("https://example.com", "some", KEY, "SOME_API_KEY")
    assert KEY not in repr(endpoint) and KEY not in f"{endpoint}"
    assert endpoint.scrub(f"bad key {KEY}") == "bad key ***"


def test_failures_become_errors():
    kinds = {"auth": AuthError, "quota": AuthError, "not_found": UsageError, "bad_request": UsageError}
    kinds |= {"network": ProviderUnavailable, "cut": ProviderUnavailable, "timeout": ProviderUnavailable}
    for kind, error in kinds.items():
        assert type(failure_error(Failure(kind, "why"))) is error
    assert type(failure_error(Failure("empty", "why"))) is AssayError
    assert failure_error(Failure("cancelled", "why")).exit_code == 130
