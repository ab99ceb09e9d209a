"""The loop. It decides nothing: limits are middleware, effects belong to the gate, the end belongs to the done gate.

It stays under 200 lines for ever. A wish that seems to need a branch here is a middleware, a fragment with a gate
rule, a profile fact, a projection or a check (docs/design.md, "Where a new wish goes").
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from assay.core.check import OutcomeName
from assay.core.clock import Clock
from assay.core.events import CallFinished, ContextAdded, ModelReplied
from assay.core.messages import AssistantMessage, Failure, ToolCall
from assay.core.model import Finished, Model, ModelEvent, ModelRequest
from assay.core.policy import OPERATOR


class Stop(Struct, frozen=True):
    """The end of a turn. `outcome` is None when the done gate's verdict decides."""

    outcome: OutcomeName | None
    why: str = ""


class Inject(Struct, frozen=True):
    """Text that the harness puts before the model ahead of its next step."""

    owner: str
    text: str


Answered = tuple[ToolCall, CallFinished]


class Middleware:
    """Policy around a step. Each method says what must happen, or None to go on; a subclass overrides what it needs."""

    async def before_step(self) -> Stop | Inject | None:
        return None

    async def after_calls(self, answered: Sequence[Answered]) -> Stop | Inject | None:  # noqa: ARG002 - a hook
        return None


class AskPorts(Struct, frozen=True, kw_only=True):
    """What one request needs around it."""

    clock: Clock
    record: Callable[[ModelReplied | ContextAdded], None]
    """Append to the log. Raises `StorageError` when that is impossible, which ends the run."""
    show: Callable[[ModelEvent], None]
    """Pass a passing event on to whoever watches."""


class TurnPorts(AskPorts, frozen=True, kw_only=True):
    """Everything the loop may touch. None of these raises for what a model or a provider does."""

    model: Model
    request: Callable[[], ModelRequest]
    """The next request: a fold of the log."""
    calls: Callable[[Sequence[ToolCall]], Awaitable[Sequence[CallFinished]]]
    """Answer every call, each through the gate, results in the order of the calls."""
    recover: Callable[[Failure], Awaitable[bool]]
    """Make the next request possible after a failed one (compaction); False when nothing can be done."""
    judge: Callable[[AssistantMessage], Awaitable[str]]
    """The done gate: what the model still owes, or "" when the turn may end."""
    middleware: Sequence[Middleware] = ()


async def run_turn(ports: TurnPorts) -> Stop:
    """Take steps until something says stop. Cancelling it leaves a well-formed log behind."""
    step = 0
    while True:
        stop = await _consult(ports, [await m.before_step() for m in ports.middleware])
        if stop:
            return stop
        step += 1
        message = await ask(ports.model, ports.request(), step, ports)
        if message.failure:
            if await ports.recover(message.failure):
                continue
            return stop_for(message.failure)
        if not message.calls:
            owed = await ports.judge(message)
            if not owed:
                return Stop(None)
            ports.record(ContextAdded("gate", owed))
            continue
        results = await ports.calls(message.calls)
        answered = list(zip(message.calls, results, strict=True))
        stop = await _consult(ports, [await m.after_calls(answered) for m in ports.middleware])
        if stop:
            return stop
        if any(result.finish for result in results):
            owed = await ports.judge(message)
            if not owed:
                return Stop(None)
            ports.record(ContextAdded("gate", owed))


async def ask(model: Model, request: ModelRequest, step: int, ports: AskPorts) -> AssistantMessage:
    """One request; the finished message is in the log before anybody acts on it."""
    began = ports.clock.monotonic()
    async for event in model.stream(request):
        if isinstance(event, Finished):
            message = event.message
            dollars = model.profile.price.cost(message.usage) if model.profile.price else None
            ports.record(ModelReplied(step, message, dollars, round(ports.clock.monotonic() - began, 4)))
            ports.show(event)
            return message
        ports.show(event)
    raise AssertionError("a model's stream must end with Finished")


async def _consult(ports: TurnPorts, wishes: Sequence[Stop | Inject | None]) -> Stop | None:
    """Record what middleware wants said; the first wish to stop wins."""
    for wish in wishes:
        if isinstance(wish, Inject):
            ports.record(ContextAdded(wish.owner, wish.text, label=OPERATOR))
    return next((wish for wish in wishes if isinstance(wish, Stop)), None)


_OUTCOME_OF: dict[str, OutcomeName] = {
    "auth": "auth",
    "quota": "auth",
    "bad_request": "usage",
    "not_found": "usage",
    "refused": "failed",
    "empty": "failed",
    "context_too_long": "failed",
    "cancelled": "interrupted",
}


def stop_for(failure: Failure) -> Stop:
    """How a turn ends when no usable reply can be had."""
    return Stop(_OUTCOME_OF.get(failure.kind, "unavailable"), failure.message)
