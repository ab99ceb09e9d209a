"""What the three dialects share: cached encoding of an append-only history, and a bounded draft of a reply.

A dialect is pure. Its encoder turns a `ModelRequest` into the bytes of a body, its decoder turns server-sent events
into `ModelEvent`s and one `AssistantMessage`. Neither knows a socket.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Protocol, cast

import msgspec

from assay.core.messages import (
    AssistantMessage,
    AssistantPart,
    Failure,
    FailureKind,
    Image,
    Json,
    Message,
    Native,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    UserMessage,
)
from assay.core.model import Effort, ModelEvent, ModelRequest, Profile, Reasoning, estimate_tokens
from assay.models.dialects.values import StreamFailed, table, to_json

REPLY_CAP = 8 * 1024 * 1024
"""Characters that one reply may have in all its text, thinking and arguments."""
IMAGE_TOKENS = 1_600

Piece = tuple[str, bytes]
"""A message on the wire: its role, and its blocks or items joined by commas (empty: it is left out)."""


BUDGETS: dict[Effort, int] = {"low": 2_048, "medium": 8_192, "high": 24_576, "max": 49_152}
"""Thinking tokens and the effort that amounts to them, for models that know only one of the two."""


class ErrorReply(msgspec.Struct, frozen=True):
    """An error as a server words it."""

    kind: FailureKind
    message: str


# --- encoding ---------------------------------------------------------------------------------------------------------


class Encoder(ABC):
    """Bodies for one conversation. A message is encoded once: history is append-only, so what was seen is recognised
    by identity and its bytes are used again. Cost for each turn is that of its new messages, plus one copy."""

    dialect: ClassVar[str]

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.quirks = profile.quirks
        self.call_ids: set[str] = set()
        """Ids of all calls seen so far; a new call must not repeat one."""
        self._known: list[tuple[Message, Piece]] = []
        self._portable = 0

    @abstractmethod
    def encode(self, request: ModelRequest) -> bytes:
        """The body of a request."""

    @abstractmethod
    def user(self, message: UserMessage) -> Piece: ...

    @abstractmethod
    def assistant(self, message: AssistantMessage, native: Native | None) -> Piece: ...

    def pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """Each message that goes on the wire, encoded; failed and empty ones are left out."""
        known = self._known
        same = 0
        for (seen, _), message in zip(known, messages, strict=False):
            if seen is not message:
                break
            same += 1
        del known[same:]
        for index in range(same, len(messages)):
            message = messages[index]
            known.append((message, self._piece(message, index >= self._portable)))
        return [piece for _, piece in known if piece[1]]

    def forget_natives(self) -> bool:
        """From now on send what is known so far without its provider's own blocks; False if that changes nothing."""
        count = len(self._known)
        changed = any(
            isinstance(message, AssistantMessage) and message.native is not None
            for message, _ in self._known[self._portable :]
        )
        self._known.clear()
        self._portable = count
        return changed

    def _piece(self, message: Message, replay: bool) -> Piece:
        if isinstance(message, UserMessage):
            return self.user(message)
        if message.failure is not None or message.stop in ("failed", "cancelled"):
            return "", b""
        self.call_ids.update(call.id for call in message.calls)
        native = message.native
        # Reasoning is sealed for the model that made it: another model of the same dialect refuses it.
        own = native is not None and native.dialect == self.dialect and native.model == self.profile.model
        return self.assistant(message, native if own and replay else None)

    def max_output(self, request: ModelRequest, most: int) -> int:
        return min(request.max_output or most, self.profile.max_output)

    def call_id(self, identity: str) -> str:
        """`identity` in the alphabet that the endpoint accepts; equal ids stay equal."""
        if "call_ids_9" in self.quirks:  # Mistral: exactly nine letters or digits
            return identity if re.fullmatch("[A-Za-z0-9]{9}", identity) else _digest(identity)[:9]
        return identity if re.fullmatch("[A-Za-z0-9_-]{1,40}", identity) else "call_" + _digest(identity)[:24]


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def effort_word(reasoning: Reasoning, quirks: frozenset[str]) -> str:
    """The effort to ask of a model of OpenAI's kind; empty to leave it to the model."""
    if reasoning.mode == "off":
        return "low" if "no_effort_none" in quirks else "none"
    effort = reasoning.effort or (effort_for(reasoning.budget) if reasoning.mode == "budget" else None)
    if effort == "max":
        return "max" if "effort_max" in quirks else "xhigh" if "effort_xhigh" in quirks else "high"
    if effort is not None and "effort_from_high" in quirks:
        return "high"
    return effort or ""


def effort_for(budget: int) -> Effort:
    for effort, tokens in BUDGETS.items():
        if budget <= tokens:
            return effort
    return "max"


def split(message: UserMessage) -> tuple[list[ToolResult], list[Text | Image]]:
    """Results and the rest: every dialect wants answers to calls before anything else."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    return results, [part for part in message.parts if not isinstance(part, ToolResult)]


def plain(parts: Iterable[Text | Image]) -> str:
    """Text only, images replaced by a note."""
    return "\n".join(part.text if isinstance(part, Text) else image_note(part) for part in parts)


def image_note(image: Image) -> str:
    return f"[{image.media_type} of {len(image.data) * 3 // 4 // 1024 + 1} kB, not shown: this model takes no images]"


def arguments_of(call: ToolCall) -> dict[str, Json]:
    return {} if call.invalid else call.arguments


# --- decoding ---------------------------------------------------------------------------------------------------------


class Call:
    """A call being written."""

    __slots__ = ("broken", "id", "name", "pieces")

    def __init__(self, identity: str, name: str) -> None:
        self.id = identity
        self.name = name
        self.pieces: list[str] = []
        self.broken = ""

    @property
    def raw(self) -> str:
        return "".join(self.pieces)

    def finish(self) -> ToolCall:
        """The call; malformed arguments are never repaired, the call then says why it can't run."""
        raw = self.raw
        if self.broken:
            return ToolCall(self.id, self.name, {}, self.broken)
        try:
            arguments: object = msgspec.json.decode(raw.encode("utf-8", "surrogatepass")) if raw.strip() else {}
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return ToolCall(self.id, self.name, {}, f"the arguments are not valid JSON: {error}")
        if not isinstance(arguments, dict):
            return ToolCall(self.id, self.name, {}, "the arguments are not a JSON object")
        if not self.name:
            return ToolCall(self.id, self.name, {}, "the call names no tool")
        return ToolCall(self.id, self.name, table(cast("object", arguments)))


