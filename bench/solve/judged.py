"""`python -m bench.solve.judged POOL.jsonl OUT.jsonl --url URL`: ask a comparator about stored pools, once.

Only tasks with a right and a wrong green candidate are asked about. What the model replied is stored in the pool, so
that `bench.solve.replay` can play it again at no cost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import msgspec

from assay.core.messages import AssistantMessage, Text, Usage
from assay.core.model import ModelRequest
from bench.solve.replay import Ask, Task, chosen_by, contested, green_only, key_of, read

ANSWER_SECONDS = 300


def asker(url: str, key: str, replies: dict[str, str]) -> Ask:
    """A port to an endpoint with the chat completions interface. What it says is kept in `replies`."""

    def call(request: ModelRequest) -> AssistantMessage:
        text = "".join(part.text for part in request.messages[-1].parts if isinstance(part, Text))
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": request.max_output, "temperature": 0}
        sent = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode())
        sent.add_header("content-type", "application/json")
        sent.add_header("authorization", f"Bearer {key}")
        with urllib.request.urlopen(sent, timeout=ANSWER_SECONDS) as response:
            found = json.load(response)
        reply = found["choices"][0]["message"]["content"] or ""
        replies[key_of(request)] = reply
        used = found.get("usage", {})
        usage = Usage(input=used.get("prompt_tokens", 0), output=used.get("completion_tokens", 0))
        return AssistantMessage((Text(reply),), "end", usage=usage)

    async def ask(request: ModelRequest) -> AssistantMessage:
        return await asyncio.to_thread(call, request)

    return ask


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.solve.judged", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--url", required=True, help="of an endpoint with the chat completions interface")
    parser.add_argument("--key", default="none")
    parser.add_argument("--seconds", type=float, default=600.0, help="begin no task after so long (600)")
    parser.add_argument("--reasoned", action="store_true", help="ask for a reason before the letter")
    asked = parser.parse_args(arguments)
    begun, tokens, questions, done = time.monotonic(), 0, 0, 0
    found: list[Task] = []
    for task in read([asked.pool]):
        if contested(green_only(task)) and time.monotonic() - begun < asked.seconds:
            replies = dict(task.replies)
            chosen = asyncio.run(chosen_by(task, asker(asked.url, asked.key, replies), not asked.reasoned))
            task = msgspec.structs.replace(task, replies=replies)
            tokens, questions, done = tokens + chosen.usage.total, questions + chosen.asked, done + 1
            right = next(one.correct for one in task.candidates if one.number == chosen.number)
            print(task.task, "right" if right else "wrong", chosen.asked, "questions;", chosen.why, flush=True)
        found.append(task)
    asked.out.write_bytes(b"".join(msgspec.json.encode(task) + b"\n" for task in found))
    print(f"{done} tasks, {questions} questions, {tokens} tokens, {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
