"""Hooks and sub-agents of a program; going back; the window."""

from __future__ import annotations

import asyncio

import pytest

from assay import (
    AgentDefinition,
    AssistantMessage,
    Client,
    HookEventMessage,
    HookMatcher,
    InMemorySessionStore,
    Options,
    ResultMessage,
    TaskNotificationMessage,
    UserMessage,
    query,
)
from assay.core.errors import UsageError
from assay.testing.server import Call, Reply, SeenRequest

from .conftest import Place, all_of, result_of

LIST = (Reply(calls=(Call("@shell", {"command": "touch made"}),)), Reply("Done."))


def results(seen) -> str:
    return str([block for message in seen if isinstance(message, UserMessage) for block in message.content])


async def test_a_hook_refuses_notes_and_adds(place: Place) -> None:
    noted: list[tuple[str, str | None]] = []

    async def refuse(data, call, context):
        assert data["session_id"]
        assert data["cwd"] == str(place.project)
        decision = {"permissionDecision": "deny", "permissionDecisionReason": "not here"}
        return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **decision}}

    async def note(data, call, context):
        noted.append((data["hook_event_name"], call))

    async def add(data, call, context):
        return {"hookSpecificOutput": {"hookEventName": "UserPromptSubmit", "additionalContext": "Mind the gap."}}

    hooks = {
        "PreToolUse": [HookMatcher("Bash|Write", [refuse, note])],
        "Stop": [HookMatcher(hooks=[note])],
        "UserPromptSubmit": [HookMatcher(hooks=[add])],
    }
    options = place.options(LIST, hooks=hooks, include_hook_events=True)
    seen = await all_of(query(prompt="make it", options=options))
    assert "not here" in results(seen)
    assert not (place.project / "made").exists()
    assert [event for event, _ in noted] == ["PreToolUse", "Stop"]
    assert noted[0][1]
    assert b"Mind the gap." in place.server.requests[0].raw
    assert any(isinstance(message, HookEventMessage) for message in seen)


@pytest.mark.parametrize("how", ["raises", "hangs"])
async def test_a_guard_that_fails_refuses(place: Place, how: str) -> None:
    async def guard(data, call, context):
        if how == "raises":
            raise ZeroDivisionError("oh")
        await asyncio.sleep(3600)

    hooks = {"PreToolUse": [HookMatcher("Bash", [guard], timeout=0.5)]}
    async with asyncio.timeout(30):
        seen = await all_of(query(prompt="make it", options=place.options(LIST, hooks=hooks)))
    assert not (place.project / "made").exists()
    assert "is_error=True" in results(seen)


async def test_a_hook_changes_the_call(place: Place) -> None:
    async def change(data, call, context):
        changed = {"permissionDecision": "allow", "updatedInput": {"command": "touch other"}}
        return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **changed}}

    options = place.options(LIST, hooks={"PreToolUse": [HookMatcher("Bash", [change])]})
    await result_of("make it", options)
    assert (place.project / "other").exists()
    assert not (place.project / "made").exists()


async def test_python_can_have_its_own_words(place: Place) -> None:
    async def stop(data, call, context):
        return {"continue_": False, "stopReason": "enough"}

    options = place.options(LIST, hooks={"PostToolUse": [HookMatcher(hooks=[stop])]})
    result = await result_of("make it", options)
    assert len(place.server.requests) == 1
    assert result.num_turns == 1


def test_two_hooks_of_one_name_are_two() -> None:
    from assay.sdk.program import ProgramHost

    async def one(data, call, context): ...

    host = ProgramHost(Options(hooks={"Stop": [HookMatcher(hooks=[one, one]), HookMatcher("x", [one], 3.0)]}), None)
    groups = host.offered["hooks"]["Stop"]
    names = [name for group in groups for name in group["hookCallbackIds"]]
    assert len({*names}) == 3
    assert (groups[1]["timeout"], groups[1]["matcher"]) == (3.0, "x")


async def test_a_sub_agent_of_the_program(place: Place) -> None:
    def script(seen: SeenRequest) -> Reply:
        if b"You only read." in seen.raw:
            return Reply("It is empty.")
        if seen.position == 0:
            asked = {"description": "look", "prompt": "What is here?", "subagent_type": "reader"}
            return Reply("I ask.", calls=(Call("Agent", asked),))
        return Reply("Nothing is here.")

    agents = {"reader": AgentDefinition("Reads.", "You only read.", tools=["Read"], maxTurns=3)}
    seen = await all_of(query(prompt="look around", options=place.options(script, agents=agents)))
    said = {message.text: message.parent_tool_use_id for message in seen if isinstance(message, AssistantMessage)}
    assert said["I ask."] is None
    assert said["It is empty."]
    assert seen[-1].result == "Nothing is here."
    tools = next(request.tools for request in place.server.requests if b"You only read." in request.raw)
    assert "Write" not in [tool.name for tool in tools]


async def test_an_agent_that_makes_no_sense_is_told(place: Place) -> None:
    agents = {"odd": AgentDefinition("", "x")}
    with pytest.raises(UsageError, match="odd"):
        await result_of("hi", place.options([Reply("hi")], agents=agents))


async def test_files_go_back(place: Place) -> None:
    async def prompts():
        yield {"type": "user", "message": {"role": "user", "content": "make it"}, "uuid": "u-1"}

    (place.project / "kept").write_text("kept\n")
    async with Client(place.options([*LIST, Reply("hi")])) as client:
        await client.query(prompts())
        await all_of(client.receive_response())
        assert (place.project / "made").exists()
        planned = await client.rewind_files("u-1", dry_run=True)
        assert planned["filesChanged"] == ["made"]
        assert (place.project / "made").exists()
        await client.rewind_files("u-1")
        assert not (place.project / "made").exists()
        assert (place.project / "kept").exists()
        with pytest.raises(UsageError):
            await client.rewind_files("nope")
        await client.query("hi")
        await all_of(client.receive_response())


async def test_the_window_is_told(place: Place) -> None:
    async with Client(place.options([Reply("hi")], session_store=InMemorySessionStore())) as client:
        await client.query("hi")
        await all_of(client.receive_response())
        usage = await client.get_context_usage()
        assert 0 < usage["totalTokens"] < usage["maxTokens"]
        assert usage["categories"]


async def test_what_ends_in_the_background_wakes_a_conversation_and_a_single_task(place: Place) -> None:
    def script(seen: SeenRequest) -> Reply:
        if b"You only read." in seen.raw:
            return Reply("It is empty.", delay=0.3)
        if b"It is empty." in seen.raw:
            return Reply("The reader says that it is empty.")
        if seen.position == 0:
            asked = {"description": "look", "prompt": "Look.", "subagent_type": "reader", "run_in_background": True}
            return Reply("I ask.", calls=(Call("Agent", asked),))
        return Reply("It is under way.")

    agents = {"reader": AgentDefinition("Reads.", "You only read.", tools=["Read"])}
    async with asyncio.timeout(60):
        async with Client(place.options(script, agents=agents)) as client:
            await client.query("look around")
            ends = []
            async for message in client.receive_messages():
                if isinstance(message, ResultMessage):
                    ends.append(message.result)
                    if len(ends) == 2:
                        break
        assert ends == ["It is under way.", "The reader says that it is empty."]
        seen = await all_of(query(prompt="look around", options=place.options(script, agents=agents)))
        results_ = [message.result for message in seen if isinstance(message, ResultMessage)]
        assert results_[-1] == "The reader says that it is empty."
        assert any(isinstance(message, TaskNotificationMessage) for message in seen)
