"""Decide about calls in your own code: leave for one call, a refusal in your words, or the call as you want it.

    python ask_before.py

The callback is asked about everything that is more than reading and that no rule or mode covers.
"""

import asyncio
import json

from assay import Client, Options, PermissionResultAllow, PermissionResultDeny, ResultMessage, ToolPermissionContext


async def decide(tool: str, arguments: dict, context: ToolPermissionContext):
    print(f"? {tool} {json.dumps(arguments)[:60]}")
    if tool == "Write" and arguments["file_path"].endswith(".md"):
        return PermissionResultAllow()
    return PermissionResultDeny("Only Markdown files, please.")


async def main() -> None:
    async with Client(Options(can_use_tool=decide, max_turns=10)) as client:
        await client.query("Write down what mean() does.")
        async for message in client.receive_response():
            if isinstance(message, ResultMessage):
                print(message.result)
                print("refused:", [denial["tool_name"] for denial in message.permission_denials])


if __name__ == "__main__":
    asyncio.run(main())
