"""HTTP/1.1 messages, read strictly: one framing or none, so that no two readers can disagree about where one ends.

Source: RFC 9112. What it leaves to the recipient's tolerance (bare line feeds, folded lines, repeated lengths, chunk
extensions, trailers) is refused here.
"""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple, Protocol

LONGEST_HEAD = 32_768
"""Bytes of a request or status line with all its headers."""
MOST_HEADERS = 100
CHUNK = 65_536

_REQUEST = re.compile(rb"([A-Z]{1,20}) ([\x21-\x7e]{1,8192}) HTTP/1\.([01])")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK = re.compile(rb"[0-9A-Fa-f]{1,8}")
_HOP = frozenset({
    "connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "trailer",
    "transfer-encoding", "upgrade", "http2-settings", "expect", "host", "content-length", "alt-svc",
})  # fmt: skip
"""Headers that end at this hop, and those that we write ourselves."""

Headers = tuple[tuple[str, str], ...]


class BadMessage(Exception):
    """What was read is no message that we take; `str()` says why, `status` answers the client."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status


class Framing(NamedTuple):
    """How a body ends: after `length` bytes, by its own chunks (-1), or with the connection (-2)."""

    length: int

    @property
    def empty(self) -> bool:
        return self.length == 0


NOTHING, CHUNKED, UNTIL_CLOSE = Framing(0), Framing(-1), Framing(-2)


class Head(NamedTuple):
    """The start of a message: of a request (`method`, `target`) or of a response (`status`)."""

    headers: Headers
    version: int
    method: str = ""
    target: str = ""
    status: int = 0
    phrase: str = ""

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each.lower() == name]

    def listed(self, name: str) -> set[str]:
        """The comma-separated words of a header, in lower case."""
        return {word.strip().lower() for value in self.all(name) for word in value.split(",")} - {""}

    @property
    def lasting(self) -> bool:
        """The connection may serve another message after this one."""
        return self.version == 1 and "close" not in self.listed("connection")

    def passed_on(self) -> list[tuple[str, str]]:
        """The headers that concern the other end, those named by Connection left out too."""
        dropped = _HOP | self.listed("connection")
        return [(name, value) for name, value in self.headers if name.lower() not in dropped]


class Source(Protocol):
    """What messages are read from; `asyncio.StreamReader` is one."""

    async def readuntil(self, separator: bytes = b"\n") -> bytes: ...

    async def readexactly(self, n: int) -> bytes: ...

    async def read(self, n: int = -1) -> bytes: ...


async def read_head(source: Source, *, response: bool = False) -> Head | None:
    """The next head, or None when the connection ended before its first byte. Raises `BadMessage`."""
    try:
        text = await source.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise BadMessage("the head is cut off") from error
        return None
    except asyncio.LimitOverrunError as error:
        raise BadMessage("the head is too long", 431) from error
    if len(text) > LONGEST_HEAD:
        raise BadMessage("the head is too long", 431)
    first, *lines = text[:-4].split(b"\r\n")
    if len(lines) > MOST_HEADERS:
        raise BadMessage("too many headers", 431)
    found: list[tuple[str, str]] = []
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise BadMessage("a header is malformed")
        found.append((match[1].decode("ascii"), match[2].decode("latin-1").strip(" \t")))
    if response:
        status = _STATUS.fullmatch(first)
        if status is None:
            raise BadMessage("the status line is malformed")
        phrase = (status[3] or b"").decode("latin-1")
        return Head(tuple(found), int(status[1]), status=int(status[2]), phrase=phrase)
    request = _REQUEST.fullmatch(first)
    if request is None:
        raise BadMessage("the request line is malformed")
    return Head(tuple(found), int(request[3]), request[1].decode("ascii"), request[2].decode("ascii"))


def framing_of(head: Head, asked: str = "") -> Framing:
    """How the body after `head` ends; `asked` is the method that a response answers. Raises `BadMessage`."""
    codings, lengths = head.all("transfer-encoding"), head.all("content-length")
    if codings and (lengths or len(codings) > 1 or codings[0].lower() != "chunked" or head.version != 1):
        raise BadMessage("Transfer-Encoding is taken only as one 'chunked', in version 1.1, without Content-Length")
    if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
        raise BadMessage("Content-Length is malformed or repeated")
    if head.status and (asked == "HEAD" or head.status in (204, 304) or head.status < 200):
        return NOTHING
    if codings:
        return CHUNKED
    if lengths:
        return Framing(int(lengths[0]))
    return UNTIL_CLOSE if head.status else NOTHING


class Pieces(Protocol):
    """Content that comes in pieces."""

    async def next(self) -> bytes:
        """The next piece; empty at the end."""
        ...


class Body:
    """Implements `Pieces` for what follows a head. `next` raises `BadMessage`, and `TimeoutError` when nothing comes
    for `idle` seconds."""

    def __init__(self, source: Source, framing: Framing, idle: float) -> None:
        self._source = source
        self._framing = framing
        self._idle = idle
        self._left = max(framing.length, 0)
        self._begun = False
        self._ended = framing.empty

    async def next(self) -> bytes:
        if self._ended:
            return b""
        if self._framing == CHUNKED and not self._left:
            self._left = await self._chunk_size()
            if not self._left:
                if await _exactly(self._source, 2, self._idle) != b"\r\n":
                    raise BadMessage("trailers are not taken")
                self._ended = True
                return b""
        bounded = self._framing != UNTIL_CLOSE
        async with asyncio.timeout(self._idle):
            piece = await self._source.read(min(CHUNK, self._left) if bounded else CHUNK)
        if bounded:
            if not piece:
                raise BadMessage("the body is cut off")
            self._left -= len(piece)
        self._ended = not self._left and self._framing != CHUNKED if bounded else not piece
        return piece

    async def _chunk_size(self) -> int:
        if self._begun and await _exactly(self._source, 2, self._idle) != b"\r\n":
            raise BadMessage("a chunk does not end where it says")
        self._begun = True
        line = b""
        while not line.endswith(b"\r\n"):
            # Byte by byte: no line of a size is longer than ten, and nothing behind it may be consumed.
            line += await _exactly(self._source, 1, self._idle)
            if len(line) > 10:
                raise BadMessage("the size of a chunk is malformed")
        if not _CHUNK.fullmatch(line[:-2]):
            raise BadMessage("the size of a chunk is malformed")
        return int(line[:-2], 16)


async def _exactly(source: Source, count: int, idle: float) -> bytes:
    try:
        async with asyncio.timeout(idle):
            return await source.readexactly(count)
    except asyncio.IncompleteReadError as error:
        raise BadMessage("the body is cut off") from error


def render(first: str, headers: Headers | list[tuple[str, str]]) -> bytes:
    """A head as bytes. What goes in was read by `read_head` or written by us: no value holds a line break."""
    lines = [first, *(f"{name}: {value}" for name, value in headers), "", ""]
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
        raise BadMessage("a line break within a header")
    return text.encode("latin-1")


def framed(piece: bytes, framing: Framing) -> bytes:
    """A piece of content as it goes over the wire; `b""` is the end."""
    if framing != CHUNKED:
        return piece
    return b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b"0\r\n\r\n"


def framing_header(framing: Framing) -> list[tuple[str, str]]:
    if framing == CHUNKED:
        return [("Transfer-Encoding", "chunked")]
    return [("Content-Length", str(framing.length))] if framing.length >= 0 else []
