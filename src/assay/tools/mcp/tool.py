"""One tool of a server, as a tool of ours."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from assay.core.errors import InvalidArguments
from assay.core.messages import Json
from assay.core.model import ToolSpec, estimate_tokens
from assay.core.policy import EXTERNAL, Effect
from assay.core.tool import ToolContext, ToolOutcome, failed
from assay.tools.bound import one_line
from assay.tools.mcp.peer import ServerError
from assay.tools.mcp.results import outcome_of
from assay.tools.mcp.schema import Offered
from assay.tools.mcp.server import Server

READS = "mcp-read:"
CHANGES = "mcp:"
"""How the target of a server's effect begins: what it does can't be seen, so it is bytes that leave for that server.
Only of a server that the user chose is it believed that a tool changes nothing."""

Breach = Callable[[Json, Json], str]
Used = Callable[[Offered], None]


def server_effect(server: Server, *, reads: bool) -> Effect:
    return Effect("network", f"{READS if reads and server.config.chosen else CHANGES}{server.name}")


class McpTool:
    """`breach` tells the first place where arguments break a schema, in one line, empty for none; `used` hears that the
    tool is called."""

    def __init__(self, server: Server, offered: Offered, tokens: int, breach: Breach, used: Used):
        self.server = server
        self.offered = offered
        self.spec = ToolSpec(offered.name, offered.description, offered.parameters)
        self.weight = estimate_tokens(offered.name + offered.description) + estimate_tokens(
            msgspec.json.encode(offered.parameters).decode()
        )
        """Tokens in a request, estimated."""
        self._tokens = tokens
        self._breach = breach
        self._used = used

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        if wrong := self._breach(arguments, self.offered.parameters):
            schema = msgspec.json.encode(self.offered.parameters).decode()
            raise InvalidArguments(f"{self.spec.name}: {wrong}. Its arguments, as a JSON Schema: {schema[:8_000]}")
        return (server_effect(self.server, reads=self.offered.read_only),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        self._used(self.offered)

        def progress(done: float, total: float | None, text: str) -> None:
            much = f"{done:g}/{total:g}" if total else f"{done:g}"
            context.progress(f"{self.spec.name} {much} {one_line(text, 80)}".rstrip())

        params: dict[str, Json] = {
            "name": self.offered.remote,
            "arguments": arguments,
            "_meta": {"claudecode/toolUseId": context.call},
        }
        try:
            result = await self.server.ask("tools/call", params, progress)
        except ServerError as error:
            return failed(f"{self.spec.name}: {error}", label=EXTERNAL)
        return outcome_of(result, self.spec.name, context, self._tokens)
