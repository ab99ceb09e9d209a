"""All servers of a session: what `task.mcp` is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

from assay.core.errors import UsageError
from assay.core.messages import Image, Json, Text
from assay.core.tool import Tool, ToolContext
from assay.core.workspace import Workspace
from assay.tools.bound import one_line
from assay.tools.mcp.config import ServerConfig, read_servers
from assay.tools.mcp.inprocess import Bridge, InProcess
from assay.tools.mcp.peer import Heard, Peer, ServerError, rows, table, words
from assay.tools.mcp.pins import Pins
from assay.tools.mcp.resources import ListResources, ReadResource
from assay.tools.mcp.results import outcome_of
from assay.tools.mcp.schema import Offered, plain_name
from assay.tools.mcp.server import Limits, Server
from assay.tools.mcp.tool import Breach, McpTool

FEW_TOKENS = 2_000
FEW_SHARE = 10
"""Tools of servers are in every request when all of them together have at most that many tokens, and at most one in
that many of the model's window; else they are found by search."""
PATIENCE = 5.0
"""Seconds that the first request waits for servers that are still connecting."""
LISTING = 2_400
"""Characters in which the model is told what there is to search for."""


class Shelf(Protocol):
    """Where tools are offered from."""

    def add(self, tool: Tool, *, deferred: bool = False) -> None: ...

    def remove(self, name: str) -> None: ...


class Prompt(Struct, frozen=True):
    """A prompt of a server, to be called like a command."""

    name: str
    """mcp__SERVER__PROMPT."""
    server: str
    remote: str
    description: str
    arguments: tuple[str, ...]
    required: tuple[str, ...]


class ServerPorts(Struct, frozen=True, kw_only=True):
    """What servers need around them."""

    shelf: Shelf
    opens: Callable[[ServerConfig, Heard], Peer]
    """A connection, not yet opened, to a server that is not in-process."""
    told: Callable[[str], None]
    """Takes a line for the person."""
    breach: Breach
    hidden: Callable[[str], bool]
    """True for the name of a tool that the user keeps from the model."""
    limits: Limits
    environ: Mapping[str, str]
    pins: Pins
    window: Callable[[], int]
    """Tokens that the model's window has."""
    patience: float = PATIENCE


