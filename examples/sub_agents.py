"""Kinds of sub-agents, defined in the program: each has its own words, tools, limits and log.

    python sub_agents.py

A sub-agent's budget comes out of its parent's, and its messages carry the id of the call that sent it out.
"""

import asyncio

from assay import AgentDefinition, AssistantMessage, Options, ResultMessage, query

AGENTS = {
    "reader": AgentDefinition(
        description="Reads code and tells what it does. Use it before you judge anything.",
        prompt="Read what you are asked about and tell in two sentences what it does.",
        tools=["Read", "Grep", "Glob"],
        maxTurns=5,
    )
}


async def main() -> None:
    options = Options(agents=AGENTS, max_turns=10, max_tokens_total=200_000)
    async for message in query(prompt="Have the reader look at calc.py, then tell me about it.", options=options):
        if isinstance(message, AssistantMessage) and message.text:
            print("reader:" if message.parent_tool_use_id else "main:", message.text)
        if isinstance(message, ResultMessage):
            print(message.outcome)


if __name__ == "__main__":
    asyncio.run(main())
