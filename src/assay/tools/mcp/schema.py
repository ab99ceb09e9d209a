"""What a server says of its tools, made fit to be shown: names that providers take, bounded text, plain schemas."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import cast

import msgspec
from msgspec import Struct

from assay.core.messages import Json
from assay.tools.bound import one_line, plain
from assay.tools.mcp.peer import table, words

PREFIX = "mcp__"
NAME = 64
"""Characters that every provider takes in the name of a tool."""
DESCRIPTION = 2_048
SCHEMA = 32_000
"""Bytes of one schema as JSON."""
_DEPTH = 24
_NODES = 4_000
_FIELD = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_NOT_AT_THE_TOP = ("oneOf", "anyOf", "allOf", "not", "$schema", "$id")
"""Providers refuse the first ones in the outermost object; the last two mean nothing there."""


class Offered(Struct, frozen=True):
    """One tool of a server, made fit."""

    name: str
    """As the model calls it: mcp__SERVER__TOOL."""
    remote: str
    """As the server calls it."""
    description: str
    parameters: dict[str, Json]
    title: str = ""
    read_only: bool = False
    """The server says so; whether that counts is policy's."""
    destructive: bool = True
    open_world: bool = True
    always_load: bool = False
    digest: str = ""
    """SHA-256 over all that the server said of it."""


class Unfit(ValueError):
    """One line: why a tool can't be offered."""


def tool_name(server: str, tool: str) -> str:
    """A name that every provider takes. A long one is cut and told apart by a digest."""
    full = f"{PREFIX}{plain_name(server)}__{plain_name(tool)}"
    return full if len(full) <= NAME else f"{full[: NAME - 9]}_{sha256(f'{server}/{tool}'.encode()).hexdigest()[:8]}"


def plain_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


def offered(server: str, said: Json) -> Offered:
    """One entry of a server's list. Raises `Unfit`."""
    entry = table(said)
    remote = words(entry.get("name"))
    if not remote.strip() or len(remote) > 256:
        raise Unfit("it has no name, or one that is too long")
    hints, meta = table(entry.get("annotations")), table(entry.get("_meta"))
    known = {key: entry.get(key) for key in ("name", "title", "description", "inputSchema", "annotations")}
    return Offered(
        tool_name(server, remote),
        remote,
        shown_description(words(entry.get("description"))),
        fit_schema(entry.get("inputSchema")),
        one_line(words(entry.get("title")) or words(hints.get("title")), 80),
        hints.get("readOnlyHint") is True,
        hints.get("destructiveHint") is not False,
        hints.get("openWorldHint") is not False,
        any(meta.get(key) is True for key in ("anthropic/alwaysLoad", "alwaysLoad")),
        sha256(msgspec.json.encode(known, order="sorted")).hexdigest(),
    )


def shown_description(text: str) -> str:
    """At most `DESCRIPTION` characters, without what can't be seen."""
    shown = plain(text[: DESCRIPTION * 4]).strip()
    return shown if len(shown) <= DESCRIPTION else shown[: DESCRIPTION - 8] + " […cut]"


def fit_schema(schema: Json) -> dict[str, Json]:
    """A schema of type object that providers take. Raises `Unfit`."""
    if schema is None:
        return {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise Unfit("its inputSchema is no object")
    fields = cast("dict[str, Json]", schema)
    if fields.get("type", "object") != "object":
        raise Unfit("its inputSchema is not of type object")
    try:
        if len(msgspec.json.encode(fields)) > SCHEMA:
            raise Unfit(f"its inputSchema has more than {SCHEMA:,} bytes")
    except RecursionError:
        raise Unfit("its inputSchema is nested too deeply") from None
    properties = fields.get("properties", {})
    if not isinstance(properties, dict):
        raise Unfit("its properties are no object")
    named = cast("dict[str, Json]", properties)
    for name in named:
        if not _FIELD.match(name):
            raise Unfit(f"it has an argument with a name that models can't be given: {one_line(name, 40)!r}")
    required: Json = fields.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in cast("list[Json]", required)):
        raise Unfit("its list of required arguments is none")
    top = {key: value for key, value in fields.items() if key not in _NOT_AT_THE_TOP}
    return cast("dict[str, Json]", _Cleaner().clean({**top, "type": "object", "properties": named}, 0))


class _Cleaner:
    """Bounds the size, keeps references inside, and makes every text visible."""

    def __init__(self) -> None:
        self._nodes = 0

    def clean(self, value: Json, depth: int) -> Json:
        self._nodes += 1
        if depth > _DEPTH or self._nodes > _NODES:
            raise Unfit("its inputSchema is nested too deeply, or too large")
        if isinstance(value, str):
            return plain(value)
        if isinstance(value, list):
            return [self.clean(item, depth + 1) for item in cast("list[Json]", value)]
        if not isinstance(value, dict):
            return value
        fields = cast("dict[str, Json]", value)
        for key in ("$ref", "$dynamicRef"):
            target = fields.get(key)
            if isinstance(target, str) and not target.startswith("#"):
                raise Unfit("its inputSchema refers to somewhere else")
        return {plain(key): self.clean(item, depth + 1) for key, item in fields.items()}
