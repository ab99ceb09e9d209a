"""OpenAI Chat Completions, the server's side: https://platform.openai.com/docs/api-reference/chat."""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.messages import (
    AssistantMessage,
    Image,
    Json,
    Message,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    UserMessage,
)
from assay.core.model import CallDelta, ModelEvent, ModelRequest, TextDelta, ThinkingDelta, ToolSpec
from assay.models.dialects.values import rows, table, word
from assay.surfaces.gateway.shape import (
    Asked,
    Problem,
    Refused,
    Reply,
    Table,
    arguments_json,
    call_of,
    decimal,
    effort_of,
    event,
    image_of,
    items_of,
    model_name,
    no_forced_tool,
    rest_of,
    said,
    stops,
    texts,
    whole_number,
)

STOPS = {"end": "stop", "calls": "tool_calls", "length": "length", "refused": "content_filter"}
_KINDS = {"api_error": "server_error", "overloaded_error": "server_error", "timeout_error": "server_error"}
_SYSTEM = ("system", "developer")


class Chat:
    dialect = "openai-chat"

    def read(self, body: Table) -> Asked:
        items = items_of(body, "messages")
        leading = next((at for at, item in enumerate(items) if item.get("role") not in _SYSTEM), len(items))
        if (whole_number(body, "n") or 1) > 1:
            raise Refused("n: one reply at a time")
        seed = body.get("seed")
        wanted = table(table(body.get("response_format")).get("json_schema"))
        tools = tuple(_tool(inner) for tool in rows(body.get("tools")) if (inner := table(table(tool).get("function"))))
        request = ModelRequest(
            "\n\n".join(filter(None, (texts(item.get("content")) for item in items[:leading]))),
            tools if no_forced_tool(body) else (),
            [_message(item) for item in items[leading:]],
            session=word(body.get("prompt_cache_key"))[:64],
            max_output=whole_number(body, "max_completion_tokens", "max_tokens"),
            reasoning=effort_of(body.get("reasoning_effort")),
            temperature=decimal(body, "temperature"),
            seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
            stop=stops(body.get("stop")),
            schema=table(wanted.get("schema")) or None,
        )
        usage = table(body.get("stream_options")).get("include_usage") is True
        return Asked(model_name(body), request, body.get("stream") is True, usage)

    def writer(self, reply: Reply) -> ChatWriter:
        return ChatWriter(reply)

    def whole(self, message: AssistantMessage, reply: Reply) -> Table:
        spoken: Table = {"role": "assistant", "content": message.text or None, "refusal": None}
        if thought := "".join(part.text for part in message.parts if isinstance(part, Thinking)):
            spoken["reasoning_content"] = thought
        if message.calls:
            spoken["tool_calls"] = [_call(call) for call in message.calls]
        choice: Json = {
            "index": 0,
            "message": spoken,
            "logprobs": None,
            "finish_reason": STOPS.get(message.stop, "stop"),
        }
        head = _head(reply, "chat.completion")
        return {**head, "choices": [choice], "usage": usage_of(message.usage)}

    def error(self, problem: Problem) -> Table:
        return openai_error(problem)


class ChatWriter:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._text = ""
        self._calls: dict[str, bool] = {}
        """Begun calls, in their order: whether any of their arguments were written."""

    def start(self) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": ""})

    def piece(self, event_: ModelEvent, /) -> Iterator[bytes]:
        match event_:
            case TextDelta(text) if text:
                self._text += text
                yield self._chunk({"content": text})
            case ThinkingDelta(text) if text:
                yield self._chunk({"reasoning_content": text})
            case CallDelta(id, name, arguments):
                if id not in self._calls:
                    self._calls[id] = False
                    function: Table = {"name": name, "arguments": ""}
                    yield self._on_call(id, {"id": id, "type": "function", "function": function})
                if arguments:
                    self._calls[id] = True
                    yield self._on_call(id, {"function": {"arguments": arguments}})
            case _:
                pass

    def finish(self, message: AssistantMessage) -> Iterator[bytes]:
        yield from self.piece(TextDelta(rest_of(message.text, self._text)))
        for call in message.calls:
            if not self._calls.get(call.id):
                yield from self.piece(CallDelta(call.id, call.name, arguments_json(call)))
        yield self._chunk({}, STOPS.get(message.stop, "stop"))
        if self._reply.include_usage:
            head = _head(self._reply, "chat.completion.chunk")
            yield event({**head, "choices": [], "usage": usage_of(message.usage)}, named=False)
        yield b"data: [DONE]\n\n"

    def fail(self, problem: Problem) -> Iterator[bytes]:
        yield event(openai_error(problem), named=False)

    def _on_call(self, identity: str, fields: Table) -> bytes:
        return self._chunk({"tool_calls": [{"index": [*self._calls].index(identity), **fields}]})

    def _chunk(self, delta: Table, finish: str | None = None) -> bytes:
        choice: Json = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**_head(self._reply, "chat.completion.chunk"), "choices": [choice]}, named=False)


def openai_error(problem: Problem) -> Table:
    kind = _KINDS.get(problem.kind, problem.kind)
    code = "model_not_found" if problem.kind == "not_found_error" else None
    return {"error": {"message": problem.message, "type": kind, "param": None, "code": code}}


def usage_of(usage: Usage) -> Table:
    return {
        "prompt_tokens": usage.sent,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _head(reply: Reply, kind: str) -> Table:
    return {"id": f"chatcmpl-{reply.id}", "object": kind, "created": reply.created, "model": reply.model}


def _call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments_json(call)}}


def _tool(function: Table) -> ToolSpec:
    schema = table(function.get("parameters")) or {"type": "object", "properties": {}}
    return ToolSpec(word(function.get("name")), word(function.get("description")), schema)


def _message(item: Table) -> Message:
    content = item.get("content")
    match item.get("role"):
        case "assistant":
            made = [(each.get("id"), table(each.get("function"))) for each in map(table, rows(item.get("tool_calls")))]
            calls = tuple(call_of(identity, each.get("name"), each.get("arguments")) for identity, each in made)
            return AssistantMessage((*said(texts(content)), *calls), "calls" if calls else "end")
        case "tool":
            return UserMessage((ToolResult(word(item.get("tool_call_id")), said(texts(content))),))
        case "user" | "system" | "developer":
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else rows(content)
            return UserMessage(tuple(_part(table(part)) for part in parts))
        case role:
            raise Refused(f"messages: role is system, user, assistant or tool; got {role!r}")


def _part(part: Table) -> Text | Image:
    match part.get("type"):
        case "text":
            return Text(word(part.get("text")))
        case "image_url":
            return image_of(table(part.get("image_url")).get("url"))
        case kind:
            raise Refused(f"content: parts of type {kind!r} can't be handed on by this gateway")
