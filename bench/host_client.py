"""Run by an interpreter that has the public Agent SDK: one prompt to a given command; prints, as JSON, the seconds from
the call to the first message, to the first reply, and to the end."""

import asyncio
import json
import sys
import time

from claude_agent_sdk import AssistantMessage, ClaudeAgentOptions, query


async def main() -> None:
    program, directory, environment = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    options = ClaudeAgentOptions(cli_path=program, cwd=directory, env=environment)
    began = time.perf_counter()
    seen: dict[str, float] = {}
    async for message in query(prompt="Answer at once.", options=options):
        now = time.perf_counter() - began
        seen.setdefault("first", now)
        if isinstance(message, AssistantMessage):
            seen.setdefault("reply", now)
    seen["end"] = time.perf_counter() - began
    print(json.dumps(seen))


asyncio.run(main())
