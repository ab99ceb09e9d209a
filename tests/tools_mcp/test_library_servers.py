"""Servers made with the official library, over stdio and streamable HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.tools.mcp.peer import ServerError
from assay.tools.mcp.server import Limits

from .kit import HERE, Around, Watched, text_of


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, str(HERE / "honest.py"), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the server did not come up")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    process = start(port)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


async def both_ways(around: Around) -> None:
    (row,) = around.servers.status()
    assert row["status"] == "connected", row
    assert row["serverInfo"] == {"name": "honest", "version": "1.2"}
    assert around.shown == [f"mcp__s__{name}" for name in ("add", "slow", "large", "fail")]
    assert text_of(await around.call("mcp__s__add", {"a": 2, "b": 3})) == "5"
    assert text_of(await around.call("mcp__s__slow", {})) == "done"
    failed = await around.call("mcp__s__fail", {})
    assert failed.is_error
    assert "fail" in text_of(failed)
    assert "a note" in text_of(await around.call("ReadMcpResourceTool", {"server": "s", "uri": "note://x"}))
    assert [prompt.name for prompt in around.servers.prompts()] == ["mcp__s__greet"]
    large = await around.call("mcp__s__large", {})
    assert large.is_error
    assert text_of(await around.call("mcp__s__add", {"a": 2, "b": 3})) == "5"


@pytest.mark.slow
async def test_stdio(tmp_path: Path) -> None:
    entries = {"s": {"command": sys.executable, "args": [str(HERE / "honest.py")]}}
    async with Around(entries=entries, tmp_path=tmp_path, patience=60, limits=Limits(startup=60)) as around:
        await both_ways(around)


@pytest.mark.slow
async def test_streamable_http(url: str, tmp_path: Path) -> None:
    entries = {"s": {"type": "http", "url": url}}
    async with Around(entries=entries, tmp_path=tmp_path, patience=60, limits=Limits(startup=60)) as around:
        await both_ways(around)


async def test_nothing_listens(tmp_path: Path) -> None:
    entry = {"type": "http", "url": f"http://127.0.0.1:{free_port()}/mcp"}
    async with Watched(entry, tmp_path) as watched:
        assert watched.server.status == "failed"
        assert watched.server.error
        assert "Traceback" not in watched.server.error


@pytest.mark.slow
async def test_http_server_that_goes_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    process = await asyncio.to_thread(start, port)
    try:
        async with Watched({"type": "http", "url": f"http://127.0.0.1:{port}/mcp"}, tmp_path) as watched:
            assert watched.server.status == "connected"
            process.kill()
            process.wait()
            with pytest.raises(ServerError):
                await watched.server.ask("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}})
            process = await asyncio.to_thread(start, port)
            async with asyncio.timeout(60):
                while True:
                    with contextlib.suppress(ServerError):
                        answer = await watched.server.ask("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}})
                        break
                    await asyncio.sleep(0.1)
            assert answer["structuredContent"] == {"result": 2}
    finally:
        process.kill()
        process.wait()


def test_without_the_library(tmp_path: Path) -> None:
    """One line says what to install, the server is failed, and in-process servers work; nothing heavy is loaded."""
    program = f"""
import asyncio, sys
sys.modules["mcp"] = None
sys.path.insert(0, {str(HERE.parent)!r})
from tools_mcp.kit import Around, InHost, hostile, tool
async def main():
    entries = {{"out": hostile("polite"), "in": {{"type": "sdk"}}}}
    async with Around(InHost({{"in": [tool("x")]}}), entries=entries) as around:
        print([(row["name"], row["status"], row.get("error", "")) for row in around.servers.status()])
        print((await around.call("mcp__in__x", {{"text": "hi"}})).content[0].text)
    heavy = [name for name in ("pydantic", "anyio", "httpx2") if name in sys.modules]
    print(heavy)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr
    status, answer, heavy = done.stdout.splitlines()
    assert (
        "('out', 'failed', \"the mcp library is not installed; install it with: pip install 'assay[mcp]'\")" in status
    )
    assert "('in', 'connected', '')" in status
    assert answer == "x {'text': 'hi'}"
    assert heavy == "[]"