class Decoder(ABC):
    """One reply. `complete` tells that the reply's own end was seen; `done`, that no more events are expected."""

    dialect: ClassVar[str]

    def __init__(self, profile: Profile, taken: set[str] | None = None) -> None:
        self.profile = profile
        self.complete = False
        self.done = False
        self.usage: Usage | None = None
        self.text: list[str] = []
        """Everything of the reply's text that was streamed, for a failed reply's record."""
        self._taken = set(taken or ())
        self._size = 0

    @abstractmethod
    def feed(self, event: str, data: bytes) -> Iterator[ModelEvent]:
        """The deltas in one server-sent event. Raises `StreamFailed`."""

    @abstractmethod
    def message(self) -> AssistantMessage:
        """The whole reply, once `complete`. Raises `StreamFailed` when there is nothing in it."""

    def grow(self, text: str) -> None:
        """Count `text` against the cap. Raises `StreamFailed`."""
        self._size += len(text)
        if self._size > REPLY_CAP:
            raise StreamFailed("protocol", f"the reply is longer than {REPLY_CAP // 1024 // 1024} MB and was given up")

    def unique(self, wanted: str) -> str:
        """An id for a new call: the provider's own unless it is missing or was used before in this session."""
        identity = wanted or "call_1"
        number_ = 1
        while identity in self._taken:
            number_ += 1
            identity = f"{wanted or 'call'}_{number_}"
        self._taken.add(identity)
        return identity

    def build(self, parts: list[AssistantPart], stop: StopReason, blocks: list[Json]) -> AssistantMessage:
        """The finished message. `stop` is what the provider said; calls, and nothing to show, override it."""
        calls = any(isinstance(part, ToolCall) for part in parts)
        said = any(isinstance(part, Text) and part.text.strip() for part in parts)
        if stop == "refused" and not said:
            raise StreamFailed("refused", "the model refused to answer; put the request differently")
        if not calls and not said:
            if stop == "length":
                raise StreamFailed("empty", "the model used up its output limit before it said anything")
            raise StreamFailed("empty", "the model's reply is empty")
        if calls and stop == "end":
            stop = "calls"
        elif not calls and stop == "calls":
            stop = "end"
        native = Native(self.dialect, self.profile.model, blocks) if blocks else None
        return AssistantMessage(tuple(parts), stop, self.profile.name, self.usage or Usage(), native)

    def failed(self, failure: Failure) -> AssistantMessage:
        """A message that only records what was streamed before it failed; calls are not in it."""
        text = "".join(self.text)
        parts = (Text(text),) if text else ()
        stop: StopReason = "cancelled" if failure.kind == "cancelled" else "failed"
        return AssistantMessage(parts, stop, self.profile.name, self.usage or Usage(), None, failure)


def thinking_part(text: str, signature: str = "") -> list[AssistantPart]:
    return [Thinking(text, signature)] if text else []


def spoil_last(calls: Sequence[Call], last: object) -> None:
    """A reply that ran into its output limit: the call it was writing, if that is its last part, is half a call."""
    if calls and calls[-1] is last:
        calls[-1].broken = "the reply was cut off at the output limit in the middle of this call"


def estimate_usage(request: ModelRequest, sent_bytes: int, message: AssistantMessage) -> Usage:
    """Our own figures where the provider gave none that can be believed."""
    images = [
        part
        for item in request.messages
        if isinstance(item, UserMessage)
        for outer in item.parts
        for part in (outer.content if isinstance(outer, ToolResult) else (outer,))
        if isinstance(part, Image)
    ]
    sent = max(0, sent_bytes - sum(len(image.data) for image in images)) * 10 // 36 + IMAGE_TOKENS * len(images)
    said = 0
    for part in message.parts:
        if isinstance(part, ToolCall):
            said += estimate_tokens(part.name) + len(to_json(part.arguments)) * 10 // 36
        else:
            said += estimate_tokens(part.text)
    return Usage(input=sent, output=said, estimated=True)


# --- the whole --------------------------------------------------------------------------------------------------------


class Dialect(Protocol):
    """Contract: pure; `encoder` lives as long as a conversation, `decoder` as long as one reply."""

    @property
    def name(self) -> str: ...

    def url(self, base: str, raw: bool = False) -> str:
        """Where requests go, from the base URL that the user knows; `raw`: those that fill a hole."""
        ...

    def encoder(self, profile: Profile) -> Encoder: ...

    def decoder(self, profile: Profile, taken: set[str]) -> Decoder: ...

    def error(self, status: int, body: bytes) -> ErrorReply:
        """What an error answer means; `status` is 0 for an error inside a stream."""
        ...


def versioned(base: str) -> str:
    """`base` with the `/v1` that both vendors' APIs have, where the user gave a bare host."""
    base = base.rstrip("/")
    return base if "/" in base.partition("://")[2] else base + "/v1"
