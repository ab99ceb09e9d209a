"""Entries of `mcpServers`, and what servers say of their tools, at random too."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.tools.mcp.config import ConfigProblem, expand, read_server, read_servers
from assay.tools.mcp.schema import DESCRIPTION, NAME, SCHEMA, Unfit, fit_schema, offered, tool_name

ENVIRON = {"HOME": "/h", "KEY": "k", "EMPTY": ""}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


def test_kinds() -> None:
    entries = {
        "a": {"command": "x", "args": ["-y", "${KEY}"], "env": {"K": "${KEY}"}},
        "b": {"type": "streamable-http", "url": "https://h/${NO:-mcp}", "headers": {"A": "B ${KEY}"}},
        "c": {"url": "http://127.0.0.1/"},
        "d": {"type": "sdk", "name": "d"},
        "e": {"type": "sse", "url": "https://h/", "timeout": 1500, "alwaysLoad": True},
    }
    found, problems = read_servers(entries, "dynamic", ENVIRON, "here")
    assert problems == []
    assert [config.kind for config in found] == ["stdio", "http", "http", "sdk", "sse"]
    assert found[0].args == ("-y", "k")
    assert found[0].env == {"K": "k"}
    assert (found[1].url, found[1].headers) == ("https://h/mcp", {"A": "B k"})
    assert (found[4].timeout, found[4].always_load) == (1.5, True)
    assert found[0].raw == entries["a"]


@pytest.mark.parametrize(
    ("name", "entry", "says"),
    [
        ("a", [], "object"),
        ("a", {}, "command is missing"),
        ("a", {"command": 3}, "string"),
        ("a", {"command": "x", "args": "y"}, "list of strings"),
        ("a", {"command": "x", "env": {"A": 1}}, "object of strings"),
        ("a", {"type": "ws", "url": "ws://x"}, "not one of"),
        ("a", {"url": "file:///etc/passwd"}, "http"),
        ("a", {"command": "${NOT_SET}"}, "NOT_SET is not set"),
        ("a", {"command": "x", "timeout": -1}, "milliseconds"),
        ("a__b", {"command": "x"}, "name"),
        ("a..b", {"command": "x"}, "name"),
        ("_a", {"command": "x"}, "name"),
        ("a\x1b", {"command": "x"}, "name"),
        ("", {"command": "x"}, "name"),
    ],
)
def test_entries_that_are_none(name: str, entry: object, says: str) -> None:
    with pytest.raises(ConfigProblem, match=says):
        read_server(name, entry, "user", ENVIRON)


def test_expansion() -> None:
    assert expand("$HOME ${HOME} ${X:-} ${X:-a-b} ${EMPTY:-e} $$", ENVIRON) == "$HOME /h  a-b e $$"


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=4))
def test_any_configuration_is_read_or_told(entries: dict[str, object]) -> None:
    found, problems = read_servers(entries, "user", ENVIRON, "here")
    assert len(found) + len(problems) == len(entries)


@given(VALUES)
def test_any_tool_is_made_fit_or_told(said: object) -> None:
    entry = {"name": "x", "inputSchema": said, "description": said, "annotations": said, "_meta": said}
    for each in (said, entry):
        try:
            tool = offered("srv", each)
        except Unfit:
            continue
        assert tool.parameters["type"] == "object"
        assert len(tool.description) <= DESCRIPTION


@given(st.text(min_size=1, max_size=120), st.text(min_size=1, max_size=120))
def test_names_are_taken_by_every_provider(server: str, tool: str) -> None:
    assert re.fullmatch(rf"[A-Za-z0-9_-]{{1,{NAME}}}", tool_name(server, tool))


def test_schemas() -> None:
    kept = fit_schema({"properties": {"a": {"type": "string", "description": "x\u202ey"}}, "oneOf": [], "$schema": "s"})
    assert kept == {"type": "object", "properties": {"a": {"type": "string", "description": "x\\u202ey"}}}
    assert fit_schema(None) == {"type": "object", "properties": {}}
    inner = {"$ref": "#/$defs/A"}
    assert fit_schema({"type": "object", "properties": {"a": inner}, "$defs": {"A": {}}})["properties"] == {"a": inner}
    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"properties": deep}
    for bad in (
        {"type": "array"},
        {"properties": []},
        {"properties": {"a b": {}}},
        {"properties": {"a" * 65: {}}},
        {"required": "a"},
        {"properties": {"a": {"$ref": "https://x/y"}}},
        {"description": "x" * SCHEMA},
        deep,
    ):
        with pytest.raises(Unfit):
            fit_schema(json.loads(json.dumps(bad)))
