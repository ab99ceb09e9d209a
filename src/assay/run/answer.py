"""A final answer in a shape that the user gave (`--json-schema`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec

from assay.core.errors import InvalidArguments
from assay.core.messages import Json

_TYPES: dict[str, Callable[[Json], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
}


class StructuredAnswer:
    """Knows what to ask for, and what a text still lacks."""

    def __init__(self, schema: dict[str, Json] | None):
        self._schema = schema

    @property
    def instruction(self) -> str:
        """What to tell the model; empty when any answer will do."""
        if self._schema is None:
            return ""
        text = msgspec.json.encode(self._schema).decode()
        return f"Your final answer must be only one JSON value that meets this JSON Schema:\n{text}"

    def read(self, text: str) -> Json:
        """The value in `text`, a code fence around it allowed. Raises `InvalidArguments` when it breaks the schema."""
        stripped = text.strip()
        if stripped.startswith("```"):
            stripped = stripped.partition("\n")[2].rpartition("```")[0]
        try:
            value: Json = msgspec.json.decode(stripped)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidArguments(f"not JSON: {error}") from error
        if breach := first_breach(value, self._schema or {}, "$"):
            raise InvalidArguments(breach)
        return value

    def owed(self, text: str) -> str:
        """What to tell the model about `text`; empty when it will do."""
        if self._schema is None:
            return ""
        try:
            self.read(text)
        except InvalidArguments as error:
            return f"The final answer does not meet the JSON schema ({error}). Answer with only the corrected JSON."
        return ""


def first_breach(value: Json, schema: dict[str, Json], where: str) -> str:
    """The first place where `value` breaks `schema`, in one line; empty when there is none.

    Understands type, enum, const, properties, required, additionalProperties: false, items, anyOf, oneOf and allOf
    (JSON Schema 2020-12); other keywords are hints to the model and are not checked.
    """
    types = schema.get("type")
    names = cast("list[str]", types if isinstance(types, list) else [types] if isinstance(types, str) else [])
    if names and not any(_TYPES.get(name, lambda _: True)(value) for name in names):
        return f"{where} must be of type {' or '.join(names)}"
    if "enum" in schema and value not in cast("list[Json]", schema["enum"]):
        return f"{where} must be one of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        return f"{where} must be {schema['const']}"
    if isinstance(value, dict):
        breach = _object_breach(cast("dict[str, Json]", value), schema, where)
        return breach or _combined(cast("Json", value), schema, where)
    if isinstance(value, list) and isinstance(inner := schema.get("items"), dict):
        for index, item in enumerate(cast("list[Json]", value)):
            if breach := first_breach(item, cast("dict[str, Json]", inner), f"{where}[{index}]"):
                return breach
    return _combined(cast("Json", value), schema, where)


def _object_breach(value: dict[str, Json], schema: dict[str, Json], where: str) -> str:
    properties = cast("dict[str, dict[str, Json]]", schema.get("properties") or {})
    for name in cast("list[str]", schema.get("required") or []):
        if name not in value:
            return f"{where}.{name} is missing"
    for name, item in value.items():
        if name in properties:
            if breach := first_breach(item, properties[name], f"{where}.{name}"):
                return breach
        elif schema.get("additionalProperties") is False:
            return f"{where}.{name} is not allowed"
    return ""


def _combined(value: Json, schema: dict[str, Json], where: str) -> str:
    for inner in cast("list[dict[str, Json]]", schema.get("allOf") or []):
        if breach := first_breach(value, inner, where):
            return breach
    for word in ("anyOf", "oneOf"):
        choices = cast("list[dict[str, Json]]", schema.get(word) or [])
        met = sum(not first_breach(value, choice, where) for choice in choices)
        if choices and (met == 0 or (word == "oneOf" and met > 1)):
            return f"{where} must meet {'one' if word == 'oneOf' else 'any'} of {len(choices)} schemas and meets {met}"
    return ""
