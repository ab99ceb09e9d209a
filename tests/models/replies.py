"""The same reply as each provider streams it: thinking, text, two calls, usage. In the bytes that servers send."""

from __future__ import annotations

import json

from assay.core.messages import AssistantMessage
from assay.core.model import Profile
from assay.models.client import dialect_for
from assay.models.dialects.base import Decoder
from assay.models.sse import SseReader


def event(value: object, name: str = "") -> bytes:
    data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()


def anthropic(blocks: list[tuple[dict, list[dict]]], stop: str = "end_turn", usage: dict | None = None) -> bytes:
    usage = {"input_tokens": 30, "cache_read_input_tokens": 500, "output_tokens": 1} if usage is None else usage
    events: list[dict] = [{"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "usage": usage}}]
    for index, (start, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
        events.append({"type": "ping"})
    final = {"output_tokens": 40} if usage else {}
    events.append({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": final})
    events.append({"type": "message_stop"})
    return b"".join(event(item, item["type"]) for item in events)


def chat(deltas: list[dict], stop: str = "stop", usage: dict | None = None) -> bytes:
    usage = (
        {"prompt_tokens": 530, "completion_tokens": 40, "prompt_tokens_details": {"cached_tokens": 500}}
        if usage is None
        else usage
    )
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": stop}]})
    chunks.append({"id": "c", "choices": [], "usage": usage})
    return b": keep-alive\n\n" + b"".join(map(event, chunks)) + event("[DONE]")


def responses(items: list[dict], end: str = "response.completed", **more: object) -> bytes:
    events: list[dict] = [{"type": "response.created", "response": {"id": "resp_1"}}]
    for index, item in enumerate(items):
        place = {"output_index": index, "item_id": item.get("id", "")}
        events.append({"type": "response.output_item.added", "output_index": index, "item": opened(item)})
        for kind, delta in pieces(item):
            events.append({"type": kind, "delta": delta} | place)
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    usage = {"input_tokens": 530, "input_tokens_details": {"cached_tokens": 500}, "output_tokens": 40}
    events.append({"type": end, "response": {"id": "resp_1", "usage": usage} | more})
    return b"".join(event(item, item["type"]) for item in events)


def opened(item: dict) -> dict:
    return {key: value for key, value in item.items() if key in ("type", "id", "call_id", "name")}


def pieces(item: dict) -> list[tuple[str, str]]:
    if item["type"] == "function_call":
        text = item["arguments"]
        return [
            ("response.function_call_arguments.delta", text[:4]),
            ("response.function_call_arguments.delta", text[4:]),
        ]
    if item["type"] == "message":
        return [("response.output_text.delta", part["text"]) for part in item["content"]]
    return [("response.reasoning_summary_text.delta", part["text"]) for part in item["summary"]]


def message(text: str) -> dict:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "m_1", "role": "assistant", "status": "completed", "content": content}


def function_call(call: str, name: str, arguments: str) -> dict:
    return {"type": "function_call", "id": f"fc_{call}", "call_id": call, "name": name, "arguments": arguments}


WHOLE = {
    "anthropic": anthropic(
        [
            (
                {"type": "thinking", "thinking": "", "signature": ""},
                [
                    {"type": "thinking_delta", "thinking": "Naïve "},
                    {"type": "thinking_delta", "thinking": "idea."},
                    {"type": "signature_delta", "signature": "c2ln"},
                ],
            ),
            (
                {"type": "text", "text": ""},
                [{"type": "text_delta", "text": "I lo"}, {"type": "text_delta", "text": "ok → 🔎."}],
            ),
            (
                {"type": "tool_use", "id": "call_a", "name": "read", "input": {}},
                [
                    {"type": "input_json_delta", "partial_json": '{"path": '},
                    {"type": "input_json_delta", "partial_json": '"ä.py"}'},
                ],
            ),
            (
                {"type": "tool_use", "id": "call_b", "name": "shell", "input": {}},
                [{"type": "input_json_delta", "partial_json": ""}],
            ),
        ],
        "tool_use",
    ),
    "openai-chat": chat(
        [
            {"role": "assistant", "content": None, "reasoning_content": "Naïve "},
            {"reasoning_content": "idea."},
            {"content": "I lo"},
            {"content": "ok → 🔎."},
            {"tool_calls": [{"index": 0, "id": "call_a", "type": "function", "function": {"name": "read"}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"path": '}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '"ä.py"}'}}]},
            {"tool_calls": [{"index": 1, "id": "call_b", "function": {"name": "shell", "arguments": ""}}]},
        ],
        "tool_calls",
    ),
    "openai-responses": responses(
        [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Naïve idea."}],
                "encrypted_content": "b3Bh",
            },
            message("I look → 🔎."),
            function_call("call_a", "read", '{"path": "ä.py"}'),
            function_call("call_b", "shell", ""),
        ]
    ),
}
TEXT = {
    "anthropic": anthropic([({"type": "text", "text": ""}, [{"type": "text_delta", "text": "Done."}])]),
    "openai-chat": chat([{"content": "Done."}]),
    "openai-responses": responses([message("Done.")]),
}


def decoder(dialect: str, taken: set[str] | None = None) -> Decoder:
    return dialect_for(dialect).decoder(Profile(f"x/{dialect}", "m", dialect), taken or set())


def decode(dialect: str, *chunks: bytes, taken: set[str] | None = None) -> tuple[AssistantMessage, list]:
    """What the dialect makes of the bytes; asserts that the reply has its end marker."""
    found = decoder(dialect, taken)
    reader = SseReader()
    events = [delta for chunk in chunks for name, data in reader.feed(chunk) for delta in found.feed(name, data)]
    assert found.complete
    return found.message(), events
