"""The loop: what it does in which order, and what ends it."""

from __future__ import annotations

import asyncio
import typing
from collections.abc import AsyncIterator, Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.core.check import EXIT_CODES
from assay.core.events import CallFinished, ContextAdded, ModelReplied
from assay.core.messages import AssistantMessage, Failure, FailureKind, Text, ToolCall, ToolResult, Usage
from assay.core.model import Finished, ModelEvent, ModelRequest, Price, TextDelta
from assay.loop.turn import Answered, Inject, Middleware, Stop, TurnPorts, run_turn
from assay.testing import ChaosModel, FakeClock, FunctionModel, ScriptedModel, call, reply
from assay.testing.models import PROFILE, Reply


class Table:
    """`TurnPorts` that note what was asked of them in `order`."""

    def __init__(self, *script: Reply, owed: Iterable[str] = (), recovers: int = 0, **ports: object) -> None:
        self.order: list[str] = []
        self.recorded: list[ModelReplied | ContextAdded] = []
        self.judged: list[AssistantMessage] = []
        self._owed = iter(owed)
        self._recovers = recovers
        self.model = ScriptedModel(script)
        self.clock = FakeClock()
        self.ports = TurnPorts(
            model=self.model,
            clock=self.clock,
            request=self._request,
            record=self._record,
            show=self._show,
            calls=self._calls,
            recover=self._recover,
            judge=self._judge,
        )
        self.ports = replace(self.ports, **ports)

    def _request(self) -> ModelRequest:
        self.order.append("request")
        return ModelRequest("", (), ())

    def _record(self, event: ModelReplied | ContextAdded) -> None:
        self.recorded.append(event)
        self.order.append("reply" if isinstance(event, ModelReplied) else f"context {event.owner}: {event.text}")

    def _show(self, event: ModelEvent) -> None:
        if isinstance(event, Finished):
            self.order.append("shown")

    async def _calls(self, calls: Sequence[ToolCall]) -> list[CallFinished]:
        self.order.append("calls " + " ".join(item.name for item in calls))
        await asyncio.sleep(0)
        return [CallFinished(ToolResult(item.id, (Text("done"),)), finish=item.name == "finish") for item in calls]

    async def _recover(self, failure: Failure) -> bool:
        self.order.append(f"recover {failure.kind}")
        self._recovers -= 1
        return self._recovers >= 0

    async def _judge(self, message: AssistantMessage) -> str:
        self.judged.append(message)
        self.order.append("judge")
        return next(self._owed, "")


async def test_a_text_answer_is_in_the_log_before_it_is_judged() -> None:
    table = Table("forty-two")
    assert await run_turn(table.ports) == Stop(None)
    assert table.order == ["request", "reply", "shown", "judge"]


async def test_calls_are_answered_before_the_next_request() -> None:
    table = Table(reply("", [call("read"), call("edit")]), "done")
    assert await run_turn(table.ports) == Stop(None)
    assert table.order == ["request", "reply", "shown", "calls read edit", "request", "reply", "shown", "judge"]
    assert [event.step for event in table.recorded if isinstance(event, ModelReplied)] == [1, 2]


async def test_finish_asks_the_gate_after_its_calls_ran() -> None:
    table = Table(reply("", [call("edit"), call("finish")]))
    assert await run_turn(table.ports) == Stop(None)
    assert table.order == ["request", "reply", "shown", "calls edit finish", "judge"]


@pytest.mark.parametrize("ending", ["text", "finish"])
async def test_what_the_gate_misses_goes_back_to_the_model(ending: str) -> None:
    last = reply("done") if ending == "text" else reply("", [call("finish")])
    table = Table(last, last, last, owed=["the test is red", "still red"])
    assert await run_turn(table.ports) == Stop(None)
    assert [mark for mark in table.order if mark.startswith(("context", "judge"))] == [
        "judge", "context gate: the test is red", "judge", "context gate: still red", "judge",
    ]  # fmt: skip


OUTCOMES = {
    "auth": "auth",
    "quota": "auth",
    "rate_limit": "unavailable",
    "overloaded": "unavailable",
    "server": "unavailable",
    "network": "unavailable",
    "timeout": "unavailable",
    "cut": "unavailable",
    "protocol": "unavailable",
    "context_too_long": "failed",
    "bad_request": "usage",
    "not_found": "usage",
    "refused": "failed",
    "empty": "failed",
    "cancelled": "interrupted",
}


@pytest.mark.parametrize("kind", typing.get_args(FailureKind))
async def test_a_failure_is_a_value_and_becomes_an_outcome(kind: FailureKind) -> None:
    table = Table(Failure(kind, "in one line"))
    assert await run_turn(table.ports) == Stop(OUTCOMES[kind], "in one line")
    assert OUTCOMES[kind] in EXIT_CODES
    assert table.order == ["request", "reply", "shown", f"recover {kind}"], "the failed reply is in the log too"


