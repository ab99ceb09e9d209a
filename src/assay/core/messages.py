"""What is said to and by a model, in a shape that belongs to no provider.

A message is frozen. What a provider sent is kept twice: as portable `parts`, and verbatim in `Native`, which is
replayed unchanged to the dialect it came from (signatures and encrypted reasoning survive) and dropped for any other.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Json: TypeAlias = object
"""Any JSON value, as decoded: None, bool, int, float, str, list or dict."""


class Text(Struct, frozen=True, tag="text", tag_field="type"):
    text: str


class Image(Struct, frozen=True, tag="image", tag_field="type"):
    media_type: str
    """A MIME type: image/png, image/jpeg, image/gif or image/webp."""
    data: str
    """The bytes in base64."""


class Thinking(Struct, frozen=True, tag="thinking", tag_field="type"):
    text: str
    signature: str = ""


class ToolCall(Struct, frozen=True, tag="tool_call", tag_field="type"):
    id: str
    name: str
    arguments: dict[str, Json]
    invalid: str = ""
    """Why the arguments could not be read; then `arguments` is empty and the call is answered with this, never run."""


class ToolResult(Struct, frozen=True, tag="tool_result", tag_field="type"):
    call: str
    """The id of the call that this answers."""
    content: tuple[Text | Image, ...]
    is_error: bool = False


class Native(Struct, frozen=True):
    """The provider's own blocks, untouched, for a verbatim replay through the same dialect."""

    dialect: str
    model: str
    blocks: list[Json]


FailureKind = Literal[
    "auth", "quota", "rate_limit", "overloaded", "server", "network", "timeout", "cut", "context_too_long",
    "bad_request", "not_found", "refused", "protocol", "empty", "cancelled",
]  # fmt: skip


class Failure(Struct, frozen=True):
    """Why a model gave no usable reply: a value in the history, not an exception through five layers."""

    kind: FailureKind
    message: str
    """One line: what, where, what to do. Never contains a key."""
    status: int | None = None
    retry_after: float | None = None
    """Seconds the server asked us to wait."""
    attempts: int = 1


class Usage(Struct, frozen=True):
    """Tokens of one reply. `input` counts only what was not read from or written to a cache."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    """Part of `output`, where the provider tells."""
    estimated: bool = False
    """True when the provider gave no believable figures and these are ours."""

    @property
    def sent(self) -> int:
        return self.input + self.cache_read + self.cache_write

    @property
    def total(self) -> int:
        return self.sent + self.output

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.output + other.output,
            self.reasoning + other.reasoning,
            self.estimated or other.estimated,
        )


UserPart: TypeAlias = Text | Image | ToolResult
AssistantPart: TypeAlias = Text | Thinking | ToolCall
StopReason = Literal["end", "calls", "length", "refused", "failed", "cancelled"]


class UserMessage(Struct, frozen=True, tag="user", tag_field="role"):
    parts: tuple[UserPart, ...]


class AssistantMessage(Struct, frozen=True, tag="assistant", tag_field="role"):
    parts: tuple[AssistantPart, ...]
    stop: StopReason
    model: str = ""
    usage: Usage = Usage()
    native: Native | None = None
    failure: Failure | None = None
    """Set exactly when `stop` is "failed" or "cancelled"; such a message never enters a later request."""
    others: tuple[str, ...] = ()
    """The texts of further samples, where several were wanted; `usage` counts the prompt once and all that was written.
    They never enter a later request."""

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


Message: TypeAlias = UserMessage | AssistantMessage
