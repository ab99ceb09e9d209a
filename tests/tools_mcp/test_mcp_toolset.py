"""Which tools of servers a session has, which the model is shown, and how it finds the others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from assay.core.errors import InvalidArguments, UsageError
from assay.core.messages import Image
from assay.core.policy import EXTERNAL, Effect
from assay.tools.mcp.peer import ServerError
from assay.tools.mcp.pins import Pins
from assay.tools.mcp.server import Limits, read_limits
from assay.tools.mcp.servers import LISTING
from assay.tools.toolsearch import ToolSearch

from .kit import Around, InHost, called, text_of, tool


async def test_in_process_call() -> None:
    host = InHost({"calc": [tool("add")]}, lambda name, given: f"{name}: {given['text']}")
    async with Around(host) as around:
        assert around.shown == ["mcp__calc__add"]
        assert around.shelf["mcp__calc__add"].effects({"text": "x"}) == (Effect("network", "mcp:calc"),)
        outcome = await around.call("mcp__calc__add", {"text": "1+1"})
    assert text_of(outcome) == "add: 1+1"
    assert outcome.label == EXTERNAL
    methods = [message["method"] for _, message in host.messages]
    assert methods[:3] == ["initialize", "notifications/initialized", "tools/list"]
    sent = host.messages[-1][1]["params"]
    assert sent["_meta"]["claudecode/toolUseId"] == "call-1"
    assert "progressToken" in sent["_meta"]


async def test_what_servers_say_of_themselves_is_heard_but_loosens_nothing() -> None:
    host = InHost({"a": [tool("look", annotations={"readOnlyHint": True})]})
    async with Around(host) as around:
        assert around.shelf["mcp__a__look"].effects({"text": ""}) == (Effect("network", "mcp-read:a"),)
        row = around.servers.status()[0]
    assert row["tools"] == [
        {
            "name": "look",
            "description": "does a thing",
            "annotations": {"readOnly": True, "destructive": False, "openWorld": True},
        }
    ]


async def test_arguments_that_do_not_fit_bring_the_schema() -> None:
    async with Around(InHost({"a": [tool("x")]})) as around:
        with pytest.raises(InvalidArguments, match=r'text is missing.*"required"'):
            around.shelf["mcp__a__x"].effects({})


async def test_few_are_shown_many_are_deferred() -> None:
    many = [tool(f"tool_{number}", "a thing " * 20) for number in range(100)]
    async with Around(InHost({"big": many, "small": [tool("one")]})) as around:
        assert around.shown == []
        assert len(around.shelf.deferred) == 103  # with the two tools for resources
        outcome = await around.call("mcp__big__tool_7", {"text": "unloaded"})
        assert not outcome.is_error
    async with Around(InHost({"a": [tool("x", "long " * 50)]}), window=300) as around:
        assert around.shown == []


async def test_always_loaded() -> None:
    many = [tool(f"tool_{number}", "a thing " * 20) for number in range(100)]
    entries = {"big": {"type": "sdk"}, "dear": {"type": "sdk", "alwaysLoad": True}}
    async with Around(InHost({"big": many, "dear": [tool("x")]}), entries=entries) as around:
        assert around.shown == ["mcp__dear__x"]


async def test_listing_is_bounded() -> None:
    servers = {f"server{number}": [tool(f"some_tool_{n}" * 3) for n in range(50)] for number in range(60)}
    async with Around(InHost(servers), window=1_000) as around:
        listing = around.servers.listing()
    assert len(listing) < LISTING + 1_500
    assert "more servers" in listing


async def test_what_the_user_hides_is_not_there() -> None:
    async with Around(InHost({"a": [tool("x"), tool("y")]}), hidden=lambda name: name.endswith("x")) as around:
        assert around.shown == ["mcp__a__y"]


async def test_two_servers_with_one_name_for_a_tool() -> None:
    entries = {"a.b": {"type": "sdk"}, "a_b": {"type": "sdk"}}
    async with Around(InHost({"a.b": [tool("x")], "a_b": [tool("x")]}), entries=entries) as around:
        assert around.shown == ["mcp__a_b__x"]
    assert any("a.b has it already" in line for line in around.told)


async def test_toggle_reconnect_and_replace() -> None:
    host = InHost({"a": [tool("x")], "b": [tool("y")]})
    async with Around(host, entries={"a": {"type": "sdk"}}) as around:
        servers = around.servers
        await servers.toggle("a", False)
        assert servers.status()[0]["status"] == "disabled"
        assert around.shown == []
        with pytest.raises(UsageError, match="disabled"):
            await servers.reconnect("a")
        await servers.toggle("a", True)
        assert servers.status()[0]["status"] == "connected"
        await servers.reconnect("a")
        assert "mcp__a__x" in around.shelf
        with pytest.raises(UsageError, match="no MCP server"):
            await servers.reconnect("zzz")
        done = await servers.replace({"b": {"type": "sdk"}, "bad": {"type": "carrier pigeon"}})
        assert (done["added"], done["removed"], len(done["errors"])) == (["b"], ["a"], 1)
        assert [row["name"] for row in servers.status()] == ["b"]
        assert "mcp__b__y" in around.shelf
        assert "mcp__a__x" not in around.shelf


async def test_late_server_does_not_move_what_is_shown() -> None:
    gate = asyncio.Event()

    class Late(InHost):
        async def __call__(self, server, message):
            if server == "late":
                await gate.wait()
            return await super().__call__(server, message)

    async with Around(Late({"late": [tool("l")], "soon": [tool("s")]}), patience=0.3) as around:
        assert around.shown == ["mcp__soon__s"]
        assert around.servers.status()[0]["status"] == "pending"
        gate.set()
        async with asyncio.timeout(30):
            while "mcp__late__l" not in around.shelf:
                await asyncio.sleep(0.01)
        assert around.shown == ["mcp__soon__s"]
        assert "late" in around.servers.listing()


async def test_host_that_fails_or_answers_nonsense() -> None:
    class Broken(InHost):
        async def __call__(self, server, message):
            if message["method"] == "tools/call":
                raise OSError("gone")
            return await super().__call__(server, message)

    async with Around(Broken({"a": [tool("x")]})) as around:
        outcome = await around.call("mcp__a__x", {"text": ""})
        assert outcome.is_error
        assert "gone" in text_of(outcome)

    class Silly(InHost):
        async def __call__(self, server, message):
            return [] if message["method"] == "initialize" else {}

    async with Around(Silly({"a": []})) as around:
        assert around.servers.status()[0]["status"] == "failed"


async def test_cancelled_in_process_call_is_withdrawn() -> None:
    never = asyncio.Event()
    host = InHost({"a": [tool("x")]}, lambda name, given: never.wait())
    async with Around(host) as around:
        work = asyncio.create_task(around.call("mcp__a__x", {"text": ""}))
        await asyncio.sleep(0.05)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        await asyncio.sleep(0.05)
    assert host.messages[-1][1]["method"] == "notifications/cancelled"


async def test_hanging_in_process_call_times_out() -> None:
    never = asyncio.Event()
    host = InHost({"a": [tool("x")]}, lambda name, given: never.wait())
    async with Around(host, limits=Limits(silence=0.2, call=0.2)) as around:
        outcome = await around.call("mcp__a__x", {"text": ""})
    assert outcome.is_error
    assert "withdrawn" in text_of(outcome)


async def test_results_large_and_of_all_kinds(tmp_path: Path) -> None:
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    blocks = [
        {"type": "text", "text": "a\x1b[31mb\u202e"},
        {"type": "image", "mimeType": "image/png", "data": png},
        {"type": "image", "mimeType": "image/tiff", "data": png},
        {"type": "audio", "mimeType": "audio/wav", "data": "!!"},
        {"type": "resource_link", "uri": "file:///x", "name": "x", "description": "it"},
        {"type": "resource", "resource": {"uri": "r://1", "text": "inner"}},
        {"type": "resource", "resource": {"uri": "r://2", "blob": png, "mimeType": "application/pdf"}},
        {"type": "dance"},
        "not a block",
    ]
    answers: dict[str, object] = {
        "mixed": {"content": blocks},
        "long": {"content": [{"type": "text", "text": "word " * 100_000}]},
        "structured": {"content": [], "structuredContent": {"n": 1}},
        "bad": {"content": [{"type": "text", "text": "no"}], "isError": True},
        "odd": {"content": "text"},
    }
    host = InHost({"a": [tool(name) for name in answers]}, lambda name, given: answers[name])
    async with Around(host) as around:
        mixed = await around.call("mcp__a__mixed", {"text": ""}, tmp_path)
        long = await around.call("mcp__a__long", {"text": ""}, tmp_path)
        structured = await around.call("mcp__a__structured", {"text": ""}, tmp_path)
        bad = await around.call("mcp__a__bad", {"text": ""}, tmp_path)
        odd = await around.call("mcp__a__odd", {"text": ""})
    text = text_of(mixed)
    assert "ab\\u202e" in text
    assert [part for part in mixed.content if isinstance(part, Image)] == [Image("image/png", png)]
    assert ".pdf" in text
    assert "not base64" in text
    assert "type dance" in text
    assert "inner" in text
    assert len(text_of(long)) < 5_000
    assert Path(str(long.debug["spill"])).read_text() == "word " * 100_000
    assert '"n": 1' in text_of(structured)
    assert bad.is_error
    assert not odd.is_error


async def test_progress_is_passed_on() -> None:
    host = InHost({"a": [tool("x")]})
    heard: list[str] = []

    async def answer(name: str, given: object) -> str:
        token = host.messages[-1][1]["params"]["_meta"]["progressToken"]
        params = {"progressToken": token, "progress": 1, "total": 4, "message": "half\x07way"}
        around.servers.receive("a", {"method": "notifications/progress", "params": params})
        return "ok"

    host.answer = answer
    async with Around(host) as around:
        from assay.core.tool import ToolContext
        from assay.testing import MemoryWorkspace

        context = ToolContext(MemoryWorkspace({}), {}, progress=heard.append)
        await around.shelf["mcp__a__x"].run({"text": ""}, context)
    assert heard == ["mcp__a__x 1/4 half\\x07way"]


async def test_resources_and_prompts() -> None:
    async with Around(InHost({"a": [tool("x")]})) as around:
        listed = await around.call("ListMcpResourcesTool", {})
        assert "note://1" in text_of(listed)
        outcome = await around.call("ReadMcpResourceTool", {"server": "a", "uri": "note://1"})
        assert "hello" in text_of(outcome)
        assert outcome.label == EXTERNAL
        with pytest.raises(InvalidArguments, match="no server"):
            around.shelf["ReadMcpResourceTool"].effects({"server": "b", "uri": "x"})
        (prompt,) = around.servers.prompts()
        assert (prompt.name, prompt.arguments, prompt.required) == ("mcp__a__greet", ("who", "how"), ("who",))
        from assay.testing import MemoryWorkspace

        parts = await around.servers.prompt("mcp__a__greet", ["Bob"], MemoryWorkspace({}))
        assert parts[0].text == 'Greet {"who": "Bob"}'
        with pytest.raises(ServerError, match="needs: who"):
            await around.servers.prompt("mcp__a__greet", [], MemoryWorkspace({}))


async def test_search_finds_and_loads() -> None:
    tools = [tool("create_issue", "Open an issue"), tool("list_issues", "All issues"), tool("send", "Send a mail")]
    async with Around(InHost({"hub": tools, "mail": [tool("read", "Read mail")]}), window=100) as around:
        search = ToolSearch(lambda: around.shelf.deferred, ["Monitor"])
        assert "Monitor" in search.spec.description
        found = await called(search, {"query": "issue create"})
        assert found.loads[0] == "mcp__hub__create_issue"
        assert found.label == EXTERNAL
        assert '"parameters"' in text_of(found)
        both = await called(search, {"query": "select:mcp__hub__send, mcp__mail__read,nope"})
        assert both.loads == ("mcp__hub__send", "mcp__mail__read")
        assert "no such tool: nope" in text_of(both)
        must = await called(search, {"query": "+mail read"})
        assert must.loads[0] == "mcp__mail__read"
        assert "mcp__hub__list_issues" not in must.loads
        nothing = await called(search, {"query": "zebra"})
        assert nothing.is_error
        assert nothing.loads == ()
        one = await called(search, {"query": "mail", "max_results": 1})
        assert len(one.loads) == 1
        assert [spec.name for spec in around.shelf.specs(both.loads)] == list(both.loads)


def test_pins_stay(tmp_path: Path) -> None:
    from assay.tools.mcp.schema import offered

    first, second = offered("a", tool("x")), offered("a", tool("x", "something else"))
    pins = Pins(tmp_path / "deep" / "used.json")
    assert not pins.changed("a", first)
    pins.keep("a", first)
    again = Pins(tmp_path / "deep" / "used.json")
    assert not again.changed("a", first)
    assert again.changed("a", second)
    (tmp_path / "deep" / "used.json").write_text("{broken")
    assert not Pins(tmp_path / "deep" / "used.json").changed("a", second)


def test_limits() -> None:
    assert read_limits({}) == Limits()
    assert read_limits({"MCP_TIMEOUT": "1500", "MCP_TOOL_TIMEOUT": "2000", "MAX_MCP_OUTPUT_TOKENS": "9"}) == Limits(
        1.5, 2.0, 2.0, 9
    )
    assert read_limits({"MCP_TIMEOUT": "-1", "MCP_TOOL_TIMEOUT": "soon", "MAX_MCP_OUTPUT_TOKENS": "0"}) == Limits()
