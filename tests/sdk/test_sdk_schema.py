"""Types to JSON Schema and back."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Annotated, Literal, NotRequired, TypedDict

import msgspec
import pytest

from assay.core.errors import InvalidArguments, UsageError
from assay.sdk.schema import convert, schema_of


class Row(TypedDict):
    name: Annotated[str, "who"]
    age: NotRequired[Annotated[int, "in years"]]


@dataclass
class Report:
    title: Annotated[str, "one line"]
    rows: list[Row]
    kind: Literal["long", "short"] = "short"
    notes: dict[str, str] = field(default_factory=dict)


class Node(msgspec.Struct):
    value: int
    children: list[Node] = []


class Colour(enum.Enum):
    RED = "red"


def test_a_class_is_described_at_any_depth() -> None:
    schema = schema_of(Report)
    assert "$ref" not in msgspec.json.encode(schema).decode()
    properties = schema["properties"]
    assert properties["title"] == {"type": "string", "description": "one line"}
    row = properties["rows"]["items"]
    assert row["properties"]["name"]["description"] == "who"
    assert row["properties"]["age"]["description"] == "in years"
    assert row["required"] == ["name"]
    assert properties["kind"]["enum"] == ["long", "short"]
    assert schema["required"] == ["title", "rows"]


def test_values_become_instances() -> None:
    found = convert({"title": "t", "rows": [{"name": "ada"}]}, Report)
    assert found == Report("t", [{"name": "ada"}])
    assert convert("red", Colour) is Colour.RED
    with pytest.raises(InvalidArguments, match="rows"):
        convert({"title": "t"}, Report)


def test_a_type_within_itself_is_left_open() -> None:
    schema = schema_of(Node)
    assert schema["properties"]["children"]["items"] == {"type": "object"}
    assert convert({"value": 1, "children": [{"value": 2}]}, Node) == Node(1, [Node(2)])


def test_a_property_may_be_called_title() -> None:
    class Book(TypedDict):
        title: str

    assert schema_of(Book)["properties"] == {"title": {"type": "string"}}


def test_a_type_without_a_schema_is_named() -> None:
    class Odd:
        pass

    with pytest.raises(UsageError, match="Odd"):
        schema_of(Odd)


def test_models_that_describe_themselves_are_asked() -> None:
    class Model:
        """As pydantic's have it."""

        def __init__(self, x: int) -> None:
            self.x = x

        @classmethod
        def model_json_schema(cls) -> dict[str, object]:
            inner = {"type": "integer", "title": "X"}
            return {
                "properties": {"x": {"$ref": "#/$defs/X"}},
                "type": "object",
                "title": "Model",
                "$defs": {"X": inner},
            }

        @classmethod
        def model_validate(cls, value: dict[str, int]) -> Model:
            if not isinstance(value.get("x"), int):
                raise ValueError("x: not a number")
            return cls(value["x"])

    assert schema_of(Model) == {"type": "object", "properties": {"x": {"type": "integer"}}}
    assert convert({"x": 3}, Model).x == 3
    with pytest.raises(InvalidArguments, match="not a number"):
        convert({"x": "3"}, Model)
