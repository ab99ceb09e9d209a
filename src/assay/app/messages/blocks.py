"""Parts of messages in the public shape."""

from __future__ import annotations

from collections.abc import Iterable

from assay.core.messages import Image, Json, Text, Thinking, ToolCall, Usage

Block = dict[str, Json]
STOPS = {"end": "end_turn", "calls": "tool_use", "length": "max_tokens", "refused": "refusal"}


def block(part: Text | Image | Thinking | ToolCall) -> Block:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Image(media_type, data):
            return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
        case Thinking(text, signature):
            return {"type": "thinking", "thinking": text, "signature": signature}
        case ToolCall(id, name, arguments):
            return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def blocks(parts: Iterable[Text | Image | Thinking | ToolCall]) -> list[Json]:
    return [block(part) for part in parts]


def usage_object(usage: Usage) -> dict[str, Json]:
    return {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }


def assistant(identity: str, model: str, content: list[Json], stop: str | None, usage: Usage) -> dict[str, Json]:
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage_object(usage),
    }
