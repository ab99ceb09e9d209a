"""What sub-agents are given: a model the user allowed, tools of the parent's, a gate that only tightens."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from msgspec.structs import replace

from assay.app.agents import BUILT_IN, Outfitter, read_agents
from assay.core.agents import AgentDefinition, AgentOrigin, merge_agents, read_agent
from assay.core.errors import UsageError
from assay.core.messages import Json
from assay.core.model import Model, ToolSpec
from assay.core.policy import OPERATOR, Effect
from assay.core.tool import Tool, ToolContext, ToolOutcome
from assay.policy.gate import Bounds, PermissionMode, RuleGate
from assay.policy.rules import parse_rules
from assay.run.toolset import Toolset
from assay.testing import FakeClock, FunctionModel
from assay.testing.models import PROFILE
from assay.tools.agent import AgentTool, listing
from assay.tools.tasks import Background
from assay.tools.toolbox import toolbox


class Nobody:
    """A spawner for tools that are never called."""

    kinds = {kind.name: kind for kind in BUILT_IN}  # noqa: RUF012 - read only


class Named:
    """A tool that is never called."""

    def __init__(self, name: str) -> None:
        self.spec = ToolSpec(name, "", {})

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        raise AssertionError(arguments)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        raise AssertionError(arguments)


def model(name: str) -> Model:
    return FunctionModel(lambda _: "x", replace(PROFILE, name=name, model=name.rpartition("/")[2]))


def gate(mode: PermissionMode, deny: str = "") -> RuleGate:
    return RuleGate(Bounds("/project", confined=True, commands_read_only=True), mode, parse_rules(deny=deny))


def tools(quiet: Callable[[], bool], background: Background) -> Iterable[Tool]:
    return toolbox(read_only=quiet, background=background).tools


def outfit(aliases: dict[str, str] | None = None, **environ: str) -> Outfitter:
    return Outfitter(model, aliases or {}, environ, gate, tools, FakeClock())


PARENT = model("anthropic/big")
PLAIN = AgentDefinition("plain", "does things")


def kind(origin: AgentOrigin = "project", **fields: object) -> AgentDefinition:
    return replace(PLAIN, origin=origin, **fields)


@pytest.mark.parametrize(
    ("wanted", "of", "aliases", "expected"),
    [
        ("", kind(), {}, "anthropic/big"),
        ("inherit", kind("host", model="openai/x"), {}, "anthropic/big"),
        ("", kind(model="inherit"), {"subagent": "openai/cheap"}, "anthropic/big"),
        ("", kind(), {"subagent": "openai/cheap"}, "openai/cheap"),
        ("sonnet", kind(), {"sonnet": "openai/own"}, "openai/own"),
        ("haiku", kind(), {}, "anthropic/claude-haiku"),
        ("gpt", kind(), {}, "anthropic/big"),
        ("anthropic/small", kind(), {}, "anthropic/small"),
        ("", kind("user", model="openai/x"), {}, "openai/x"),
        ("", kind("host", model="openai/x"), {}, "openai/x"),
        ("big", kind("host", model="openai/x"), {}, "anthropic/big"),
    ],
)
def test_which_model(wanted: str, of: AgentDefinition, aliases: dict[str, str], expected: str) -> None:
    assert outfit(aliases).model(wanted, of, PARENT).profile.name.startswith(expected)


@pytest.mark.parametrize(("wanted", "of"), [("openai/x", kind("user")), ("", kind("project", model="openai/x"))])
def test_no_model_of_another_provider_that_the_user_did_not_name(wanted: str, of: AgentDefinition) -> None:
    with pytest.raises(UsageError, match="another provider is for the user to name"):
        outfit().model(wanted, of, PARENT)


def test_the_environment_names_the_model_of_agents() -> None:
    found = outfit(CLAUDE_CODE_SUBAGENT_MODEL="openai/cheap").model("", kind(), PARENT)
    assert found.profile.name == "openai/cheap"


@pytest.mark.parametrize(
    ("parent", "own", "origin", "write"),
    [
        ("default", "plan", "project", "deny"),
        ("plan", "bypassPermissions", "user", "deny"),
        ("default", "", "project", "allow"),
        ("dontAsk", "acceptEdits", "host", "allow"),
    ],
)
async def test_gates_tighten(parent: PermissionMode, own: str, origin: AgentOrigin, write: str) -> None:
    found = outfit().gate(kind(origin, permission_mode=own), gate(parent))
    assert (await found.decide("Write", (Effect("write", "a.txt"),), OPERATOR)).verdict == write


async def test_only_who_is_trusted_loosens_and_never_a_denial() -> None:
    asks = (Effect("read", "/home/other/x"),)
    for origin, verdict in (("project", "ask"), ("plugin", "ask"), ("user", "allow"), ("host", "allow")):
        found = outfit().gate(kind(origin, permission_mode="bypassPermissions"), gate("default"))
        assert (await found.decide("Read", asks, OPERATOR)).verdict == verdict, origin
    held = outfit().gate(kind("user", permission_mode="bypassPermissions"), gate("dontAsk"))
    assert (await held.decide("Read", asks, OPERATOR)).verdict == "deny"


def names(of: AgentDefinition, *, deepest: bool = False, without: str = "") -> set[str]:
    offered = Toolset(tool for tool in toolbox(background=Background()).tools if tool.spec.name != without)
    offered.add(AgentTool(Nobody()))
    return set(outfit().tools(of, offered, Nobody(), deepest=deepest))


def test_tools_are_the_parents_at_most() -> None:
    every = names(kind())
    assert {"Bash", "Read", "Edit", "Write", "Agent"} <= every
    assert "finish" not in every
    assert "Agent" not in names(kind(), deepest=True)
    assert "Edit" not in names(kind(), without="Edit")
    assert names(kind(tools=("Read", "Bash(git log:*)"))) == {"Read", "Bash"}
    assert names(kind(tools=("Task", "read"))) == {"Read", "Agent"}
    assert names(kind(disallowed=("Bash", "Edit", "Write(src/**)"))) >= {"Read", "Write"}
    assert not {"Bash", "Edit"} & names(kind(disallowed=("Bash", "Edit")))
    explorer = next(each for each in BUILT_IN if each.name == "Explore")
    assert not {"Edit", "Write", "Agent"} & names(explorer)


def test_servers_that_a_kind_names_add_their_tools() -> None:
    offered = Toolset()
    for name in ("Read", "mcp__s__x", "mcp__other__x"):
        offered.add(Named(name))
    listed = kind(tools=("Read",), mcp_servers=("s",))
    assert set(outfit().tools(listed, offered, Nobody(), deepest=True)) == {"Read", "mcp__s__x"}


def test_what_is_not_applied_is_told_once() -> None:
    made = outfit()
    made.define([kind(unused=("hooks", "memory")), replace(kind(unused=("hooks",)), name="other")])
    assert made.unused == [
        "agents: hooks: not applied here, in plain, other",
        "agents: memory: not applied here, in plain",
    ]


def test_definitions_by_name_and_rank() -> None:
    ranked = merge_agents([kind("plugin"), kind("user"), kind("host"), kind("project")])
    assert ranked["plain"].origin == "host"
    found = outfit()
    found.define([kind("user"), replace(kind("project"), name="Explore", description="theirs")])
    assert list(found.kinds) == ["Explore", "plain", "general-purpose"]
    assert found.kinds["Explore"].description == "theirs"


def test_definitions_are_read_from_json() -> None:
    raw = '{"a": {"description": "d\\n e", "prompt": " p ", "tools": "Read, Bash(git log, git diff)", "maxTurns": 3,'
    raw += ' "model": "haiku", "background": true, "mcpServers": {"s": {"type": "http"}}, "surprise": 1}}'
    (found,) = read_agents(raw)
    assert (found.description, found.prompt, found.tools) == ("d e", "p", ("Read", "Bash(git log, git diff)"))
    assert (found.max_turns, found.model, found.background, found.trusted) == (3, "haiku", True, True)
    assert (found.mcp_servers, found.unused) == ((), ("mcpServers with configurations",))
    named = read_agent("n", {"description": "d", "mcpServers": "s, t", "memory": "user", "hooks": {"Stop": []}}, "user")
    assert (named.mcp_servers, named.unused) == (("s", "t"), ("hooks", "memory"))
    assert read_agents(None) == []
    assert read_agent("", {"name": "x", "description": "d", "tools": ["*"]}, "project").tools is None


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "description is missing"),
        ({"description": 1.5, "tools": [1]}, "tools: expected a list of names"),
        ({"description": "d", "maxTurns": 0}, "maxTurns: expected a whole number from 1"),
        ({"description": "d", "maxTurns": "many"}, "maxTurns: expected a whole number from 1"),
        ({"description": "d", "background": "perhaps"}, "background: expected true or false"),
        ({"description": "d", "isolation": "remote"}, "only 'worktree' is known"),
        ({"description": ["d"]}, "description: expected text"),
    ],
)
def test_what_makes_no_sense_is_named(fields: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        read_agent("a", fields, "project")
    assert str(caught.value).startswith("agent a: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raw", ["{", "[]", '{"a": 1}', "7"])
def test_what_is_no_object_of_agents_is_refused(raw: str) -> None:
    with pytest.raises(UsageError, match="agent"):
        read_agents(raw)


def test_the_list_of_kinds_is_capped_and_says_so() -> None:
    many = [replace(PLAIN, name=f"kind-{number}", description="x" * 500) for number in range(100)]
    text = listing(many)
    assert len(text) < 2_500
    assert text.endswith("more that are not listed here")
    assert listing([PLAIN]) == "- plain: does things"
