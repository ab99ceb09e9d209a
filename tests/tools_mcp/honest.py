"""A server made with the library, for tests: python honest.py [PORT]."""

import asyncio
import sys

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("honest", version="1.2", instructions="Be kind.")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
async def slow(ctx: Context) -> str:
    """Take a while."""
    for number in range(3):
        await ctx.report_progress(number, 3, "step")
        await asyncio.sleep(0.02)
    return "done"


@server.tool()
def large() -> str:
    """Say far too much."""
    return "z" * 20_000_000


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("no luck")


@server.resource("note://x")
def note() -> str:
    return "a note"


@server.prompt()
def greet(name: str) -> str:
    return f"Greet {name}"


if len(sys.argv) > 1:
    server.run("streamable-http", port=int(sys.argv[1]))
else:
    server.run()
