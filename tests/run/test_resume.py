"""What a run knows is a fold of its log: cut the log anywhere, and it can be gone on with."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.budget import Budget
from assay.core.events import (
    CallDecided,
    CallFinished,
    ContextAdded,
    Framed,
    InputReceived,
    ModelReplied,
    TurnEnded,
)
from assay.core.messages import AssistantMessage, Failure, Message, Text, ToolResult
from assay.core.policy import Decision
from assay.core.store import Record
from assay.run.state import State
from assay.sessions.fold import History, fold
from assay.testing import MemoryStore, ScriptedModel, call, reply
from assay.testing.models import Reply
from loop.kit import NamedGate

from .house import CHECK, House, mend, read, words, write

SCRIPT: list[Reply] = [
    reply("", [read(), read("b.txt")]),
    Failure("empty", "nothing came"),
    reply("both", [read(), write("good\n", "a.txt"), write("x", "c.txt")]),
    reply("done", [call("finish", {"summary": "mended", "criteria": [{"text": "a.txt is good", "check": CHECK}]})]),
    "yes",
    reply("", [write("more", "d.txt")]),
    "second done",
    "really",
    "third",
]


def recorded() -> House:
    """Two turns with reads, effects, a failed reply, criteria, checks and evidence."""

    async def make() -> House:
        house = House(*SCRIPT)
        run = house.run(checks=(CHECK,))
        await run.turn(words("make it good"))
        await run.turn(words("and more"))
        return house

    return asyncio.run(make())


LOG = recorded().log
CUTS = range(1, len(LOG) + 1)


def facts(state: State) -> dict[str, object]:
    known = {name: value for name, value in vars(state).items() if name not in ("_history", "asked")}
    return known | {"messages": list(state.messages()), "asked": state.asked.open}


def states(*logs: list[Record]) -> State:
    state = State()
    for log in logs:
        fold(log, state)
    return state


def assert_answered(messages: list[Message]) -> None:
    for index, message in enumerate(messages):
        if isinstance(message, AssistantMessage):
            after = messages[index + 1].parts if index + 1 < len(messages) else ()
            results = [part.call for part in after if isinstance(part, ToolResult)]
            assert results == [each.id for each in message.calls]


def test_the_log_has_everything_that_matters() -> None:
    kinds = {type(record.event).__name__ for record in LOG}
    assert {"Framed", "CheckFinished", "CriteriaDeclared", "EvidenceRecorded", "TurnEnded", "CallDecided"} <= kinds
    assert sum(isinstance(record.event, TurnEnded) for record in LOG) == 2


@given(st.integers(1, len(LOG)), st.integers(1, len(LOG)))
def test_folding_in_two_goes_is_folding_in_one(one: int, two: int) -> None:
    first, last = sorted((one, two))
    assert facts(states(LOG[:first], LOG[first:last])) == facts(states(LOG[:last]))


@pytest.mark.parametrize("cut", CUTS)
def test_wherever_the_log_ends_what_is_known_is_sound(cut: int) -> None:
    log = LOG[:cut]
    state = states(log)
    history = History()
    fold(log, history)
    open_turn = not isinstance(log[-1].event, TurnEnded)
    assert state.open == open_turn
    assert state.turn == next(r.event.turn for r in reversed(log) if isinstance(r.event, InputReceived))
    finished = {r.event.result.call for r in log if isinstance(r.event, CallFinished)}
    loud = {
        r.event.call
        for r in log
        if isinstance(r.event, CallDecided) and any(effect.kind in ("write", "execute") for effect in r.event.effects)
    }
    replies = [r.event.message for r in log if isinstance(r.event, ModelReplied) and not r.event.message.failure]
    wanted = [each.id for each in replies[-1].calls] if replies else []
    assert [each.id for each in state.unknown] == [name for name in wanted if name in loud - finished]
    assert [each.id for each in state.pending] == [name for name in wanted if name not in loud | finished]
    assert {each.id for each in history.unanswered_calls()} == set(wanted) - finished
    assert_answered(list(state.messages()))
    assert_answered(history.messages())


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("prompt", ["", "never mind; stop"])
async def test_wherever_it_was_killed_it_can_be_gone_on_with(cut: int, prompt: str) -> None:
    log = LOG[:cut]
    before = states(log)
    if not prompt and not before.open:
        return
    unknown, pending = before.unknown, before.pending
    house = House(*["go on"] * 4)
    house.log.extend(log)
    house.workspace.trees.update({r.event.tree: {"a.txt": b"bad\n"} for r in log if isinstance(r.event, Framed)})
    ended = await house.run(checks=(CHECK,)).turn(words(prompt))
    new = house.events[cut:]
    assert isinstance(new[-1], TurnEnded)
    good = house.workspace.files["a.txt"] == b"good\n"
    assert good <= any(each.name == "Write" for each in pending)
    assert ended.verdict.outcome == ("verified" if good else "failed"), "whatever was said before the end came"
    results = {event.result.call: event.result for event in new if isinstance(event, CallFinished)}
    for each in unknown:
        part = results[each.id].content[0]
        assert isinstance(part, Text)
        assert "unknown" in part.text
    intents = [event.call for event in new if isinstance(event, CallDecided)]
    assert set(intents).isdisjoint(each.id for each in unknown), "an effect is never repeated by itself"
    if prompt:
        assert intents == [], "what was asked for before is not carried out behind something new"
        assert {each.id for each in pending} <= set(results)
    else:
        assert intents == [each.id for each in pending]
    for request in house.scripted.requests:
        assert_answered(list(request.messages))
    state = states(house.log)
    assert state.pending == state.unknown == []
    assert sum(isinstance(event, ContextAdded) and event.owner == "environment" for event in house.events) == 1


async def test_an_open_turn_keeps_the_files_that_it_began_with() -> None:
    house = House(reply("", [write("good\n", "c.txt")]), Failure("overloaded", "try later"))
    first = await house.turn("begin")
    assert first.verdict.outcome == "unavailable"
    house.workspace.files["a.txt"] = b"changed between\n"
    house.model = ScriptedModel(["there"])
    ended = await house.turn("go on")
    assert len(house.of(Framed)) == 1
    assert ended.verdict.diff.files == 2
    assert house.run().state.prompt == "begin\ngo on"


async def test_a_turn_that_was_over_is_no_longer_compared_with() -> None:
    house = House(*mend(), "one", "two")
    await house.turn("begin")
    ended = await house.turn("thanks")
    assert (ended.verdict.outcome, ended.verdict.diff.files) == ("answered", 0)


async def test_an_approval_given_later_goes_on_with_the_same_turn() -> None:

    house = House(reply("", [write()]), "may not", reply("", [write()]), "now it is")
    house.gate = NamedGate(Write=Decision("ask", "protected"))
    assert (await house.turn()).verdict.outcome == "needs_approval"
    house.gate = NamedGate()
    ended = await house.turn("you may")
    assert ended.verdict.outcome == "unverified"
    assert "b.txt" in house.workspace.files


async def test_what_a_resumed_turn_spent_before_counts() -> None:
    house = House(reply("", [read()]), reply("", [read("b.txt")]), "never")
    house.store = MemoryStore(log=house.log)
    assert (await house.turn(budget=Budget(steps=2))).verdict.outcome == "budget"
    ended = await house.run(budget=Budget(steps=2)).turn(())
    assert (ended.verdict.outcome, ended.steps) == ("budget", 2)


async def test_what_the_model_has_seen_is_known_after_a_resume() -> None:
    house = House(reply("", [read()]), "done")
    await house.turn()
    assert set(house.run().state.seen) == {"a.txt"}
