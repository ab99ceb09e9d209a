"""A server of MCP within the program: several tools under one name, switched on and off together.

    python in_process_server.py

The tools are declared as in the field's own client: a name, a description, a schema, and a function of one dict. There
is no socket and no child process; the tools see the program's own state.
"""

import asyncio

from assay import Client, Options, ResultMessage, ToolAnnotations, create_sdk_mcp_server, tool

NOTES: list[str] = []


@tool("add", "Add a note.", {"text": str})
async def add(args):
    NOTES.append(args["text"])
    return {"content": [{"type": "text", "text": f"{len(NOTES)} notes"}]}


@tool("search", "Search the notes.", {"word": str}, annotations=ToolAnnotations(readOnlyHint=True))
async def search(args):
    found = [note for note in NOTES if args["word"] in note]
    if not found:
        return {"content": [{"type": "text", "text": "no such note"}], "is_error": True}
    return {"content": [{"type": "text", "text": "\n".join(found)}]}


async def main() -> None:
    server = create_sdk_mcp_server("notes", "1.0.0", [add, search])
    options = Options(mcp_servers={"notes": server}, allowed_tools=["mcp__notes__add"], max_turns=10)
    async with Client(options) as client:
        await client.query("Note that the deadline is Monday, then find it again.")
        async for message in client.receive_response():
            if isinstance(message, ResultMessage):
                print(message.result)
        status = await client.get_mcp_status()
        print([(each["name"], each["status"]) for each in status["mcpServers"]])
    print(NOTES)


if __name__ == "__main__":
    asyncio.run(main())
