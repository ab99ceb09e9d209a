"""Hooks in a run: where they speak, what comes of it, and what they can't do."""

from __future__ import annotations

import asyncio

import pytest

from assay.core.events import CallDecided, CallFinished, ContextAdded, InputReceived, Noticed, TurnEnded
from assay.core.hooks import SILENT, HookAnswer, HookEvent
from assay.core.messages import AssistantMessage, Failure, Json, Text, ToolResult
from assay.core.policy import Approval, Decision, Question
from assay.run.hooked import STOP_BLOCKS, Hooked
from assay.run.run import Run
from assay.testing import reply
from loop.kit import NamedGate

from .house import House, read, words, write


class Scripted:
    """Hooks that answer by event; a list is used up, one answer a time."""

    def __init__(self, **answers: HookAnswer | list[HookAnswer]) -> None:
        self.answers = answers
        self.fired: list[tuple[str, str, dict[str, Json]]] = []

    def listens(self, event: HookEvent) -> bool:
        return event in self.answers or not self.answers

    async def fire(self, event: HookEvent, subject: str, data: dict[str, Json]) -> HookAnswer:
        self.fired.append((event, subject, data))
        await asyncio.sleep(0)
        answer = self.answers.get(event, SILENT)
        if isinstance(answer, list):
            return answer.pop(0) if answer else SILENT
        return answer

    @property
    def names(self) -> list[str]:
        return [event for event, _, _ in self.fired]


def hooked(house: House, hooks: Scripted, source: str = "startup") -> Run:
    run = house.run()
    run.use_hooks(hooks, source)
    return run


def contexts(house: House) -> list[str]:
    return [event.text for event in house.of(ContextAdded) if event.owner in ("hook", "gate")]


async def test_the_events_of_a_turn_in_their_order() -> None:
    hooks = Scripted()
    house = House(reply("", [read()]), reply("done"))
    run = hooked(house, hooks)
    await run.turn(words("go"))
    assert isinstance(run.hooked, Hooked)
    await run.hooked.end("other")
    await run.hooked.end("other")
    assert hooks.names == [
        "SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolBatch", "Stop", "SessionEnd",
    ]  # fmt: skip
    fields = {event: data for event, _, data in hooks.fired}
    assert fields["UserPromptSubmit"] == {"prompt": "go"}
    assert fields["SessionStart"] == {"source": "startup"}
    assert fields["Stop"] == {"stop_hook_active": False, "last_assistant_message": "done"}
    assert fields["PostToolUse"]["tool_name"] == read().name
    assert set(fields["PostToolUse"]) >= {"tool_input", "tool_use_id", "tool_response", "duration_ms"}


async def test_a_session_in_the_place_of_another_begins_at_once() -> None:
    hooks = Scripted(SessionStart=[HookAnswer(context=("first",)), HookAnswer(context=("mind",))], SessionEnd=SILENT)
    house = House("yes", "no")
    run = hooked(house, hooks)
    await run.turn(words("go"))
    assert run.hooked
    await run.hooked.end("clear")
    await run.hooked.begin_anew("clear")
    sessions = [(event, subject) for event, subject, _ in hooks.fired if event.startswith("Session")]
    assert sessions == [("SessionStart", "startup"), ("SessionEnd", "clear"), ("SessionStart", "clear")]
    await run.turn(words("on"))
    said = [event.text for event in house.events if isinstance(event, ContextAdded) and event.owner == "hook"]
    assert ["first" in said[0], "mind" in said[1], len(said)] == [True, True, 2]
    assert len([event for event, _, _ in hooks.fired if event == "SessionStart"]) == 2


async def test_a_refused_prompt_leaves_no_trace() -> None:
    hooks = Scripted(UserPromptSubmit=[HookAnswer("block", "no secrets here")])
    house = House(reply("fine"))
    run = hooked(house, hooks)
    ended = await run.turn(words("password hunter2"))
    assert (ended.verdict.outcome, ended.verdict.why) == ("failed", "no secrets here")
    assert "hunter2" not in str(house.events)
    assert not house.of(InputReceived)
    assert not house.scripted.requests
    assert (await run.turn(words("hello"))).verdict.outcome == "answered"
    assert "hunter2" not in str(house.scripted.requests)


async def test_a_refused_prompt_does_not_close_the_turn_that_is_open() -> None:
    house = House(reply("fine"))
    house.run().record(InputReceived("t1", words("unfinished")))
    run = hooked(house, Scripted(UserPromptSubmit=[HookAnswer("block", "no")]))
    await run.turn(words("x"))
    assert run.state.open
    assert house.run().state.open


