"""Servers that hang, flood, lie, change, send 100 MB, die: each has a bounded end, and says why."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from assay.tools.mcp.peer import Disconnected, ServerError
from assay.tools.mcp.schema import NAME
from assay.tools.mcp.server import Limits
from assay.tools.mcp.stdio import LOG, Lines

from .kit import Around, Watched, hostile, text_of


async def test_banner_and_noise_are_survived(tmp_path: Path) -> None:
    async with Watched(hostile("polite"), tmp_path) as watched:
        assert watched.server.status == "connected", watched.server.error
        assert await watched.call() == {"content": [{"type": "text", "text": "done"}]}
    assert 0 < (tmp_path / "logs" / "srv.log").stat().st_size <= LOG


async def test_no_such_program(tmp_path: Path) -> None:
    async with Watched({"command": "no-such-program-here"}, tmp_path) as watched:
        assert watched.server.status == "failed"
        assert "cannot start no-such-program-here" in watched.server.error


async def test_server_that_never_answers(tmp_path: Path) -> None:
    async with Watched(hostile("deaf"), tmp_path, Limits(startup=2.0)) as watched:
        assert watched.server.status == "failed"
        assert "MCP_TIMEOUT" in watched.server.error
    assert len(watched.told) == 1


async def test_call_that_never_ends(tmp_path: Path) -> None:
    async with Watched(hostile("silent"), tmp_path, Limits(silence=0.5, call=0.5)) as watched:
        with pytest.raises(ServerError, match="MCP_TOOL_TIMEOUT"):
            await watched.call()
        assert watched.server.status == "connected"


async def test_cancelled_call_is_withdrawn(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    async with Watched(hostile("cancels", heard), tmp_path) as watched:
        work = asyncio.create_task(watched.call())
        await asyncio.sleep(0.2)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        async with asyncio.timeout(30):
            while not heard.exists():
                await asyncio.sleep(0.02)
        assert "requestId" in heard.read_text()


@pytest.mark.parametrize("mode", ["floods", "babbles"])
async def test_flood_ends_the_connection(tmp_path: Path, mode: str) -> None:
    async with Watched(hostile(mode), tmp_path) as watched:
        with pytest.raises(ServerError):
            await watched.call()
        async with asyncio.timeout(30):
            while watched.server.status == "connected":
                await asyncio.sleep(0.02)
        assert "floods" in watched.server.error
    assert any("floods" in line for line in watched.told)


async def test_100_megabytes(tmp_path: Path) -> None:
    async with Watched(hostile("100mb"), tmp_path) as watched:
        with pytest.raises(ServerError, match="16 MB"):
            await watched.call()
        assert watched.server.status == "connected"
        with pytest.raises(ServerError, match="16 MB"):
            await watched.call()


async def test_lies_about_its_tools(tmp_path: Path) -> None:
    async with Watched(hostile("lies"), tmp_path) as watched:
        tools = {tool.name: tool for tool in watched.server.tools}
        assert watched.server.status == "connected"
    assert [name for name in tools if len(name) > NAME] == []
    assert list(tools)[:2] == ["mcp__srv__twice", "mcp__srv__we_ird_nam_e"]
    assert tools["mcp__srv__twice"].description == "first"
    odd = tools["mcp__srv__we_ird_nam_e"].description
    assert len(odd) <= 2_048
    assert "\x1b" not in odd
    assert "\u202e" not in odd
    assert len(watched.told) == 1
    assert "tools left out" in watched.told[0]


async def test_pages_without_end(tmp_path: Path) -> None:
    async with Watched(hostile("pages"), tmp_path) as watched:
        assert [tool.remote for tool in watched.server.tools] == ["t0", "t1", "t2"]


async def test_tool_that_changes_after_it_was_used(tmp_path: Path) -> None:
    entries = {"bank": hostile("changes", tmp_path / "changed")}
    async with Around(entries=entries, tmp_path=tmp_path) as around:
        assert around.shelf["mcp__bank__pay"].spec.description == "say hello"
        outcome = await around.call("mcp__bank__pay", {})
        assert text_of(outcome) == "hello"
        async with asyncio.timeout(30):
            while not around.told:
                await asyncio.sleep(0.02)
        assert "describes mcp__bank__pay differently" in around.told[0]
        assert around.shelf["mcp__bank__pay"].spec.description == "send money to anyone"


async def test_server_that_died_comes_back_for_the_next_call(tmp_path: Path) -> None:
    async with Watched(hostile("dies", tmp_path / "dead"), tmp_path) as watched:
        with pytest.raises(Disconnected):
            await watched.call()
        assert await watched.call() == {"content": [{"type": "text", "text": "done"}]}
        assert watched.server.status == "connected"


async def test_nothing_is_left_running(tmp_path: Path) -> None:
    child = tmp_path / "child"
    began = time.monotonic()
    async with Watched(hostile("stubborn", child), tmp_path) as watched:
        assert watched.server.status == "connected"
    assert time.monotonic() - began < 30
    async with asyncio.timeout(30):
        while _alive(int(child.read_text())):
            await asyncio.sleep(0.02)


async def test_kill_at_once(tmp_path: Path) -> None:
    child = tmp_path / "child"
    async with Watched(hostile("stubborn", child), tmp_path) as watched:
        watched.server.kill()
        async with asyncio.timeout(30):
            while _alive(int(child.read_text())):
                await asyncio.sleep(0.02)


def _alive(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] != "Z"
    except OSError:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc/self").exists()


def test_lines() -> None:
    lines = Lines(10)
    assert lines.feed(b"ab") == []
    assert lines.feed(b"c\n\nde\r\nf") == [b"abc", b"de"]
    assert lines.feed(b"x" * 20) == []
    assert lines.feed(b"\nok\n") == [b"ok"]
    long = Lines(50)
    long.feed(b'{"id": 7, "result": "')
    long.feed(b"x" * 100)
    (line,) = long.feed(b'"}\n')
    assert b'"id":7' in line
    assert b"error" in line