async def test_what_can_be_recovered_from_is_asked_again() -> None:
    table = Table(Failure("context_too_long", "too long"), "fine", recovers=1)
    assert await run_turn(table.ports) == Stop(None)
    assert table.order.count("request") == 2


async def test_calls_of_a_broken_reply_are_never_run() -> None:
    broken = AssistantMessage((ToolCall("x", "edit", {}),), "failed", failure=Failure("cut", "broke off"))
    table = Table(broken)
    assert (await run_turn(table.ports)).outcome == "unavailable"
    assert not any(mark.startswith(("calls", "judge")) for mark in table.order)


@given(seed=st.integers(0, 10**6), steps=st.integers(1, 6))
async def test_no_fault_of_a_provider_makes_a_call_run_twice_or_after_a_failure(seed: int, steps: int) -> None:
    script = [*(reply("", [call("edit")]) for _ in range(steps)), reply("done")]
    chaos = ChaosModel(ScriptedModel(script), seed, failures=0.2, cuts=0.2, malformed=0.2)
    table = Table(recovers=seed % 3, model=chaos)
    stop = await run_turn(table.ports)
    replies = [event for event in table.recorded if isinstance(event, ModelReplied)]
    usable = [event for event in replies if event.message.failure is None and event.message.calls]
    assert sum(mark.startswith("calls") for mark in table.order) == len(usable)
    assert (stop.outcome is None) == (replies[-1].message.failure is None)


class Wishing(Middleware):
    def __init__(self, before: Sequence[Stop | Inject | None] = (), after: Sequence[Stop | Inject | None] = ()) -> None:
        self._before, self._after = iter(before), iter(after)
        self.answered: list[Sequence[Answered]] = []

    async def before_step(self) -> Stop | Inject | None:
        return next(self._before, None)

    async def after_calls(self, answered: Sequence[Answered]) -> Stop | Inject | None:
        self.answered.append(answered)
        return next(self._after, None)


async def test_middleware_stops_before_a_request_is_made() -> None:
    table = Table("never", middleware=[Wishing(), Wishing([Stop("budget", "spent")])])
    assert await run_turn(table.ports) == Stop("budget", "spent")
    assert table.order == []


async def test_middleware_stops_after_calls_and_sees_them_with_their_results() -> None:
    watcher = Wishing(after=[Stop("stuck", "in circles")])
    table = Table(reply("", [call("read")]), "never", middleware=[watcher])
    assert await run_turn(table.ports) == Stop("stuck", "in circles")
    (answered,) = watcher.answered
    assert [(item.name, finished.result.call) for item, finished in answered] == [("read", "call_1_1")]
    assert table.order.count("request") == 1


async def test_what_middleware_wants_said_is_said_also_when_another_stops() -> None:
    middleware = [Wishing([Inject("steer", "look left")]), Wishing([None, Stop("budget", "spent")])]
    table = Table(reply("", [call("read")]), middleware=[*middleware, Wishing([None, Inject("steer", "right")])])
    assert (await run_turn(table.ports)).outcome == "budget"
    assert table.order[:2] == ["context steer: look left", "request"]
    assert table.order[-1] == "context steer: right"


async def test_of_two_wishes_to_stop_the_first_wins() -> None:
    table = Table(middleware=[Wishing([Stop("stuck", "one")]), Wishing([Stop("budget", "two")])])
    assert await run_turn(table.ports) == Stop("stuck", "one")


async def test_a_reply_is_priced_and_timed() -> None:
    priced = replace(PROFILE, price=Price(2.0, 10.0))

    class Slow(FunctionModel):
        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
            clock.advance(1.5)
            yield TextDelta("hi")
            yield Finished(reply("hi", usage=Usage(1_000, output=100)))

    table = Table(model=Slow(lambda _: "hi", priced))
    clock = table.clock
    await run_turn(table.ports)
    (event,) = table.recorded
    assert isinstance(event, ModelReplied)
    assert event.dollars == pytest.approx(0.003)
    assert event.seconds == 1.5


async def test_without_a_price_the_cost_is_unknown_and_not_nothing() -> None:
    table = Table("hi")
    await run_turn(table.ports)
    assert isinstance(table.recorded[0], ModelReplied)
    assert table.recorded[0].dollars is None


async def test_cancelling_leaves_nothing_half_recorded() -> None:
    started = asyncio.Event()

    async def forever(_: ModelRequest) -> Reply:
        started.set()
        await asyncio.Event().wait()
        return "never"

    table = Table(model=FunctionModel(forever))
    task = asyncio.create_task(run_turn(table.ports))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert table.order == ["request"]
