"""The Anthropic Messages dialect: https://platform.claude.com/docs/en/api/messages and …/streaming."""

from collections.abc import Iterator
from typing import cast

import msgspec

from assay.testing.server.script import Thinking, Usage
from assay.testing.server.seen import Parts, Record, Tool, ToolCall, ToolResult, Turn, record, records, string, text_of
from assay.testing.server.wire import Frame, Kind, Message, Problem, WireCall, encode, final_stop, named_event, pieces

_STOPS = {
    "end": "end_turn", "calls": "tool_use", "length": "max_tokens",
    "refusal": "refusal", "sequence": "stop_sequence", "pause": "pause_turn",
}  # fmt: skip
_ERRORS = {
    "invalid": "invalid_request_error", "unauthorized": "authentication_error", "forbidden": "permission_error",
    "not_found": "not_found_error", "too_long": "invalid_request_error", "rate_limit": "rate_limit_error",
    "quota": "billing_error", "server": "api_error", "overloaded": "overloaded_error",
}  # fmt: skip


def _usage(usage: Usage, output: int) -> Record:
    return {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def _thinking_block(block: Thinking) -> Record:
    if block.redacted is not None:
        return {"type": "redacted_thinking", "data": block.redacted}
    return {"type": "thinking", "thinking": block.text, "signature": block.signature}


def _call_block(call: WireCall, content: object) -> Record:
    block: Record = {"type": "tool_use", "id": call.id, "name": call.name, "input": content}
    if not call.id:
        del block["id"]
    return block


def _unmarked(value: object) -> object:
    """The value without cache markers, which move from request to request and are no part of the prompt."""
    if isinstance(value, dict):
        return {key: _unmarked(part) for key, part in cast(Record, value).items() if key != "cache_control"}
    return [_unmarked(part) for part in cast("list[object]", value)] if isinstance(value, list) else value


def _logical(message: Record) -> Record:
    """A message with string content as the one text block that it stands for, and without cache markers."""
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    return {**message, "content": _unmarked(content)}


class Anthropic:
    """`POST /v1/messages`."""

    name = "anthropic"
    call_prefix = "toolu"

    def system(self, body: Record) -> str:
        """The text of `system`."""
        return text_of(body.get("system"))

    def tools(self, body: Record) -> list[Tool]:
        """The tools offered; a tool of the server's own (web search) has an empty schema."""
        return [
            Tool(string(tool.get("name")), string(tool.get("description")), record(tool.get("input_schema")))
            for tool in records(body.get("tools"))
        ]

    def items(self, body: Record) -> list[Record]:
        """The messages."""
        return records(body.get("messages"))

    def turn(self, item: Record) -> Turn:
        """One message as a turn."""
        content = item.get("content")
        blocks = records(content)
        calls = tuple(
            ToolCall(string(block.get("id")), string(block.get("name")), encode(block.get("input")).decode())
            for block in blocks
            if block.get("type") == "tool_use"
        )
        results = tuple(
            ToolResult(string(block.get("tool_use_id")), text_of(block.get("content")), block.get("is_error") is True)
            for block in blocks
            if block.get("type") == "tool_result"
        )
        return Turn(string(item.get("role")), text_of(content), calls, results)

    def parts(self, body: Record) -> Parts:
        """The prompt in caching order."""
        system = body.get("system", "")
        if isinstance(system, str):
            system = [{"type": "text", "text": system}] if system else []
        messages = tuple(encode(_logical(message)) for message in self.items(body))
        return Parts(encode(_unmarked(body.get("tools") or [])), encode(_unmarked(system)), messages)

    def frames(self, message: Message) -> Iterator[Frame]:
        """The reply as a stream: start, blocks (thinking, text, calls), delta with stop reason and usage, stop."""
        head: Record = {**self.whole(message), "content": [], "stop_reason": None}
        if message.usage is not None:
            head["usage"] = _usage(message.usage, min(1, message.usage.output))
        yield named_event("start", {"type": "message_start", "message": head})
        yield named_event("start", {"type": "ping"})
        index = -1
        for index, block in enumerate(message.thinking):
            yield from self._thinking_frames(index, block, message.chunk)
        if message.text:
            index += 1
            yield self._open(index, {"type": "text", "text": ""})
            for piece in pieces(message.text, message.chunk):
                yield self._delta("text", index, {"type": "text_delta", "text": piece})
            yield named_event("other", {"type": "content_block_stop", "index": index})
        for call in message.calls:
            index += 1
            yield self._open(index, _call_block(call, {}))
            yield self._delta("other", index, {"type": "input_json_delta", "partial_json": ""})
            for piece in pieces(call.arguments, message.chunk):
                yield self._delta("arguments", index, {"type": "input_json_delta", "partial_json": piece})
            yield named_event("call_end", {"type": "content_block_stop", "index": index})
        tail: Record = {
            "type": "message_delta",
            "delta": {"stop_reason": _STOPS[final_stop(message)], "stop_sequence": None},
        }
        if message.usage is not None:
            tail["usage"] = _usage(message.usage, message.usage.output)
        yield named_event("other", tail)
        yield named_event("end", {"type": "message_stop"})

    def _thinking_frames(self, index: int, block: Thinking, chunk: int) -> Iterator[Frame]:
        if block.redacted is not None:
            yield self._open(index, _thinking_block(block))
        else:
            yield self._open(index, {"type": "thinking", "thinking": "", "signature": ""})
            for piece in pieces(block.text, chunk):
                yield self._delta("thinking", index, {"type": "thinking_delta", "thinking": piece})
            yield self._delta("thinking", index, {"type": "signature_delta", "signature": block.signature})
        yield named_event("other", {"type": "content_block_stop", "index": index})

    def _open(self, index: int, block: Record) -> Frame:
        return named_event("other", {"type": "content_block_start", "index": index, "content_block": block})

    def _delta(self, kind: Kind, index: int, delta: Record) -> Frame:
        data = encode({"type": "content_block_delta", "index": index, "delta": delta})
        return Frame(kind, b"event: content_block_delta\ndata: %s\n\n" % data)

    def whole(self, message: Message) -> Record:
        """The reply as one message object."""
        content = [_thinking_block(block) for block in message.thinking]
        if message.text:
            content.append({"type": "text", "text": message.text})
        content += [_call_block(call, _parsed(call.arguments)) for call in message.calls]
        whole: Record = {
            "id": f"msg_{message.id}",
            "type": "message",
            "role": "assistant",
            "model": message.model,
            "content": content,
            "stop_reason": _STOPS[final_stop(message)],
            "stop_sequence": None,
        }
        if message.usage is not None:
            whole["usage"] = _usage(message.usage, message.usage.output)
        return whole

    def error(self, problem: Problem) -> Record:
        """`{"type": "error", "error": {...}}`."""
        error = {"type": _ERRORS[problem.kind], "message": problem.message}
        return {"type": "error", "error": error, "request_id": f"req_{problem.id}"}

    def error_frame(self, problem: Problem) -> Frame:
        """An `error` event."""
        return named_event("other", self.error(problem))


def _parsed(arguments: str) -> object:
    """Arguments as the object that a whole message carries; text that isn't JSON stays text."""
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments
