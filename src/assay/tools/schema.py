"""Arguments of tools: one struct declares them, checks them and describes them to the model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar, cast, get_args, get_origin

from msgspec import Struct, ValidationError, convert

from assay.core.errors import InvalidArguments
from assay.core.messages import Json
from assay.core.model import ToolSpec

Arguments = TypeVar("Arguments", bound=Struct)

_PLAIN = {str: "string", int: "integer", bool: "boolean"}
_AT = re.compile(r" - at `\$\.?(.*)`$")


def tool_spec(
    name: str, arguments: type[Struct], without: tuple[str, ...] = (), told: Mapping[str, str] | None = None
) -> ToolSpec:
    """The spec of tool `name`, whose text lies in `name.md` beside this file: the description, an empty line, then one
    line `argument: what it is` for each argument that needs words. `without`: arguments not to be offered.
    `told`: other words for some of them."""
    text = Path(__file__).with_name(f"{name.lower()}.md").read_text("utf-8")
    description, _, rest = text.partition("\n\n")
    notes = dict(line.split(": ", 1) for line in rest.splitlines() if line)
    return ToolSpec(name, description.replace("\n", " ").strip(), _object(arguments, notes | {**(told or {})}, without))


def read_arguments(tool: str, arguments: dict[str, Json], kind: type[Arguments]) -> Arguments:
    """`arguments` as a `kind`. A null counts as absent, and "3" passes for 3: weak models write both.

    Raises `InvalidArguments` in one line that names the argument and what was expected.
    """
    given = {key: value for key, value in arguments.items() if value is not None}
    try:
        return convert(given, kind, strict=False)
    except ValidationError as error:
        raise InvalidArguments(f"{tool}: {_explain(str(error), kind)}") from None


def _explain(message: str, kind: type[Struct]) -> str:
    place = _AT.search(message)
    where = place.group(1) if place else ""
    what = message[: place.start()] if place else message
    what = what.replace("`", "'")
    if what.startswith("Object missing required field"):
        return f"{where + ': ' if where else ''}{what.rsplit(' ', 1)[-1]} is missing"
    if what.startswith("Object contains unknown field") and not where:
        return f"there is no {what.rsplit(' ', 1)[-1]}; the arguments are {', '.join(kind.__struct_encode_fields__)}"
    return f"{where or 'arguments'}: {what[:1].lower()}{what[1:]}"


def _object(kind: type[Struct], notes: dict[str, str], without: tuple[str, ...] = ()) -> dict[str, Json]:
    types: dict[str, object] = kind.__annotations__
    names = kind.__struct_encode_fields__
    properties: dict[str, Json] = {}
    for field, name in zip(kind.__struct_fields__, names, strict=True):
        shape = _shape(types[field])
        if name in notes:
            shape["description"] = notes[name]
        if name not in without:
            properties[name] = shape
    required = list(names[: len(names) - len(kind.__struct_defaults__)])
    schema: dict[str, Json] = {"type": "object", "properties": properties}
    # An empty list is valid but costs tokens in every request.
    return schema | {"required": required} if required else schema


def _shape(of: object) -> dict[str, Json]:
    if get_origin(of) is list:
        return {"type": "array", "items": _shape(get_args(of)[0])}
    if get_origin(of) is Literal:
        return {"type": "string", "enum": [choice for choice in get_args(of) if choice]}
    if isinstance(of, type) and issubclass(of, Struct):
        return _object(of, {})
    return {"type": _PLAIN[cast("type", of)]}
