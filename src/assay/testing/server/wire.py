"""What the three dialects share: a reply ready to be rendered, the pieces of a stream, and vendors' errors."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

import msgspec

from assay.testing.server.script import Stop, Thinking, Usage
from assay.testing.server.seen import Reader, Record

encode = msgspec.json.encode

# Where in a reply a piece of the stream lies; faults look for these.
Kind = Literal["start", "thinking", "text", "arguments", "call_end", "other", "end"]


class Frame(NamedTuple):
    """One server-sent event, as bytes, and where in the reply it lies."""

    kind: Kind
    data: bytes


class WireCall(msgspec.Struct, frozen=True):
    """A call with its final name and argument text. An empty id is left out of the wire."""

    id: str
    name: str
    arguments: str
    freeform: bool = False


class Message(msgspec.Struct, frozen=True):
    """A reply ready to be rendered: roles resolved, ids made, usage counted.

    `usage` None leaves usage out. `options` are what the request's body asks for (include_usage, include…).
    """

    id: str
    model: str
    created: int
    thinking: tuple[Thinking, ...]
    text: str
    calls: tuple[WireCall, ...]
    stop: Stop
    usage: Usage | None
    chunk: int
    options: Record = {}


class Problem(msgspec.Struct, frozen=True):
    """An error in no particular dialect; each dialect has its own body for it. `status` is the HTTP status."""

    kind: Literal[
        "invalid", "unauthorized", "forbidden", "not_found", "too_long", "rate_limit", "quota", "server", "overloaded"
    ]
    status: int
    message: str
    id: str = ""


class Dialect(Reader, Protocol):
    """One wire format, both ways."""

    call_prefix: str

    def frames(self, message: Message) -> Iterator[Frame]:
        """The reply as a stream of server-sent events."""
        ...

    def whole(self, message: Message) -> Record:
        """The reply as the one JSON object of a request without streaming."""
        ...

    def error(self, problem: Problem) -> Record:
        """The body that the vendor sends with an error status."""
        ...

    def error_frame(self, problem: Problem) -> Frame:
        """The error as an event inside a stream that began well."""
        ...


def pieces(text: str, size: int) -> Iterator[str]:
    """The text in pieces of `size` characters; at least two pieces if it has two characters, and size allows less.

    A size of 0 or less, or one beyond 65,536, means a single piece.
    """
    whole = size <= 0 or size > 65536
    size = max(1, len(text) if whole else min(size, (len(text) + 1) // 2))
    for start in range(0, len(text), size):
        yield text[start : start + size]


def named_event(kind: Kind, data: Record) -> Frame:
    """An SSE event whose name is its `type`, as Anthropic and Responses streams have it."""
    return Frame(kind, b"event: %s\ndata: %s\n\n" % (str(data["type"]).encode(), encode(data)))


def final_stop(message: Message) -> Stop:
    """The stop reason, with "auto" decided by whether there are calls."""
    return message.stop if message.stop != "auto" else "calls" if message.calls else "end"