class Servers:
    """Contract: nothing here raises for what a server does; every wait is bounded."""

    def __init__(self, configs: Sequence[ServerConfig], ports: ServerPorts, bridge: Bridge | None = None):
        self._ports = ports
        self._bridge = bridge
        self._servers: dict[str, Server] = {}
        self._tools: dict[str, McpTool] = {}
        self._shown: set[str] = set()
        """Names of tools that requests carry without being asked."""
        self._settled = self._resourceful = False
        self.version = 0
        """Grows whenever what is offered changes."""
        for config in configs:
            self._servers[config.name] = self._made(config)

    def _made(self, config: ServerConfig) -> Server:
        return Server(config, self._open, self._ports.limits, self._changed, self._ports.told)

    def _open(self, config: ServerConfig, heard: Heard) -> Peer:
        if config.kind != "sdk":
            return self._ports.opens(config, heard)
        assert self._bridge
        return InProcess(config.name, self._bridge, heard)

    def __len__(self) -> int:
        return len(self._servers)

    # --- their life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect to all that may start; in-process ones once there is a host."""
        for server in self._servers.values():
            ready = not server.started and not server.config.held and (server.config.kind != "sdk" or self._bridge)
            if ready:
                server.start()

    def use_host(self, bridge: Bridge) -> None:
        """In-process servers are reached through `bridge` from now on."""
        self._bridge = bridge
        self.start()

    def receive(self, name: str, message: Mapping[str, Json]) -> None:
        """A message that an in-process server sent of its own accord."""
        server = self._servers.get(name)
        if server and isinstance(server.peer, InProcess):
            server.peer.receive(message)

    async def settle(self) -> None:
        """Wait, bounded, for servers that are still connecting, and offer what there is. Those marked `alwaysLoad` are
        waited for until they time out."""
        if self._settled:
            return
        waiting = [server for server in self._servers.values() if server.status == "pending" and server.started]
        slow = [asyncio.ensure_future(server.settled()) for server in waiting if not server.config.always_load]
        must = [asyncio.ensure_future(server.settled()) for server in waiting if server.config.always_load]
        try:
            if must:
                await asyncio.wait(must, timeout=self._ports.limits.startup + 1)
            if slow:
                await asyncio.wait(slow, timeout=0.01 if must else self._ports.patience)
        finally:
            for task in (*slow, *must):
                task.cancel()
        self._settle()

    def _settle(self) -> None:
        self._settled = True
        every = [tool for server in self._servers.values() for tool in self._wrapped(server)]
        few = sum(tool.weight for tool in every) <= min(FEW_TOKENS, self._ports.window() // FEW_SHARE)
        self._shown = {tool.spec.name for tool in every if few or self._always(tool)}
        for server in self._servers.values():
            self._publish(server)

    def _always(self, tool: McpTool) -> bool:
        return tool.server.config.always_load or tool.offered.always_load

    async def aclose(self) -> None:
        await asyncio.gather(*(server.stop() for server in self._servers.values()), return_exceptions=True)

    def kill(self) -> None:
        """End all processes at once, for a signal handler."""
        for server in self._servers.values():
            server.kill()

    # --- what is offered --------------------------------------------------------------------------------------------

    def _changed(self, server: Server) -> None:
        if self._settled and self._servers.get(server.name) is server:
            self._publish(server)

    def _wrapped(self, server: Server) -> list[McpTool]:
        ports = self._ports

        def used(offered: Offered) -> None:
            ports.pins.keep(server.name, offered)

        found: list[McpTool] = []
        for offered in server.tools:
            taken = self._tools.get(offered.name)
            if ports.hidden(offered.name):
                continue
            if taken and taken.server is not server:
                ports.told(f"MCP server {server.name}: {offered.name} is left out: {taken.server.name} has it already")
                continue
            found.append(McpTool(server, offered, ports.limits.tokens, ports.breach, used))
        return found

    def _publish(self, server: Server) -> None:
        """Make what is offered equal to what the server has now. A server that is gone keeps its tools: a call tells
        so, and requests stay as they were."""
        ports = self._ports
        if server.status in ("failed", "pending") and not server.tools:
            self._tell_resources()
            return
        now = {tool.spec.name: tool for tool in self._wrapped(server)}
        for name in [name for name, tool in self._tools.items() if tool.server is server and name not in now]:
            del self._tools[name]
            ports.shelf.remove(name)
        changed = [name for name, tool in now.items() if ports.pins.changed(server.name, tool.offered)]
        if changed:
            names = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
            ports.told(
                f"MCP server {server.name} describes {names} differently than when you let it be used; "
                "look again before you allow it (assay mcp get shows it)"
            )
        for name, tool in now.items():
            before = self._tools.get(name)
            if before is None or before.offered != tool.offered:
                self._tools[name] = tool
                ports.shelf.add(tool, deferred=name not in self._shown)
        self.version += 1
        self._tell_resources()

    def _tell_resources(self) -> None:
        """The tools for resources are there from the first server on that has some."""
        if self._resourceful or not self.with_resources():
            return
        self._resourceful = True
        for tool in (ListResources(self.with_resources), ReadResource(self.with_resources, self._ports.limits.tokens)):
            if not self._ports.hidden(tool.spec.name):
                self._ports.shelf.add(tool, deferred=True)

    def with_resources(self) -> list[Server]:
        return [server for server in self._servers.values() if server.facts.resources and server.status == "connected"]

    @property
    def external(self) -> bool:
        """A server that is not the host's own has put words of its own into what the model is shown."""
        return any(server.config.kind != "sdk" and server.tools for server in self._servers.values())

    def listing(self) -> str:
        """What there is to search for, bounded: each server with as many names as there is room for."""
        lines = [f"{ListResources.spec.name}, {ReadResource.spec.name}"] if self._resourceful else []
        owners: dict[str, list[str]] = {}
        for name, tool in self._tools.items():
            if name not in self._shown:
                owners.setdefault(tool.server.name, []).append(name.split("__", 2)[-1])
        room = LISTING // max(len(owners), 1)
        for owner, names in owners.items():
            head = f"mcp__{plain_name(owner)}__ ({len(names)}): "
            kept: list[str] = []
            size = len(head)
            for name in names:
                size += len(name) + 2
                if size > room and kept:
                    break
                kept.append(name)
            more = f" and {len(names) - len(kept)} more" if len(names) > len(kept) else ""
            lines.append(f"{head}{', '.join(kept)}{more}")
        kept_lines = lines[: LISTING // 60]
        if len(lines) > len(kept_lines):
            kept_lines.append(f"and {len(lines) - len(kept_lines)} more servers")
        return "\n".join(kept_lines)

    # --- what hosts ask ---------------------------------------------------------------------------------------------

    def status(self) -> list[dict[str, Json]]:
        """One row for each server: name, status, serverInfo, error, config, scope, tools."""
        return [server.row() for server in self._servers.values()]

    async def reconnect(self, name: str) -> None:
        """Raises `UsageError` for a server that is unknown or disabled, `ServerError` for one that does not come."""
        server = self._named(name)
        if server.status == "disabled" or server.config.held:
            raise UsageError(f"MCP server {name} is disabled{f': {server.error}' if server.error else ''}")
        await server.restart()

    async def toggle(self, name: str, enabled: bool) -> None:
        """Start or stop a server for this session. Raises `UsageError` for one that is unknown."""
        server = self._named(name)
        if enabled and (server.status == "disabled" or server.config.held):
            config = msgspec.structs.replace(server.config, held="", disabled=False)
            self._servers[name] = fresh = self._made(config)
            self._forget(server)
            fresh.start()
            await fresh.settled()
        elif not enabled and server.status != "disabled":
            await server.stop()
            self._forget(server)

    async def replace(self, entries: Mapping[str, Json]) -> dict[str, Json]:
        """Make the servers that flags and hosts named equal to `entries`; others stay. Returns what was `added`,
        `removed`, and `errors` by name."""
        configs, problems = read_servers(entries, "dynamic", self._ports.environ, "servers of the host")
        wanted = {config.name: config for config in configs}
        ours = {name: each for name, each in self._servers.items() if each.config.scope in ("dynamic", "sdk")}
        gone = [name for name, server in ours.items() if wanted.get(name) != server.config]
        for name in gone:
            server = self._servers.pop(name)
            await server.stop()
            self._forget(server)
        added = [name for name in wanted if name not in self._servers]
        for name in added:
            self._servers[name] = self._made(wanted[name])
        self.start()
        await asyncio.gather(*(self._servers[name].settled() for name in added if self._servers[name].started))
        errors: dict[str, Json] = {name: self._servers[name].error for name in added if self._servers[name].error}
        errors.update({f"entry {number}": problem for number, problem in enumerate(problems, 1)})
        return {"added": added, "removed": [name for name in gone if name not in added], "errors": errors}

    def _forget(self, server: Server) -> None:
        for name in [name for name, tool in self._tools.items() if tool.server is server]:
            del self._tools[name]
            self._ports.shelf.remove(name)
        self.version += 1
        self._tell_resources()

    def _named(self, name: str) -> Server:
        if name not in self._servers:
            raise UsageError(f"there is no MCP server '{one_line(name, 60)}'; there are: {', '.join(self._servers)}")
        return self._servers[name]

    # --- prompts ----------------------------------------------------------------------------------------------------

    def prompts(self) -> list[Prompt]:
        """The prompts of all servers, to be offered as commands."""
        found: list[Prompt] = []
        for server in self._servers.values():
            for entry in server.prompts:
                remote = words(entry.get("name"))
                if not remote:
                    continue
                given = [table(argument) for argument in rows(entry.get("arguments"))][:50]
                found.append(
                    Prompt(
                        f"mcp__{plain_name(server.name)}__{plain_name(remote)}",
                        server.name,
                        remote,
                        one_line(words(entry.get("description")), 200),
                        tuple(one_line(words(argument.get("name")), 60) for argument in given),
                        tuple(
                            one_line(words(argument.get("name")), 60)
                            for argument in given
                            if argument.get("required") is True
                        ),
                    )
                )
        return found

    async def prompt(self, name: str, values: Sequence[str], workspace: Workspace) -> tuple[Text | Image, ...]:
        """The parts of prompt `name` filled with `values`, in the order of its arguments; text by others. Raises
        `ServerError`."""
        found = next((prompt for prompt in self.prompts() if prompt.name == name), None)
        if found is None:
            raise ServerError(f"no MCP server has a prompt {one_line(name, 80)}")
        if len(values) < len(found.required):
            raise ServerError(f"/{name} needs: {', '.join(found.required)}")
        given: dict[str, Json] = dict(zip(found.arguments, values, strict=False))
        result = await self._named(found.server).ask("prompts/get", {"name": found.remote, "arguments": given})
        blocks = [table(message).get("content") for message in rows(result.get("messages"))]
        context = ToolContext(workspace, {})
        return outcome_of({"content": blocks}, name, context, self._ports.limits.tokens).content
