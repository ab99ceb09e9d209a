"""Tools of your own: a typed function becomes what a model may call.

    @tool
    async def weather(city: Annotated[str, "name of the city"], days: int = 1) -> str:
        "The forecast for a city."

The annotations become the schema, arguments are converted to them (a dataclass arrives as one), the docstring is what
the model is told. What the function returns goes to the model: text as it is, anything else as JSON. An exception is a
result with `is_error`, never the end of a turn.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, cast, get_type_hints, overload

import msgspec

from assay.core.errors import AssayError, InvalidArguments, UsageError
from assay.core.messages import Image, Json, Text
from assay.core.model import ToolSpec
from assay.core.policy import EXTERNAL, OPERATOR, WORKSPACE, Effect, Label
from assay.core.tool import ToolContext, ToolOutcome, failed
from assay.sdk.schema import Schema, convert, schema_of, with_note

Origin = Literal["operator", "workspace", "external"]
Function = TypeVar("Function", bound=Callable[..., object])
Handler = Callable[[dict[str, Json]], Awaitable[Mapping[str, Json]]]
LIMIT = 40_000
"""Characters of a result that the model is shown."""
_LABELS: dict[Origin, Label] = {"operator": OPERATOR, "workspace": WORKSPACE, "external": EXTERNAL}


@dataclass(frozen=True)
class ToolAnnotations:
    """Hints about a tool, by the names that they have in MCP."""

    title: str | None = None
    readOnlyHint: bool | None = None  # noqa: N815 - a name of the protocol
    destructiveHint: bool | None = None  # noqa: N815
    idempotentHint: bool | None = None  # noqa: N815
    openWorldHint: bool | None = None  # noqa: N815
    maxResultSizeChars: int | None = None  # noqa: N815


class FunctionTool:
    """A function as a `Tool` (core.tool). Made by `tool`; can still be called as the function that it was.

    What it is allowed is the user's to say, like of any tool that the harness does not know: one that only reads runs
    without asking, any other needs a rule (`Options.allowed_tools`), a mode that allows it, or a person's leave.
    """

    def __init__(
        self,
        spec: ToolSpec,
        traits: Traits,
        function: Callable[..., object],
        read: Callable[[dict[str, Json]], object],
        call: Callable[[dict[str, Json], ToolContext], Awaitable[object]],
    ) -> None:
        self.spec = spec
        self.traits = traits
        self.handler = function
        self._read = read
        self._call = call
        self.__doc__ = function.__doc__
        self.__name__ = spec.name

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def description(self) -> str:
        return self.spec.description

    @property
    def input_schema(self) -> Schema:
        return self.spec.parameters

    def __call__(self, *args: object, **kwargs: object) -> object:
        return self.handler(*args, **kwargs)

    def named(self, name: str) -> FunctionTool:
        """The same tool by another name, as `mcp__SERVER__TOOL`."""
        spec = ToolSpec(name, self.description, self.input_schema)
        return FunctionTool(spec, self.traits, self.handler, self._read, self._call)

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        try:
            self._read(arguments)
        except InvalidArguments as error:
            raise InvalidArguments(f"{self.name}: {error}") from None
        effects: list[Effect] = []
        if self.traits.open_world:
            effects.append(Effect("network", self.name))
        if not self.traits.read_only:
            effects.append(Effect("unknown", f"what {self.name} does"))
        return tuple(effects) or (Effect("none"),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        label = _LABELS[self.traits.label]
        try:
            value = await self._call(arguments, context)
        except (AssayError, LookupError, OSError, ValueError) as error:
            return failed(f"{self.name}: {error}", label=label)
        except Exception as error:  # noqa: BLE001 - whatever befalls a user's function is told to the model
            return failed(f"{self.name}: {type(error).__name__}: {error}", label=label)
        content, is_error = content_of(value, self.traits.limit)
        first = next((part.text for part in content if isinstance(part, Text)), "")
        shown = f"{self.name}: {' '.join(first.split())[:120]}" if is_error else self.name
        return ToolOutcome(content, shown, is_error=is_error, label=label)


class Traits(msgspec.Struct, frozen=True):
    """What the author of a tool says of it."""

    read_only: bool = False
    destructive: bool = False
    open_world: bool = False
    """What it is given leaves this machine."""
    label: Origin = "external"
    """Who could have written what it returns."""
    limit: int = LIMIT


@overload
def tool(function: Callable[..., object], /) -> FunctionTool: ...
@overload
def tool(
    name: str, description: str, input_schema: object, annotations: object = None
) -> Callable[[Handler], FunctionTool]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    read_only: bool = False,
    destructive: bool = False,
    open_world: bool = False,
    label: Origin = "external",
) -> Callable[[Callable[..., object]], FunctionTool]: ...
def tool(
    name: Callable[..., object] | str | None = None,
    description: str | None = None,
    input_schema: object = None,
    annotations: object = None,
    **said: bool | Origin,
) -> FunctionTool | Callable[[Callable[..., object]], FunctionTool] | Callable[[Handler], FunctionTool]:
    """Decorate a function, sync or async, to be a tool.

    `read_only`: it changes nothing, so nobody is asked. `open_world`: its arguments leave this machine. `label`: who
    could have written what it returns; `external`, unless said, is anyone. A parameter annotated with `ToolContext`
    gets the workspace and is not shown to the model. A function that is not async runs in a thread.

    With `(name, description, schema)` the function takes one dict and returns `{"content": [...]}`; `schema` is a JSON
    Schema, a TypedDict, or a dict from names to types. Raises `UsageError` for a function that can't be a tool.
    """
    if callable(name):
        return _from_function(name, None, None, Traits())
    if isinstance(name, str) and input_schema is not None:
        shape, traits, words = _declared(input_schema), traits_of(annotations), description or ""
        return lambda handler: _from_handler(handler, ToolSpec(name, words, shape), traits)
    traits = Traits(**said)  # type: ignore[arg-type]  # pyright checks the overloads
    return lambda function: _from_function(function, name, description, traits)


def traits_of(annotations: object) -> Traits:
    """From hints of MCP: an object with attributes, or a dict, in either spelling."""

    table = _table(annotations)

    def hint(camel: str, snake: str) -> object:
        if table:
            return table.get(camel, table.get(snake))
        return getattr(annotations, camel, getattr(annotations, snake, None))

    limit = hint("maxResultSizeChars", "max_result_size_chars")
    return Traits(
        hint("readOnlyHint", "read_only_hint") is True,
        hint("destructiveHint", "destructive_hint") is True,
        hint("openWorldHint", "open_world_hint") is True,
        limit=limit if isinstance(limit, int) and limit > 0 else LIMIT,
    )


def content_of(value: object, limit: int = LIMIT) -> tuple[tuple[Text | Image, ...], bool]:
    """What a function returned, for the model, at most `limit` characters; and whether it calls itself an error."""
    table = _table(value)
    if isinstance(table.get("content"), list):
        blocks = cast("list[Json]", table["content"])
        parts = [part for block in blocks if (part := _part(block))]
        return _bounded(parts, limit), table.get("is_error") is True or table.get("isError") is True
    if isinstance(value, Text | Image):
        return _bounded([value], limit), False
    if isinstance(value, str):
        return _bounded([Text(value)], limit), False
    if value is None:
        return (Text("(done)"),), False
    dump = cast("Callable[[], str] | None", getattr(value, "model_dump_json", None))
    try:
        text = dump() if dump else msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        text = str(value)
    return _bounded([Text(text)], limit), False


def _table(value: object) -> Mapping[str, Json]:
    return cast("Mapping[str, Json]", value) if isinstance(value, Mapping) else {}


def _part(block: Json) -> Text | Image | None:
    table = _table(block)
    match table.get("type"):
        case "image":
            source = cast("dict[str, Json]", table.get("source") or table)
            kind = source.get("mimeType") or source.get("media_type") or "image/png"
            return Image(str(kind), str(source.get("data", "")))
        case "resource_link":
            return Text("\n".join(str(table[key]) for key in ("name", "uri", "description") if table.get(key)))
        case "resource":
            inner = cast("dict[str, Json]", table.get("resource") or {})
            return Text(str(inner["text"])) if "text" in inner else None
        case _:
            return Text(str(table.get("text", "")))


def _bounded(parts: list[Text | Image], limit: int) -> tuple[Text | Image, ...]:
    left, kept = limit, list[Text | Image]()
    for part in parts:
        if isinstance(part, Text) and len(part.text) > left:
            cut = len(part.text) - left
            part = Text(f"{part.text[:left]}\n[{cut:,} more characters are left out]")
        left = max(0, left - len(part.text)) if isinstance(part, Text) else left
        kept.append(part)
    return tuple(kept)


# --- from functions ---------------------------------------------------------------------------------------------------


def _from_function(
    function: Callable[..., object], name: str | None, description: str | None, traits: Traits
) -> FunctionTool:
    name = name or function.__name__
    words = description or " ".join((inspect.getdoc(function) or name).partition("\n\n")[0].split())
    shape, contexts = _parameters(function, name)
    schema = schema_of(shape)
    schema.pop("title", None)
    wait = _waiting(function)

    required = {field.name for field in msgspec.structs.fields(shape) if field.required}

    def read(arguments: dict[str, Json]) -> object:
        # A null for what may be left out counts as left out: weak models write both.
        return convert({key: item for key, item in arguments.items() if item is not None or key in required}, shape)

    async def call(arguments: dict[str, Json], context: ToolContext) -> object:
        given = read(arguments)
        named = {field: getattr(given, field) for field in shape.__struct_fields__}
        return await wait(**named, **dict.fromkeys(contexts, context))

    return FunctionTool(ToolSpec(name, words, schema), traits, function, read, call)


def _parameters(function: Callable[..., object], name: str) -> tuple[type[msgspec.Struct], list[str]]:
    """The parameters as a struct, and the names of those that want the context."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise UsageError(f"tool {name}: an annotation can't be read: {error}") from error
    fields: list[tuple[str, type] | tuple[str, type, object]] = []
    contexts: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise UsageError(f"tool {name}: parameter {parameter} can't be given by name")
        if hints.get(parameter.name) is ToolContext:
            contexts.append(parameter.name)
            continue
        if parameter.name not in hints:
            raise UsageError(f"tool {name}: parameter {parameter.name} needs an annotation")
        kind = cast("type", with_note(hints[parameter.name]))
        missing = parameter.default is parameter.empty
        fields.append((parameter.name, kind) if missing else (parameter.name, kind, _default(parameter.default)))
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True), contexts


