"""The OpenAI Responses dialect: https://platform.openai.com/docs/api-reference/responses and …/responses-streaming.

Every stream event carries `sequence_number`, and `output_index` where it belongs to an item.
"""

from collections.abc import Iterator
from itertools import count

from assay.testing.server.chat import ERRORS, openai_error
from assay.testing.server.script import Thinking, Usage
from assay.testing.server.seen import (
    Parts,
    Record,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    record,
    records,
    string,
    text_of,
)  # fmt: skip
from assay.testing.server.wire import Frame, Kind, Message, Problem, WireCall, encode, named_event, pieces

_REASONS = {"length": "max_output_tokens", "refusal": "content_filter"}
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}


def _usage(usage: Usage) -> Record:
    sent = usage.input + usage.cache_read + usage.cache_write
    details: Record = {"cached_tokens": usage.cache_read}
    if usage.cache_write:
        details["cache_write_tokens"] = usage.cache_write
    return {
        "input_tokens": sent,
        "input_tokens_details": details,
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": sent + usage.output,
    }


def _text_part(text: str) -> Record:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


class Responses:
    """`POST /v1/responses`."""

    name = "openai-responses"
    call_prefix = "call"

    def system(self, body: Record) -> str:
        """The text of `instructions`."""
        return string(body.get("instructions"))

    def tools(self, body: Record) -> list[Tool]:
        """The function tools and custom (free-form) tools offered."""
        return [
            Tool(
                string(tool.get("name")),
                string(tool.get("description")),
                record(tool.get("parameters")),
                tool.get("type") == "custom",
            )
            for tool in records(body.get("tools"))
            if tool.get("type") in ("function", "custom")
        ]

    def items(self, body: Record) -> list[Record]:
        """The input items; a string input is one message of the user."""
        given = body.get("input")
        return [{"role": "user", "content": given}] if isinstance(given, str) else records(given)

    def turn(self, item: Record) -> Turn:
        """One item as a turn; reasoning is an empty turn of the assistant."""
        kind = string(item.get("type")) or "message"
        if kind == "message":
            role = string(item.get("role"))
            return Turn("system" if role in ("system", "developer") else role, text_of(item.get("content")))
        call_id = string(item.get("call_id"))
        if kind in _CALLS:
            call = ToolCall(call_id, string(item.get("name")), string(item.get(_CALLS[kind])))
            return Turn("assistant", "", (call,))
        if kind.endswith("_output"):
            return Turn("user", "", (), (ToolResult(call_id, text_of(item.get("output"))),))
        return Turn("assistant")

    def parts(self, body: Record) -> Parts:
        """The prompt in caching order."""
        messages = tuple(encode(item) for item in self.items(body))
        return Parts(encode(body.get("tools") or []), encode(body.get("instructions") or ""), messages)

    def frames(self, message: Message) -> Iterator[Frame]:
        """The reply as a stream: created, in progress, each item with its deltas, completed (or incomplete)."""
        numbers = count()

        def event(name: str, data: Record, kind: Kind = "other") -> Frame:
            return named_event(kind, {"type": name, **data, "sequence_number": next(numbers)})

        opened: Record = {**self.whole(message), "status": "in_progress", "output": [], "usage": None}
        opened["incomplete_details"] = None
        yield event("response.created", {"response": opened}, "start")
        yield event("response.in_progress", {"response": opened}, "start")
        for index, item in enumerate(self._items(message)):
            where: Record = {"item_id": item["id"], "output_index": index}
            yield event("response.output_item.added", {"output_index": index, "item": _empty(item)})
            parts: Iterator[tuple[str, Record, Kind]]
            if item["type"] == "reasoning":
                parts = _reasoning_events(item, message.chunk)
            elif item["type"] == "message":
                parts = _text_events(message.text, message.chunk)
            else:
                parts = _call_events(item, message.chunk)
            for name, data, kind in parts:
                yield event(name, {**where, **data}, kind)
            last: Kind = "call_end" if item["type"] in _CALLS else "other"
            yield event("response.output_item.done", {"output_index": index, "item": item}, last)
        whole = self.whole(message)
        yield event(f"response.{whole['status']}", {"response": whole}, "end")

    def _items(self, message: Message) -> list[Record]:
        """The finished output items: reasoning, text, calls."""
        asked = message.options.get("include")
        encrypted = isinstance(asked, list) and "reasoning.encrypted_content" in asked
        status = "incomplete" if message.stop in _REASONS else "completed"
        items = [
            _reasoning_item(f"rs_{message.id}_{index}", block, encrypted)
            for index, block in enumerate(message.thinking)
        ]
        if message.text:
            content = [_text_part(message.text)]
            items.append(
                {
                    "id": f"msg_{message.id}",
                    "type": "message",
                    "status": status,
                    "role": "assistant",
                    "content": content,
                }
            )
        for index, call in enumerate(message.calls):
            items.append(_call_item(f"{message.id}_{index}", call))
        return items

    def whole(self, message: Message) -> Record:
        """The reply as one response object."""
        reason = _REASONS.get(message.stop)
        return {
            "id": f"resp_{message.id}",
            "object": "response",
            "created_at": message.created,
            "status": "incomplete" if reason else "completed",
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "instructions": None,
            "model": message.model,
            "output": self._items(message),
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "tool_choice": "auto",
            "tools": [],
            "metadata": {},
            "usage": None if message.usage is None else _usage(message.usage),
        }

    def error(self, problem: Problem) -> Record:
        """`{"error": {...}}`."""
        return openai_error(problem)

    def error_frame(self, problem: Problem) -> Frame:
        """A `response.failed` event; its code is the vendor's, or `server_error` where it has none."""
        code = ERRORS[problem.kind][1] or "server_error"
        response: Record = {
            "id": f"resp_{problem.id}",
            "object": "response",
            "created_at": 0,
            "status": "failed",
            "error": {"code": code, "message": problem.message},
            "incomplete_details": None,
            "model": "",
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": None,
        }
        return named_event("other", {"type": "response.failed", "response": response, "sequence_number": 1_000_000})


