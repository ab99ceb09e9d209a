"""Turns of a run: their order, outcomes, limits, and what stops them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from msgspec.structs import replace

from assay.core.budget import Budget
from assay.core.errors import StorageError, UsageError, WorkspaceError
from assay.core.events import (
    CallDecided,
    CallFinished,
    Compacted,
    ContextAdded,
    Event,
    Framed,
    InputReceived,
    ModelReplied,
    TurnEnded,
)
from assay.core.messages import AssistantMessage, Failure, Text, ToolResult, Usage, UserMessage
from assay.core.model import ModelEvent, ModelRequest, Price
from assay.core.policy import Decision
from assay.core.store import Record
from assay.loop.turn import Stop
from assay.run.run import Run
from assay.testing import ChaosModel, FunctionModel, MemoryStore, ScriptedModel, call, reply
from assay.testing.models import PROFILE, Reply
from loop.kit import NamedGate

from .house import CHECK, House, first, mend, read, with_context, words, write

UNFINISHED = {"budget", "stuck", "auth", "unavailable", "needs_approval", "interrupted"}


async def test_a_question_is_answered() -> None:
    house = House("forty-two")
    ended = await house.turn("six times seven?")
    assert (ended.verdict.outcome, ended.text, ended.steps) == ("answered", "forty-two", 1)
    assert isinstance(house.events[0], InputReceived)
    assert [type(event) for event in house.events] == [InputReceived, ContextAdded, ModelReplied, TurnEnded]
    store = house.store
    assert isinstance(store, MemoryStore)
    assert store.durable == [1, 4], "the input before any work, the end when all is said"


async def test_the_frame_is_on_disk_before_anything_is_changed() -> None:
    house = House(reply("", [write()]), "done")
    ended = await house.turn()
    framed = first(house.events, lambda event: isinstance(event, Framed))
    intent = first(house.events, lambda event: isinstance(event, CallDecided))
    assert framed < intent
    store = house.store
    assert isinstance(store, MemoryStore)
    assert {framed + 1, intent + 1, intent + 2} <= set(store.durable)
    assert ended.verdict.outcome == "unverified"
    assert ended.verdict.diff.files == 1


async def test_a_check_of_the_user_decides() -> None:
    house = House(*mend(), "mended")
    ended = await house.turn("make it good", checks=(CHECK,))
    assert ended.verdict.outcome == "verified"
    assert [row.cls for row in ended.verdict.evidence] == ["A"]
    card = next(event for event in house.events if isinstance(event, ContextAdded))
    assert f"fails now: `{CHECK}`" in card.text


async def test_missing_evidence_goes_back_twice_and_then_the_turn_ends_as_it_is() -> None:
    house = House(reply("", [write()]), "done", "really", "I give up", "never asked")
    ended = await house.turn("make it good", checks=(CHECK,))
    assert ended.verdict.outcome == "failed"
    assert ended.text == "I give up"
    assert [event.owner for event in house.of(ContextAdded)] == ["environment", "gate", "gate"]  # type: ignore[union-attr]


async def test_a_green_check_cannot_be_talked_into_being() -> None:
    house = House("I ran it; it is green.", "It is.", "It really is.")
    assert (await house.turn("make it good", checks=(CHECK,))).verdict.outcome == "failed"


async def test_the_words_of_finish_are_the_last_words() -> None:
    house = House(reply("Let me end.", [call("finish", {"summary": "all is well"})]))
    assert (await house.turn()).text == "all is well"


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("auth", "auth"), ("overloaded", "unavailable"), ("bad_request", "usage"), ("cut", "unavailable")],
)
async def test_a_failure_of_a_provider_ends_the_turn_with_its_words(kind: str, outcome: str) -> None:
    ended = await House(Failure(kind, "in one line")).turn()  # type: ignore[arg-type]
    assert (ended.verdict.outcome, ended.verdict.why, ended.text) == (outcome, "in one line", "in one line")


async def test_an_empty_reply_is_asked_about_once() -> None:
    empty = Failure("empty", "nothing came")
    assert (await House(empty, "here").turn()).verdict.outcome == "answered"
    assert (await House(empty, empty, "here").turn()).verdict.outcome == "failed"


async def test_a_reply_that_was_cut_off_is_gone_on_with_three_times() -> None:
    cut = replace(reply("and then"), stop="length")
    assert (await House(cut, cut, cut, "the end").turn()).text == "the end"
    house = House(*[cut] * 6)
    assert (await house.turn()).steps == 4


async def test_a_loop_is_stopped() -> None:
    ended = await House(*[reply("", [read()]) for _ in range(9)]).turn()
    assert ended.verdict.outcome == "stuck"
    assert ended.steps == 5


@pytest.mark.parametrize(
    ("budget", "flag"),
    [
        (Budget(steps=3), "--max-turns"),
        (Budget(tokens=1_000), "--max-tokens-total"),
        (Budget(dollars=0.002), "--max-budget-usd"),
    ],
)
async def test_a_turn_ends_at_its_budget(budget: Budget, flag: str) -> None:
    model = ScriptedModel(
        [reply("", [read(f"{number}.txt")]) for number in range(99)], with_context(200_000, price=Price(3.0, 15.0, 0.3))
    )
    ended = await House(model=model).turn(budget=budget)
    assert ended.verdict.outcome == "budget"
    assert flag in ended.verdict.why
    assert ended.steps < 10


async def test_time_is_a_budget_too_and_cuts_short_what_runs() -> None:
    async def forever(_: ModelRequest) -> Reply:
        await asyncio.Event().wait()
        return "never"

    ended = await House(model=FunctionModel(forever)).turn(budget=Budget(seconds=0.02))
    assert ended.verdict.outcome == "budget"
    assert "--max-seconds" in ended.verdict.why


async def test_the_time_for_baselines_counts() -> None:
    house = House("never")

    async def slow(*_: object) -> object:
        await asyncio.Event().wait()
        return None

    house.workspace._shell = slow  # type: ignore[assignment]
    async with asyncio.timeout(5):
        ended = await house.turn(budget=Budget(seconds=0.02), checks=(CHECK,))
    assert ended.verdict.outcome == "budget"


async def test_budgets_clamp_how_much_may_be_written() -> None:
    profile = with_context(200_000, max_output=5_000, price=Price(3.0, 10.0))

    async def asked(budget: Budget) -> int | None:
        model = ScriptedModel(["hi"], profile)
        await House(model=model).turn(budget=budget)
        return model.requests[0].max_output

    assert await asked(Budget()) is None
    assert await asked(Budget(dollars=100.0)) == 5_000
    clamped = await asked(Budget(dollars=0.02))
    assert clamped is not None
    assert 1_000 < clamped < 2_000  # what the prompt costs comes off first
    clamped = await asked(Budget(tokens=4_000))
    assert clamped is not None
    assert 500 < clamped < 4_000


async def test_what_needs_a_person_ends_as_such_when_there_is_none() -> None:
    gate = NamedGate(Write=Decision("ask", "a.txt is a protected name"))
    house = House(reply("", [write()]), "I may not", gate=gate)
    run = house.run()
    ended = await run.turn(words("go"))
    assert ended.verdict.outcome == "needs_approval"
    assert ended.verdict.why == "Write needs the user's approval: a.txt is a protected name"
    assert [denied.name for denied in run.state.denials] == ["Write"]


async def test_a_denial_alone_is_no_such_end() -> None:
    house = House(reply("", [write()]), "then not", gate=NamedGate(Write=Decision("deny", "no")))
    assert (await house.turn()).verdict.outcome == "answered"


SCHEMA: dict[str, object] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def test_an_answer_must_meet_its_schema() -> None:
    house = House("it is three", '```json\n{"n": 3}\n```')
    ended = await house.turn(schema=SCHEMA)
    assert ended.verdict.outcome == "answered"
    assert [event.owner for event in house.of(ContextAdded)] == ["environment", "schema", "gate"]  # type: ignore[union-attr]
    assert (await House("one", "two", "three").turn(schema=SCHEMA)).verdict.outcome == "failed"


async def test_a_schema_is_told_in_the_turn_that_has_it_and_taken_back_after() -> None:
    house = House("hello", '{"n": 3}', '{"n": 4}', "free again")
    await house.turn("hi")
    await house.turn("count", schema=SCHEMA)
    await house.turn("again", schema=SCHEMA)
    await house.turn("thanks")
    told = [event.text for event in house.of(ContextAdded) if event.owner == "schema"]  # type: ignore[union-attr]
    assert len(told) == 2
    assert '"required":["n"]' in told[0]
    assert "any form" in told[1]


# --- what stops it from outside -------------------------------------------------------------------------------------


class Held(FunctionModel):
    """A model that never answers; `asked` is set when it is."""

    def __init__(self) -> None:
        super().__init__(lambda _: "never", PROFILE)
        self.asked = asyncio.Event()

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.asked.set()
        await asyncio.Event().wait()
        async for event in super().stream(request):
            yield event


async def test_an_interrupt_ends_the_turn_in_order() -> None:
    model = Held()
    house = House(model=model)
    run = house.run()
    task = asyncio.create_task(run.turn(words("go")))
    await model.asked.wait()
    run.interrupt()
    ended = await task
    assert ended.verdict.outcome == "interrupted"
    assert isinstance(house.events[-1], TurnEnded)
    assert run.state.open, "it can be gone on with"
    assert not task.cancelling()


async def test_an_interrupt_during_a_call_leaves_every_call_answered() -> None:
    house = House(reply("", [call("Bash", {"command": "make"}), write()]))
    begun = asyncio.Event()

    async def slow(*_: object) -> object:
        begun.set()
        await asyncio.Event().wait()
        return None

    house.workspace._shell = slow  # type: ignore[assignment]
    run = house.run()
    task = asyncio.create_task(run.turn(words("go")))
    await asyncio.wait_for(begun.wait(), 5)
    run.interrupt()
    assert (await task).verdict.outcome == "interrupted"
    answers = [event.result for event in house.events if isinstance(event, CallFinished)]
    assert len(answers) == 2
    assert run.state.pending == run.state.unknown == []
    assert "b.txt" not in house.workspace.files


async def test_an_interrupt_before_or_after_a_turn_hits_nothing_else() -> None:
    house = House("one", "two")
    run = house.run()
    assert (await run.turn(words("go"))).verdict.outcome == "answered"
    run.interrupt()
    await asyncio.sleep(0)
    assert (await run.turn(words("go on"))).verdict.outcome == "interrupted", "asked for before it began"
    assert (await run.turn(words("now"))).verdict.outcome == "answered"


async def test_a_cancelled_turn_is_left_open_and_can_be_gone_on_with() -> None:
    model = Held()
    house = House(model=model)
    task = asyncio.create_task(house.run().turn(words("go")))
    await model.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not isinstance(house.events[-1], TurnEnded)
    house.model = ScriptedModel(["here I am"])
    ended = await house.run().turn(())
    assert (ended.verdict.outcome, ended.text) == ("answered", "here I am")


async def test_a_log_that_cannot_be_written_ends_the_run_at_once() -> None:
    house = House(reply("", [read(), read("b.txt")]), "never")

    class Full(MemoryStore):
        def append(self, event: Event, *, durable: bool = False) -> Record:
            if isinstance(event, CallDecided):
                raise StorageError("the disk is full")
            return super().append(event, durable=durable)

    house.store = Full()
    with pytest.raises(StorageError, match="the disk is full"):
        await house.turn()


async def test_without_a_frame_nothing_is_changed_and_the_turn_still_ends(recwarn: pytest.WarningsRecorder) -> None:
    house = House(reply("", [write()]), "never")

    async def broken() -> str:
        raise WorkspaceError("git is missing")

    house.workspace.snapshot = broken  # type: ignore[method-assign]
    ended = await house.turn()
    assert (ended.verdict.outcome, ended.verdict.why) == ("failed", "git is missing")
    assert "b.txt" not in house.workspace.files
    assert isinstance(house.events[-1], TurnEnded)


async def test_a_frame_that_nobody_waited_for_may_fail_in_silence() -> None:
    house = House("an answer needs no frame")
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def broken() -> str:
        raise WorkspaceError("git is missing")

    house.workspace.snapshot = broken  # type: ignore[method-assign]
    assert (await house.turn()).verdict.outcome == "answered"
    gc.collect()
    await asyncio.sleep(0)
    assert told == []


async def test_files_that_vanish_before_the_end_cost_the_figures_only() -> None:
    house = House(reply("", [write()]), Failure("overloaded", "try later"))
    run = house.run()
    kept = house.workspace.snapshot

    async def once() -> str:
        if run.state.frame:
            raise WorkspaceError("the directory is gone")
        return await kept()

    house.workspace.snapshot = once  # type: ignore[method-assign]
    assert (await run.turn(words("go"))).verdict.outcome == "unavailable"


async def test_an_error_of_a_strategy_is_an_outcome() -> None:
    async def strategy(run: Run) -> Stop:
        raise UsageError("that cannot be done")

    ended = await House().run().turn(words("go"), strategy)
    assert (ended.verdict.outcome, ended.verdict.why) == ("usage", "that cannot be done")


async def test_a_watcher_that_fails_is_dropped_and_the_run_goes_on() -> None:
    house = House("fine")
    run = house.run()
    seen: list[object] = []

    def gone(event: object) -> None:
        seen.append(event)
        raise BrokenPipeError

    def wrong(event: object) -> None:
        raise ValueError("defect")

    run.bus.subscribe(gone)
    run.bus.subscribe(wrong)
    assert (await run.turn(words("go"))).verdict.outcome == "answered"
    assert len(seen) == 1
    assert len(house.seen) > 4, "the others see everything"


# --- several turns, one run ------------------------------------------------------------------------------------------


async def test_each_turn_has_its_own_frame_and_its_own_patience() -> None:
    house = House(*mend(), "done", reply("", [write("more")]), "one", "two", "three")
    run = house.run(checks=(CHECK,))
    one = await run.turn(words("make it good"))
    house.workspace.files["a.txt"] = b"bad again"
    two = await run.turn(words("and again"))
    frames = [event.tree for event in house.events if isinstance(event, Framed)]
    assert len(frames) == 2
    assert len(set(frames)) == 2, "files as they were when the second turn began"
    assert one.verdict.outcome == "verified"
    assert two.verdict.outcome == "failed"
    assert two.verdict.diff.files == 1
    assert two.text == "three", "missing evidence goes back twice in each turn"


async def test_the_second_turn_spends_a_budget_of_its_own() -> None:
    house = House(
        *[reply("", [read(f"{n}")]) for n in range(2)], "one", *[reply("", [read(f"{n}")]) for n in range(2)], "two"
    )
    run = house.run(budget=Budget(steps=3))
    assert (await run.turn(words("a"))).steps == 3
    assert (await run.turn(words("b"))).verdict.outcome == "answered"


async def test_requests_only_grow_at_the_end() -> None:
    house = House(*mend(), reply("", [read("missing")]), "done", reply("", [read()]), "bye")
    run = house.run(system="static")
    await run.turn(words("one"))
    await run.turn(words("two"))
    requests = house.scripted.requests
    assert len(requests) == 6
    for before, after in pairwise(requests):
        assert len(after.messages) > len(before.messages)
        assert all(one is two for one, two in zip(before.messages, after.messages, strict=False))
        assert (before.system, before.tools, before.session) == (after.system, after.tools, after.session)


async def test_resuming_sends_the_same_beginning() -> None:
    house = House(*mend(), "done", "bye")
    await house.turn("one")
    await house.turn("two")
    third, fourth = house.scripted.requests[-2:]
    assert list(fourth.messages[: len(third.messages)]) == list(third.messages)
    assert sum(event.owner == "environment" for event in house.of(ContextAdded)) == 1  # type: ignore[union-attr]


# --- the window ------------------------------------------------------------------------------------------------------


def looks(count: int) -> list[Reply]:
    """Replies that look at one file each."""
    return [reply(f"look {number}", [read(f"{number}.txt")]) for number in range(count)]


async def test_history_is_compacted_before_the_window_is_full() -> None:
    script = iter([*looks(9), reply("done")])

    def counted(request: ModelRequest) -> Reply:
        # By this provider's count there are far more tokens than by ours.
        return replace(next(script), usage=Usage(500 * len(request.messages)))

    model = FunctionModel(counted, with_context(8_000))
    house = House(model=model, files={f"{n}.txt": b"x" * 300 for n in range(9)})
    ended = await house.turn("look at them all")
    assert ended.verdict.outcome == "answered"
    assert len(house.of(Compacted)) == 1
    assert max(len(request.messages) for request in model.requests) * 500 < 8_000
    last = model.requests[-1].messages
    assert isinstance(last[0], UserMessage)
    assert isinstance(last[0].parts[0], Text)
    assert last[0].parts[0].text.startswith("look at them all")


@pytest.mark.parametrize("times", [1, 3])
async def test_a_request_that_was_too_long_is_made_again_shorter(times: int) -> None:
    too_long = Failure("context_too_long", "the context is too long")
    house = House(*looks(12), *[too_long] * times, "done", files={f"{n}.txt": b"x" * 100 for n in range(12)})
    ended = await house.turn("look")
    assert ended.verdict.outcome == "answered"
    sizes = [len(request.messages) for request in house.scripted.requests[-times - 1 :]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == times + 1
    assert isinstance(house.scripted.requests[-1].messages[-1].parts[0], ToolResult), "the last step is still there"


async def test_a_request_that_stays_too_long_ends_the_turn() -> None:
    too_long = Failure("context_too_long", "the context is too long")
    assert (await House(too_long, "never").turn()).verdict.outcome == "failed"
    ended = await House(*looks(5), *[too_long] * 9).turn()
    assert (ended.verdict.outcome, ended.verdict.why) == ("failed", "the context is too long")


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_a_provider_does_the_turn_ends_and_the_log_is_whole(seed: int) -> None:
    script: list[Reply] = [*mend(), reply("", [write("x", "c.txt")]), "done", "done", "done"]
    house = House(model=ChaosModel(ScriptedModel(script), seed, failures=0.15, cuts=0.15, malformed=0.3))
    ended = await house.turn("go", checks=(CHECK,))
    assert isinstance(house.events[-1], TurnEnded)
    replies = [e.message for e in house.events if isinstance(e, ModelReplied) and e.message.failure is None]
    wanted = [each.id for message in replies for each in message.calls]
    given = [event.result.call for event in house.events if isinstance(event, CallFinished)]
    assert sorted(wanted) == sorted(given)
    assert ended.verdict.outcome in {"verified", "failed", "stuck", *UNFINISHED}
    assert all(isinstance(message, UserMessage | AssistantMessage) for message in house.run().state.messages())
