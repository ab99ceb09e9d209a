"""What is asked when somebody is there to ask, and what changes while a session runs: mode, rules, directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.core.errors import UsageError
from assay.core.policy import OPERATOR, PERSON, Effect
from assay.policy.bounds import PERMISSION_MODES, Bounds
from assay.policy.gate import RuleGate
from assay.policy.rules import parse_rules

ROOT = "/work/project"


def gate(mode="default", allow="", ask="", deny="", **bounds: object) -> RuleGate:
    plain = {"root": ROOT, "confined": True, "attended": True, "commands_read_only": True}
    return RuleGate(Bounds(**(plain | bounds)), mode, parse_rules(allow, ask, deny))


async def verdict(made: RuleGate, kind, target: str, tool: str = "") -> str:
    tool = tool or {"execute": "Bash", "write": "Edit", "read": "Read", "network": "WebFetch"}.get(kind, "Tool")
    return (await made.decide(tool, (Effect(kind, target),), OPERATOR)).verdict


@pytest.mark.parametrize(
    ("kind", "target", "default", "edits", "plan", "bypass", "alone"),
    [
        ("read", "a.py", "allow", "allow", "allow", "allow", "allow"),
        ("read", "/etc/passwd", "ask", "ask", "ask", "allow", "ask"),
        ("write", "a.py", "ask", "allow", "deny", "allow", "allow"),
        ("write", ".git/config", "ask", "ask", "deny", "ask", "ask"),
        ("write", "/etc/x", "ask", "ask", "deny", "ask", "deny"),
        ("delete", "a.py", "ask", "allow", "deny", "allow", "allow"),
        ("execute", "ls -la | grep x", "allow", "allow", "allow", "allow", "allow"),
        ("execute", "git log && git status", "allow", "allow", "allow", "allow", "allow"),
        ("execute", "echo hi", "allow", "allow", "allow", "allow", "allow"),
        ("execute", "echo hi > a.txt", "ask", "allow", "deny", "allow", "allow"),
        ("execute", "touch a.txt", "ask", "allow", "deny", "allow", "allow"),
        ("execute", "mkdir d && mv a d", "ask", "allow", "deny", "allow", "allow"),
        ("execute", "rm a.txt", "ask", "allow", "deny", "allow", "allow"),
        ("execute", "make", "ask", "ask", "allow", "allow", "allow"),
        ("execute", "python x.py", "ask", "ask", "allow", "allow", "allow"),
        ("execute", "git push", "ask", "ask", "allow", "allow", "allow"),
        ("execute", "git commit -m x", "ask", "ask", "allow", "allow", "allow"),
        ("execute", "$CMD", "ask", "ask", "allow", "allow", "allow"),
        ("network", "a.example", "ask", "ask", "ask", "allow", "ask"),
        ("network", "mcp:server", "ask", "ask", "deny", "allow", "ask"),
        ("network", "mcp-read:server", "ask", "ask", "allow", "allow", "allow"),
        ("none", "", "allow", "allow", "allow", "allow", "allow"),
        ("unknown", "x", "ask", "ask", "ask", "ask", "ask"),
        ("control", "x", "deny", "deny", "deny", "deny", "deny"),
    ],
)
async def test_every_mode(kind, target, default, edits, plan, bypass, alone) -> None:
    modes = {"default": default, "acceptEdits": edits, "plan": plan, "bypassPermissions": bypass}
    for mode, expected in modes.items():
        assert await verdict(gate(mode), kind, target) == expected, mode
    assert await verdict(gate("dontAsk"), kind, target) == ("deny" if default == "ask" else default)
    assert await verdict(gate(attended=False), kind, target) == alone


@pytest.mark.parametrize(
    "line",
    [
        "git -c core.pager=x log", "git diff --output=x", "git diff --outp=x", "git grep -Osh x", "git reflog expire",
        "find . -delete", "find . -exec rm {} +", "find . -fprint0 x", "sort -o x y", "sort --comp=sh y", "uniq a b",
        "xxd -r a b", "xxd a b", "rg --pre=sh x", "date -s now", "env X=1 sh", "tree -o x", "awk 1 f", "sed -n 1p f",
        "ls; make", "ls && $X", "cat a | sh", "ls $(touch x)", "hostname evil", "bash -c ls", "cat <(make)",
    ],
)  # fmt: skip
async def test_what_only_looks_like_reading_is_asked(line: str) -> None:
    assert await verdict(gate(), "execute", line) == "ask"


@pytest.mark.parametrize(
    ("allow", "kind", "target", "expected"),
    [
        ("Bash(make:*)", "execute", "make test", "allow"),
        ("Bash(make:*)", "execute", "make test && ls", "allow"),
        ("Bash(make:*)", "execute", "make test && npm test", "ask"),
        ("Bash(make:*),Bash(npm test)", "execute", "make test && npm test", "allow"),
        ("Edit(src/**)", "write", "src/a.py", "allow"),
        ("Edit(src/**)", "write", "a.py", "ask"),
        ("WebFetch(domain:a.example)", "network", "a.example", "allow"),
    ],
)
async def test_allow_rules_spare_the_question(allow: str, kind, target: str, expected: str) -> None:
    assert await verdict(gate(allow=allow), kind, target) == expected


@pytest.mark.parametrize("mode", PERMISSION_MODES)
@pytest.mark.parametrize("allow", ["", "AskUserQuestion"])
async def test_a_question_for_a_person_is_asked_in_every_mode(mode, allow: str) -> None:
    decision = await gate(mode, allow=allow).decide("AskUserQuestion", (PERSON,), OPERATOR)
    assert (decision.verdict, decision.rule) == ("deny" if mode == "dontAsk" else "ask", "person")
    denied = await gate(mode, deny="AskUserQuestion").decide("AskUserQuestion", (PERSON,), OPERATOR)
    assert denied.verdict == "deny"


@pytest.mark.parametrize(
    ("rule", "tool", "target", "meant"),
    [
        ("mcp__s", "mcp__s__t", "mcp:s", True),
        ("mcp__s__*", "mcp__s__t", "mcp:s", True),
        ("mcp__s__t", "mcp__s__t", "mcp:s", True),
        ("mcp__s__t", "mcp__s__other", "mcp:s", False),
        ("mcp__s", "mcp__s2__t", "mcp:s2", False),
        ("mcp__s__get_*", "mcp__s__get_x", "mcp:s", True),
        ("mcp__s__get_*", "mcp__s__set_x", "mcp:s", False),
    ],
)
async def test_rules_about_servers(rule: str, tool: str, target: str, meant: bool) -> None:
    assert await verdict(gate(allow=rule), "network", target, tool) == ("allow" if meant else "ask")
    assert await verdict(gate(deny=rule), "network", target, tool) == ("deny" if meant else "ask")


@pytest.mark.parametrize("rule", ["mcp__*", "mcp__*__x", "*", "m*"])
def test_a_wide_name_can_not_be_allowed(rule: str) -> None:
    with pytest.raises(UsageError):
        parse_rules(allow=rule)
    parse_rules(deny=rule)


@pytest.mark.parametrize(
    ("rule", "tool", "target", "meant"),
    [
        ("Agent(explore)", "Agent", "explore", True),
        ("Task(explore)", "Agent", "explore", True),
        ("Agent(explore)", "Agent", "other", False),
        ("Agent", "Agent", "other", True),
        ("Skill(review)", "Skill", "review", True),
        ("Skill(review *)", "Skill", "review", True),
        ("Skill(re*)", "Skill", "review", True),
        ("Skill(review)", "Skill", "preview", False),
    ],
)
async def test_rules_about_names(rule: str, tool: str, target: str, meant: bool) -> None:
    assert await verdict(gate(deny=rule), "none", target, tool) == ("deny" if meant else "allow")
    assert await verdict(gate(ask=rule), "none", target, tool) == ("ask" if meant else "allow")


async def test_rules_about_arguments() -> None:
    made = gate(deny="Agent(explore)", ask="WebSearch(query:*secret*),Tool(fast:true),Tool(n:3)")

    async def word(tool: str, arguments: dict | None) -> str:
        return (await made.decide(tool, (Effect("none"),), OPERATOR, arguments)).verdict

    assert await word("WebSearch", {"query": "a SECRET thing"}) == "ask"
    assert await word("WebSearch", {"query": "fine"}) == "allow"
    assert await word("WebSearch", {}) == "allow"
    assert await word("WebSearch", None) == "ask", "without the arguments it might be meant"
    assert await word("Tool", {"fast": True}) == await word("Tool", {"n": 3}) == "ask"
    assert await word("Tool", {"fast": False, "n": [3]}) == "allow"
    with pytest.raises(UsageError, match="deny or ask"):
        parse_rules(allow="WebSearch(query:x)")


async def test_mode_rules_and_directories_change_while_it_runs(tmp_path: Path) -> None:
    made = gate()
    assert await verdict(made, "write", "a.py") == "ask"
    made.use_mode("acceptEdits")
    assert await verdict(made, "write", "a.py") == "allow"
    made.use_mode("plan")
    assert await verdict(made, "write", "a.py") == "deny"
    made.use_mode("default")
    made.use_rules(parse_rules(allow="Edit(*.py)", deny="Edit(b.py)"))
    assert [await verdict(made, "write", name) for name in ("a.py", "b.py", "c.txt")] == ["allow", "deny", "ask"]
    outside = str(tmp_path / "x")
    assert await verdict(made, "write", outside) == "ask"
    made.use_bounds(attended=False)
    assert await verdict(made, "write", outside) == "deny"
    made.use_bounds(added=(str(tmp_path),))
    assert await verdict(made, "write", outside) == "allow"
    assert made.added == (str(tmp_path),)
    assert [rule.text for rule in made.rules.deny] == ["Edit(b.py)"]
