"""OpenAI Responses, the server's side, stateless: https://platform.openai.com/docs/api-reference/responses."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import count

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
)
from assay.core.model import CallDelta, ModelEvent, ModelRequest, TextDelta, ThinkingDelta, ToolSpec
from assay.models.dialects.values import rows, table, word
from assay.surfaces.gateway.chat import openai_error
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
    texts,
    whole_number,
)

_REASONS = {"length": "max_output_tokens", "refused": "content_filter"}
_SYSTEM = ("system", "developer")


class Responses:
    dialect = "openai-responses"

    def read(self, body: Table) -> Asked:
        if body.get("previous_response_id") or body.get("conversation"):
            raise Refused("previous_response_id: nothing is kept here; send the whole conversation as input")
        if body.get("background") is True:
            raise Refused("background: nothing is kept here; wait for the reply, or stream it")
        given = body.get("input")
        items: list[Table] = [{"role": "user", "content": given}] if isinstance(given, str) else items_of(body, "input")
        system = [word(body.get("instructions")), *(texts(each.get("content")) for each in items if _is_system(each))]
        tools = tuple(_tool(table(tool)) for tool in rows(body.get("tools")) if table(tool).get("type") == "function")
        wanted = table(table(body.get("text")).get("format"))
        request = ModelRequest(
            "\n\n".join(filter(None, system)),
            tools if no_forced_tool(body) else (),
            list(_messages([each for each in items if not _is_system(each)])),
            session=word(body.get("prompt_cache_key"))[:64],
            max_output=whole_number(body, "max_output_tokens"),
            reasoning=effort_of(table(body.get("reasoning")).get("effort")),
            temperature=decimal(body, "temperature"),
            schema=table(wanted.get("schema")) or None,
        )
        return Asked(model_name(body), request, body.get("stream") is True)

    def writer(self, reply: Reply) -> ResponsesWriter:
        return ResponsesWriter(reply)

    def whole(self, message: AssistantMessage, reply: Reply) -> Table:
        items = [_item(part, f"{reply.id}_{at}") for at, part in enumerate(message.parts)]
        return _response(reply, items, message)

    def error(self, problem: Problem) -> Table:
        return openai_error(problem)


class ResponsesWriter:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._numbers = count()
        self._items: list[Table] = []
        """As they will be when they are done, in the order in which they began."""
        self._open: list[int] = []
        self._calls: dict[str, int] = {}
        self._text = ""

    def start(self) -> Iterator[bytes]:
        opened = {**_response(self._reply, [], None), "status": "in_progress"}
        yield self._event("response.created", response=opened)
        yield self._event("response.in_progress", response=opened)

    def piece(self, event_: ModelEvent, /) -> Iterator[bytes]:
        match event_:
            case TextDelta(text) if text:
                self._text += text
                at = yield from self._begun("message", Text(""))
                self._grow(at, "content", text)
                yield self._on(at, "response.output_text.delta", content_index=0, delta=text, logprobs=[])
            case ThinkingDelta(text) if text:
                at = yield from self._begun("reasoning", Thinking(""))
                self._grow(at, "summary", text)
                yield self._on(at, "response.reasoning_summary_text.delta", summary_index=0, delta=text)
            case CallDelta(id, name, arguments):
                if id not in self._calls:
                    self._calls[id] = yield from self._begun(f"call {id}", ToolCall(id, name, {}))
                at = self._calls[id]
                if arguments:
                    self._items[at]["arguments"] = f"{self._items[at]['arguments']}{arguments}"
                    yield self._on(at, "response.function_call_arguments.delta", delta=arguments)
            case _:
                pass

    def finish(self, message: AssistantMessage) -> Iterator[bytes]:
        if not self._items:
            for part in message.parts:
                if isinstance(part, Thinking):
                    yield from self.piece(ThinkingDelta(part.text))
        yield from self.piece(TextDelta(rest_of(message.text, self._text)))
        for call in message.calls:
            known = self._calls.get(call.id)
            if known is None or not self._items[known]["arguments"]:
                yield from self.piece(CallDelta(call.id, call.name, arguments_json(call)))
        for at in [*self._open]:
            yield from self._done(at)
        whole = _response(self._reply, [*self._items], message)
        yield self._event(f"response.{whole['status']}", response=whole)

    def fail(self, problem: Problem) -> Iterator[bytes]:
        error = {"code": "server_error", "message": problem.message}
        whole = {**_response(self._reply, [], None), "status": "failed", "error": error}
        yield self._event("response.failed", response=whole)

    def _begun(self, key: str, part: AssistantPart) -> Generator[bytes, None, int]:
        """The place of the item that is being written, begun if need be."""
        kind = key.partition(" ")[0]
        last = self._open[-1] if self._open else None
        if last is not None and kind != "call" and self._items[last]["type"] == kind:
            return last
        if last is not None and self._items[last]["type"] != "function_call":
            yield from self._done(last)
        at = len(self._items)
        item = _item(part, f"{self._reply.id}_{at}")
        if kind == "call":
            item["arguments"] = ""
        self._items.append(item)
        self._open.append(at)
        empty: Table = {"content": [], "summary": [], "status": "in_progress"}
        announced = {name: empty.get(name, value) for name, value in item.items()}
        yield self._event("response.output_item.added", output_index=at, item=announced)
        if kind == "message":
            item["content"] = [_text_part("")]
            yield self._on(at, "response.content_part.added", content_index=0, part=_text_part(""))
        elif kind == "reasoning":
            item["summary"] = [_summary_part("")]
            yield self._on(at, "response.reasoning_summary_part.added", summary_index=0, part=_summary_part(""))
        return at

    def _grow(self, at: int, field: str, text: str) -> None:
        part = table(rows(self._items[at][field])[0])
        part["text"] = f"{part['text']}{text}"

    def _done(self, at: int) -> Iterator[bytes]:
        self._open.remove(at)
        item = self._items[at]
        match item["type"]:
            case "message":
                part = table(rows(item["content"])[0])
                yield self._on(at, "response.output_text.done", content_index=0, text=part["text"], logprobs=[])
                yield self._on(at, "response.content_part.done", content_index=0, part=part)
            case "reasoning":
                part = table(rows(item["summary"])[0])
                yield self._on(at, "response.reasoning_summary_text.done", summary_index=0, text=part["text"])
                yield self._on(at, "response.reasoning_summary_part.done", summary_index=0, part=part)
            case _:
                done = "response.function_call_arguments.done"
                yield self._on(at, done, name=item["name"], arguments=item["arguments"])
        yield self._event("response.output_item.done", output_index=at, item=item)

    def _on(self, at: int, kind: str, **fields: Json) -> bytes:
        return self._event(kind, item_id=self._items[at]["id"], output_index=at, **fields)

    def _event(self, kind: str, /, **fields: Json) -> bytes:
        return event({"type": kind, **fields, "sequence_number": next(self._numbers)})


def _response(reply: Reply, items: list[Json] | list[Table], message: AssistantMessage | None) -> Table:
    reason = _REASONS.get(message.stop) if message else None
    return {
        "id": f"resp_{reply.id}",
        "object": "response",
        "created_at": reply.created,
        "status": "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "model": reply.model,
        "output": items,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "metadata": {},
        "usage": _usage(message.usage) if message else None,
    }


def _usage(usage: Usage) -> Table:
    return {
        "input_tokens": usage.sent,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def _item(part: AssistantPart, identity: str) -> Table:
    match part:
        case Text(text):
            content: Json = [_text_part(text)]
            return {
                "id": f"msg_{identity}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": content,
            }
        case Thinking(text):
            return {"id": f"rs_{identity}", "type": "reasoning", "summary": [_summary_part(text)]}
        case ToolCall(id, name):
            return {
                "id": f"fc_{identity}",
                "type": "function_call",
                "status": "completed",
                "call_id": id,
                "name": name,
                "arguments": arguments_json(part),
            }


def _text_part(text: str) -> Table:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary_part(text: str) -> Table:
    return {"type": "summary_text", "text": text}


def _is_system(item: Table) -> bool:
    return item.get("role") in _SYSTEM and item.get("type", "message") == "message"


def _tool(tool: Table) -> ToolSpec:
    schema = table(tool.get("parameters")) or {"type": "object", "properties": {}}
    return ToolSpec(word(tool.get("name")), word(tool.get("description")), schema)


def _messages(items: list[Table]) -> Iterator[Message]:
    """What the assistant's items say, from one thing that others said to the next, is one message."""
    parts: list[AssistantPart] = []
    blocks: list[Json] = []

    def spoken() -> Iterator[Message]:
        if parts:
            sealed = any(table(block).get("encrypted_content") for block in blocks)
            native = Native(Responses.dialect, "", [*blocks]) if sealed else None
            stop = "calls" if any(isinstance(part, ToolCall) for part in parts) else "end"
            yield AssistantMessage(tuple(parts), stop, native=native)
        parts.clear()
        blocks.clear()

    for item in items:
        kind = item.get("type", "message")
        if kind == "reasoning" or kind == "function_call" or item.get("role") == "assistant":
            parts += _assistant_parts(item)
            blocks.append(item)
            continue
        yield from spoken()
        yield _user(item)
    yield from spoken()


def _assistant_parts(item: Table) -> list[AssistantPart]:
    match item.get("type", "message"):
        case "reasoning":
            thought = texts(item.get("summary"))
            return [Thinking(thought)] if thought else []
        case "function_call":
            return [call_of(item.get("call_id"), item.get("name"), item.get("arguments"))]
        case _:
            return [*said(texts(item.get("content")))]


def _user(item: Table) -> UserMessage:
    match item.get("type", "message"):
        case "message":
            return UserMessage(_content(item.get("content")))
        case "function_call_output":
            return UserMessage((ToolResult(word(item.get("call_id")), _content(item.get("output"))),))
        case kind:
            raise Refused(f"input: items of type {kind!r} can't be handed on by this gateway")


def _content(content: Json) -> tuple[Text | Image, ...]:
    if isinstance(content, str):
        return said(content)
    found: list[Text | Image] = []
    for part in map(table, rows(content)):
        match part.get("type"):
            case "input_text" | "output_text" | "text":
                found.append(Text(word(part.get("text"))))
            case "input_image":
                found.append(image_of(part.get("image_url")))
            case kind:
                raise Refused(f"content: parts of type {kind!r} can't be handed on by this gateway")
    return tuple(found)