def _default(value: object) -> object:
    """Collections that a call could change are made anew for each."""
    return msgspec.field(default_factory=lambda: type(value)(value)) if isinstance(value, list | dict | set) else value  # type: ignore[call-arg]


def _waiting(function: Callable[..., object]) -> Callable[..., Awaitable[object]]:
    if inspect.iscoroutinefunction(function):
        return cast("Callable[..., Awaitable[object]]", function)

    async def in_thread(*args: object, **kwargs: object) -> object:
        import asyncio

        value = await asyncio.to_thread(function, *args, **kwargs)
        return await cast("Awaitable[object]", value) if inspect.isawaitable(value) else value

    return in_thread


def _from_handler(handler: Callable[..., object], spec: ToolSpec, traits: Traits) -> FunctionTool:
    wait = _waiting(handler)

    def read(arguments: dict[str, Json]) -> object:
        from assay.run.answer import first_breach

        if breach := first_breach(arguments, spec.parameters, "arguments"):
            raise InvalidArguments(breach)
        return arguments

    async def call(arguments: dict[str, Json], context: ToolContext) -> object:
        del context
        return await wait(arguments)

    return FunctionTool(spec, traits, handler, read, call)


def _declared(schema: object) -> Schema:
    """The JSON Schema behind the `schema` of a declaration."""
    if not isinstance(schema, dict):
        return schema_of(schema)
    table = cast("dict[str, object]", schema)
    if isinstance(table.get("type"), str) and "properties" in table:
        return table
    shape = msgspec.defstruct("arguments", [(name, cast("type", with_note(kind))) for name, kind in table.items()])
    found = schema_of(shape)
    found.pop("title", None)
    return found


class ToolServer(msgspec.Struct, frozen=True):
    """Tools of this process under the name of a server."""

    name: str
    version: str
    tools: tuple[FunctionTool, ...]

    def offered(self, name: str) -> list[FunctionTool]:
        """The tools as the model is told of them."""
        return [each.named(f"mcp__{name}__{each.name}") for each in self.tools]

    def listing(self) -> list[Json]:
        return [
            {
                "name": each.name,
                "description": each.description,
                "annotations": {
                    "readOnly": each.traits.read_only,
                    "destructive": each.traits.destructive,
                    "openWorld": each.traits.open_world,
                },
            }
            for each in self.tools
        ]


def create_sdk_mcp_server(
    name: str, version: str = "1.0.0", tools: list[FunctionTool] | None = None
) -> dict[str, object]:
    """A server of MCP within this process, for `Options.mcp_servers`: no socket, no child, no serialisation."""
    return {"type": "sdk", "name": name, "instance": ToolServer(name, version, tuple(tools or ()))}
