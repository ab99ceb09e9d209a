"""Every interface before every kind of provider: our own clients are the other side of each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from assay.core.messages import AssistantMessage, Image, Message, Text, Thinking, ToolCall, ToolResult, UserMessage
from assay.core.model import CallDelta, Finished, Model, ModelRequest, Reasoning, TextDelta, ThinkingDelta, ToolSpec
from assay.testing.conformance.model import ModelConformance
from assay.testing.server import Call, Fault, Reply
from assay.testing.server import Thinking as Thought

from .conftest import DIALECTS, TOKEN, Running, running

LOOK = ToolSpec("look", "Look at a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
TWO = Reply("I look.", calls=(Call("look", {"path": "a"}, id="call_a1"), Call("look", {"path": "é\n"}, id="call_a2")))


def asked(*messages: Message, **more: object) -> ModelRequest:
    return ModelRequest("Be brief.", (LOOK,), messages or (UserMessage((Text("hi"),)),), **more)


async def events(model: Model, request: ModelRequest) -> list[object]:
    async with asyncio.timeout(20):
        return [event async for event in model.stream(request)]


async def reply(model: Model, request: ModelRequest) -> AssistantMessage:
    last = (await events(model, request))[-1]
    assert isinstance(last, Finished)
    return last.message


@pytest.mark.parametrize("dialect", DIALECTS)
class TestThroughTheGateway(ModelConformance):
    async def through(self, tmp_path: Path, dialect: str, script, faults=()) -> AsyncIterator[Model]:
        async with running(tmp_path, script, "openai-chat", faults) as gateway:
            model = gateway.model(dialect)
            yield model
            await model.aclose()

    @pytest.fixture
    async def answering(self, tmp_path: Path, dialect: str) -> AsyncIterator[Model]:
        async for model in self.through(tmp_path, dialect, lambda seen: Reply("It is a file of some kind.")):
            yield model

    @pytest.fixture
    async def calling(self, tmp_path: Path, dialect: str) -> AsyncIterator[Model]:
        async for model in self.through(tmp_path, dialect, lambda seen: TWO):
            yield model

    @pytest.fixture
    async def failing(self, tmp_path: Path, dialect: str) -> AsyncIterator[Model]:
        faults = [Fault("unknown_field", times=None)]
        async for model in self.through(tmp_path, dialect, lambda seen: Reply("no"), faults):
            yield model

    @pytest.fixture
    async def stalling(self, tmp_path: Path, dialect: str) -> AsyncIterator[Model]:
        async for model in self.through(tmp_path, dialect, lambda seen: Reply("slow", delay=3600)):
            yield model


async def test_text_thinking_and_calls_pass_through(tmp_path: Path, before: str, behind: str) -> None:
    script = [Reply("I look é😀.", thinking="Let me see.", calls=TWO.calls)]
    async with running(tmp_path, script, behind) as gateway:
        model = gateway.model(before)
        seen = await events(model, asked())
        await model.aclose()
    message = seen[-1].message
    assert message.failure is None
    assert (message.text, message.stop) == ("I look é😀.", "calls")
    assert [(call.name, call.arguments) for call in message.calls] == [
        ("look", {"path": "a"}),
        ("look", {"path": "é\n"}),
    ]
    assert "".join(event.text for event in seen if isinstance(event, TextDelta)) == message.text
    assert "".join(event.text for event in seen if isinstance(event, ThinkingDelta)) == "Let me see."
    assert any(isinstance(part, Thinking) and part.text == "Let me see." for part in message.parts)
    pieces: dict[str, str] = {}
    for event in seen:
        if isinstance(event, CallDelta):
            pieces[event.id] = pieces.get(event.id, "") + event.arguments
    assert [json.loads(piece) for piece in pieces.values()] == [call.arguments for call in message.calls]
    usage = message.usage
    assert usage.output > 0
    assert usage.sent > 0
    assert not usage.estimated
    sent = gateway.upstream.requests[0]
    assert [tool.name for tool in sent.tools] == ["look"]
    assert b"Be brief." in sent.raw


async def test_history_passes_through(tmp_path: Path, before: str, behind: str) -> None:
    history = (
        UserMessage((Text("look at both"), Image("image/png", "aGk="))),
        AssistantMessage((Text("I look."), ToolCall("call_a1", "look", {"path": "a"})), "calls", "any"),
        UserMessage((ToolResult("call_a1", (Text("content of a"),), is_error=False), Text("and?"))),
    )
    async with running(tmp_path, [Reply("one"), Reply("two")], behind) as gateway:
        model = gateway.model(before, images=True)
        message = await reply(model, asked(*history, max_output=100, reasoning=Reasoning(effort="high")))
        await model.aclose()
        assert message.failure is None, message.failure
        (sent,) = gateway.upstream.requests
    turns = [sent.reader.turn(item) for item in sent.reader.items(sent.body)]
    assert [call.name for turn in turns for call in turn.calls] == ["look"]
    assert [result.text for turn in turns for result in turn.results] == ["content of a"]
    assert b"and?" in sent.raw


async def test_sealed_reasoning_survives_clients_that_lose_it(tmp_path: Path, before: str) -> None:
    """Between two calls a provider wants its own reasoning back; no client but ours and its own keeps it."""
    thought = Thought("hm", signature="c2VhbGVk", encrypted="c2VhbGVk")
    script = [Reply("I look.", thinking=(thought,), calls=TWO.calls[:1]), Reply("done")]
    async with running(tmp_path, script, "anthropic") as gateway:
        model = gateway.model(before)
        first = await reply(model, asked())
        call = first.calls[0]
        bare = AssistantMessage((Text(first.text), call), "calls", "any")
        results = UserMessage((ToolResult(call.id, (Text("content"),)),))
        second = await reply(model, asked(UserMessage((Text("hi"),)), bare, results))
        await model.aclose()
        assert second.text == "done"
        assert b"c2VhbGVk" in gateway.upstream.requests[-1].raw


FAULTS = {
    "rate_limit": ({"rate_limit"}, 429),
    "overloaded": ({"overloaded", "server"}, 529),
    "unauthorized": ({"auth"}, 403),
    "unknown_field": ({"bad_request"}, 400),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_a_provider_does_wrong_keeps_its_kind(tmp_path: Path, before: str, fault: str) -> None:
    kinds, status = FAULTS[fault]
    faults = [Fault(fault, times=None, retry_after="3600")]
    async with running(tmp_path, lambda seen: Reply("no"), "anthropic", faults) as gateway:
        model = gateway.model(before)
        message = await reply(model, asked())
        await model.aclose()
    assert message.failure is not None
    assert message.failure.kind in kinds
    assert message.failure.status == status


async def test_a_call_that_nobody_can_read_is_not_handed_on(tmp_path: Path, before: str) -> None:
    script = [Reply("I look.", calls=(Call("look", raw_arguments='{"path": "a'),))] * 2
    async with running(tmp_path, script, "openai-chat") as gateway:
        model = gateway.model(before)
        message = await reply(model, asked())
        await model.aclose()
    assert message.failure is not None or message.calls[0].invalid
    assert not any(call.arguments for call in message.calls)


async def test_a_reply_that_breaks_off_is_an_error_and_is_not_made_whole(tmp_path: Path, before: str) -> None:
    script = [Reply("word " * 200, chunk=5)] * 9
    async with running(tmp_path, script, "anthropic", [Fault("cut_in_text", times=None)]) as gateway:
        model = gateway.model(before)
        message = await reply(model, asked())
        await model.aclose()
    assert message.failure is not None


async def test_whole_replies(tmp_path: Path, behind: str) -> None:
    script = [Reply("I look.", thinking="hm", calls=TWO.calls[:1])] * 3
    async with running(tmp_path, script, behind) as gateway, httpx2.AsyncClient(timeout=20) as client:
        head = {"authorization": f"Bearer {TOKEN}"}
        said = [{"role": "user", "content": "hi"}]
        body = {"model": "any", "max_tokens": 100, "messages": said}
        one = (await client.post(f"{gateway.url}/v1/messages", json=body, headers={"x-api-key": TOKEN})).json()
        assert [block["type"] for block in one["content"]][-2:] == ["text", "tool_use"]
        assert (one["stop_reason"], one["type"]) == ("tool_use", "message")
        assert one["usage"]["output_tokens"] > 0
        two = (await client.post(f"{gateway.url}/v1/chat/completions", json=body, headers=head)).json()
        assert two["choices"][0]["finish_reason"] == "tool_calls"
        assert json.loads(two["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]) == {"path": "a"}
        assert two["choices"][0]["message"]["content"] == "I look."
        body = {"model": "any", "input": "hi"}
        three = (await client.post(f"{gateway.url}/v1/responses", json=body, headers=head)).json()
        assert [item["type"] for item in three["output"]][-2:] == ["message", "function_call"]
        assert three["status"] == "completed"
        assert three["usage"]["total_tokens"] > 0


async def test_a_schema_passes_through(tmp_path: Path, behind: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    async with running(tmp_path, [Reply('{"a": 1}')], behind) as gateway, httpx2.AsyncClient(timeout=20) as client:
        body = {"model": "any", "messages": [{"role": "user", "content": "hi"}], "response_format": wanted}
        head = {"authorization": f"Bearer {TOKEN}"}
        found = await client.post(f"{gateway.url}/v1/chat/completions", json=body, headers=head)
        assert found.json()["choices"][0]["message"]["content"] == '{"a": 1}'
        assert b'"json_schema"' in gateway.upstream.requests[0].raw


async def test_clients_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, lambda seen: Reply("hello", delay=0.05), "anthropic") as gateway:

        async def one(running_: Running, dialect: str) -> str:
            model = running_.model(dialect)
            try:
                return (await reply(model, asked())).text
            finally:
                await model.aclose()

        said = await asyncio.gather(*(one(gateway, DIALECTS[number % 3]) for number in range(12)))
        assert said == ["hello"] * 12
