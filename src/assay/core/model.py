"""The port to a model: one request in, a stream of deltas out, and always one finished message at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from assay.core.messages import AssistantMessage, Json, Message, Usage

Effort = Literal["low", "medium", "high", "max"]
EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "max")


class Reasoning(Struct, frozen=True):
    """How much a model should think in this turn; each dialect maps it to the provider's own controls."""

    mode: Literal["default", "off", "adaptive", "budget"] = "default"
    """`default` leaves the provider's behaviour alone."""
    budget: int = 0
    """Thinking tokens, with mode `budget` (1024 or more)."""
    effort: Effort | None = None


class ToolSpec(Struct, frozen=True):
    name: str
    description: str
    parameters: dict[str, Json]
    """A JSON Schema of type object."""


class Price(Struct, frozen=True):
    """US dollars for a million tokens, with the day and the place they were read."""

    input: float
    output: float
    cache_read: float = 0.0
    cache_write: float = 0.0
    date: str = ""
    source: str = ""

    def cost(self, usage: Usage) -> float:
        """Dollars for `usage`."""
        spent = (
            usage.input * self.input
            + usage.cache_read * self.cache_read
            + usage.cache_write * self.cache_write
            + usage.output * self.output
        )
        return spent / 1_000_000


class Profile(Struct, frozen=True):
    """Facts about a model. Behaviour follows from these, never from a name."""

    name: str
    """PROVIDER/MODEL, as the user writes it."""
    model: str
    """What goes on the wire."""
    dialect: str
    context: int = 128_000
    """Tokens that fit in one request and its reply."""
    max_output: int = 8_192
    tools: bool = True
    """It can be trusted with tool calls."""
    images: bool = False
    reasoning: Literal["none", "budget", "adaptive", "effort"] = "none"
    """Which control over thinking it offers."""
    strategy: Literal["loop", "slots"] = "loop"
    """How attempts are made: it drives a tool loop, or the harness drives it and it fills slots."""
    edits: Literal["tool", "blocks", "whole"] = "tool"
    """How it edits: by calls of tools, by exact search and replace blocks in its text, or by whole files in fences."""
    price: Price | None = None
    quirks: frozenset[str] = frozenset()
    """Named departures of this model or endpoint from its dialect."""


class ModelRequest(Struct, frozen=True):
    system: str
    tools: tuple[ToolSpec, ...]
    messages: Sequence[Message]
    """Oldest first; only ever appended to, so that a request extends the bytes of the one before it."""
    session: str = ""
    """A stable key for the provider's prompt cache."""
    max_output: int | None = None
    reasoning: Reasoning = Reasoning()
    temperature: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: dict[str, Json] | None = None
    """A JSON Schema that the text of the reply must meet, where the endpoint can enforce one."""


class TextDelta(Struct, frozen=True, tag="text_delta", tag_field="type"):
    text: str


class ThinkingDelta(Struct, frozen=True, tag="thinking_delta", tag_field="type"):
    text: str


class CallDelta(Struct, frozen=True, tag="call_delta", tag_field="type"):
    """A call being written; nothing runs before the whole reply has ended properly."""

    id: str
    name: str
    arguments: str
    """The next piece of its JSON text."""


class Retrying(Struct, frozen=True, tag="retrying", tag_field="type"):
    """The request is about to be made again; text streamed so far belongs to an abandoned reply."""

    attempt: int
    delay: float
    reason: str


class Finished(Struct, frozen=True, tag="finished", tag_field="type"):
    message: AssistantMessage
    sent_bytes: int = 0


ModelEvent: TypeAlias = TextDelta | ThinkingDelta | CallDelta | Retrying | Finished


class Model(Protocol):
    """A model behind some endpoint.

    Contract: `stream` never raises for what a provider or a network does; it ends with exactly one `Finished`, whose
    message carries a `Failure` when there is no usable reply. Cancelling the iteration closes the connection at once.
    """

    @property
    def profile(self) -> Profile: ...

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]: ...

    async def aclose(self) -> None: ...


def estimate_tokens(text: str) -> int:
    """A rough count without a tokenizer: about 3.6 bytes a token, rounded up. Good to some 20 % on English and code."""
    return (len(text.encode("utf-8", "surrogatepass")) * 10 + 35) // 36
