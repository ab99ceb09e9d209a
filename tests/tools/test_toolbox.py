from __future__ import annotations

import json

import pytest

from assay.core.errors import InvalidArguments
from assay.core.model import estimate_tokens
from assay.core.policy import Effect
from assay.tools.finish import FinishTool
from assay.tools.toolbox import NAMES, tool_named, toolbox

from .double import Bench


def test_all_six_in_order() -> None:
    assert tuple(tool.spec.name for tool in toolbox()) == NAMES
    assert tuple(tool.spec.name for tool in toolbox(["default"])) == NAMES


@pytest.mark.parametrize(
    ("tools", "disallowed", "left"),
    [
        (["Bash", "Read"], [], ("read", "shell", "finish")),
        (["Grep", "Glob", "WebFetch"], [], ("search", "finish")),
        ([], [], ()),
        (None, ["Bash", "edit"], ("read", "write", "search", "finish")),
        (None, ["Bash(rm:*)"], NAMES),
        (["Bash"], ["shell"], ()),
        (["finish"], [], ("finish",)),
        (None, ["finish"], NAMES[:-1]),
    ],
)
def test_filters(tools: list[str] | None, disallowed: list[str], left: tuple[str, ...]) -> None:
    assert tuple(tool.spec.name for tool in toolbox(tools, disallowed)) == left


def test_names_people_type() -> None:
    assert [tool_named(name) for name in ("Bash", "MultiEdit", "read", "LS", "Task")] == [
        "shell",
        "edit",
        "read",
        "read",
        "",
    ]


def test_the_specs_stay_small() -> None:
    wire = [
        {
            "type": "function",
            "function": {"name": spec.name, "description": spec.description, "parameters": spec.parameters},
        }
        for spec in (tool.spec for tool in toolbox())
    ]
    text = json.dumps(wire, separators=(",", ":"))
    # 556 tokens of o200k, of 560 allowed; the rough count of core is a fifth higher on JSON.
    assert estimate_tokens(text) <= 682
    for tool in wire:
        assert tool["function"]["description"]
        json.dumps(tool["function"]["parameters"])


def test_schemas_name_what_is_required() -> None:
    required = {tool.spec.name: tool.spec.parameters.get("required", []) for tool in toolbox()}
    assert required == {
        "read": ["path"],
        "edit": ["path", "old", "new"],
        "write": ["path", "content"],
        "shell": ["command"],
        "search": [],
        "finish": ["summary"],
    }


async def test_finish_hands_over_its_criteria(bench: Bench) -> None:
    outcome = await bench.call(
        FinishTool(), summary="Fixed it.", criteria=[{"text": "adds", "check": "pytest -k add"}, {"text": " "}]
    )
    assert outcome.finish
    assert outcome.debug == {
        "summary": "Fixed it.",
        "criteria": [{"text": "adds", "check": "pytest -k add", "expect": ""}],
    }
    assert FinishTool().effects({"summary": "x", "criteria": None}) == (Effect("none"),)


def test_finish_names_the_wrong_place() -> None:
    with pytest.raises(InvalidArguments, match=r"criteria\[0\]: 'text' is missing|criteria\[0\].*'text' is missing"):
        FinishTool().effects({"summary": "x", "criteria": [{"check": "y"}]})
    with pytest.raises(InvalidArguments, match="criteria: expected 'array'"):
        FinishTool().effects({"summary": "x", "criteria": "y"})
