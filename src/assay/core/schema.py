"""Whether a JSON value meets a JSON Schema, as far as both a model and a person can be told why not in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from assay.core.messages import Json

_TYPES: dict[str, Callable[[Json], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
}


def first_breach(value: Json, schema: Json, where: str) -> str:
    """The first place where `value` breaks `schema`, in one line; empty when there is none.

    Understands type, enum, const, properties, required, additionalProperties, items, anyOf, oneOf and allOf
    (JSON Schema 2020-12); other keywords, and these where their own value makes no sense, are hints to the model and
    are not checked.
    """
    if schema is False:
        return f"{where} is not allowed"
    if not isinstance(schema, dict):
        return ""
    rules = cast("dict[str, Json]", schema)
    said = rules.get("type")
    names = [name for name in (_list(said) or [said]) if isinstance(name, str)]
    if names and not any(_TYPES.get(name, lambda _: True)(value) for name in names):
        return f"{where} must be of type {' or '.join(names)}"
    if (choices := _list(rules.get("enum"))) and not any(_same(value, choice) for choice in choices):
        return f"{where} must be one of {choices}"
    if "const" in rules and not _same(value, rules["const"]):
        return f"{where} must be {rules['const']}"
    return _object_breach(value, rules, where) or _items_breach(value, rules, where) or _combined(value, rules, where)


def _list(value: Json) -> list[Json]:
    return cast("list[Json]", value) if isinstance(value, list) else []


def _table(value: Json) -> dict[str, Json]:
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}


def _same(one: Json, other: Json) -> bool:
    """Equal as JSON: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _object_breach(value: Json, schema: dict[str, Json], where: str) -> str:
    if not isinstance(value, dict):
        return ""
    fields = cast("dict[str, Json]", value)
    missing = next(
        (name for name in _list(schema.get("required")) if isinstance(name, str) and name not in fields), None
    )
    if missing is not None:
        return f"{where}.{missing} is missing"
    properties = _table(schema.get("properties"))
    others = schema.get("additionalProperties")
    breaches = (first_breach(item, properties.get(name, others), f"{where}.{name}") for name, item in fields.items())
    return next(filter(None, breaches), "")


def _items_breach(value: Json, schema: dict[str, Json], where: str) -> str:
    items = enumerate(_list(value))
    return next(filter(None, (first_breach(item, schema.get("items"), f"{where}[{i}]") for i, item in items)), "")


def _combined(value: Json, schema: dict[str, Json], where: str) -> str:
    for inner in _list(schema.get("allOf")):
        if breach := first_breach(value, inner, where):
            return breach
    for word in ("anyOf", "oneOf"):
        choices = _list(schema.get(word))
        met = sum(not first_breach(value, choice, where) for choice in choices)
        if choices and (met == 0 or (word == "oneOf" and met > 1)):
            return f"{where} must meet {'one' if word == 'oneOf' else 'any'} of {len(choices)} schemas and meets {met}"
    return ""
