"""JSON of unknown shape, read without trust: a value of the wrong type is as good as none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from assay.core.messages import FailureKind, Json

ABSURD = 50_000_000
"""Tokens that no single reply can have used."""


class StreamFailed(Exception):
    """The stream itself says that there will be no usable reply."""

    def __init__(self, kind: FailureKind, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.status = status


def table(value: object) -> dict[str, Json]:
    """`value` if it is an object, else an empty one."""
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}


def rows(value: object) -> list[Json]:
    return cast("list[Json]", value) if isinstance(value, list) else []


def word(value: object) -> str:
    return value if isinstance(value, str) else ""


def number(value: object) -> int | None:
    """`value` if it is a believable count of tokens."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= ABSURD else None


def to_json(value: object) -> bytes:
    """JSON bytes; lone surrogates, which UTF-8 can't carry, become U+FFFD."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_clean(value))


def _clean(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in cast("dict[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in cast("Sequence[object]", value)]
    return value


def from_json(data: bytes) -> dict[str, Json]:
    """The object in an event. Raises `StreamFailed`."""
    try:
        return table(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StreamFailed("protocol", f"the server sent an event that is not JSON ({error})") from None
