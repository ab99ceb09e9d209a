"""What calls to servers need leave for."""

from __future__ import annotations

import pytest

from assay.core.errors import UsageError
from assay.core.policy import EXTERNAL, OPERATOR, Effect, Label
from assay.policy.bounds import Bounds
from assay.policy.gate import RuleGate
from assay.policy.rules import parse_rules

CALL, LOOK = Effect("network", "mcp:docs"), Effect("network", "mcp-read:docs")
WORSE = Label("external", "project")


async def verdict(effect: Effect, label: Label = OPERATOR, mode="default", tool="mcp__docs__find", **rules: str) -> str:
    gate = RuleGate(Bounds("/project", confined=True), mode, parse_rules(**rules))
    return (await gate.decide(tool, (effect,), label)).verdict


async def test_without_leave_somebody_is_asked() -> None:
    for label in (OPERATOR, EXTERNAL, WORSE):
        assert await verdict(CALL, label) == "ask"
    assert await verdict(CALL, mode="dontAsk") == "deny"


async def test_a_look_is_free_until_outside_text_was_read() -> None:
    assert await verdict(LOOK) == "allow"
    assert await verdict(LOOK, WORSE) == "ask"
    assert await verdict(LOOK, deny="mcp__docs") == "deny"
    assert await verdict(LOOK, Label("external", "secret")) == "deny"


@pytest.mark.parametrize("rule", ["mcp__docs", "mcp__docs__*", "mcp__docs__find", "mcp__docs__fi*"])
async def test_rules(rule: str) -> None:
    assert await verdict(CALL, WORSE, allow=rule) == "allow"
    assert await verdict(CALL, deny=rule, allow="mcp__docs") == "deny"
    assert await verdict(CALL, allow=rule, tool="mcp__docs2__find") == "ask"
    assert await verdict(CALL, allow=rule, tool="mcp__other__find") == "ask"
    assert await verdict(CALL, allow=rule, deny="Bash(rm:*)") == "allow"


async def test_rules_too_wide_to_allow_by() -> None:
    for rule in ("mcp__*", "mcp__d*__x", "*"):
        with pytest.raises(UsageError):
            parse_rules(allow=rule)
        assert parse_rules(deny=rule).deny
    assert await verdict(CALL, deny="mcp__*", allow="mcp__docs") == "deny"


async def test_modes() -> None:
    assert await verdict(CALL, WORSE, mode="bypassPermissions") == "allow"
    assert await verdict(CALL, mode="plan", allow="mcp__docs") == "deny"
    assert await verdict(LOOK, mode="plan", allow="mcp__docs") == "allow"
    assert await verdict(LOOK, WORSE, mode="plan") == "ask"


async def test_nothing_goes_to_servers_after_secrets_and_outside_text() -> None:
    for mode in ("default", "bypassPermissions"):
        assert await verdict(CALL, Label("external", "secret"), mode=mode, allow="mcp__docs") == "deny"
