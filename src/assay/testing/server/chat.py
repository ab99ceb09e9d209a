"""The OpenAI Chat Completions dialect: https://platform.openai.com/docs/api-reference/chat and …/chat-streaming.

Reasoning is sent as `reasoning_content`, as DeepSeek, vLLM and llama.cpp do; OpenAI itself sends none here.
"""

from collections.abc import Iterator

from assay.testing.server.script import Usage
from assay.testing.server.seen import Parts, Record, Tool, ToolCall, ToolResult, Turn, record, records, string, text_of
from assay.testing.server.wire import Frame, Kind, Message, Problem, WireCall, encode, final_stop, pieces

_STOPS = {
    "end": "stop", "calls": "tool_calls", "length": "length",
    "refusal": "content_filter", "sequence": "stop", "pause": "stop",
}  # fmt: skip
# Type, code and parameter of an error, as the vendor names them.
ERRORS: dict[str, tuple[str, str | None, str | None]] = {
    "invalid": ("invalid_request_error", "unknown_parameter", None),
    "unauthorized": ("invalid_request_error", "invalid_api_key", None),
    "forbidden": ("invalid_request_error", "access_denied", None),
    "not_found": ("invalid_request_error", "model_not_found", "model"),
    "too_long": ("invalid_request_error", "context_length_exceeded", "messages"),
    "rate_limit": ("requests", "rate_limit_exceeded", None),
    "quota": ("insufficient_quota", "insufficient_quota", None),
    "server": ("server_error", None, None),
    "overloaded": ("server_error", "overloaded", None),
}


def openai_error(problem: Problem) -> Record:
    """`{"error": {...}}`, for both of this vendor's dialects."""
    kind, code, parameter = ERRORS[problem.kind]
    return {"error": {"message": problem.message, "type": kind, "param": parameter, "code": code}}


def _usage(usage: Usage) -> Record:
    details: Record = {"cached_tokens": usage.cache_read}
    if usage.cache_write:
        details["cache_write_tokens"] = usage.cache_write
    sent = usage.input + usage.cache_read + usage.cache_write
    return {
        "prompt_tokens": sent,
        "completion_tokens": usage.output,
        "total_tokens": sent + usage.output,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _call(call: WireCall, arguments: str) -> Record:
    kind, field = ("custom", "input") if call.freeform else ("function", "arguments")
    entry: Record = {"id": call.id, "type": kind, kind: {"name": call.name, field: arguments}}
    if not call.id:
        del entry["id"]
    return entry


class Chat:
    """`POST /v1/chat/completions`."""

    name = "openai-chat"
    call_prefix = "call"

    def system(self, body: Record) -> str:  # noqa: ARG002  # in this dialect it is a message
        """Empty: the system prompt is among the messages."""
        return ""

    def tools(self, body: Record) -> list[Tool]:
        """The function tools and custom (free-form) tools offered."""
        return [
            Tool(
                string(inner.get("name")),
                string(inner.get("description")),
                record(inner.get("parameters")),
                tool.get("type") == "custom",
            )
            for tool in records(body.get("tools"))
            if (inner := record(tool.get("function") or tool.get("custom")))
        ]

    def items(self, body: Record) -> list[Record]:
        """The messages."""
        return records(body.get("messages"))

    def turn(self, item: Record) -> Turn:
        """One message as a turn."""
        role, text = string(item.get("role")), text_of(item.get("content"))
        if role == "tool":
            return Turn("user", "", (), (ToolResult(string(item.get("tool_call_id")), text),))
        calls = tuple(
            ToolCall(
                string(call.get("id")), string(inner.get("name")), string(inner.get("arguments", inner.get("input")))
            )
            for call in records(item.get("tool_calls"))
            if (inner := record(call.get("function") or call.get("custom")))
        )
        return Turn("system" if role in ("system", "developer") else role, text, calls)

    def parts(self, body: Record) -> Parts:
        """The prompt in caching order; system messages stay where they are, among the messages."""
        return Parts(encode(body.get("tools") or []), b"", tuple(encode(message) for message in self.items(body)))

    def frames(self, message: Message) -> Iterator[Frame]:
        """The reply as a stream of chunks, with the usage chunk if `stream_options.include_usage` asks for it."""
        base: Record = {
            "id": f"chatcmpl-{message.id}",
            "object": "chat.completion.chunk",
            "created": message.created,
            "model": message.model,
        }

        def chunk(kind: Kind, delta: Record, finish: str | None = None) -> Frame:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return Frame(kind, b"data: %s\n\n" % encode({**base, "choices": [choice]}))

        yield chunk("start", {"role": "assistant", "content": None if message.calls and not message.text else ""})
        for block in message.thinking:
            for piece in pieces(block.text, message.chunk):
                yield chunk("thinking", {"reasoning_content": piece})
        for piece in pieces(message.text, message.chunk):
            yield chunk("text", {"content": piece})
        for index, call in enumerate(message.calls):
            kind, field = ("custom", "input") if call.freeform else ("function", "arguments")
            yield chunk("other", {"tool_calls": [{"index": index, **_call(call, "")}]})
            for piece in pieces(call.arguments, message.chunk):
                yield chunk("arguments", {"tool_calls": [{"index": index, kind: {field: piece}}]})
            # This wire has no end of a call: an empty frame marks the place for faults.
            yield Frame("call_end", b"")
        yield chunk("other", {}, _STOPS[final_stop(message)])
        if message.usage is not None and record(message.options.get("stream_options")).get("include_usage") is True:
            yield Frame("other", b"data: %s\n\n" % encode({**base, "choices": [], "usage": _usage(message.usage)}))
        yield Frame("end", b"data: [DONE]\n\n")

    def whole(self, message: Message) -> Record:
        """The reply as one completion object."""
        said: Record = {"role": "assistant", "content": message.text or None, "refusal": None}
        if message.thinking:
            said["reasoning_content"] = "".join(block.text for block in message.thinking)
        if message.calls:
            said["tool_calls"] = [_call(call, call.arguments) for call in message.calls]
        choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": _STOPS[final_stop(message)]}
        whole: Record = {
            "id": f"chatcmpl-{message.id}",
            "object": "chat.completion",
            "created": message.created,
            "model": message.model,
            "choices": [choice],
        }
        if message.usage is not None:
            whole["usage"] = _usage(message.usage)
        return whole

    def error(self, problem: Problem) -> Record:
        """`{"error": {...}}`."""
        return openai_error(problem)

    def error_frame(self, problem: Problem) -> Frame:
        """A data line that holds an error object instead of a chunk."""
        return Frame("other", b"data: %s\n\n" % encode(openai_error(problem)))
