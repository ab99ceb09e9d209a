from __future__ import annotations

import json

import pytest

from assay.core.errors import InvalidArguments
from assay.core.model import estimate_tokens
from assay.core.policy import Effect
from assay.core.web import Page, WebError
from assay.tools.finish import FinishTool
from assay.tools.toolbox import DEFERRED, OFFERED, toolbox, tools_named

from .double import Bench


def test_all_in_order() -> None:
    assert tuple(tool.spec.name for tool in toolbox().tools) == OFFERED
    assert tuple(tool.spec.name for tool in toolbox(["default"]).tools) == OFFERED


@pytest.mark.parametrize(
    ("tools", "disallowed", "left"),
    [
        (["Bash", "Read"], [], ("Bash", "Read", "finish")),
        (["shell", "search"], [], ("Bash", "Glob", "Grep", "finish")),
        (["Grep", "Unknown"], [], ("Grep", "finish")),
        ([], [], ()),
        (None, ["Bash", "edit", "search"], ("Read", "Write", "TodoWrite", "finish")),
        (None, ["Bash(rm:*)"], OFFERED),
        (["Bash"], ["shell"], ()),
        (["finish"], [], ("finish",)),
        (None, ["finish"], OFFERED[:-1]),
    ],
)
def test_filters(tools: list[str] | None, disallowed: list[str], left: tuple[str, ...]) -> None:
    assert tuple(tool.spec.name for tool in toolbox(tools, disallowed).tools) == left


def test_rare_tools_are_deferred_unless_named() -> None:
    class NoWeb:
        async def get(self, url: str, limit: int) -> Page:
            raise WebError(url)

    web = NoWeb()
    assert [tool.spec.name for tool in toolbox().deferred] == ["NotebookEdit"]
    made = toolbox(web=web, search=(web, "https://find.example/?q={query}"))
    assert tuple(tool.spec.name for tool in made.deferred) == DEFERRED
    assert tuple(tool.spec.name for tool in made.tools) == OFFERED
    named = toolbox(["Read", "webfetch"], web=web)
    assert [tool.spec.name for tool in named.tools] == ["Read", "finish", "WebFetch"]
    assert toolbox(["WebFetch"]).tools == ()
    assert toolbox(disallowed=["NotebookEdit", "WebFetch"], web=web).deferred == ()


@pytest.mark.parametrize(
    ("name", "tools"),
    [
        ("Bash", ("Bash",)),
        ("shell", ("Bash",)),
        ("MultiEdit", ("Edit",)),
        ("read", ("Read",)),
        ("LS", ("Read",)),
        ("search", ("Glob", "Grep")),
        ("Agent", ()),
    ],
)
def test_names_people_type(name: str, tools: tuple[str, ...]) -> None:
    assert tools_named(name) == tools


def test_the_specs_stay_small() -> None:
    wire = [
        {
            "type": "function",
            "function": {"name": spec.name, "description": spec.description, "parameters": spec.parameters},
        }
        for spec in (tool.spec for tool in toolbox().tools)
    ]
    text = json.dumps(wire, separators=(",", ":"))
    # The first request of a run, with all that others add, is to stay below 2,500.
    assert estimate_tokens(text) <= 1_090
    for tool in wire:
        assert tool["function"]["description"]
        json.dumps(tool["function"]["parameters"])


def test_schemas_name_what_is_required() -> None:
    required = {tool.spec.name: tool.spec.parameters.get("required", []) for tool in toolbox().tools}
    assert required == {
        "Bash": ["command"],
        "Read": ["file_path"],
        "Edit": ["file_path", "old_string", "new_string"],
        "Write": ["file_path", "content"],
        "Glob": ["pattern"],
        "Grep": ["pattern"],
        "TodoWrite": ["todos"],
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
