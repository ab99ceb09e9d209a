"""Final answers in a shape that the user gave."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import InvalidArguments
from assay.core.messages import Json
from assay.core.schema import first_breach
from assay.run.answer import ATTEMPTS, StructuredAnswer
from assay.testing import call, reply
from assay.tools.structured import StructuredOutputTool

from .house import House, words

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KEYWORDS = [
    "type", "enum", "const", "properties", "required", "additionalProperties", "items", "anyOf", "oneOf", "allOf",
]  # fmt: skip
_schema = st.recursive(
    _json,
    lambda inner: st.dictionaries(
        st.sampled_from(KEYWORDS),
        inner | st.lists(inner, max_size=2) | st.dictionaries(st.just("a"), inner),
        max_size=4,
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("schema", "value", "breach"),
    [
        ({"type": "object"}, {}, ""),
        ({"type": "object"}, [], "$ must be of type object"),
        ({"type": ["string", "null"]}, None, ""),
        ({"type": ["string", "null"]}, 3, "$ must be of type string or null"),
        ({"type": "integer"}, True, "$ must be of type integer"),
        ({"type": "integer"}, 3.0, ""),
        ({"type": "integer"}, 3.5, "$ must be of type integer"),
        ({"type": "number"}, 3, ""),
        ({"type": "boolean"}, 0, "$ must be of type boolean"),
        ({"enum": ["a", 1]}, 1, ""),
        ({"enum": ["a", 1]}, True, "$ must be one of ['a', 1]"),
        ({"const": 0}, False, "$ must be 0"),
        ({"required": ["a"]}, {}, "$.a is missing"),
        ({"required": ["a"]}, [], ""),
        ({"properties": {"a": {"type": "string"}}}, {"a": 1}, "$.a must be of type string"),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"b": 1}, "$.b is not allowed"),
        ({"properties": {"a": False}}, {"a": 1}, "$.a is not allowed"),
        ({"properties": {"a": True}}, {"a": 1}, ""),
        ({"additionalProperties": {"type": "string"}}, {"b": 1}, "$.b must be of type string"),
        ({"items": {"type": "string"}}, ["a", 2], "$[1] must be of type string"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 3, "$ must meet any of 2 schemas and meets 0"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, 3, "$ must meet one of 2 schemas and meets 2"),
        ({"allOf": [{"type": "object"}, {"required": ["a"]}]}, {}, "$.a is missing"),
        ({"properties": {"a": {"items": {"required": ["b"]}}}}, {"a": [{"b": 1}, {}]}, "$.a[1].b is missing"),
        ({"minimum": 5, "pattern": "x"}, 3, ""),
    ],
)
def test_the_first_breach_is_named_with_its_place(schema: dict[str, Json], value: Json, breach: str) -> None:
    assert first_breach(value, schema, "$") == breach


@given(st.dictionaries(st.sampled_from(KEYWORDS), _schema, max_size=4), _json)
def test_no_schema_however_odd_makes_it_crash(schema: dict[str, Json], value: Json) -> None:
    breach = first_breach(value, schema, "$")
    answer = StructuredAnswer(schema)
    assert bool(answer.owed(json.dumps(value))) == bool(breach)


@pytest.mark.parametrize("text", ['{"n": 3}', ' {"n": 3}\n', '```json\n{"n": 3}\n```', '```\n{"n": 3}\n```\n'])
def test_a_code_fence_around_it_is_fine(text: str) -> None:
    assert StructuredAnswer({"type": "object"}).read(text) == {"n": 3}


@pytest.mark.parametrize("text", ["", "three", "{n: 3}", '{"n": 3} there', "```json", "NaN", '"\ud800"'])
def test_what_is_not_json_is_owed(text: str) -> None:
    answer = StructuredAnswer({"type": "object"})
    with pytest.raises(InvalidArguments):
        answer.read(text)
    assert answer.owed(text).startswith("The final answer does not meet the JSON schema (")


def test_without_a_schema_any_text_will_do() -> None:
    answer = StructuredAnswer(None)
    assert (answer.instruction(), answer.owed("anything")) == ("", "")


def test_the_instruction_shows_the_schema() -> None:
    assert '{"type":"object"}' in StructuredAnswer({"type": "object"}).instruction()


SHAPE: dict[str, Json] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def structured_house(*calls: dict[str, Json]) -> House:
    house = House(*[reply("", [call("StructuredOutput", each)]) for each in calls], reply("that was it"))
    house.tools["StructuredOutput"] = StructuredOutputTool(SHAPE)
    return house


async def test_an_answer_by_call_ends_the_turn_and_is_the_result() -> None:
    house = structured_house({"n": "many"}, {"n": 3})
    run = house.run(schema=SHAPE)
    ended = await run.turn(words("count"))
    assert (ended.verdict.outcome, ended.steps) == ("answered", 2)
    assert run.state.structured == {"n": 3}
    assert ended.text == '{"n":3}'
    assert house.run(schema=SHAPE).state.structured == {"n": 3}


async def test_wrong_answers_end_the_turn_after_some_attempts() -> None:
    house = structured_house(*[{"n": f"wrong {number}"} for number in range(20)])
    ended = await house.turn("count", schema=SHAPE)
    assert ended.verdict.outcome in ("failed", "stuck")
    assert ended.steps <= ATTEMPTS


async def test_json_in_the_text_is_taken_as_well_from_a_model_that_does_not_call() -> None:
    house = House(reply('{"n": 4}'))
    house.tools["StructuredOutput"] = StructuredOutputTool(SHAPE)
    ended = await house.turn("count", schema=SHAPE)
    assert (ended.verdict.outcome, ended.text) == ("answered", '{"n": 4}')
