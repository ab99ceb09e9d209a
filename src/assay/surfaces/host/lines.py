"""Lines of JSON, in and out: bounded, and whole whatever the pipe cuts them into."""

from __future__ import annotations

import json
from typing import cast

import msgspec

from assay.core.errors import UsageError
from assay.core.messages import Json

LONGEST = 64 * 1024 * 1024
"""Bytes of one line that comes in: room for a few dozen images."""
MOST = 480 * 1024
"""Characters of one line that goes out; clients give up at a mebibyte."""
Frame = dict[str, Json]
_BLANK = b" \t\r"


class LineReader:
    """Bytes in pieces of any size to whole lines. Memory is bounded by `longest`."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now, without their line feeds and without blank ones. Raises `UsageError` for one
        that is too long."""
        head, *rest = data.split(b"\n")
        self._grow(head)
        lines: list[bytes] = []
        for piece in rest:
            lines.append(self.take())
            self._grow(piece)
        return [line for line in lines if line]

    def take(self) -> bytes:
        """What there is of the line that is not ended."""
        line = b"".join(self._pieces).strip(_BLANK)
        self._pieces, self._size = [], 0
        return line

    def _grow(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._longest:
            raise UsageError(f"a line on standard input is longer than {self._longest} bytes")
        if piece:
            self._pieces.append(piece)


def read_line(line: bytes) -> Frame:
    """The object on a line. Raises `UsageError` when there is none."""
    try:
        value: object = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # Some programs escape half a surrogate pair, which only the standard library's parser lets pass.
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            shown = line[:80].decode("utf-8", "replace")
            raise UsageError(f"standard input: a line is not JSON ({error}): {shown}") from None
    if not isinstance(value, dict):
        raise UsageError("standard input: a line is JSON, but not an object")
    return cast(Frame, value)


def write_line(frame: Frame) -> str:
    """`frame` as one line of ASCII, line feed included. What is too long for clients is shortened, strings first."""
    text = _encoded(frame)
    cap, items = 128 * 1024, 2_000
    while len(text) > MOST and cap >= 128:
        frame = cast(Frame, _shortened(frame, cap, items))
        text = _encoded(frame)
        cap, items = cap // 4, items // 4
    return text + "\n"


def fits(frame: Frame) -> bool:
    """Whether `frame` goes out whole."""
    return len(_encoded(frame)) <= MOST


def _encoded(frame: Frame) -> str:
    # ASCII only: a line must stay a line for readers that split at U+2028, and lone surrogates must survive.
    return json.dumps(frame, separators=(",", ":"))


def _shortened(value: Json, cap: int, items: int) -> Json:
    match value:
        case str():
            more = len(value) - cap
            return value if more <= 0 else f"{value[:cap]}… [{more} more characters; the session's log has them]"
        case dict():
            table = cast(Frame, value)
            source = table.get("source")
            if table.get("type") == "image" and isinstance(source, dict):
                data = cast(Frame, source).get("data")
                if isinstance(data, str) and len(data) > cap:
                    return {"type": "text", "text": f"[an image of {len(data) * 3 // 4096} kB, left out here]"}
            data = table.get("base64")
            if isinstance(data, str) and len(data) > cap:
                table = {**table, "base64": ""}
            kept = list(table.items())[:items]
            return {key: _shortened(item, cap, items) for key, item in kept}
        case list():
            return [_shortened(item, cap, items) for item in cast("list[Json]", value)[:items]]
        case _:
            return value
