"""OpenAI Responses, stateless: https://platform.openai.com/docs/api-reference/responses and /responses-streaming."""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.messages import (
    AssistantMessage,
    AssistantPart,
    Image,
    Json,
    Native,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    UserMessage,
)
from assay.core.model import CallDelta, ModelEvent, ModelRequest, Profile, TextDelta, ThinkingDelta
from assay.models.dialects.base import (
    Call,
    Decoder,
    Encoder,
    ErrorReply,
    Piece,
    arguments_of,
    effort_word,
    image_note,
    plain,
    split,
    spoil_last,
    thinking_part,
    versioned,
)
from assay.models.dialects.openai_chat import error
from assay.models.dialects.values import StreamFailed, from_json, number, rows, table, to_json, word

NAME = "openai-responses"

# --- encode request ---------------------------------------------------------------------------------------------------


class ResponsesEncoder(Encoder):
    dialect = NAME

    def encode(self, request: ModelRequest) -> bytes:
        """The body, input last: a request is the one before it, without the closing brackets, plus what is new."""
        items = [blocks for _, blocks in self.pieces(request.messages)]
        return b"".join((to_json(self._head(request))[:-1], b',"input":[', b",".join(items), b"]}"))

    def _head(self, request: ModelRequest) -> dict[str, Json]:
        head: dict[str, Json] = {"model": self.profile.model, "stream": True, "store": False}
        if self.profile.reasoning != "none":
            # Nothing is stored at the provider, so its reasoning travels with us, sealed.
            head["include"] = ["reasoning.encrypted_content"]
            if effort := effort_word(request.reasoning, self.quirks):
                head["reasoning"] = {"effort": effort}
        if request.max_output is not None or "max_tokens_always" in self.quirks:
            head["max_output_tokens"] = self.max_output(request, self.profile.max_output)
        if request.temperature is not None and "no_sampling" not in self.quirks:
            head["temperature"] = request.temperature
        if request.session and "no_cache_key" not in self.quirks:
            head["prompt_cache_key"] = request.session
        if request.schema is not None:
            head["text"] = {
                "format": {"type": "json_schema", "name": "reply", "strict": True, "schema": request.schema}
            }
        if request.tools:
            head["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": False,
                }
                for tool in request.tools
            ]
        if request.system:
            head["instructions"] = request.system
        return head

    def user(self, message: UserMessage) -> Piece:
        results, others = split(message)
        items: list[Json] = [self._result(result) for result in results]
        content = [self._content(part) for part in others if not isinstance(part, Text) or part.text]
        if content:
            items.append({"type": "message", "role": "user", "content": content})
        return "user", b",".join(map(to_json, items))

    def assistant(self, message: AssistantMessage, native: Native | None) -> Piece:
        if native is not None:
            return "assistant", b",".join(map(to_json, native.blocks))
        items: list[Json] = []
        for part in message.parts:
            if isinstance(part, Text) and part.text:
                items.append({"role": "assistant", "content": part.text})
            elif isinstance(part, ToolCall):
                call: dict[str, Json] = {"type": "function_call", "call_id": self.call_id(part.id)}
                items.append(call | {"name": part.name or "unknown", "arguments": to_json(arguments_of(part)).decode()})
        return "assistant", b",".join(map(to_json, items))

    def _result(self, result: ToolResult) -> dict[str, Json]:
        output: Json = plain(result.content) or "(no output)"
        if self.profile.images and any(isinstance(part, Image) for part in result.content):
            output = [self._content(part) for part in result.content]
        return {"type": "function_call_output", "call_id": self.call_id(result.call), "output": output}

    def _content(self, part: Text | Image) -> dict[str, Json]:
        if isinstance(part, Text):
            return {"type": "input_text", "text": part.text}
        if not self.profile.images:
            return {"type": "input_text", "text": image_note(part)}
        return {"type": "input_image", "image_url": f"data:{part.media_type};base64,{part.data}"}


# --- decode stream ----------------------------------------------------------------------------------------------------

ENDS = ("response.completed", "response.incomplete", "response.failed")
THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")


