"""What the server has seen: every request, and what they amount to per conversation."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec

from assay.testing.server.seen import Parts, SeenRequest

_SECRETS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "chatgpt-account-id"}
)


class Exchange:
    """One HTTP request and how it was answered. Times are seconds of the monotonic clock, None until they come.

    `closed_early` is when the client went away before the answer was sent whole. `bytes_sent` counts what was handed
    to the connection.
    """

    def __init__(self, method: str, path: str, headers: dict[str, str], raw: bytes, arrived: float) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.raw = raw
        self.arrived = arrived
        self.time = 0.0
        self.seen: SeenRequest | None = None
        self.status = 0
        self.fault: str | None = None
        self.bytes_sent = 0
        self.first_byte: float | None = None
        self.ended: float | None = None
        self.closed_early: float | None = None


class Conversation(msgspec.Struct, frozen=True):
    """Requests of one conversation. `sent`: bytes of their prompts (tools, system, messages); `shared`: how many of
    those were a prefix shared with the request before; `extensions`: how many requests after the first were exact
    extensions of the one before; `body_bytes`: bytes of the bodies as they came."""

    key: str
    requests: int
    sent: int
    shared: int
    extensions: int
    body_bytes: int


def redacted(headers: dict[str, str]) -> dict[str, str]:
    """Headers with secrets replaced; what kind of key it was (`Bearer`) stays."""
    return {
        name: value if name not in _SECRETS else " ".join([*value.split(" ")[:-1], "[redacted]"])
        for name, value in headers.items()
    }


def is_extension(previous: Parts, following: Parts) -> bool:
    """Whether tools and system are the same bytes, and the messages begin with the previous ones, byte for byte."""
    size = len(previous.messages)
    return (
        previous.tools == following.tools
        and previous.system == following.system
        and previous.messages == following.messages[:size]
    )


def shared_prefix(previous: Parts, following: Parts) -> int:
    """How many bytes of prompt two requests have in common from the start, in caching order."""
    shared = 0
    pairs = zip(
        (previous.tools, previous.system, *previous.messages),
        (following.tools, following.system, *following.messages),
        strict=False,
    )
    for before, after in pairs:
        common = _common(before, after)
        shared += common
        if common < len(before) or common < len(after):
            break
    return shared


def prompt_bytes(parts: Parts) -> int:
    """The size of a prompt in bytes."""
    return len(parts.tools) + len(parts.system) + sum(map(len, parts.messages))


def conversations(requests: Sequence[SeenRequest]) -> list[Conversation]:
    """Groups requests into conversations, in order of their first requests.

    A conversation is told by dialect, whether there are tools, and the first text of the user; of several that begin
    alike, a request goes on with the latest that it extends. One that extends none starts a conversation if it is as
    short as a first request, and else belongs to the latest, as a request that broke its prefix.
    """
    threads: dict[str, list[list[SeenRequest]]] = {}
    ordered: list[list[SeenRequest]] = []
    for seen in requests:
        start = "\0".join([seen.dialect, str(bool(seen.tools)), seen.first_user_text()])
        alike = threads.setdefault(start, [])
        parts = seen.parts
        thread = next((t for t in reversed(alike) if is_extension(t[-1].parts, parts)), None)
        if thread is None and alike and len(parts.messages) > len(alike[-1][0].parts.messages):
            thread = alike[-1]
        if thread is None:
            thread = list[SeenRequest]()
            alike.append(thread)
            ordered.append(thread)
        thread.append(seen)
    return [_summary(thread) for thread in ordered]


def _summary(thread: list[SeenRequest]) -> Conversation:
    sent = shared = extensions = 0
    previous: Parts | None = None
    for seen in thread:
        parts = seen.parts
        sent += prompt_bytes(parts)
        if previous is not None:
            shared += shared_prefix(previous, parts)
            extensions += is_extension(previous, parts)
        previous = parts
    key = hashlib.sha256(thread[0].dialect.encode() + thread[0].first_user_text().encode()).hexdigest()[:12]
    return Conversation(key, len(thread), sent, shared, extensions, sum(len(seen.raw) for seen in thread))


def _common(one: bytes, other: bytes) -> int:
    """Length of the common prefix, by bisection."""
    if one == other:
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Log:
    """A JSONL file with one record an exchange, written when it ends."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("ab", buffering=0)

    def write(self, exchange: Exchange) -> None:
        """Appends one exchange."""
        seen = exchange.seen
        line: dict[str, object] = {
            "method": exchange.method,
            "path": exchange.path,
            "dialect": seen.dialect if seen else None,
            "index": seen.index if seen else None,
            "position": seen.position if seen else None,
            "headers": exchange.headers,
            "body": exchange.raw.decode("utf-8", "replace"),
            "time": exchange.time,
            "arrived": exchange.arrived,
            "first_byte": exchange.first_byte,
            "ended": exchange.ended,
            "closed_early": exchange.closed_early,
            "status": exchange.status,
            "fault": exchange.fault,
            "bytes_sent": exchange.bytes_sent,
        }
        self._file.write(msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
