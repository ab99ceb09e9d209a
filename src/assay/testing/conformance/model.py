"""The contract of `Model`: what streams by, how it ends, and that it lets go when it is cancelled."""

from __future__ import annotations

import asyncio
import json

from assay.core.messages import Text, UserMessage
from assay.core.model import CallDelta, Finished, Model, ModelEvent, ModelRequest, Retrying, TextDelta, ToolSpec

SECONDS = 5.0
"""No single step may take longer."""


def request() -> ModelRequest:
    tool = ToolSpec("look", "Look at a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
    return ModelRequest("Be brief.", (tool,), (UserMessage((Text("Look at a.py."),)),), session="conformance")


async def _events(model: Model) -> list[ModelEvent]:
    async with asyncio.timeout(SECONDS):
        return [event async for event in model.stream(request())]


def _last(events: list[ModelEvent]) -> Finished:
    assert [isinstance(event, Finished) for event in events].count(True) == 1, "exactly one Finished"
    last = events[-1]
    assert isinstance(last, Finished), "Finished comes last"
    usage = last.message.usage
    assert min(usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning) >= 0
    return last


def _since_retry(events: list[ModelEvent]) -> list[ModelEvent]:
    last = max((index for index, event in enumerate(events) if isinstance(event, Retrying)), default=-1)
    return events[last + 1 :]


class ModelConformance:
    """Needs four fixtures, each a fresh `Model` whatever it is asked: `answering` replies with text, `calling` with
    one call or more (of any tool), `failing` gives no usable reply, and `stalling` never comes to an end."""

    async def test_an_answer_streams_its_text_and_finishes_once(self, answering: Model) -> None:
        events = await _events(answering)
        message = _last(events).message
        assert message.stop == "end"
        assert message.failure is None
        assert message.text
        streamed = "".join(event.text for event in _since_retry(events) if isinstance(event, TextDelta))
        assert streamed == message.text
        await answering.aclose()

    async def test_calls_are_named_numbered_and_whole(self, calling: Model) -> None:
        events = await _events(calling)
        message = _last(events).message
        assert message.stop == "calls"
        identities = [call.id for call in message.calls]
        assert identities
        assert all(identities)
        assert len(set(identities)) == len(identities), "each call has its own id"
        assert all(call.name and (not call.invalid or not call.arguments) for call in message.calls)
        streamed: dict[str, str] = {}
        for event in _since_retry(events):
            if isinstance(event, CallDelta):
                streamed[event.id] = streamed.get(event.id, "") + event.arguments
        for call in message.calls:
            if not call.invalid and streamed.get(call.id, "").strip():
                assert json.loads(streamed[call.id]) == call.arguments
        await calling.aclose()

    async def test_trouble_is_a_value(self, failing: Model) -> None:
        message = _last(await _events(failing)).message
        assert message.stop == "failed"
        assert message.failure is not None
        assert message.failure.message
        assert "\n" not in message.failure.message
        await failing.aclose()

    async def test_cancelling_lets_go_at_once(self, stalling: Model) -> None:
        task = asyncio.create_task(_events(stalling))
        await asyncio.sleep(0.05)
        assert not task.done(), "the fixture must never come to an end"
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=2.0)
        assert done, "still running two seconds after it was cancelled"
        assert task.cancelled()
        async with asyncio.timeout(2.0):
            await stalling.aclose()

    async def test_closing_twice_is_fine(self, answering: Model) -> None:
        async with asyncio.timeout(SECONDS):
            await answering.aclose()
            await answering.aclose()

    async def test_a_model_serves_many_requests(self, answering: Model) -> None:
        first, second = await asyncio.gather(_events(answering), _events(answering))
        assert _last(first).message.text
        assert _last(second).message.text
        await answering.aclose()
