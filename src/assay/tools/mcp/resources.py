"""Resources of servers: what there is, and one of them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from assay.core.errors import InvalidArguments
from assay.core.messages import Json, Text
from assay.core.model import ToolSpec
from assay.core.policy import EXTERNAL, Effect
from assay.core.tool import ToolContext, ToolOutcome, failed
from assay.tools.bound import one_line, plain
from assay.tools.mcp.peer import ServerError, words
from assay.tools.mcp.results import resource_outcome
from assay.tools.mcp.server import Server
from assay.tools.mcp.tool import server_effect
from assay.tools.schema import read_arguments

LISTED = 200

Having = Callable[[], list[Server]]
"""The servers that have resources now."""


class ListArguments(Struct, forbid_unknown_fields=True):
    server: str = ""


class ReadArguments(Struct, forbid_unknown_fields=True):
    server: str
    uri: str


class ListResources:
    """What servers listed when they were connected; asks nobody."""

    spec = ToolSpec(
        "ListMcpResourcesTool",
        "List the resources of MCP servers, or of one.",
        {"type": "object", "properties": {"server": {"type": "string"}}},
    )

    def __init__(self, having: Having):
        self._having = having

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        read_arguments(self.spec.name, arguments, ListArguments)
        return (Effect("none"),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        del context
        asked = read_arguments(self.spec.name, arguments, ListArguments)
        servers = [server for server in self._having() if asked.server in ("", server.name)]
        listed: list[dict[str, str]] = [
            {
                "server": server.name,
                "uri": one_line(words(entry.get("uri")), 400),
                "name": one_line(words(entry.get("name")), 100),
                "mimeType": one_line(words(entry.get("mimeType")), 60),
                "description": one_line(words(entry.get("description")), 200),
            }
            for server in servers
            for entry in server.resources[:LISTED]
        ]
        lines = [msgspec.json.encode({k: v for k, v in row.items() if v}).decode() for row in listed[:LISTED]]
        more = f"\n[{len(listed) - LISTED} more]" if len(listed) > LISTED else ""
        text = plain("\n".join(lines)) + more if lines else "no resources"
        return ToolOutcome((Text(text),), f"{len(listed)} resources", label=EXTERNAL)


class ReadResource:
    spec = ToolSpec(
        "ReadMcpResourceTool",
        "Read one resource of an MCP server.",
        {
            "type": "object",
            "properties": {"server": {"type": "string"}, "uri": {"type": "string"}},
            "required": ["server", "uri"],
        },
    )

    def __init__(self, having: Having, tokens: int):
        self._having = having
        self._tokens = tokens

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        return (server_effect(self._server(arguments), reads=True),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        asked = read_arguments(self.spec.name, arguments, ReadArguments)
        try:
            result = await self._server(arguments).ask("resources/read", {"uri": asked.uri})
        except ServerError as error:
            return failed(f"{asked.server}: {error}", label=EXTERNAL)
        return resource_outcome(result, f"{asked.server} {one_line(asked.uri, 80)}", context, self._tokens)

    def _server(self, arguments: dict[str, Json]) -> Server:
        asked = read_arguments(self.spec.name, arguments, ReadArguments)
        having = self._having()
        found = next((server for server in having if server.name == asked.server), None)
        if found is None:
            names = ", ".join(server.name for server in having)
            raise InvalidArguments(f"{self.spec.name}: no server '{one_line(asked.server, 60)}'; there are: {names}")
        return found
