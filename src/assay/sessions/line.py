"""One record as one line, and back. The format is described in `assay.sessions.log`."""

from __future__ import annotations

import re
from functools import cache
from zlib import crc32

import msgspec
from msgspec import Struct

from assay.core.events import Event
from assay.core.store import Record

HEAD = re.compile(rb'\{"crc":"([0-9a-f]{8})","chain":"([0-9a-f]{16})","len":(\d{1,12}),')
MARK = b'{"crc":"'
_NUMBER = re.compile(rb'"n":(\d{1,15}),')


class Line(Struct, frozen=True):
    """A verified line. `body` is everything behind the three checking fields, without the line's end."""

    number: int
    chain: bytes
    body: bytes
    end: int
    """Where it ends in the bytes that it was parsed from, without the line's end."""


class _Body(Struct, frozen=True):
    n: int
    t: float
    event: Event


@cache
def _decoder() -> msgspec.json.Decoder[_Body]:
    return msgspec.json.Decoder(_Body)


def encode_event(event: Event) -> bytes:
    """ASCII JSON without line ends. Lone surrogates and integers of any size survive, which msgspec alone refuses."""
    try:
        data = msgspec.json.encode(event)
        if data.isascii():
            return data
    except (UnicodeEncodeError, OverflowError):
        pass
    import json

    return json.dumps(msgspec.to_builtins(event), separators=(",", ":")).encode("ascii")


def encode_body(number: int, time: float, payload: bytes) -> bytes:
    return b'"n":%d,"t":%a,"event":%b}' % (number, time, payload)


def link(chain: bytes, body: bytes) -> bytes:
    """The chain value of a record whose predecessor's is `chain`: 16 hex digits of SHA-256 over both."""
    from hashlib import sha256

    digest = sha256(chain)
    digest.update(body)
    return digest.hexdigest()[:16].encode("ascii")


def encode_line(chain: bytes, body: bytes) -> bytes:
    return b'{"crc":"%08x","chain":"%b","len":%d,%b\n' % (crc32(body), chain, len(body), body)


def parse_line(data: bytes, start: int = 0) -> Line | None:
    """The line that begins at `start`, if its length and checksum are right; its chain is for the caller to compare."""
    head = HEAD.match(data, start)
    if head is None:
        return None
    size = int(head[3])
    end = head.end() + size
    body = data[head.end() : end]
    number = _NUMBER.match(body)
    if number is None or len(body) != size or crc32(body) != int(head[1], 16):
        return None
    return Line(int(number[1]), head[2], body, end)


def decode_body(body: bytes) -> Record | None:
    """The record, or None when this version does not know its kind or can't fit its fields."""
    data = b"{" + body
    try:
        decoded = _decoder().decode(data)
    except (msgspec.ValidationError, RecursionError):
        return None
    except msgspec.DecodeError:  # a lone surrogate: valid JSON that msgspec refuses
        import json

        try:
            decoded = msgspec.convert(json.loads(data), _Body)
        except (ValueError, RecursionError):
            return None
    return Record(decoded.n, decoded.t, decoded.event)


def time_of(body: bytes) -> float:
    start = body.index(b'"t":') + 4
    return float(body[start : body.index(b",", start)])


def payload_of(body: bytes) -> bytes:
    """The event's JSON as it was written, unknown fields and kinds included."""
    start = body.index(b'"event":') + len(b'"event":')
    return body[start:-1]
