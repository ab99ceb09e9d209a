"""OpenAI Chat Completions: https://platform.openai.com/docs/api-reference/chat, and the many servers that speak it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from assay.core.messages import (
    AssistantMessage,
    AssistantPart,
    Image,
    Json,
    Native,
    StopReason,
    Text,
    ToolCall,
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
    plain,
    split,
    thinking_part,
    versioned,
)
from assay.models.dialects.values import StreamFailed, from_json, number, rows, table, to_json, word
from assay.models.failures import classify, page_words

NAME = "openai-chat"

# --- encode request ---------------------------------------------------------------------------------------------------


class ChatEncoder(Encoder):
    dialect = NAME

    def encode(self, request: ModelRequest) -> bytes:
        """The body, messages last: a request is the one before it, without the closing brackets, plus what is new."""
        if request.hole is not None and self.profile.infill is not None:
            before, after, fill = self.profile.infill
            text = f"{before}{request.hole.prefix}{after}{request.hole.suffix}{fill}"
            return to_json(self._head(request) | {"prompt": text})
        messages = [blocks for _, blocks in self.pieces(request.messages)]
        if request.system:
            messages.insert(0, to_json({"role": "system", "content": request.system}))
        return b"".join((to_json(self._head(request))[:-1], b',"messages":[', b",".join(messages), b"]}"))

    def _head(self, request: ModelRequest) -> dict[str, Json]:
        quirks = self.quirks
        head: dict[str, Json] = {"model": self.profile.model, "stream": True}
        if "no_stream_usage" not in quirks:
            head["stream_options"] = {"include_usage": True}
        if request.max_output is not None or "max_tokens_always" in quirks:
            name = "max_completion_tokens" if "max_completion_tokens" in quirks else "max_tokens"
            head[name] = self.max_output(request, self.profile.max_output)
        if (samples := min(request.samples, self.profile.samples)) > 1:
            head["n"] = samples
        head |= self._reasoning(request)
        if "no_sampling" not in quirks:
            if request.temperature is not None:
                head["temperature"] = request.temperature
            if request.seed is not None:
                head["random_seed" if "random_seed" in quirks else "seed"] = request.seed
            if request.stop:
                head["stop"] = request.stop
        if request.session and "prompt_cache_key" in quirks:
            head["prompt_cache_key"] = request.session
        if "cache_prompt" in quirks:
            head["cache_prompt"] = True
        if "prompt_progress" in quirks:
            head["return_progress"] = True
        if request.schema is not None and "no_schema" not in quirks:
            schema: Json = {"name": "reply", "strict": True, "schema": request.schema}
            head["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.tools:
            head["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in request.tools
            ]
        return head

    def _reasoning(self, request: ModelRequest) -> dict[str, Json]:
        reasoning, quirks = request.reasoning, self.quirks
        if self.profile.reasoning == "none":
            if reasoning.mode == "off" and "template_thinking" in quirks:
                return {"chat_template_kwargs": {"enable_thinking": False}}
            return {}
        fields: dict[str, Json] = {}
        if "thinking_toggle" in quirks and reasoning.mode != "default":
            fields["thinking"] = {"type": "disabled" if reasoning.mode == "off" else "enabled"}
            if reasoning.mode == "off":
                return fields
        effort = effort_word(reasoning, quirks)
        if "reasoning_object" in quirks:
            if reasoning.mode == "budget":
                fields["reasoning"] = {"max_tokens": reasoning.budget}
            elif effort:
                fields["reasoning"] = {"effort": effort}
        elif effort:
            fields["reasoning_effort"] = effort
        return fields

    def user(self, message: UserMessage) -> Piece:
        results, others = split(message)
        items: list[Json] = []
        pictures: list[Text | Image] = []
        for result in results:
            shown = [part for part in result.content if isinstance(part, Text) or not self.profile.images]
            text = plain(shown) or "(no output)"
            items.append({"role": "tool", "tool_call_id": self.call_id(result.call), "content": text})
            # A tool message carries text only, so its images follow in the user's name.
            pictures += [part for part in result.content if part not in shown]
        rest = [*pictures, *(part for part in others if not isinstance(part, Text) or part.text)]
        if rest:
            images = self.profile.images and any(isinstance(part, Image) for part in rest)
            items.append({"role": "user", "content": [_content(part) for part in rest] if images else plain(rest)})
        return "user", b",".join(map(to_json, items))

    def assistant(self, message: AssistantMessage, native: Native | None) -> Piece:
        if native is not None:
            block = dict(table(native.blocks[0]))
            if "reasoning_back" not in self.quirks:
                block.pop("reasoning_content", None)
                block.pop("reasoning", None)
            return "assistant", to_json(block)
        block: dict[str, Json] = {"role": "assistant", "content": message.text or None}
        if "reasoning_back" in self.quirks and message.calls:
            block["reasoning_content"] = ""
        if message.calls:
            block["tool_calls"] = [self._call(call) for call in message.calls]
        return "assistant", to_json(block) if message.calls or message.text else b""

    def _call(self, call: ToolCall) -> dict[str, Json]:
        function: Json = {"name": call.name or "unknown", "arguments": to_json(arguments_of(call)).decode()}
        return {"id": self.call_id(call.id), "type": "function", "function": function}


def _content(part: Text | Image) -> dict[str, Json]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{part.data}"}}


# --- decode stream ----------------------------------------------------------------------------------------------------

STOPS: dict[str, StopReason] = {
    "tool_calls": "calls",
    "function_call": "calls",
    "length": "length",
    "content_filter": "refused",
}


class ChatDecoder(Decoder):
    dialect = NAME

    def __init__(self, profile: Profile, taken: set[str] | None = None) -> None:
        super().__init__(profile, taken)
        self._thinking: list[str] = []
        self._thinking_field = "reasoning_content"
        self._details: list[Json] = []
        self._calls: list[tuple[Call, dict[str, Json]]] = []
        self._open: dict[int, int] = {}
        """Wire index of a call -> its place in `_calls`."""
        self._origin: dict[int, str] = {}
        """Wire index of a call -> the id that the server gave it."""
        self._stop = ""
        self._samples: dict[int, list[str]] = {}
        """Index of a further choice -> its pieces."""
        self._ended: set[int] = set()
        """Those of them that came whole."""
        self._last = 0
        """The choice that ended last."""
        self._counted: dict[int, Usage] = {}

    def feed(self, event: str, data: bytes) -> Iterator[ModelEvent]:
        if data == b"[DONE]":
            self.done = True
            return
        value = from_json(data)
        if value.get("error") or event == "error":
            found = error(0, data)
            raise StreamFailed(found.kind, found.message)
        if usage := table(value.get("usage")):
            self._count(usage)
        for choice in map(table, rows(value.get("choices"))):
            index, stop = number(choice.get("index")) or 0, word(choice.get("finish_reason"))
            self._last = index if stop else self._last
            if index:
                self._sample(index, choice, bool(stop))
                continue
            # The endpoint for raw prompts has `text` where the other has `delta`.
            yield from self._delta(table(choice.get("delta")) or {"content": word(choice.get("text"))})
            if stop:
                self._stop = stop
                self.complete = True

    def _sample(self, index: int, choice: dict[str, Json], ended: bool) -> None:
        text = word(table(choice.get("delta")).get("content")) or word(choice.get("text"))
        self.grow(text)
        self._samples.setdefault(index, []).append(text)
        if ended:
            self._ended.add(index)

    def _delta(self, delta: dict[str, Json]) -> Iterator[ModelEvent]:
        for field in ("reasoning_content", "reasoning"):
            if text := word(delta.get(field)):
                self._thinking_field = field
                yield self._think(text)
                break
        self._details += rows(delta.get("reasoning_details"))
        content = delta.get("content")
        if isinstance(content, str):
            yield from self._say(content)
        else:
            for item in rows(content):  # Mistral's reasoning models send their content as typed pieces
                piece = table(item)
                if piece.get("type") == "text":
                    yield from self._say(word(piece.get("text")))
                elif text := "".join(word(table(inner).get("text")) for inner in rows(piece.get("thinking"))):
                    yield self._think(text)
        yield from self._say(word(delta.get("refusal")))
        for item in rows(delta.get("tool_calls")):
            yield from self._call(table(item))

    def _say(self, text: str) -> Iterator[ModelEvent]:
        if text:
            self.grow(text)
            self.text.append(text)
            yield TextDelta(text)

    def _think(self, text: str) -> ModelEvent:
        self.grow(text)
        self._thinking.append(text)
        return ThinkingDelta(text)

    def _call(self, item: dict[str, Json]) -> Iterator[ModelEvent]:
        function = table(item.get("function"))
        identity = word(item.get("id"))
        index = number(item.get("index"))
        if index is None:  # some servers do not count; a piece without an id then continues the last call
            index = len(self._calls) if identity or not self._calls else len(self._calls) - 1
        # Others count every call as number 0 and tell them apart by id only.
        fresh = index not in self._open or bool(identity and self._origin[index] and identity != self._origin[index])
        if fresh:
            self._open[index] = len(self._calls)
            self._origin[index] = identity
            call = Call(self.unique(identity), word(function.get("name")))
            extra = {key: value for key, value in item.items() if key not in ("index", "id", "type", "function")}
            self._calls.append((call, extra))
        else:
            call = self._calls[self._open[index]][0]
            call.name = call.name or word(function.get("name"))
        arguments = function.get("arguments")
        # A string, unless the server is one of those that send the object itself.
        text = word(arguments) or (to_json(table(arguments)).decode() if table(arguments) else "")
        self.grow(text)
        call.pieces.append(text)
        yield CallDelta(call.id, call.name, text)

    def _count(self, usage: dict[str, Json]) -> None:
        sent, output = number(usage.get("prompt_tokens")), number(usage.get("completion_tokens"))
        details = table(usage.get("prompt_tokens_details"))
        read = number(details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0)
        write = number(details.get("cache_write_tokens") or 0)
        if not sent or output is None or read is None or write is None or read + write > sent:
            self.usage = None
            return
        thought = number(table(usage.get("completion_tokens_details")).get("reasoning_tokens")) or 0
        # Of several samples some servers (llama.cpp) count each by itself, as it ends, all with the whole prompt.
        self._counted[self._last] = Usage(sent - read - write, read, write, output, thought)
        first, *others = self._counted.values()
        self.usage = sum((Usage(output=other.output, reasoning=other.reasoning) for other in others), first)

    def message(self) -> AssistantMessage:
        stop = STOPS.get(self._stop, "end")
        text, thinking = "".join(self.text), "".join(self._thinking)
        others = ["".join(self._samples[index]) for index in sorted(self._ended)]
        others = [other for other in others if other.strip()]
        if others and not text.strip() and not self._calls:
            text = others.pop(0)
        parts: list[AssistantPart] = thinking_part(thinking)
        block: dict[str, Json] = {"role": "assistant", "content": text or None}
        if thinking:
            block[self._thinking_field] = thinking
        if self._details:
            block["reasoning_details"] = self._details
        if text:
            parts.append(Text(text))
        if stop == "length" and self._calls:
            self._calls[-1][0].broken = "the reply was cut off at the output limit in the middle of this call"
        calls: list[Json] = []
        for call, extra in self._calls:
            done = call.finish()
            parts.append(done)
            # The model's own spelling of the arguments goes back to it, unless it can't be read.
            arguments = "{}" if done.invalid else call.raw.strip() or "{}"
            function: Json = {"name": call.name or "unknown", "arguments": arguments}
            calls.append({"id": call.id, "type": "function", "function": function} | extra)
        if calls:
            block["tool_calls"] = calls
        return replace(self.build(parts, stop, [block]), others=tuple(others))


# --- classify errors --------------------------------------------------------------------------------------------------


def error(status: int, body: bytes) -> ErrorReply:
    """What an error answer or event means: `{"error": {"code": ..., "type": ..., "message": ...}}` and its kin."""
    try:
        whole = from_json(body)
    except StreamFailed:
        whole = {}
    found = table(whole.get("error")) or whole
    message = word(found.get("message")) or word(whole.get("error")) or word(whole.get("detail"))
    code = found.get("code")
    if status == 0 and isinstance(code, int) and 400 <= code < 600:
        status = code
    codes = (word(code), word(found.get("type")))
    return ErrorReply(classify(status, codes, message), message or page_words(body))


class OpenAIChat:
    name = NAME

    def url(self, base: str, raw: bool = False) -> str:
        return f"{versioned(base)}/{'completions' if raw else 'chat/completions'}"

    def encoder(self, profile: Profile) -> Encoder:
        return ChatEncoder(profile)

    def decoder(self, profile: Profile, taken: set[str]) -> Decoder:
        return ChatDecoder(profile, taken)

    def error(self, status: int, body: bytes) -> ErrorReply:
        return error(status, body)