def _reasoning_item(identity: str, block: Thinking, encrypted: bool) -> Record:
    summary = [{"type": "summary_text", "text": block.text}] if block.text else []
    item: Record = {"id": identity, "type": "reasoning", "summary": summary}
    if encrypted:
        item["encrypted_content"] = block.redacted or block.encrypted
    return item


def _call_item(identity: str, call: WireCall) -> Record:
    kind = "custom_tool_call" if call.freeform else "function_call"
    item: Record = {
        "id": f"{'ctc' if call.freeform else 'fc'}_{identity}",
        "type": kind,
        "status": "completed",
        "call_id": call.id,
        "name": call.name,
        _CALLS[kind]: call.arguments,
    }
    if not call.id:
        del item["call_id"]
    return item


def _empty(item: Record) -> Record:
    """The item as it is announced, before its content."""
    blank: Record = {"summary": [], "content": [], "arguments": "", "input": "", "status": "in_progress"}
    return {key: blank.get(key, value) for key, value in item.items()}


def _reasoning_events(item: Record, chunk: int) -> Iterator[tuple[str, Record, Kind]]:
    for index, part in enumerate(records(item["summary"])):
        text = string(part["text"])
        place: Record = {"summary_index": index}
        added = {**place, "part": {"type": "summary_text", "text": ""}}
        yield "response.reasoning_summary_part.added", added, "other"
        for piece in pieces(text, chunk):
            yield "response.reasoning_summary_text.delta", {**place, "delta": piece}, "thinking"
        yield "response.reasoning_summary_text.done", {**place, "text": text}, "other"
        yield "response.reasoning_summary_part.done", {**place, "part": part}, "other"


def _text_events(text: str, chunk: int) -> Iterator[tuple[str, Record, Kind]]:
    place: Record = {"content_index": 0}
    yield "response.content_part.added", {**place, "part": _text_part("")}, "other"
    for piece in pieces(text, chunk):
        yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}, "text"
    yield "response.output_text.done", {**place, "text": text, "logprobs": []}, "other"
    yield "response.content_part.done", {**place, "part": _text_part(text)}, "other"


def _call_events(item: Record, chunk: int) -> Iterator[tuple[str, Record, Kind]]:
    field = _CALLS[string(item["type"])]
    stem = "response.function_call_arguments" if field == "arguments" else "response.custom_tool_call_input"
    text = string(item[field])
    for piece in pieces(text, chunk):
        yield f"{stem}.delta", {"delta": piece}, "arguments"
    done: Record = {field: text}
    if field == "arguments":
        done["name"] = item["name"]
    yield f"{stem}.done", done, "other"