async def test_what_hooks_say_is_put_before_the_model_and_marked() -> None:
    hooks = Scripted(
        SessionStart=HookAnswer(context=("from the start",)),
        UserPromptSubmit=HookAnswer(context=("to the prompt",)),
        PreToolUse=HookAnswer(context=("before it",)),
        PostToolUse=HookAnswer("block", "after it"),
    )
    house = House(reply("", [read(), read("a.txt")]), reply("done"))
    await hooked(house, hooks).turn(words("go"))
    assert "from the start\nto the prompt" in contexts(house)[0]
    last = house.scripted.requests[-1].messages[-1].parts
    kinds = [isinstance(part, ToolResult) for part in last]
    assert kinds == sorted(kinds, reverse=True), "results first, then what hooks said"
    said = "\n".join(part.text for part in last if isinstance(part, Text))
    assert said.count("before it") == said.count("after it") == 2
    assert all(event.label.integrity == "workspace" for event in house.of(ContextAdded) if event.owner == "hook")


async def test_a_hook_may_replace_a_result() -> None:
    house = House(reply("", [read()]), reply("done"))
    await hooked(house, Scripted(PostToolUse=HookAnswer(output="cleaned"))).turn(words("go"))
    (finished,) = house.of(CallFinished)
    assert finished.result.content == (Text("cleaned"),)
    assert finished.seen, "what was read was read"


async def test_a_failed_call_is_another_event() -> None:
    hooks = Scripted()
    house = House(reply("", [read("missing.txt")]), reply("done"))
    await hooked(house, hooks).turn(words("go"))
    assert "PostToolUseFailure" in hooks.names
    assert "PostToolUse" not in hooks.names


async def test_stop_sends_the_model_on_but_not_for_ever() -> None:
    hooks = Scripted(Stop=HookAnswer("block", "one more thing"))
    house = House(*[reply(f"done {number}") for number in range(STOP_BLOCKS + 1)])
    ended = await hooked(house, hooks).turn(words("go"))
    assert ended.steps == STOP_BLOCKS + 1
    assert contexts(house) == ["one more thing"] * STOP_BLOCKS
    active = [data["stop_hook_active"] for event, _, data in hooks.fired if event == "Stop"]
    assert active == [False, *[True] * STOP_BLOCKS]
    assert any("sent the model on" in event.text for event in house.of(Noticed))


@pytest.mark.parametrize("event", ["PreToolUse", "PostToolUse", "PostToolBatch"])
async def test_a_hook_ends_the_turn_and_the_gate_still_judges(event: str) -> None:
    hooks = Scripted(**{event: HookAnswer(stop="enough")})
    house = House(reply("", [write(), read()]), reply("never asked for"))
    run = hooked(house, hooks)
    ended = await run.turn(words("go"))
    assert len(house.scripted.requests) == 1
    assert house.workspace.files["b.txt"] == b"good\n", "the call itself is still made"
    assert ended.verdict.outcome == "unverified"
    assert run.hooked and run.hooked.stopped == "enough"
    rest = house.of(CallFinished)[1]
    assert rest.result.is_error == (event != "PostToolBatch")


async def test_a_denied_call_is_told_and_the_turn_goes_on() -> None:
    hooks = Scripted(PreToolUse=HookAnswer("deny", "not on Fridays"), PermissionDenied=SILENT)
    house = House(reply("", [write()]), reply("well"))
    ended = await hooked(house, hooks).turn(words("go"))
    (finished,) = house.of(CallFinished)
    assert "not on Fridays" in str(finished.result.content)
    assert ended.verdict.outcome == "answered"
    assert hooks.names == ["PreToolUse", "PermissionDenied"]


class Person:
    def __init__(self, approval: Approval | None, wait: float = 0.0) -> None:
        self.approval, self.wait = approval, wait
        self.cancelled = False

    async def approve(self, question: Question) -> Approval:
        try:
            await asyncio.sleep(600 if self.approval is None else self.wait)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        assert self.approval
        return self.approval


async def asked(person: Person, answer: HookAnswer, wait: float = 0.0, rule: str = "outside"):
    class Slow(Scripted):
        async def fire(self, event, subject, data) -> HookAnswer:
            if event == "PermissionRequest":
                await asyncio.sleep(wait)
            return await super().fire(event, subject, data)

    hooks = Slow(PermissionRequest=answer, Notification=SILENT)
    house = House(reply("", [write()]), reply("end"), gate=NamedGate(**{write().name: Decision("ask", "why", rule)}))
    house.approver = person
    run = hooked(house, hooks)
    updates: list = []
    run.use_hooks(hooks, "startup", updates.extend)
    ended = await run.turn(words("go"))
    return house, ended, updates, hooks


