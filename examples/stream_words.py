"""Show words as they are written, and what the harness is doing, with a way to stop it.

    python stream_words.py "What is here?"

`include_partial_messages` brings the pieces of a reply, `events` the records of the session's log as they are written.
"""

import asyncio
import sys

from assay import Client, EventMessage, Options, ResultMessage, StreamEvent
from assay.core.events import CallDecided, CheckFinished


def shown(message) -> str:
    match message:
        case StreamEvent(event={"delta": {"type": "text_delta", "text": text}}):
            return text
        case EventMessage(event=CallDecided(tool=tool, decision=decision)):
            return f"\n[{tool}: {decision.verdict}]\n"
        case EventMessage(event=CheckFinished(run=run)):
            return f"\n[check {run.check}: {'pass' if run.passed else 'fail'}]\n"
        case ResultMessage(outcome=outcome, num_turns=steps):
            return f"\n{outcome} after {steps} steps\n"
        case _:
            return ""


async def main(prompt: str = "What is here?", patience: float = 600.0) -> None:
    async with Client(Options(include_partial_messages=True, events=True)) as client:
        await client.query(prompt)
        alarm = asyncio.get_running_loop().call_later(patience, lambda: asyncio.ensure_future(client.interrupt()))
        async for message in client.receive_response():
            sys.stdout.write(shown(message))
            sys.stdout.flush()
        alarm.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
