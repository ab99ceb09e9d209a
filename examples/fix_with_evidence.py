"""Have a failing test fixed, and believe the evidence instead of the model.

    python fix_with_evidence.py "The test of mean() fails: fix it" "python3 -m unittest"

The second argument is a check: a shell line that must pass at the end. The harness runs it itself, in a clean copy, on
the files before and after. Exit 0 when the result is verified.
"""

import asyncio
import sys

from assay import AssistantMessage, Options, ResultMessage, query


async def main(prompt: str, check: str) -> int:
    options = Options(checks=[check], max_turns=40, max_seconds=900)
    async for message in query(prompt=prompt, options=options):
        if isinstance(message, AssistantMessage) and message.text:
            print(f"- {message.text}")
        if isinstance(message, ResultMessage):
            print(f"{message.outcome}: {message.why}")
            for row in message.evidence:
                print(f"  {row['class']}  {row['before']} -> {row['after']}  {row['command']}")
            print(f"receipt: {message.receipt}")
            return 0 if message.verified else 1
    return 2


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
