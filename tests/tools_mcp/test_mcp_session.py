"""Servers in a session: what requests carry, what the model is told, what stays as it was."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from assay.app.config import Permissions, Settings
from assay.app.mcp import configured, open_servers
from assay.app.paths import Paths
from assay.app.task import Wish
from assay.core.errors import UsageError
from assay.core.events import Compacted, ContextAdded, Noticed
from assay.core.model import estimate_tokens
from assay.core.policy import OPERATOR
from assay.run.run import Run
from assay.testing import ScriptedModel, call, reply
from assay.testing.models import Reply
from run.house import House, with_context

from .kit import InHost, hostile, tool

THOUSAND = [tool(f"tool_{number}", f"Does thing number {number}. " * 8) for number in range(1_000)]


class Program:
    """A program that drives us and has servers within it."""

    approver = None

    def __init__(self, servers: InHost) -> None:
        self.mcp = servers
        self.offered: dict[str, object] = {}


def wish(tmp_path: Path, host: InHost | None = None, **more: object) -> Wish:
    if host and "mcp_config" not in more:
        more["mcp_config"] = (json.dumps({"mcpServers": {name: {"type": "sdk"} for name in host.tools}}),)
    return Wish(tmp_path, dict(os.environ), host=Program(host) if host else None, **more)


def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "config", tmp_path / "state", tmp_path / "data")


@contextlib.asynccontextmanager
async def session(house: House, asked: Wish, tmp_path: Path, **settings: object) -> AsyncIterator[Run]:
    run = house.run()
    notices: list[str] = []
    async with open_servers(asked, Settings(**settings), paths(tmp_path), run, notices) as servers:
        assert servers
        yield run


def house_of(*script: Reply, context: int = 128_000) -> House:
    return House(model=ScriptedModel(script, with_context(context)))


async def turn(run: Run, prompt: str = "go") -> None:
    from assay.core.messages import Text

    async with asyncio.timeout(60):
        await run.turn((Text(prompt),))


def tokens(request: object) -> int:
    tools = msgspec.json.encode(request.tools).decode()
    return estimate_tokens(tools) + sum(estimate_tokens(str(message)) for message in request.messages)


async def test_a_thousand_tools_cost_little(tmp_path: Path) -> None:
    bare, full = house_of(reply("ok")), house_of(reply("ok"))
    await turn(bare.run())
    async with session(full, wish(tmp_path, InHost({"big": THOUSAND})), tmp_path) as run:
        await turn(run)
    added = tokens(full.model.requests[0]) - tokens(bare.model.requests[0])
    assert 0 < added < 1_000, added
    assert len(full.model.requests[0].tools) == len(bare.model.requests[0].tools) + 1


async def test_loading_only_adds_at_the_end(tmp_path: Path) -> None:
    names = "select:mcp__big__tool_9,mcp__big__tool_3"
    house = house_of(
        reply("", [call("ToolSearch", {"query": names})]),
        reply("", [call("mcp__big__tool_9", {"text": "x"}), call("mcp__big__tool_500", {"text": "never loaded"})]),
        reply("", [call("mcp__big__tool_501", {"wrong": 1})]),
        reply("done"),
    )
    host = InHost({"big": THOUSAND})
    async with session(house, wish(tmp_path, host), tmp_path) as run:
        await turn(run)
    first, second, third, fourth = house.model.requests
    assert second.tools[: len(first.tools)] == first.tools
    assert [spec.name for spec in second.tools[len(first.tools) :]] == ["mcp__big__tool_9", "mcp__big__tool_3"]
    assert third.tools == second.tools
    for before, after in ((first, second), (second, third), (third, fourth)):
        assert after.messages[: len(before.messages)] == before.messages
    calls = [message["params"]["name"] for _, message in host.messages if message["method"] == "tools/call"]
    assert calls == ["tool_9", "tool_500"]
    said = str(fourth.messages[-1])
    assert "text is missing" in said
    assert "JSON Schema" in said


async def test_few_tools_of_the_host_are_simply_there(tmp_path: Path) -> None:
    house = house_of(reply("", [call("mcp__calc__add", {"text": "1"})]), reply("done"))
    async with session(house, wish(tmp_path, InHost({"calc": [tool("add")]})), tmp_path) as run:
        await turn(run, "one")
        names = [spec.name for spec in house.model.requests[0].tools]
        assert "mcp__calc__add" in names
        # The host's own words stay the operator's; what its tools bring back is text by others.
        assert run.state.label.integrity == "external"
    labels = [event.label for event in house.of(ContextAdded) if event.owner == "mcp"]
    assert labels == [OPERATOR]  # for the tools that read resources


async def test_words_of_other_servers_are_external(tmp_path: Path) -> None:
    house = house_of(reply("done"))
    asked = wish(tmp_path, mcp_config=(json.dumps({"srv": hostile("polite")}),))
    async with session(house, asked, tmp_path) as run:
        await turn(run)
        assert "mcp__srv__act" in [spec.name for spec in house.model.requests[0].tools]
        assert run.state.label.integrity == "external"


async def test_told_once_and_again_after_a_compaction(tmp_path: Path) -> None:
    house = house_of(*[reply("ok")] * 5)
    asked = wish(tmp_path, InHost({"big": THOUSAND}))

    def told() -> int:
        return len([event for event in house.of(ContextAdded) if event.owner == "mcp"])

    async with session(house, asked, tmp_path) as run:
        await turn(run)
        await turn(run)
        assert told() == 1
    async with session(house, asked, tmp_path) as run:
        await turn(run)
        assert told() == 1
        run.record(Compacted("a summary", len(house.log) + 1))
        await turn(run)
        assert told() == 2


async def test_server_that_does_not_come_is_told_and_costs_nothing_else(tmp_path: Path) -> None:
    house = house_of(reply("done"))
    async with session(
        house, wish(tmp_path, mcp_config=('{"gone": {"command": "no-such-program"}}',)), tmp_path
    ) as run:
        await turn(run)
    assert ["gone: failed" in event.text for event in house.of(Noticed)] == [True]
    assert "ToolSearch" not in [spec.name for spec in house.model.requests[0].tools]


async def test_hidden_tools(tmp_path: Path) -> None:
    house = house_of(reply("done"))
    asked = wish(tmp_path, InHost({"a": [tool("x"), tool("y")], "b": [tool("z")]}), disallowed=("mcp__a__x",))
    async with session(house, asked, tmp_path, permissions=Permissions(deny=("mcp__b", "Bash(rm:*)"))) as run:
        await turn(run)
        assert [name for name in run.tools if name.startswith("mcp__")] == ["mcp__a__y"]


def test_where_servers_come_from(tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").write_text(
        json.dumps({"mcpServers": {"p": {"command": "${SECRET}"}, "both": {"command": "x"}}})
    )
    mine = {"u": {"command": "u"}, "both": {"command": "mine"}, "bad": {}}
    settings = Settings(mcp_servers=mine)
    found, problems = configured(wish(tmp_path, mcp_config=('{"f": {"command": "f"}}',)), settings, paths(tmp_path))
    by_name = {config.name: config for config in found}
    assert set(by_name) == {"p", "both", "u", "f"}
    assert by_name["p"].held
    assert by_name["p"].command == ""
    assert (by_name["both"].command, by_name["both"].held) == ("mine", "")
    assert any("came with the repository" in line and "sha256:" in line for line in problems)
    assert any("'bad'" in line for line in problems)
    strict, _ = configured(
        wish(tmp_path, mcp_config=('{"f": {"command": "f"}}',), strict_mcp=True), settings, paths(tmp_path)
    )
    assert [config.name for config in strict] == ["f"]
    plugins = {"plugin_p_s": {"command": "s"}, "f": {"command": "weak"}, "plugin_p_bad": {"type": "odd"}}
    found, problems = configured(wish(tmp_path), settings, paths(tmp_path), plugins)
    assert {(each.name, each.scope) for each in found} >= {("plugin_p_s", "user")}
    assert any("plugins: MCP server 'plugin_p_bad' is left out" in line for line in problems)
    assert not configured(wish(tmp_path, strict_mcp=True), Settings(), paths(tmp_path), plugins)[0]
    none, _ = configured(wish(tmp_path, setting_sources="user"), Settings(), paths(tmp_path))
    assert none == []


def test_trust(tmp_path: Path) -> None:
    file = tmp_path / ".mcp.json"
    file.write_text(json.dumps({"mcpServers": {"p": {"command": "x"}, "q": {"command": "y"}}}))

    def starting(**settings: object) -> list[str]:
        found, _ = configured(wish(tmp_path), Settings(**settings), paths(tmp_path))
        assert {config.scope for config in found} == {"project"}
        return [config.name for config in found if not config.held]

    _, problems = configured(wish(tmp_path), Settings(), paths(tmp_path))
    digest = problems[0].partition('"')[2].partition('"')[0]
    assert starting() == []
    assert starting(trusted_settings=(digest,)) == ["p", "q"]
    assert starting(enabled_mcpjson_servers=("q",)) == ["q"]
    assert starting(enable_all_project_mcp_servers=True, disabled_mcpjson_servers=("p",)) == ["q"]
    file.write_text(file.read_text() + " ")
    assert starting(trusted_settings=(digest,)) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"mcpServers": []}', '{"a": 1}', "\0", "x" * 2_000_000])
def test_project_file_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / ".mcp.json").write_text(text)
    found, problems = configured(wish(tmp_path), Settings(), paths(tmp_path))
    assert found == []
    assert len(problems) == 1
    with pytest.raises(UsageError, match="--mcp-config"):
        configured(wish(tmp_path, mcp_config=(text[:1_000],)), Settings(), paths(tmp_path))
