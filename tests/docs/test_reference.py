"""docs/reference.md says what the code does: no command, flag, key, event, tool, outcome or fault is missing."""

from __future__ import annotations

import json
import re
from typing import get_args

import msgspec
import pytest

from assay.app.config import Permissions, Settings, load_settings
from assay.app.flags import PERMISSION_MODES
from assay.app.messages.result import Totals, result_object
from assay.core.events import Event
from assay.models.catalog import Facts, PriceFacts, Provider, load
from assay.testing.server.__main__ import _parser
from assay.testing.server.script import Call, Fault, Match, Reply, Rule, Script

from . import tables

TEXT = tables.REFERENCE.read_text("utf-8")


def section(title: str) -> str:
    """From a heading to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$(.*?)(?=^#{{1,2}} |\Z)", TEXT, re.M | re.S)
    assert found, f"no section '{title}'"
    return found[2]


def test_tables_are_those_of_the_code() -> None:
    assert tables.renewed(TEXT) == TEXT, "run: python tests/docs/record.py"


def test_every_table_has_its_place() -> None:
    places = {block[2] for block in tables.BLOCK.finditer(TEXT)}
    wanted = {*tables.TABLES, *(f"flags {command}" for command in tables.flag_modules())}
    assert wanted <= places
    assert places - wanted <= {"flags demo"}


@pytest.mark.parametrize("event", get_args(Event), ids=lambda event: event.__struct_config__.tag)
def test_events(event: type[msgspec.Struct]) -> None:
    kind = str(event.__struct_config__.tag)
    row = re.search(rf"^\| `{kind}` \| (.*?) \|", section("The session log"), re.M)
    assert row, kind
    assert re.findall(r"`(\w+)`", row[1]) == list(event.__struct_fields__)


def test_settings() -> None:
    text = section("Settings")
    for struct in (Settings, Permissions):
        for field in msgspec.structs.fields(struct):
            assert re.search(rf"^\| `{field.encode_name}` \|", text, re.M), field.encode_name
    for mode in PERMISSION_MODES:
        assert f"| `{mode}` |" in section("Permission rules")


def test_own_providers() -> None:
    text = section("A provider of your own")
    for struct in (Provider, Facts, PriceFacts):
        for field in msgspec.structs.fields(struct):
            assert f"`{field.encode_name}`" in text, field.encode_name


def test_the_example_of_a_provider_loads(tmp_path) -> None:
    example = re.search(r"^```json settings\n(.*?)^```", TEXT, re.M | re.S)
    assert example
    (tmp_path / "settings.json").write_text(example[1])
    settings, notices = load_settings(tmp_path / "settings.json", tmp_path, frozenset({"user"}))
    assert notices == []
    own = {key: getattr(settings, key) for key in ("providers", "models", "aliases")}
    profile, endpoint = load(own).resolve("work", environ={"OFFICE_KEY": "k"})
    assert (profile.context, endpoint.base_url) == (65536, "https://models.example.net/v1")


def test_result_object() -> None:
    from assay.core.check import Criterion, Evidence, Verdict
    from assay.core.events import ModelReplied, TurnEnded
    from assay.core.messages import AssistantMessage, ToolCall
    from assay.core.model import Profile

    verdict = Verdict("failed", "", (Criterion(""),), (Evidence("", "", "A", "fail", "fail", "", "", 0.0),))
    totals = Totals()
    totals.add(ModelReplied(1, AssistantMessage((), "end", "m")), "m")
    ended = TurnEnded("", verdict, "", 1, 0.0)
    found = result_object(ended, totals, "", Profile("p/m", "m", "test"), [ToolCall("", "", {})], {"a": 1})
    text = section("The result object")

    def check(value: object, *, names: bool = True) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                assert not names or f"`{key}`" in text, key
                check(inner, names=key not in ("modelUsage", "by_role", "tool_input", "structured_output"))
        elif isinstance(value, list):
            for inner in value:
                check(inner)

    check(json.loads(json.dumps(found)))
    check(found["modelUsage"]["m"])


def test_receipt() -> None:
    from assay.verify.receipt import Receipt

    for name in Receipt.__struct_fields__:
        assert f"`{name}`" in section("The receipt"), name


def test_scripted_server() -> None:
    text = section("The scripted server")
    for action in _parser()._actions:
        assert action.dest == "help" or f"`{action.option_strings[-1]}" in text, action.dest
    for struct in (Script, Reply, Call, Rule, Match, Fault):
        for name in struct.__struct_fields__:
            assert f"`{name}`" in text, f"{struct.__name__}.{name}"


def test_variables_of_the_code_are_told() -> None:
    told = section("Environment variables") + section("Providers and models")
    found: set[str] = set()
    for path in (tables.ROOT / "src" / "assay").rglob("*.py"):
        if "testing" not in path.parts:
            found |= set(re.findall(r"environ(?:\.get)?[(\[]\"([A-Z_]+)\"", path.read_text("utf-8")))
    catalog = load()
    for provider in catalog.providers.values():
        found |= {key.name for key in provider.keys} | {provider.base_url_variable, provider.model_variable}
    missing = {name for name in found if name and f"`{name}`" not in told}
    assert missing <= {"HOME", "PATH", "PYTHONPATH", "TERM", "VIRTUAL_ENV"}
