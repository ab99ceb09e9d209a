"""From calls to results: one answer each, in order, through the gate, whatever goes wrong."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.effort import inputs

from assay.core.errors import AssayError, InvalidArguments, StorageError, WorkspaceError
from assay.core.events import CallDecided, CallFinished
from assay.core.messages import Json, Text, ToolCall
from assay.core.policy import Decision, Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.loop.calls import APPROVED, CONCURRENT_READS, run_calls

from .kit import Bench, NamedGate, SimpleTool, c, text_of


def bench(gate: NamedGate | None = None, *, approves: bool = False) -> Bench:
    made = Bench(gate=gate, approves=approves)
    tools = {
        "read": SimpleTool("read", "read", made.body("read")),
        "write": SimpleTool("write", "write", made.body("write")),
    }
    made.ports = replace(made.ports, tools=tools)
    return made


async def test_reads_run_side_by_side_and_their_results_keep_the_order_of_the_calls() -> None:
    made = Bench()
    gates = [asyncio.Event() for _ in range(3)]

    async def last_first(arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        number = arguments["n"]
        assert isinstance(number, int)
        if number < 2:
            await asyncio.wait_for(gates[number + 1].wait(), 5)
        gates[number].set()
        return ToolOutcome((Text(str(number)),))

    made = Bench(SimpleTool("read", "read", last_first))
    results = await run_calls(made.ports, [c("read", f"c{n}", n=n) for n in range(3)])
    assert [result.result.call for result in results] == ["c0", "c1", "c2"]
    assert [text_of(result) for result in results] == ["0", "1", "2"]
    assert [finished.result.call for finished in made.results] == ["c2", "c1", "c0"], "logged as they ended"


async def test_so_many_reads_at_once_and_no_more() -> None:
    running = most = 0

    async def counted(arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running -= 1
        return ToolOutcome((Text("x"),))

    made = Bench(SimpleTool("read", "read", counted))
    await run_calls(made.ports, [c("read", str(n)) for n in range(3 * CONCURRENT_READS)])
    assert most == CONCURRENT_READS


async def test_what_changes_the_world_runs_alone_and_in_its_place() -> None:
    made = bench()
    calls = [c("read", "1", n=1), c("read", "2", n=2), c("write", "3", n=3), c("write", "4", n=4), c("read", "5", n=5)]
    await run_calls(made.ports, calls)
    runs = [mark for mark in made.order if mark[0] in "+-"]
    assert runs == ["+1", "+2", "-1", "-2", "+3", "-3", "+4", "-4", "+5", "-5"]


async def test_a_loud_call_is_framed_then_on_disk_then_run() -> None:
    made = bench()
    await run_calls(made.ports, [c("write", "w")])
    assert made.order == ["frame", "intent w", "+write", "-write", "result w"]
    assert made.durable == made.events, "intent and result of an effect are asked to be on disk"


async def test_a_quiet_call_needs_no_frame_and_no_disk() -> None:
    made = bench()
    await run_calls(made.ports, [c("read", "r")])
    assert made.order == ["intent r", "+read", "-read", "result r"]
    assert (made.frames, made.durable) == (0, [])


async def test_a_denied_call_is_never_run_and_takes_no_frame() -> None:
    made = bench(NamedGate(write=Decision("deny", "outside the workspace", "outside")))
    (result,) = await run_calls(made.ports, [c("write", "w")])
    assert made.order == ["intent w", "result w"]
    assert result.result.is_error
    assert text_of(result) == "write was denied: outside the workspace"
    assert made.intents[0].decision.verdict == "deny"


@pytest.mark.parametrize("approves", [True, False])
async def test_who_may_decide_is_asked_before_anything_happens(approves: bool) -> None:
    made = bench(NamedGate(write=Decision("ask", "a protected name", "protected")), approves=approves)
    (result,) = await run_calls(made.ports, [c("write", "w")])
    assert made.order[0] == "ask w"
    if approves:
        assert made.order[1:] == ["frame", "intent w", "+write", "-write", "result w"]
        assert made.intents[0].decision == Decision("allow", "approved by the user", APPROVED)
    else:
        assert made.order[1:] == ["intent w", "result w"]
        assert text_of(result) == "write needs the user's approval and nobody can give it: a protected name"
        assert made.intents[0].decision.verdict == "ask"


async def test_a_call_that_makes_no_sense_is_answered_and_never_meets_the_gate() -> None:
    class Picky(SimpleTool):
        def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
            raise InvalidArguments("write: 'path' is missing")

    gate = NamedGate()
    made = Bench(Picky("write", "write"), gate=gate)
    calls = [ToolCall("a", "write", {}, "not valid JSON at 7"), c("launch", "b"), c("write", "c")]
    results = [text_of(result) for result in await run_calls(made.ports, calls)]
    assert results == [
        "the arguments of write could not be read: not valid JSON at 7. Nothing was run; call it again.",
        "there is no tool 'launch'. Tools: write",
        "write: 'path' is missing",
    ]
    assert all(result.result.is_error for result in made.results)
    assert (gate.asked, made.intents) == ([], [])


async def test_a_name_in_another_case_is_the_tool_that_it_means() -> None:
    gate = NamedGate()
    made = Bench(SimpleTool("Read", "read"), SimpleTool("x", "read"), SimpleTool("X", "read"), gate=gate)
    (result,) = await run_calls(made.ports, [c("read", "r")])
    assert not result.result.is_error
    assert gate.asked == ["Read"], "rules and hooks know the tool by its own name"
    assert [event.tool for event in made.events if isinstance(event, CallDecided)] == ["Read"]
    (own,) = await run_calls(made.ports, [c("x", "r")])
    assert not own.result.is_error
    assert gate.asked[-1] == "x"


@pytest.mark.parametrize("error", [WorkspaceError("a.py: changed"), OSError(28, "No space left"), ValueError("bad")])
async def test_trouble_in_a_tool_is_a_result(error: Exception) -> None:
    async def broken(arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        raise error

    made = Bench(SimpleTool("write", "write", broken))
    (result,) = await run_calls(made.ports, [c("write", "w")])
    assert result.result.is_error
    assert text_of(result) == f"write failed: {error}"


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_a_defect_of_a_tool_is_a_result_too(kind: str) -> None:
    async def defective(arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        raise KeyError("oops")

    made = Bench(SimpleTool(kind, "read" if kind == "read" else "write", defective))
    results = await run_calls(made.ports, [c(kind, "1"), c(kind, "2")])
    assert [text_of(result) for result in results] == [f"{kind} failed: KeyError('oops')"] * 2


async def test_a_defect_in_weighing_a_call_runs_nothing() -> None:
    class Defective(SimpleTool):
        def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
            raise AttributeError("'list' object has no attribute 'strip'")

    made = Bench(Defective("write", "write"))
    (result,) = await run_calls(made.ports, [c("write", "w", path=[])])
    assert result.result.is_error
    assert "AttributeError" in text_of(result)
    assert made.intents == []


async def test_an_empty_result_says_so() -> None:
    async def silent(arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        return ToolOutcome(())

    made = Bench(SimpleTool("read", "read", silent))
    (result,) = await run_calls(made.ports, [c("read", "r")])
    assert text_of(result) == "(no output)"


@pytest.mark.parametrize("calls", [1, 3])
async def test_a_log_that_cannot_be_written_ends_it_as_what_it_is(calls: int) -> None:
    made = bench()

    def full(event: CallDecided | CallFinished, durable: bool) -> None:
        raise StorageError("the disk is full")

    ports = replace(made.ports, record=full)
    with pytest.raises(StorageError, match="the disk is full"):
        await run_calls(ports, [c("read", str(n)) for n in range(calls)])
    assert [mark for mark in made.order if mark.startswith("+")] == []


async def test_without_a_frame_nothing_is_changed_and_every_call_is_answered() -> None:
    made = bench()

    async def no_frame(call: ToolCall, decision: Decision) -> None:
        raise WorkspaceError("the snapshot could not be taken")

    ports = replace(made.ports, before_effect=no_frame)
    with pytest.raises(AssayError, match="snapshot"):
        await run_calls(ports, [c("read", "1"), c("write", "2"), c("write", "3")])
    assert [mark for mark in made.order if mark.startswith("+")] == ["+read"]
    assert sorted(result.result.call for result in made.results) == ["1", "2", "3"]


async def test_a_cancelled_call_that_had_not_begun_says_that_nothing_happened() -> None:
    made = bench()
    task = asyncio.create_task(run_calls(made.ports, [c("write", "begun"), c("write", "later")]))
    while "+write" not in made.order:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    begun, later = made.results
    assert "effect is unknown" in text_of(begun)
    assert "changed nothing" in text_of(later)


CALLS = st.lists(st.sampled_from(["read", "write", "deny", "ask", "unknown", "invalid"]), min_size=1, max_size=6)


def mixed(kinds: list[str]) -> tuple[Bench, list[ToolCall]]:
    gate = NamedGate(deny=Decision("deny", "no"), ask=Decision("ask", "who?"))
    made = bench(gate, approves=True)
    tools = {
        **made.ports.tools,
        "deny": SimpleTool("deny", "write"),
        "ask": SimpleTool("ask", "write", made.body("ask")),
    }
    made.ports = replace(made.ports, tools=tools)
    calls = [
        ToolCall(f"c{number}", "write" if kind == "invalid" else kind, {}, "broken" if kind == "invalid" else "")
        for number, kind in enumerate(kinds)
    ]
    return made, calls


@given(CALLS)
async def test_every_call_has_exactly_one_result_in_the_order_of_the_calls(kinds: list[str]) -> None:
    made, calls = mixed(kinds)
    results = await run_calls(made.ports, calls)
    assert [result.result.call for result in results] == [call.id for call in calls]
    assert sorted(result.result.call for result in made.results) == sorted(call.id for call in calls)
    for call, kind in zip(calls, kinds, strict=True):
        place = {mark: position for position, mark in enumerate(made.order)}
        assert (f"intent {call.id}" in place) == (kind not in ("unknown", "invalid"))
        if f"intent {call.id}" in place:
            assert place[f"intent {call.id}"] < place[f"result {call.id}"]


@settings(max_examples=inputs(40))
@given(CALLS, st.integers(0, 40))
async def test_wherever_it_is_cancelled_every_call_is_answered_once(kinds: list[str], after: int) -> None:
    made, calls = mixed(kinds)
    task = asyncio.create_task(run_calls(made.ports, calls))
    for _ in range(after):
        await asyncio.sleep(0)
    cancelled = task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    if after == 0:
        assert made.events == [], "it had not begun"
        return
    assert isinstance(outcome, asyncio.CancelledError) or not cancelled or isinstance(outcome, list)
    assert sorted(result.result.call for result in made.results) == sorted(call.id for call in calls)
    assert sum(mark.startswith("+") for mark in made.order) <= len(made.intents)
