"""Anthropic Messages: https://docs.anthropic.com/en/api/messages and /messages-streaming, version 2023-06-01."""

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
    BUDGETS,
    Call,
    Decoder,
    Encoder,
    ErrorReply,
    Piece,
    arguments_of,
    effort_for,
    image_note,
    split,
    spoil_last,
    thinking_part,
)
from assay.models.dialects.values import StreamFailed, from_json, number, table, to_json, word
from assay.models.failures import classify, page_words

NAME = "anthropic"
VERSION = "2023-06-01"
CACHE = b',"cache_control":{"type":"ephemeral"}}'
DEFAULT_OUTPUT = 64_000

# --- encode request ---------------------------------------------------------------------------------------------------


class AnthropicEncoder(Encoder):
    dialect = NAME

    def encode(self, request: ModelRequest) -> bytes:
        """The body. Everything that stays the same comes first and messages last, so that a request is the one before
        it, without the closing brackets, plus what is new.

        Cache breakpoints: one on the system text (the cache's order is tools, system, messages, so it holds the tools
        too), one on the last user message, where this request's prefix is written, and one on the user message before
        that, where the previous request wrote (the service looks back only some twenty blocks, which one turn of many
        calls exceeds). A breakpoint is a marker beside the content and no part of it: the service hashes content, and
        with the markers ignored the bytes only ever grow at the end.
        """
        pieces = self.pieces(request.messages)
        head = to_json(self._head(request))
        out = [head[:-1], b',"messages":[']
        groups: list[tuple[str, list[bytes]]] = []
        for role, blocks in pieces:  # neighbours of one role are one message: answers to calls must not be torn apart
            if groups and groups[-1][0] == role:
                groups[-1][1].append(blocks)
            else:
                groups.append((role, [blocks]))
        marked = {index for index in range(max(0, len(groups) - 3), len(groups)) if groups[index][0] == "user"}
        for index, (role, blocks) in enumerate(groups):
            if index in marked:
                blocks[-1] = blocks[-1][:-1] + CACHE
            out.append(b'%s{"role":"%s","content":[' % (b"," if index else b"", role.encode()))
            out.append(b",".join(blocks))
            out.append(b"]}")
        out.append(b"]}")
        return b"".join(out)

    def _head(self, request: ModelRequest) -> dict[str, Json]:
        most = self.max_output(request, DEFAULT_OUTPUT)
        head: dict[str, Json] = {"model": self.profile.model, "max_tokens": most, "stream": True}
        thinking = self._thinking(request, most)
        if thinking:
            head["thinking"] = thinking
        output: dict[str, Json] = {}
        if effort := self._effort(request):
            output["effort"] = effort
        if request.schema is not None:
            output["format"] = {"type": "json_schema", "schema": request.schema}
        if output:
            head["output_config"] = output
        thinks = thinking.get("type") in ("enabled", "adaptive")
        if request.temperature is not None and not thinks and "no_sampling" not in self.quirks:
            head["temperature"] = request.temperature
        if request.stop:
            head["stop_sequences"] = request.stop
        cache: dict[str, Json] = {"cache_control": {"type": "ephemeral"}}
        if request.tools:
            tools: list[dict[str, Json]] = [
                {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
                for tool in request.tools
            ]
            if not request.system:
                tools[-1] |= cache
            head["tools"] = tools
        if request.system:
            head["system"] = [{"type": "text", "text": request.system} | cache]
        return head

    def _effort(self, request: ModelRequest) -> str:
        if self.profile.reasoning != "adaptive":
            return ""
        reasoning = request.reasoning
        if reasoning.effort is None and reasoning.mode == "budget":
            return effort_for(reasoning.budget)
        if reasoning.mode == "off" and "always_thinks" in self.quirks:
            return "low"  # as near to off as such a model gets
        if reasoning.mode == "off" and reasoning.effort == "max":
            return "high"  # thinking can't be off above it
        return reasoning.effort or ""

    def _thinking(self, request: ModelRequest, most: int) -> dict[str, Json]:
        mode, effort = request.reasoning.mode, request.reasoning.effort
        if self.profile.reasoning == "adaptive":
            if mode == "off":
                if "always_thinks" in self.quirks:
                    return {}
                return {"type": "between_tools" if "off_is_between_tools" in self.quirks else "disabled"}
            return {} if mode == "default" else {"type": "adaptive"}
        if self.profile.reasoning != "budget" or mode == "off" or (mode == "default" and not effort):
            return {}
        budget = request.reasoning.budget if mode == "budget" else BUDGETS[effort or "medium"]
        budget = min(max(budget, 1024), most - 1024)
        # With a fixed budget the service wants a turn that is under way to have begun with its own thinking.
        return {"type": "enabled", "budget_tokens": budget} if budget >= 1024 and not self._foreign(request) else {}

    def _foreign(self, request: ModelRequest) -> bool:
        """The calls that this request answers were made by another model or without thinking."""
        if (
            not request.messages
            or not isinstance(request.messages[-1], UserMessage)
            or not split(request.messages[-1])[0]
        ):
            return False
        for message in reversed(request.messages):
            if isinstance(message, AssistantMessage) and message.failure is None:
                native = message.native
                own = native is not None and (native.dialect, native.model) == (NAME, self.profile.model)
                first = table(native.blocks[0]) if native is not None and native.blocks else {}
                return not own or word(first.get("type")) not in ("thinking", "redacted_thinking")
        return False

    def user(self, message: UserMessage) -> Piece:
        results, others = split(message)
        blocks: list[Json] = [self._result(result) for result in results]
        blocks += [block for part in others if (block := self._content(part))]
        return "user", b",".join(map(to_json, blocks))

    def assistant(self, message: AssistantMessage, native: Native | None) -> Piece:
        if native is not None:
            return "assistant", b",".join(map(to_json, native.blocks))
        blocks: list[Json] = []
        for part in message.parts:
            if isinstance(part, Text) and part.text.strip():
                blocks.append({"type": "text", "text": part.text})
            elif isinstance(part, ToolCall):
                call: Json = {"type": "tool_use", "id": self.call_id(part.id), "name": part.name or "unknown"}
                blocks.append(call | {"input": arguments_of(part)})
        return "assistant", b",".join(map(to_json, blocks))

    def _content(self, part: Text | Image) -> dict[str, Json]:
        if isinstance(part, Text):  # the service refuses blank text
            return {"type": "text", "text": part.text} if part.text.strip() else {}
        if not self.profile.images:
            return {"type": "text", "text": image_note(part)}
        return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}

    def _result(self, result: ToolResult) -> dict[str, Json]:
        block: dict[str, Json] = {"type": "tool_result", "tool_use_id": self.call_id(result.call)}
        content = [shown for part in result.content if (shown := self._content(part))]
        block["content"] = content or [{"type": "text", "text": "(no output)"}]
        if result.is_error:
            block["is_error"] = True
        return block


