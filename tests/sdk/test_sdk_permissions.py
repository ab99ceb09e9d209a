"""A program that is asked about calls."""

from __future__ import annotations

import asyncio

from assay import (
    Client,
    PermissionResultAllow,
    PermissionResultDeny,
    PermissionRuleValue,
    PermissionUpdate,
    ResultMessage,
    ToolPermissionContext,
    UserMessage,
    query,
    tool,
)
from assay.testing.server import Call, Reply

from .conftest import Place, all_of, result_of

SEND = (Reply(calls=(Call("send", {"text": "hi"}),)), Reply("Done."))


@tool
async def send(text: str) -> str:
    """Send a text."""
    return f"sent {text}"


def answers(seen) -> list[tuple[str, bool]]:
    blocks = [block for message in seen if isinstance(message, UserMessage) for block in message.content]
    return [(str(block.content), block.is_error) for block in blocks if not isinstance(block, str)]


async def test_leave_is_asked_for_with_what_is_known(place: Place) -> None:
    asked: list[tuple[str, dict, ToolPermissionContext]] = []

    async def decide(name, arguments, context):
        asked.append((name, arguments, context))
        return PermissionResultAllow()

    options = place.options(SEND, tools=[send], can_use_tool=decide)
    seen = await all_of(query(prompt="send hi", options=options))
    assert answers(seen)[0][0].count("sent hi") == 1
    ((name, arguments, context),) = asked
    assert (name, arguments) == ("send", {"text": "hi"})
    assert context.tool_use_id
    assert context.question is not None
    assert context.question.effects[0].kind == "unknown"
    assert seen[-1].outcome == "answered"


async def test_a_refusal_reaches_the_model_word_for_word(place: Place) -> None:
    async def decide(name, arguments, context):
        return PermissionResultDeny("Not on a Sunday.")

    options = place.options(SEND, tools=[send], can_use_tool=decide)
    seen = await all_of(query(prompt="send hi", options=options))
    ((text, is_error),) = answers(seen)
    assert "Not on a Sunday." in text
    assert is_error
    assert seen[-1].permission_denials[0]["tool_name"] == "send"


async def test_a_callback_that_fails_grants_nothing(place: Place) -> None:
    async def decide(name, arguments, context):
        raise ZeroDivisionError("oh")

    seen = await all_of(query(prompt="send hi", options=place.options(SEND, tools=[send], can_use_tool=decide)))
    assert answers(seen)[0][1]
    assert any("can_use_tool failed for send: ZeroDivisionError: oh" in str(message) for message in seen)

    async def nonsense(name, arguments, context):
        return True

    again = await all_of(query(prompt="send hi", options=place.options(SEND, tools=[send], can_use_tool=nonsense)))
    assert answers(again)[0][1]


async def test_leave_can_change_the_mode(place: Place) -> None:
    async def decide(name, arguments, context):
        return PermissionResultAllow(updated_permissions=[PermissionUpdate("setMode", mode="plan")])

    options = place.options([*SEND, Reply("hi")], tools=[send], can_use_tool=decide)
    async with Client(options) as client:
        await client.query("send hi")
        await all_of(client.receive_response())
        await client.query("hi")
        seen = await all_of(client.receive_response())
    assert seen[0].data["permissionMode"] == "plan"


async def test_an_interrupt_ends_a_question(place: Place) -> None:
    waiting = asyncio.Event()

    async def decide(name, arguments, context):
        waiting.set()
        await asyncio.sleep(3600)
        return PermissionResultAllow()

    async with Client(place.options(SEND, tools=[send], can_use_tool=decide)) as client:
        await client.query("send hi")
        async with asyncio.timeout(20):
            receiving = asyncio.create_task(all_of(client.receive_response()))
            await waiting.wait()
            await client.interrupt()
            result = (await receiving)[-1]
    assert isinstance(result, ResultMessage)
    assert result.outcome == "interrupted"


async def test_without_a_callback_the_workspace_may_be_changed(place: Place) -> None:
    script = [Reply(calls=(Call("@write", {"path": "a", "content": "b"}),)), Reply("Done.")]
    assert (await result_of("write", place.options(script))).outcome == "unverified"
    asked: list[str] = []

    async def decide(name, arguments, context):
        asked.append(name)
        return PermissionResultDeny("no")

    script = [Reply(calls=(Call("@write", {"path": "c", "content": "b"}),)), Reply("Done.")]
    await result_of("write", place.options(script, can_use_tool=decide))
    assert [each.lower() for each in asked] == ["write"], "a program that wants to be asked is asked"
    assert not (place.project / "c").exists()


def test_updates_come_back_equal() -> None:
    update = PermissionUpdate("addRules", [PermissionRuleValue("Bash", "ls:*")], "allow", destination="session")
    assert PermissionUpdate.from_dict(update.to_dict()) == update
    assert update.rules[0].text == "Bash(ls:*)"
