"""Anthropic Messages, the server's side: https://docs.anthropic.com/en/api/messages, version 2023-06-01."""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.messages import (
    AssistantMessage,
    AssistantPart,
    Image,
    Json,
    Message,
    Native,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    UserMessage,
    UserPart,
)
from assay.core.model import CallDelta, ModelEvent, ModelRequest, Reasoning, TextDelta, ThinkingDelta, ToolSpec
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
    items_of,
    model_name,
    no_forced_tool,
    rest_of,
    stops,
    texts,
    whole_number,
)

STOPS = {"end": "end_turn", "calls": "tool_use", "length": "max_tokens", "refused": "refusal"}


class Anthropic:
    dialect = "anthropic"

    def read(self, body: Table) -> Asked:
        system = body.get("system")
        tools = tuple(_tool(table(tool)) for tool in rows(body.get("tools")) if "input_schema" in table(tool))
        output = table(body.get("output_config"))
        wanted = table(output.get("format") or body.get("output_format"))
        request = ModelRequest(
            system if isinstance(system, str) else "\n\n".join(filter(None, (texts([part]) for part in rows(system)))),
            tools if no_forced_tool(body) else (),
            [_message(item) for item in items_of(body, "messages")],
            session=word(table(body.get("metadata")).get("user_id"))[:64],
            max_output=whole_number(body, "max_tokens"),
            reasoning=_reasoning(table(body.get("thinking")), output.get("effort")),
            temperature=decimal(body, "temperature"),
            stop=stops(body.get("stop_sequences")),
            schema=table(wanted.get("schema")) or None,
        )
        return Asked(model_name(body), request, body.get("stream") is True)

    def writer(self, reply: Reply) -> AnthropicWriter:
        return AnthropicWriter(reply)

    def whole(self, message: AssistantMessage, reply: Reply) -> Table:
        return _whole(reply, [_block(part) for part in message.parts], STOPS.get(message.stop), message.usage)

    def error(self, problem: Problem) -> Table:
        return {"type": "error", "error": {"type": problem.kind, "message": problem.message}}