async def test_a_hook_answers_before_the_person() -> None:
    person = Person(None)
    house, _, updates, hooks = await asked(person, HookAnswer("allow", updates=({"type": "x"},)))
    assert person.cancelled
    assert house.of(CallDecided)[0].decision.rule == "approved"
    assert updates == [{"type": "x"}]
    assert ("Notification", "permission_prompt") in [(event, subject) for event, subject, _ in hooks.fired]


async def test_the_person_answers_before_a_hook() -> None:
    house, _, _, _ = await asked(Person(Approval(False, "no thanks")), HookAnswer("allow"), wait=600)
    assert "no thanks" in str(house.of(CallFinished)[0].result.content)


async def test_silence_of_both_is_nobody() -> None:
    _, ended, _, _ = await asked(Person(Approval(False)), SILENT)
    assert ended.verdict.outcome == "needs_approval"


async def test_a_hook_does_not_answer_a_question_for_a_person() -> None:
    house, _, _, _ = await asked(Person(Approval(False, "mine"), wait=0.05), HookAnswer("allow"), rule="person")
    assert "mine" in str(house.of(CallFinished)[0].result.content)


@pytest.mark.parametrize("person", [Person(Approval(False, "stop", interrupt=True)), Person(None)])
async def test_an_answer_may_end_the_turn(person: Person) -> None:
    house, ended, _, _ = await asked(person, HookAnswer("deny", "stop", interrupt=True), wait=0.05)
    assert ended.verdict.outcome == "interrupted"
    assert ended.verdict.why == "stop"
    assert len(house.scripted.requests) == 1


async def test_hooks_before_and_after_a_compaction() -> None:
    hooks = Scripted(PreCompact=[HookAnswer("block", "keep it all")], PostCompact=SILENT, SessionStart=SILENT)
    house = House(*[reply("", [read()]), reply("one"), reply("", [read()]), reply("two")])
    run = hooked(house, hooks)
    await run.turn(words("go"))
    await run.turn(words("more"))
    assert not await run.compact("mind the port")
    assert hooks.fired[-1] == ("PreCompact", "manual", {"trigger": "manual", "custom_instructions": "mind the port"})
    assert await run.compact()
    assert hooks.names[-3:] == ["PreCompact", "PostCompact", "SessionStart"]
    assert hooks.fired[-1][1] == "compact"
    assert hooks.fired[-2][2]["compact_summary"]


@pytest.mark.parametrize(("compaction", "auto", "manual"), [("asked", False, True), ("never", False, False)])
async def test_whoever_wants_no_compaction_has_none(compaction: str, auto: bool, manual: bool) -> None:
    house = House(*[reply("", [read()]), reply("one"), reply("", [read()]), reply("two")])
    run = house.run(compaction=compaction)
    await run.turn(words("go"))
    await run.turn(words("more"))
    assert await run.window.compact(0) == auto
    assert await run.compact() == manual


async def test_a_turn_that_ends_by_a_failure() -> None:
    message = AssistantMessage((), "failed", failure=Failure("rate_limit", "slow down"))
    hooks = Scripted(StopFailure=SILENT)
    ended = await hooked(House(message), hooks).turn(words("go"))
    assert ended.verdict.outcome == "unavailable"
    assert hooks.fired == [("StopFailure", "rate_limit", {"error": "rate_limit", "error_details": "slow down"})]


async def test_agents() -> None:
    hooks = Scripted(
        SubagentStart=HookAnswer(context=("mind",)),
        SubagentStop=HookAnswer("block", "not yet"),
    )
    run = hooked(House(), hooks)
    assert run.hooked
    assert await run.hooked.agent_started("a1", "explore") == "mind"
    assert await run.hooked.agent_stops("a1", "explore", "/t", "done") == "not yet"
    assert [subject for _, subject, _ in hooks.fired] == ["explore", "explore"]


async def test_interrupted_while_a_hook_looks_at_the_prompt() -> None:
    class Never(Scripted):
        async def fire(self, event, subject, data) -> HookAnswer:
            await asyncio.sleep(600)
            return SILENT

    house = House(reply("x"))
    run = hooked(house, Never(UserPromptSubmit=SILENT))
    task = asyncio.create_task(run.turn(words("go")))
    await asyncio.sleep(0.01)
    run.interrupt()
    ended = await task
    assert ended.verdict.outcome == "interrupted"
    assert isinstance(house.events[-1], TurnEnded)
