"""Functions as tools."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

import pytest

from assay import FunctionTool, ToolAnnotations, ToolContext, create_sdk_mcp_server, tool
from assay.core.errors import InvalidArguments, UsageError
from assay.core.messages import Image, Json, Text
from assay.core.policy import EXTERNAL, WORKSPACE, Effect
from assay.sdk.tools import LIMIT, ToolServer
from assay.testing import MemoryWorkspace
from assay.testing.conformance.tool import ToolConformance


@dataclass
class Place:
    city: str
    country: str = "DE"


@tool(read_only=True)
async def weather(
    place: Place, days: Annotated[int, "how many"] = 1, unit: Literal["C", "F"] = "C", *, loud: bool = False
) -> str:
    """The forecast for a place.

    Only the first paragraph is told.
    """
    if place.city == "Atlantis":
        raise LookupError("no such city")
    return f"{place.city}, {place.country}: {days} days in {unit}{'!' if loud else ''}"


class TestWeather(ToolConformance):
    @pytest.fixture
    def tool(self) -> FunctionTool:
        return weather

    @pytest.fixture
    def context(self) -> ToolContext:
        return ToolContext(MemoryWorkspace({}), {})

    @pytest.fixture
    def good(self) -> dict[str, Json]:
        return {"place": {"city": "Bonn"}}

    @pytest.fixture
    def troubled(self) -> dict[str, Json]:
        return {"place": {"city": "Atlantis"}}

    @pytest.fixture
    def nonsense(self) -> list[dict[str, Json]]:
        return [{}, {"place": "Bonn"}, {"place": {"city": "Bonn"}, "days": "many"}, {"place": {"city": "B"}, "x": 1}]


def run(made: FunctionTool, **arguments: Json) -> tuple[str, bool]:
    made.effects(arguments)
    outcome = asyncio.run(made.run(arguments, ToolContext(MemoryWorkspace({}), {})))
    return "\n".join(part.text for part in outcome.content if isinstance(part, Text)), outcome.is_error


def test_the_schema_follows_from_the_signature() -> None:
    spec = weather.spec
    assert (spec.name, spec.description) == ("weather", "The forecast for a place.")
    assert spec.parameters["required"] == ["place"]
    properties = spec.parameters["properties"]
    assert properties["days"] == {"type": "integer", "description": "how many", "default": 1}
    assert properties["unit"] == {"enum": ["C", "F"], "default": "C"}
    assert properties["place"]["required"] == ["city"]


def test_arguments_are_converted() -> None:
    assert run(weather, place={"city": "Bonn"}, days="3", loud=None) == ("Bonn, DE: 3 days in C", False)
    with pytest.raises(InvalidArguments, match=r"weather: .*unit"):
        weather.effects({"place": {"city": "Bonn"}, "unit": "K"})


def test_what_it_may_do_is_the_users_to_say() -> None:
    @tool
    def send(text: str) -> None:
        """Send it."""

    @tool(read_only=True, open_world=True)
    def look(text: str) -> None:
        """Look it up."""

    assert weather.effects({"place": {"city": "Bonn"}}) == (Effect("none"),)
    assert [effect.kind for effect in send.effects({"text": "hi"})] == ["unknown"]
    assert look.effects({"text": "hi"}) == (Effect("network", "look"),)


def test_results_of_any_kind() -> None:
    @tool(read_only=True)
    def give(what: str) -> object:
        """Give something."""
        if what == "huge":
            return "x" * (LIMIT + 10)
        blocks = [{"type": "text", "text": "seen"}, {"type": "image", "data": "aGk=", "mimeType": "image/png"}]
        given = {"nothing": None, "table": {"a": [1, 2]}, "place": Place("Bonn"), "blocks": {"content": blocks}}
        return given[what]

    assert run(give, what="nothing") == ("(done)", False)
    assert run(give, what="table") == ('{"a":[1,2]}', False)
    assert run(give, what="place") == ('{"city":"Bonn","country":"DE"}', False)
    assert run(give, what="missing") == ("give: 'missing'", True)
    text, _ = run(give, what="huge")
    assert text.endswith("[10 more characters are left out]")
    outcome = asyncio.run(give.run({"what": "blocks"}, ToolContext(MemoryWorkspace({}), {})))
    assert outcome.content == (Text("seen"), Image("image/png", "aGk="))
    assert outcome.label == EXTERNAL


def test_the_author_may_say_who_wrote_the_result_and_see_the_workspace() -> None:
    @tool(read_only=True, label="workspace")
    def count(path: str, context: ToolContext) -> int:
        """Count bytes."""
        return len(context.workspace.read_file(path).data)

    assert list(count.spec.parameters["properties"]) == ["path"]
    context = ToolContext(MemoryWorkspace({"a": b"four"}), {})
    outcome = asyncio.run(count.run({"path": "a"}, context))
    assert (outcome.content, outcome.label) == ((Text("4"),), WORKSPACE)


def test_a_function_that_waits_does_not_hold_the_loop() -> None:
    @tool(read_only=True)
    def where() -> bool:
        """Where it runs."""
        return threading.current_thread() is threading.main_thread()

    assert run(where) == ("false", False)


def test_defaults_are_not_shared() -> None:
    @tool(read_only=True)
    def collect(item: str, into: list[str] = []) -> list[str]:  # noqa: B006
        """Collect."""
        into.append(item)
        return into

    assert run(collect, item="a") == ('["a"]', False)
    assert run(collect, item="b") == ('["b"]', False)


class Sum(TypedDict):
    a: float
    b: Annotated[float, "the other"]


@pytest.mark.parametrize("schema", [{"a": float, "b": Annotated[float, "the other"]}, Sum])
async def test_a_declared_tool_takes_one_dict(schema: object) -> None:
    @tool("add", "Add two numbers.", schema, annotations=ToolAnnotations(readOnlyHint=True, maxResultSizeChars=3))
    async def add(args):
        if args["b"] < 0:
            return {"content": [{"type": "text", "text": "no"}], "is_error": True}
        return {"content": [{"type": "text", "text": f"{args['a'] + args['b']}000"}]}

    assert add.spec.parameters["properties"]["b"] == {"type": "number", "description": "the other"}
    assert add.spec.parameters["required"] == ["a", "b"]
    assert add.traits.read_only
    context = ToolContext(MemoryWorkspace({}), {})
    assert (await add.run({"a": 1, "b": 2}, context)).content[0].text.startswith("300\n[")
    assert (await add.run({"a": 1, "b": -2}, context)).is_error
    with pytest.raises(InvalidArguments, match="add"):
        add.effects({"a": 1})


def test_a_declared_schema_is_taken_as_it_is() -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    made = tool("ask", "Ask.", schema)(lambda args: None)
    assert made.spec.parameters == schema
    assert made.input_schema == schema


def test_what_cannot_be_a_tool_says_why() -> None:
    def bare(x) -> None: ...
    def many(*x: int) -> None: ...
    def odd(x: Missing) -> None: ...  # noqa: F821

    for function, why in ((bare, "x needs an annotation"), (many, "by name"), (odd, "Missing")):
        with pytest.raises(UsageError, match=why):
            tool(function)


def test_a_tool_is_still_the_function() -> None:
    assert asyncio.run(weather(Place("Bonn"))) == "Bonn, DE: 1 days in C"


def test_a_server_of_this_process_names_its_tools() -> None:
    config = create_sdk_mcp_server("skies", "2.0", [weather])
    assert (config["type"], config["name"]) == ("sdk", "skies")
    server = config["instance"]
    assert isinstance(server, ToolServer)
    assert [each.name for each in server.offered("sky")] == ["mcp__sky__weather"]
    assert server.listing()[0]["annotations"]["readOnly"] is True
