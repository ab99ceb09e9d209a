"""Servers under test, and what stands around them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from assay.core.messages import Json
from assay.core.tool import Tool, ToolContext, ToolOutcome
from assay.run.answer import first_breach
from assay.run.toolset import Toolset
from assay.testing import MemoryWorkspace
from assay.tools.mcp.config import ServerConfig, read_server
from assay.tools.mcp.open import opener
from assay.tools.mcp.pins import Pins
from assay.tools.mcp.server import Limits, Server
from assay.tools.mcp.servers import ServerPorts, Servers

HERE = Path(__file__).parent
QUICK = Limits(startup=30.0, silence=30.0, call=60.0)


def hostile(mode: str, file: Path | None = None, **more: Json) -> dict[str, Json]:
    return {"command": sys.executable, "args": [str(HERE / "hostile.py"), mode, *([str(file)] if file else [])], **more}


def config(entry: dict[str, Json], name: str = "srv") -> ServerConfig:
    return read_server(name, entry, "user", dict(os.environ))


class Watched:
    """One server, with what it told."""

    def __init__(self, entry: dict[str, Json], tmp_path: Path, limits: Limits = QUICK):
        self.told: list[str] = []
        self.changes = 0
        self.server = Server(
            config(entry), opener(os.environ, str(tmp_path), tmp_path / "logs"), limits, self._changed, self.told.append
        )

    def _changed(self, server: Server) -> None:
        self.changes += 1

    async def __aenter__(self) -> Watched:
        self.server.start()
        await self.server.settled()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop()

    async def call(self, name: str = "act") -> dict[str, Json]:
        return await self.server.ask("tools/call", {"name": name, "arguments": {}})


Answer = Callable[[str, dict[str, Json]], Json]


class InHost:
    """Servers within the host: `tools` by server name; answers calls by `answer(tool, arguments)`."""

    def __init__(self, tools: dict[str, list[dict[str, Json]]], answer: Answer = lambda name, given: f"{name} {given}"):
        self.tools = tools
        self.answer = answer
        self.messages: list[tuple[str, dict[str, Json]]] = []

    async def __call__(self, server: str, message: dict[str, Json]) -> dict[str, Json]:
        self.messages.append((server, message))
        method, params = message["method"], message.get("params", {})
        assert isinstance(params, dict)
        result: dict[str, Json]
        if method == "initialize":
            result = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}, "prompts": {}, "resources": {}},
                "serverInfo": {"name": server, "version": "1"},
            }
        elif method == "tools/list":
            result = {"tools": self.tools[server]}
        elif method == "tools/call":
            said = self.answer(params["name"], params["arguments"])
            if asyncio.iscoroutine(said):
                said = await said
            result = said if isinstance(said, dict) else {"content": [{"type": "text", "text": str(said)}]}
        elif method == "prompts/list":
            given = [{"name": "who", "required": True}, {"name": "how"}]
            result = {"prompts": [{"name": "greet", "description": "hi\x1b[1m", "arguments": given}]}
        elif method == "prompts/get":
            text = f"Greet {json.dumps(params['arguments'])}"
            result = {"messages": [{"role": "user", "content": {"type": "text", "text": text}}]}
        elif method == "resources/list":
            result = {"resources": [{"uri": "note://1", "name": "one", "mimeType": "text/plain"}]}
        elif method == "resources/read":
            result = {"contents": [{"uri": params["uri"], "text": "hello"}]}
        else:
            result = {}
        return {"jsonrpc": "2.0", "id": message.get("id"), "result": result}


def tool(name: str, description: str = "does a thing", **more: Json) -> dict[str, Json]:
    schema: Json = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    return {"name": name, "description": description, "inputSchema": schema, **more}


class Around:
    """All servers of a session over `host`, and the tools that the session has."""

    def __init__(
        self,
        host: InHost | None = None,
        *,
        entries: dict[str, dict[str, Json]] | None = None,
        window: int = 128_000,
        hidden: Callable[[str], bool] = lambda name: False,
        pins: Pins | None = None,
        patience: float = 20.0,
        limits: Limits = QUICK,
        tmp_path: Path = Path("/nowhere"),
    ):
        self.host = host
        self.shelf = Toolset()
        self.told: list[str] = []
        if entries is None:
            entries = {name: {"type": "sdk"} for name in (host.tools if host else ())}
        configs = [read_server(name, entry, "dynamic", os.environ) for name, entry in entries.items()]
        ports = ServerPorts(
            shelf=self.shelf,
            opens=opener(os.environ, str(tmp_path), tmp_path / "logs"),
            told=self.told.append,
            breach=lambda arguments, schema: first_breach(arguments, schema, "arguments"),
            hidden=hidden,
            limits=limits,
            environ=os.environ,
            pins=pins or Pins(),
            window=lambda: window,
            patience=patience,
        )
        self.servers = Servers(configs, ports, host)

    async def __aenter__(self) -> Around:
        self.servers.start()
        await self.servers.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.servers.aclose()

    @property
    def shown(self) -> list[str]:
        return [spec.name for spec in self.shelf.specs()]

    async def call(self, name: str, arguments: dict[str, Json], spill: Path | None = None) -> ToolOutcome:
        return await called(self.shelf[name], arguments, spill)


async def called(tool: Tool, arguments: dict[str, Json], spill: Path | None = None) -> ToolOutcome:
    tool.effects(arguments)
    context = ToolContext(MemoryWorkspace({}), {}, str(spill) if spill else "", "call-1")
    async with asyncio.timeout(60):
        return await tool.run(arguments, context)


def text_of(outcome: ToolOutcome) -> str:
    return "\n".join(getattr(part, "text", "") for part in outcome.content)