# --- decode stream ----------------------------------------------------------------------------------------------------

STOPS: dict[str, StopReason] = {
    "tool_use": "calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refused",
}


class AnthropicDecoder(Decoder):
    dialect = NAME

    def __init__(self, profile: Profile, taken: set[str] | None = None) -> None:
        super().__init__(profile, taken)
        self._blocks: dict[int, dict[str, Json]] = {}
        self._pieces: dict[int, list[str]] = {}
        self._calls: dict[int, Call] = {}
        self._stop = ""
        self._counts: dict[str, Json] = {}

    def feed(self, event: str, data: bytes) -> Iterator[ModelEvent]:
        value = from_json(data)
        kind = word(value.get("type")) or event
        if kind == "content_block_delta":
            yield from self._delta(number(value.get("index")) or 0, table(value.get("delta")))
        elif kind == "content_block_start":
            yield from self._start(number(value.get("index")) or 0, table(value.get("content_block")))
        elif kind == "message_start":
            self._count(table(table(value.get("message")).get("usage")))
        elif kind == "message_delta":
            self._stop = word(table(value.get("delta")).get("stop_reason")) or self._stop
            self._count(table(value.get("usage")))
        elif kind == "message_stop":
            self.complete = bool(self._stop)
            self.done = True
        elif kind == "error":
            found = error(0, data)
            raise StreamFailed(found.kind, found.message)

    def _start(self, index: int, block: dict[str, Json]) -> Iterator[ModelEvent]:
        self._blocks[index] = dict(block)
        self._pieces[index] = []
        if word(block.get("type")) == "tool_use":
            call = Call(self.unique(word(block.get("id"))), word(block.get("name")))
            self._calls[index] = call
            yield CallDelta(call.id, call.name, "")
        elif text := word(block.get("text")) or word(block.get("thinking")):
            kind = "text" if block.get("type") == "text" else "thinking"
            yield from self._delta(index, {"type": f"{kind}_delta", kind: text})

    def _delta(self, index: int, delta: dict[str, Json]) -> Iterator[ModelEvent]:
        block = self._blocks.get(index)
        if block is None:
            raise StreamFailed("protocol", "the server sent a piece of a block that it never began")
        kind = word(delta.get("type"))
        if kind == "text_delta":
            text = word(delta.get("text"))
            self.grow(text)
            self._pieces[index].append(text)
            self.text.append(text)
            yield TextDelta(text)
        elif kind == "thinking_delta":
            text = word(delta.get("thinking"))
            self.grow(text)
            self._pieces[index].append(text)
            yield ThinkingDelta(text)
        elif kind == "signature_delta":
            block["signature"] = word(delta.get("signature"))
        elif kind == "input_json_delta":
            text = word(delta.get("partial_json"))
            self.grow(text)
            if call := self._calls.get(index):
                call.pieces.append(text)
                yield CallDelta(call.id, call.name, text)

    def _count(self, usage: dict[str, Json]) -> None:
        """Later figures replace earlier ones: the counts of `message_delta` are cumulative."""
        self._counts |= {key: value for key, value in usage.items() if value is not None}
        sent = number(self._counts.get("input_tokens"))
        output = number(self._counts.get("output_tokens"))
        read = number(self._counts.get("cache_read_input_tokens", 0))
        write = number(self._counts.get("cache_creation_input_tokens", 0))
        if sent is None or output is None or read is None or write is None or not sent + read + write:
            self.usage = None
            return
        details = table(self._counts.get("output_tokens_details"))
        thought = number(details.get("thinking_tokens")) or number(details.get("reasoning_tokens")) or 0
        self.usage = Usage(sent, read, write, output, thought)

    def message(self) -> AssistantMessage:
        order = sorted(self._blocks)
        stop = STOPS.get(self._stop, "end")
        if stop == "length" and order:
            spoil_last(list(self._calls.values()), self._calls.get(order[-1]))
        parts: list[AssistantPart] = []
        blocks: list[Json] = []
        for index in order:
            block = self._blocks[index]
            text = "".join(self._pieces[index])
            kind = word(block.get("type"))
            if kind == "text":
                if text.strip():  # the service refuses to read back the blank text that it sometimes sends
                    parts.append(Text(text))
                    blocks.append(block | {"text": text})
            elif kind == "thinking":
                parts += thinking_part(text, word(block.get("signature")))
                blocks.append(block | {"thinking": text})
            elif kind == "tool_use":
                call = self._calls[index].finish()
                parts.append(call)
                blocks.append(block | {"id": call.id, "name": call.name or "unknown", "input": call.arguments})
            else:
                blocks.append(block)
        # Thinking without a signature came from a server that only imitates the dialect; nobody reads it back.
        sealed = [b for b in blocks if table(b).get("type") != "thinking" or table(b).get("signature")]
        return self.build(parts, stop, sealed)


# --- classify errors --------------------------------------------------------------------------------------------------


def error(status: int, body: bytes) -> ErrorReply:
    """What an error answer or event means: `{"type": "error", "error": {"type": ..., "message": ...}}`."""
    try:
        found = table(from_json(body).get("error"))
    except StreamFailed:
        found = {}
    message = word(found.get("message")) or page_words(body)
    return ErrorReply(classify(status, (word(found.get("type")),), message), message)


class Anthropic:
    name = NAME

    def url(self, base: str, raw: bool = False) -> str:  # noqa: ARG002 - takes no raw prompts
        base = base.rstrip("/")
        return f"{base}/messages" if base.endswith("/v1") else f"{base}/v1/messages"

    def encoder(self, profile: Profile) -> Encoder:
        return AnthropicEncoder(profile)

    def decoder(self, profile: Profile, taken: set[str]) -> Decoder:
        return AnthropicDecoder(profile, taken)

    def error(self, status: int, body: bytes) -> ErrorReply:
        return error(status, body)
