"""`query` and `Client` against a scripted model: what a program sees of a run."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from assay import (
    AssayError,
    AssistantMessage,
    Client,
    EventMessage,
    Options,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
    create_sdk_mcp_server,
    query,
    tool,
)
from assay.core.errors import AuthError, UsageError
from assay.core.events import InputReceived, TurnEnded
from assay.testing.server import Call, Fault, Reply, serve_in_thread

from .conftest import Place, all_of, result_of

WRITE = (
    Reply("I write it.", calls=(Call("@write", {"path": "hello.txt", "content": "hello\n"}),)),
    Reply("hello.txt says hello."),
)


async def test_a_task_is_told_message_by_message(place: Place) -> None:
    seen = await all_of(query(prompt="write hello", options=place.options(WRITE)))
    assert isinstance(seen[0], SystemMessage)
    assert seen[0].subtype == "init"
    said = [message for message in seen if isinstance(message, AssistantMessage)]
    assert said[0].text == "I write it."
    (use,) = said[1].content
    assert isinstance(use, ToolUseBlock)
    answered = next(message for message in seen if isinstance(message, UserMessage))
    assert isinstance(answered.content[0], ToolResultBlock)
    assert answered.content[0].tool_use_id == use.id
    assert said[-1].content == [TextBlock("hello.txt says hello.")]
    result = seen[-1]
    assert isinstance(result, ResultMessage)
    assert (result.subtype, result.is_error, result.num_turns) == ("success", False, 2)
    assert (result.outcome, result.verified) == ("unverified", False)
    assert result.result == "hello.txt says hello."
    assert result.usage["output_tokens"] > 0
    assert (place.project / "hello.txt").read_text() == "hello\n"
    assert sum(isinstance(message, ResultMessage) for message in seen) == 1


async def test_evidence_comes_with_the_result(place: Place) -> None:
    options = place.options(WRITE, checks=["test -f hello.txt"])
    result = await result_of("write hello", options)
    assert result.outcome == "verified"
    (row,) = result.evidence
    assert (row["command"], row["before"], row["after"]) == ("test -f hello.txt", "fail", "pass")
    assert result.criteria
    assert Path(result.receipt).is_file()
    assert result.assay["diff"]["files"] == 1


async def test_pieces_and_records_when_wanted(place: Place) -> None:
    options = place.options(WRITE, include_partial_messages=True, events=True)
    seen = await all_of(query(prompt="write hello", options=options))
    pieces = [message.event for message in seen if isinstance(message, StreamEvent)]
    assert {"message_start", "content_block_delta", "message_stop"} <= {piece["type"] for piece in pieces}
    records = [message for message in seen if isinstance(message, EventMessage)]
    assert [record.number for record in records] == list(range(records[0].number, records[-1].number + 1))
    assert any(isinstance(record.event, InputReceived) for record in records)
    assert isinstance(records[-1].event, TurnEnded)
    assert isinstance(seen[-1], ResultMessage)


async def test_several_prompts_come_from_elsewhere(place: Place) -> None:
    async def prompts():
        yield {"type": "user", "message": {"role": "user", "content": "alpha"}, "uuid": "u-1"}
        yield {"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": "omega"}]}}

    options = place.options(lambda seen: Reply("two" if b"omega" in seen.raw else "one"))
    seen = await all_of(query(prompt=prompts(), options=options))
    assert [message.result for message in seen if isinstance(message, ResultMessage)] == ["one", "two"]


async def test_prompts_that_fail_are_the_callers_to_know(place: Place) -> None:
    async def prompts():
        yield {"type": "user", "message": {"role": "user", "content": "first"}}
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        await all_of(query(prompt=prompts(), options=place.options([Reply("one")] * 2)))

    async def nonsense():
        yield {"type": "user"}

    with pytest.raises(UsageError, match="a message needs"):
        await all_of(query(prompt=nonsense(), options=place.again()))


async def test_what_keeps_a_task_from_beginning_is_raised(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="nope"):
        await all_of(query(prompt="hi", options=Options(model="nope", directory=place.project)))
    with pytest.raises(AuthError):
        await all_of(query(prompt="hi", options=Options(model="anthropic/claude-sonnet-4-5", directory=place.project)))
    with pytest.raises(AssayError, match="empty"):
        await all_of(query(prompt=" ", options=place.options([Reply("")])))
    with pytest.raises(UsageError, match="not a directory"):
        Options(directory=place.project / "missing").wish()


async def test_a_provider_that_fails_is_an_outcome(place: Place) -> None:
    with serve_in_thread([Reply("")], [Fault("unauthorized")] * 9) as server:
        options = Options(model="any", base_url=f"{server.url}/v1", directory=place.project)
        result = await result_of("hi", options)
    assert result.is_error
    assert result.outcome == "auth"


async def test_a_conversation_goes_on_and_is_resumed(place: Place) -> None:
    async with Client(place.options(lambda seen: Reply("seven") if seen.position == 0 else Reply("nine"))) as client:
        await client.query("say a number")
        first = await all_of(client.receive_response())
        await client.query("and two more?")
        second = await all_of(client.receive_response())
        session = client.session_id
    assert (first[-1].result, second[-1].result) == ("seven", "nine")
    result = await result_of("again", place.again(resume=session))
    assert result.session_id == session
    assert b"and two more?" in place.server.requests[-1].raw
    forked = await result_of("again", place.again(resume=session, fork_session=True))
    assert forked.session_id != session
    newest = await result_of("again", place.again(continue_conversation=True))
    assert newest.session_id == forked.session_id


async def test_two_clients_at_once(place: Place, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    other = Place(tmp_path / "b")
    with other.stack:
        async with Client(place.options([Reply("one")])) as a, Client(other.options([Reply("two")])) as b:
            await a.query("hi")
            await b.query("hi")
            heard = [(await all_of(each.receive_response()))[-1] for each in (b, a)]
    assert [message.result for message in heard] == ["two", "one"]


@dataclasses.dataclass
class Answer:
    functions: list[str]
    lines: int = 0


async def test_an_answer_in_the_shape_of_a_type(place: Place) -> None:
    script = [Reply("Let me see."), Reply('{"functions": ["mean"], "lines": 3}')]
    result = await result_of("what is here?", place.options(script, output=Answer))
    assert result.structured_output == Answer(["mean"], 3)
    schema = {"type": "object", "properties": {"functions": {"type": "array"}}}
    options = place.options(script[1:], output_format={"type": "json_schema", "schema": schema})
    assert (await result_of("what is here?", options)).structured_output == {"functions": ["mean"], "lines": 3}
    with pytest.raises(UsageError, match="output_format"):
        Options(output_format={"type": "text"}).wish()


@tool(read_only=True)
async def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


@tool
async def send(text: str) -> str:
    """Send a text."""
    return f"sent {text}"


async def test_own_tools_are_called(place: Place) -> None:
    script = [Reply(calls=(Call("weather", {"city": "Bonn"}), Call("weather", {"town": "Bonn"}))), Reply("It rains.")]
    seen = await all_of(query(prompt="weather?", options=place.options(script, tools=[weather])))
    results = [block for message in seen if isinstance(message, UserMessage) for block in message.content]
    assert "rain in Bonn" in str(results[0].content)
    assert results[1].is_error
    assert "weather" in [each.name for each in place.server.requests[0].tools]
    assert len(place.server.requests[0].tools) > 3, "the built-in tools are there, too"


async def test_a_tool_with_effects_needs_leave(place: Place) -> None:
    script = [Reply(calls=(Call("send", {"text": "hi"}),)), Reply("Done.")]
    result = await result_of("send hi", place.options(script, tools=[send]))
    assert result.outcome == "needs_approval"
    assert result.questions[0]["tool"] == "send"
    allowed = await result_of("send hi", place.options(script, tools=[send], allowed_tools=["send"]))
    assert allowed.outcome == "answered"


async def test_only_some_of_the_built_in_tools(place: Place) -> None:
    await result_of("hi", place.options([Reply("hi")], tools=["Read", weather]))
    names = [each.name for each in place.server.requests[0].tools]
    assert "weather" in names
    assert not {"Bash", "shell", "Write", "write"} & {*names}


async def test_a_server_of_this_process(place: Place) -> None:
    server = create_sdk_mcp_server("skies", tools=[weather])
    script = [Reply(calls=(Call("mcp__sky__weather", {"city": "Bonn"}),)), Reply("It rains."), Reply("none")]
    async with Client(place.options(script, mcp_servers={"sky": server})) as client:
        await client.query("weather?")
        seen = await all_of(client.receive_response())
        assert any("rain in Bonn" in str(message) for message in seen)
        (status,) = (await client.get_mcp_status())["mcpServers"]
        assert (status["name"], status["status"], status["tools"][0]["name"]) == ("sky", "connected", "weather")
        await client.toggle_mcp_server("sky", False)
        assert (await client.get_mcp_status())["mcpServers"][0]["status"] == "disabled"
        await client.query("and now?")
        await all_of(client.receive_response())
        assert "mcp__sky__weather" not in [each.name for each in place.server.requests[-1].tools]
        with pytest.raises(UsageError):
            await client.reconnect_mcp_server("other")
    with pytest.raises(UsageError, match="create_sdk_mcp_server"):
        await result_of("hi", place.again(mcp_servers={"x": {"type": "sdk", "name": "x", "instance": object()}}))


async def test_a_server_of_others(place: Place) -> None:
    servers = {"gone": {"command": str(place.project / "no-such-server")}}
    async with Client(place.options([Reply("hi")], mcp_servers=servers)) as client:
        await client.query("hi")
        await all_of(client.receive_response())
        (status,) = (await client.get_mcp_status())["mcpServers"]
        assert status["name"] == "gone"
        assert status["status"] in ("failed", "pending")


async def test_which_tools_there_are(place: Place) -> None:
    for tools, wanted in (
        ([], set()),
        ({"type": "preset", "preset": "claude_code"}, {"Bash", "Edit"}),
        (None, {"Bash"}),
    ):
        await result_of("hi", place.options([Reply("hi")], tools=tools))
        names = {each.name for each in place.server.requests[0].tools}
        assert wanted <= names
        assert bool(names) == bool(wanted)


async def test_budgets(place: Place) -> None:
    result = await result_of("write hello", place.options(WRITE, max_turns=1))
    assert result.outcome == "budget"
    assert result.subtype == "error_max_turns"


async def test_mode_and_model_change_on_the_way(place: Place) -> None:
    async with Client(place.options([Reply("hi")] * 3)) as client:
        await client.set_permission_mode("plan")
        await client.query("hi")
        init = (await all_of(client.receive_response()))[0]
        modes = init.data.get("permissionMode")
        assert modes == "plan" or init.subtype == "status"
        with pytest.raises(UsageError):
            await client.set_permission_mode("wild")  # type: ignore[arg-type]


def test_importing_does_no_work() -> None:
    code = "import sys, assay; assay.__version__; print(*sys.modules)"
    environment = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    said = subprocess.run([sys.executable, "-S", "-c", code], env=environment, stdout=-1, timeout=60, check=True)
    names = said.stdout.decode().split()
    assert len(names) < 150
    assert not {"anthropic", "openai", "mcp", "starlette", "uvicorn", "asyncio", "msgspec", "pytest"} & {*names}


def test_every_exported_name_is_there() -> None:
    import assay

    for name in dir(assay):
        assert getattr(assay, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        assay.nonsense  # noqa: B018
