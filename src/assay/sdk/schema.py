"""From types of Python to JSON Schema and back: what a tool takes, and the shape that an answer must have.

Understood are the types that msgspec understands (dataclasses, TypedDict, NamedTuple, its own Structs, Literal, Enum,
unions, collections, dates), models of pydantic where that is installed, and words in `Annotated[str, "the city"]`,
which become the description.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, cast, get_args, get_origin, get_type_hints

import msgspec

from assay.core.errors import InvalidArguments, UsageError
from assay.core.messages import Json

Schema = dict[str, Json]


def schema_of(kind: object) -> Schema:
    """The JSON Schema of a type, without references. Raises `UsageError` for a type that has none."""
    own = cast("Callable[[], Schema] | None", getattr(kind, "model_json_schema", None))
    try:
        raw: Schema = own() if own else msgspec.json.schema(kind)
    except (TypeError, NameError) as error:
        raise UsageError(f"{name_of(kind)} has no JSON Schema: {error}") from error
    found = _inlined(raw, cast("Schema", raw.get("$defs") or {}), ())
    return _described(cast("Schema", found), kind, ())


def convert(value: Json, kind: object) -> object:
    """`value`, which came as JSON, as a `kind`. Raises `InvalidArguments` that says where it differs."""
    validate = cast("Callable[[Json], object] | None", getattr(kind, "model_validate", None))
    try:
        return validate(value) if validate else msgspec.convert(value, cast("type[object]", kind), strict=False)
    except ValueError as error:  # msgspec's and pydantic's both are
        raise InvalidArguments(" ".join(str(error).replace("`", "'").split())) from None


def name_of(kind: object) -> str:
    return getattr(kind, "__name__", None) or str(kind)


def with_note(kind: object) -> object:
    """`Annotated[X, "words"]` with the words where msgspec looks for a description."""
    if get_origin(kind) is not Annotated:
        return kind
    inner, *notes = get_args(kind)
    words = next((note for note in notes if isinstance(note, str)), "")
    return Annotated[inner, msgspec.Meta(description=words)] if words else kind


def _inlined(value: Json, definitions: Schema, within: tuple[str, ...]) -> Json:
    """`value` with definitions in place of references to them; a type within itself is left open."""
    if isinstance(value, list):
        return [_inlined(item, definitions, within) for item in cast("list[Json]", value)]
    if not isinstance(value, dict):
        return value
    table = cast("Schema", value)
    reference = table.get("$ref")
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        if name in within:
            return {"type": "object"}
        beside = {key: item for key, item in table.items() if key != "$ref"}
        found = cast("Schema", _inlined(definitions.get(name, {}), definitions, (*within, name)))
        return found | cast("Schema", _inlined(beside, definitions, within))
    # A title repeats the name of the type or of the field; a property may be called so, too.
    named = "properties" in table or "type" in table
    return {
        key: _properties(item, definitions, within) if key == "properties" else _inlined(item, definitions, within)
        for key, item in table.items()
        if key != "$defs" and not (key == "title" and named)
    }


def _properties(value: Json, definitions: Schema, within: tuple[str, ...]) -> Json:
    return {key: _inlined(item, definitions, within) for key, item in cast("Schema", value).items()}


def _described(schema: Schema, kind: object, within: tuple[object, ...]) -> Schema:
    """`schema` with the words of `Annotated` in the fields of classes, at any depth."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        words = next((note for note in notes if isinstance(note, str)), "")
        schema = _described(schema, inner, within)
        return schema | {"description": words} if words else schema
    if kind in within:
        return schema
    items = schema.get("items")
    if isinstance(items, dict) and len(arguments := get_args(kind)) == 1:
        return schema | {"items": _described(cast("Schema", items), arguments[0], within)}
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not isinstance(kind, type) or hasattr(kind, "model_fields"):
        return schema
    try:
        hints = get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):
        return schema
    fields = {
        name: _described(cast("Schema", field), _plain(hints.get(name)), (*within, kind))
        for name, field in cast("Schema", properties).items()
    }
    return schema | {"properties": fields}


def _plain(kind: object) -> object:
    """`kind` without the markers of a TypedDict's field."""
    name = getattr(get_origin(kind), "_name", "")
    return get_args(kind)[0] if name in ("Required", "NotRequired", "ReadOnly") else kind