class AnthropicWriter:
    """Blocks come one after the other here. So text and thinking are handed on as they are written, and so is the first
    call; what comes beside or behind it is written by `finish`."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._index = -1
        self._open = ""
        """The kind of the open block: text, thinking or call."""
        self._text = ""
        self._call: CallDelta | None = None
        self._arguments = False

    def start(self) -> Iterator[bytes]:
        yield event({"type": "message_start", "message": _whole(self._reply, [], None, Usage())})

    def piece(self, event_: ModelEvent, /) -> Iterator[bytes]:
        match event_:
            case TextDelta(text) if not self._call and text:
                yield from self._begin("text", {"type": "text", "text": ""})
                self._text += text
                yield self._delta({"type": "text_delta", "text": text})
            case ThinkingDelta(text) if not self._call and text:
                yield from self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                yield self._delta({"type": "thinking_delta", "thinking": text})
            case CallDelta(id, name, arguments) if not self._call or self._call.id == id:
                if not self._call:
                    self._call = event_
                    yield from self._begin("call", {"type": "tool_use", "id": id, "name": name, "input": {}})
                if arguments:
                    self._arguments = True
                    yield self._delta({"type": "input_json_delta", "partial_json": arguments})
            case _:
                pass

    def finish(self, message: AssistantMessage) -> Iterator[bytes]:
        first = next((call for call in message.calls if self._call and call.id == self._call.id), None)
        if first and not self._arguments:
            yield self._delta({"type": "input_json_delta", "partial_json": arguments_json(first)})
        if self._index < 0:
            for part in message.parts:
                yield from self._complete(part)
        else:
            yield from self._complete(Text(rest_of(message.text, self._text)))
            for call in message.calls:
                if call is not first:
                    yield from self._complete(call)
        yield from self._close()
        stop = {"stop_reason": STOPS.get(message.stop), "stop_sequence": None}
        yield event({"type": "message_delta", "delta": stop, "usage": _usage(message.usage)})
        yield event({"type": "message_stop"})

    def fail(self, problem: Problem) -> Iterator[bytes]:
        yield event(Anthropic().error(problem))

    def _complete(self, part: AssistantPart) -> Iterator[bytes]:
        """A block that no piece has begun."""
        self._call = None
        match part:
            case Text(text) if text:
                yield from self._close()
                yield from self.piece(TextDelta(text))
            case Thinking(text, signature):
                yield from self.piece(ThinkingDelta(text))
                yield self._delta({"type": "signature_delta", "signature": signature})
            case ToolCall(id, name):
                yield from self._close()
                yield from self.piece(CallDelta(id, name, arguments_json(part)))
            case _:
                pass

    def _begin(self, kind: str, block: Table) -> Iterator[bytes]:
        if self._open == kind:
            return
        yield from self._close()
        self._open = kind
        self._index += 1
        yield event({"type": "content_block_start", "index": self._index, "content_block": block})

    def _close(self) -> Iterator[bytes]:
        if self._open:
            self._open = ""
            yield event({"type": "content_block_stop", "index": self._index})

    def _delta(self, delta: Table) -> bytes:
        return event({"type": "content_block_delta", "index": self._index, "delta": delta})


def _whole(reply: Reply, content: list[Json], stop: str | None, usage: Usage) -> Table:
    return {
        "id": f"msg_{reply.id}",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": _usage(usage),
    }


def _usage(usage: Usage) -> Table:
    return {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }


def _block(part: AssistantPart) -> Table:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Thinking(text, signature):
            return {"type": "thinking", "thinking": text, "signature": signature}
        case ToolCall(id, name, arguments):
            return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def _tool(tool: Table) -> ToolSpec:
    return ToolSpec(word(tool.get("name")), word(tool.get("description")), table(tool.get("input_schema")))


def _reasoning(thinking: Table, effort: Json) -> Reasoning:
    asked = effort_of(effort)
    match thinking.get("type"):
        case "enabled":
            return Reasoning("budget", whole_number(thinking, "budget_tokens") or 1024, asked.effort)
        case "adaptive":
            return Reasoning("adaptive", effort=asked.effort)
        case "disabled":
            return Reasoning("off", effort=asked.effort)
        case _:
            return asked


def _blocks(content: Json) -> list[Table]:
    """The blocks of a content, which a string is one of."""
    whole: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else rows(content)
    return [table(block) for block in whole]


def _message(item: Table) -> Message:
    role, content = item.get("role"), item.get("content")
    blocks = _blocks(content)
    if role == "assistant":
        parts = tuple(part for block in blocks if (part := _assistant_part(block)))
        native: list[Json] = [{key: block[key] for key in block if key != "cache_control"} for block in blocks]
        stop = "calls" if any(isinstance(part, ToolCall) for part in parts) else "end"
        return AssistantMessage(parts, stop, native=Native(Anthropic.dialect, "", native))
    if role not in ("user", "system"):
        raise Refused(f"messages: role is user or assistant; got {role!r}")
    return UserMessage(tuple(part for block in blocks if (part := _user_part(block))))


def _assistant_part(block: Table) -> AssistantPart | None:
    match block.get("type"):
        case "text":
            return Text(word(block.get("text")))
        case "thinking":
            return Thinking(word(block.get("thinking")), word(block.get("signature")))
        case "tool_use":
            return call_of(block.get("id"), block.get("name"), block.get("input"))
        case _:
            return None


def _user_part(block: Table) -> UserPart | None:
    match block.get("type"):
        case "tool_result":
            content = block.get("content")
            parts = tuple(part for each in _blocks(content) if (part := _content(each)))
            return ToolResult(word(block.get("tool_use_id")), parts, block.get("is_error") is True)
        case _:
            return _content(block)


def _content(block: Table) -> Text | Image | None:
    match block.get("type"):
        case "text":
            return Text(word(block.get("text")))
        case "image":
            source = table(block.get("source"))
            if source.get("type") != "base64":
                raise Refused("image: only a source of type base64 is taken; the gateway fetches nothing")
            return Image(word(source.get("media_type")), word(source.get("data")))
        case "tool_reference":
            return None
        case kind:
            raise Refused(f"content: blocks of type {kind!r} can't be handed on by this gateway")