class ResponsesDecoder(Decoder):
    dialect = NAME

    def __init__(self, profile: Profile, taken: set[str] | None = None) -> None:
        super().__init__(profile, taken)
        self._items: dict[str, dict[str, Json]] = {}
        """Finished items, in the order in which they ended."""
        self._calls: dict[str, Call] = {}
        self._streamed: set[str] = set()
        self._last = ""
        self._stop: StopReason = "end"

    def feed(self, event: str, data: bytes) -> Iterator[ModelEvent]:
        value = from_json(data)
        kind = word(value.get("type")) or event
        if kind == "response.output_text.delta" or kind == "response.refusal.delta":
            yield from self._say(self._key(value), word(value.get("delta")))
        elif kind in THOUGHTS:
            text = word(value.get("delta"))
            self.grow(text)
            yield ThinkingDelta(text)
        elif kind == "response.function_call_arguments.delta":
            if call := self._calls.get(self._key(value)):
                text = word(value.get("delta"))
                self.grow(text)
                call.pieces.append(text)
                yield CallDelta(call.id, call.name, text)
        elif kind == "response.output_item.added":
            yield from self._added(self._key(value), table(value.get("item")))
        elif kind == "response.output_item.done":
            yield from self._finished(self._key(value), table(value.get("item")))
        elif kind in ENDS:
            yield from self._end(kind, table(value.get("response")))
        elif kind == "error":
            found = error(0, data)
            raise StreamFailed(found.kind, found.message)

    def _key(self, value: dict[str, Json]) -> str:
        """Which item an event speaks of: by its place, or by its id for servers that do not count (llama.cpp)."""
        index = number(value.get("output_index"))
        identity = word(value.get("item_id")) or word(table(value.get("item")).get("id"))
        self._last = str(index) if index is not None else identity or self._last
        return self._last

    def _say(self, key: str, text: str) -> Iterator[ModelEvent]:
        if text:
            self._streamed.add(key)
            self.grow(text)
            self.text.append(text)
            yield TextDelta(text)

    def _added(self, key: str, item: dict[str, Json]) -> Iterator[ModelEvent]:
        if item.get("type") == "function_call" and key not in self._calls:
            call = Call(self.unique(word(item.get("call_id"))), word(item.get("name")))
            self._calls[key] = call
            yield CallDelta(call.id, call.name, "")

    def _finished(self, key: str, item: dict[str, Json]) -> Iterator[ModelEvent]:
        kind = item.get("type")
        if kind == "function_call":
            yield from self._added(key, item)
            call = self._calls[key]
            raw = word(item.get("arguments"))
            if not call.pieces and raw:
                self.grow(raw)
                yield CallDelta(call.id, call.name, raw)
            call.pieces = [raw] if raw else call.pieces
            if item.get("status") == "incomplete":
                call.broken = "the reply ended in the middle of this call"
        elif kind == "message" and key not in self._streamed:
            yield from self._say(key, _text(item))
        self._items[key] = item

    def _end(self, kind: str, response: dict[str, Json]) -> Iterator[ModelEvent]:
        if kind == "response.failed":
            found = error(0, to_json({"error": response.get("error")}))
            raise StreamFailed(found.kind, found.message or "the provider says that the reply failed")
        for index, item in enumerate(rows(response.get("output")) if not self._items else []):
            yield from self._finished(str(index), table(item))
        if kind == "response.incomplete":
            reason = word(table(response.get("incomplete_details")).get("reason"))
            self._stop = "refused" if reason == "content_filter" else "length"
        self._count(table(response.get("usage")))
        self.complete = self.done = True

    def _count(self, usage: dict[str, Json]) -> None:
        sent, output = number(usage.get("input_tokens")), number(usage.get("output_tokens"))
        details = table(usage.get("input_tokens_details"))
        read = number(details.get("cached_tokens") or 0)
        write = number(details.get("cache_write_tokens") or 0)
        if not sent or output is None or read is None or write is None or read + write > sent:
            return
        thought = number(table(usage.get("output_tokens_details")).get("reasoning_tokens")) or 0
        self.usage = Usage(sent - read - write, read, write, output, thought)

    def message(self) -> AssistantMessage:
        if self._stop == "length" and self._items:
            spoil_last(list(self._calls.values()), self._calls.get(list(self._items)[-1]))
        parts: list[AssistantPart] = []
        blocks: list[Json] = []
        refused = False
        for key, item in self._items.items():
            kind = item.get("type")
            if kind == "message":
                refused = refused or any(table(part).get("type") == "refusal" for part in rows(item.get("content")))
                if text := _text(item):
                    parts.append(Text(text))
            elif kind == "reasoning":
                parts += thinking_part(_thought(item))
            elif kind == "function_call":
                call = self._calls[key].finish()
                parts.append(call)
                item = item | {"call_id": call.id, "name": call.name or "unknown"}
                item["arguments"] = "{}" if call.invalid else self._calls[key].raw.strip() or "{}"
            blocks.append(item)
        return self.build(parts, "refused" if refused else self._stop, blocks)


def _text(item: dict[str, Json]) -> str:
    parts = [table(part) for part in rows(item.get("content"))]
    return "".join(word(part.get("text")) or word(part.get("refusal")) for part in parts)


def _thought(item: dict[str, Json]) -> str:
    pieces = [word(table(part).get("text")) for field in ("summary", "content") for part in rows(item.get(field))]
    return "\n\n".join(filter(None, pieces))


# --- classify errors --------------------------------------------------------------------------------------------------
# The same shapes as in Chat Completions: `error` of that dialect reads them.


class OpenAIResponses:
    name = NAME

    def url(self, base: str, raw: bool = False) -> str:  # noqa: ARG002 - takes no raw prompts
        return f"{versioned(base)}/responses"

    def encoder(self, profile: Profile) -> Encoder:
        return ResponsesEncoder(profile)

    def decoder(self, profile: Profile, taken: set[str]) -> Decoder:
        return ResponsesDecoder(profile, taken)

    def error(self, status: int, body: bytes) -> ErrorReply:
        return error(status, body)
