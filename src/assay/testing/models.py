"""Models without a provider: scripted, computed, replayed, and unreliable."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from inspect import isawaitable
from itertools import count
from typing import TypeAlias

from msgspec.structs import replace

from assay.core.events import ModelReplied
from assay.core.messages import AssistantMessage, AssistantPart, Failure, Json, Text, Thinking, ToolCall, Usage
from assay.core.model import (
    CallDelta,
    Finished,
    Model,
    ModelEvent,
    ModelRequest,
    Profile,
    TextDelta,
    ThinkingDelta,
)
from assay.core.store import Record

Reply: TypeAlias = AssistantMessage | Failure | str
"""What a double answers: a message, a failure, or plain text."""

PROFILE = Profile("test/scripted", "scripted", "test", context=200_000)


def call(name: str, arguments: dict[str, Json] | None = None, *, id: str = "", invalid: str = "") -> ToolCall:  # noqa: A002 - the field's name
    """A tool call. Without an id, the double that plays it gives it one that is unique in its script."""
    return ToolCall(id, name, arguments or {}, invalid)


def reply(
    text: str = "",
    calls: Sequence[ToolCall] = (),
    *,
    thinking: str = "",
    usage: Usage = Usage(input=100, output=10),  # noqa: B008 - frozen
) -> AssistantMessage:
    """A finished reply; its stop reason is `calls` when it has any, else `end`."""
    parts: list[AssistantPart] = []
    if thinking:
        parts.append(Thinking(thinking))
    if text:
        parts.append(Text(text))
    parts += calls
    return AssistantMessage(tuple(parts), "calls" if calls else "end", usage=usage)


async def collect(model: Model, request: ModelRequest) -> AssistantMessage:
    """The finished message of one request, deltas dropped."""
    message: AssistantMessage | None = None
    async for event in model.stream(request):
        if isinstance(event, Finished):
            message = event.message
    assert message is not None, "the stream ended without a finished message"
    return message


def _failed(failure: Failure, model: str) -> AssistantMessage:
    stop = "cancelled" if failure.kind == "cancelled" else "failed"
    return AssistantMessage((), stop, model, failure=failure)


def _finish(answer: Reply, profile: Profile, step: int) -> AssistantMessage:
    """A whole message out of what a script may say."""
    if isinstance(answer, Failure):
        return _failed(answer, profile.name)
    message = reply(answer) if isinstance(answer, str) else answer
    places = count(1)
    numbered = (
        replace(part, id=f"call_{step}_{next(places)}") if isinstance(part, ToolCall) and not part.id else part
        for part in message.parts
    )
    return replace(message, parts=tuple(numbered), model=message.model or profile.name)


def _deltas(message: AssistantMessage) -> Iterable[ModelEvent]:
    """How `message` would have streamed by, in pieces."""
    for part in message.parts:
        text = json.dumps(part.arguments) if isinstance(part, ToolCall) else part.text
        chunk = max(16, len(text) // 100)
        for start in range(0, len(text), chunk):
            piece = text[start : start + chunk]
            if isinstance(part, ToolCall):
                yield CallDelta(part.id, part.name, piece)
            elif isinstance(part, Thinking):
                yield ThinkingDelta(piece)
            else:
                yield TextDelta(piece)


class FunctionModel:
    """Answers each request with what `function` makes of it; keeps the requests as they were when they came."""

    def __init__(
        self, function: Callable[[ModelRequest], Reply | Awaitable[Reply]], profile: Profile = PROFILE
    ) -> None:
        self._function = function
        self._profile = profile
        self.requests: list[ModelRequest] = []
        self.closed = False

    @property
    def profile(self) -> Profile:
        return self._profile

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.requests.append(replace(request, messages=tuple(request.messages)))
        step = len(self.requests)
        answer = self._function(request)
        if isawaitable(answer):
            answer = await answer
        message = _finish(answer, self._profile, step)
        for delta in _deltas(message):
            yield delta
            await asyncio.sleep(0)
        yield Finished(message)

    async def aclose(self) -> None:
        self.closed = True


class ScriptedModel(FunctionModel):
    """Answers with the items of a script, one a request; after its end, with a failure that says so."""

    def __init__(self, script: Iterable[Reply], profile: Profile = PROFILE) -> None:
        self._script = iter(script)
        super().__init__(lambda _: self._next(), profile)

    def _next(self) -> Reply:
        over = Failure("protocol", f"the script has no reply for request {len(self.requests)}; add one to it")
        return next(self._script, over)


class ReplayModel(ScriptedModel):
    """Answers as a model did in an earlier session, failures included: takes that session's records."""

    def __init__(self, records: Iterable[Record], profile: Profile = PROFILE) -> None:
        super().__init__((r.event.message for r in records if isinstance(r.event, ModelReplied)), profile)


class ChaosModel:
    """Puts faults before another model: with these probabilities, the same ones for the same `seed`.

    A *failure* answers without asking the model, a *cut* breaks the reply off somewhere, a *malformed* call has
    arguments that can't be read. `faults` lists what befell each request: "failure", "cut", "malformed" or "".
    """

    def __init__(
        self, model: Model, seed: int, *, failures: float = 0.1, cuts: float = 0.1, malformed: float = 0.1
    ) -> None:
        self._model = model
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._weights = (failures, cuts, malformed, max(0.0, 1 - failures - cuts - malformed))
        self.faults: list[str] = []

    @property
    def profile(self) -> Profile:
        return self._model.profile

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        fault = self._random.choices(("failure", "cut", "malformed", ""), self._weights)[0]
        self.faults.append(fault)
        if fault == "failure":
            kind = self._random.choice(("overloaded", "server", "rate_limit", "timeout"))
            yield Finished(_failed(Failure(kind, f"chaos: {kind}", attempts=3), self.profile.name))
            return
        events = [event async for event in self._model.stream(request)]
        if fault == "cut":
            for event in events[: self._random.randrange(len(events))]:
                yield event
            yield Finished(_failed(Failure("cut", "chaos: the reply broke off"), self.profile.name))
            return
        for event in events[:-1]:
            yield event
        last = events[-1]
        assert isinstance(last, Finished), "a model's last event is its finished message"
        yield replace(last, message=_spoil(last.message)) if fault else last

    async def aclose(self) -> None:
        await self._model.aclose()


def _spoil(message: AssistantMessage) -> AssistantMessage:
    """The same message with the arguments of its first call unreadable; one without calls stays as it is."""
    parts = list(message.parts)
    for index, part in enumerate(parts):
        if isinstance(part, ToolCall):
            parts[index] = ToolCall(part.id, part.name, {}, "the arguments are not valid JSON (chaos)")
            break
    return replace(message, parts=tuple(parts))
