from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.policy import OPERATOR, Effect
from assay.policy.gate import PERMISSION_MODES, Bounds, RuleGate
from assay.policy.rules import parse_rules

ROOT = "/work/project"


def gate(mode="default", allow="", ask="", deny="", **bounds) -> RuleGate:
    return RuleGate(Bounds(**({"root": ROOT, "confined": True} | bounds)), mode, parse_rules(allow, ask, deny))


async def verdict(made: RuleGate, kind: str, target: str = "", tool: str = "tool") -> str:
    return (await made.decide(tool, (Effect(kind, target),), OPERATOR)).verdict


@pytest.mark.parametrize(
    ("kind", "target", "expected"),
    [
        ("none", "", "allow"),
        ("read", "src/a.py", "allow"),
        ("read", ".", "allow"),
        ("read", f"{ROOT}/src", "allow"),
        ("read", "/etc/passwd", "ask"),
        ("read", "../other", "ask"),
        ("read", "/work/project-two/a", "ask"),
        ("write", "src/a.py", "allow"),
        ("write", "../a.py", "deny"),
        ("write", "/etc/hosts", "deny"),
        ("write", "a\0b", "deny"),
        ("delete", "src/a.py", "allow"),
        ("execute", "make test", "allow"),
        ("network", "example.org", "ask"),
        ("control", "policy", "deny"),
    ],
)
async def test_defaults(kind: str, target: str, expected: str) -> None:
    assert await verdict(gate(), kind, target) == expected


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        "sub/.git/hooks/pre-commit",
        ".GIT/config",
        ".git./config",
        ".github/workflows/ci.yml",
        ".gitlab-ci.yml",
        ".vscode/tasks.json",
        ".claude/settings.json",
        ".assay/settings.json",
        "AGENTS.md",
        "pkg/CLAUDE.md",
        ".env",
        ".env.local",
        ".envrc",
        ".bashrc",
        ".husky/pre-push",
        ".pre-commit-config.yaml",
        ".npmrc",
        "x/../.mcp.json",
        "Jenkinsfile",
    ],
)
async def test_protected_names_ask_in_every_mode_that_writes(path: str) -> None:
    for mode in ("default", "acceptEdits", "bypassPermissions"):
        assert await verdict(gate(mode), "write", path) == "ask"
        assert await verdict(gate(mode, allow="Edit Edit(**)"), "write", path) == "ask"
    assert await verdict(gate("dontAsk"), "write", path) == "deny"
    assert await verdict(gate(), "read", path) == "allow"


@pytest.mark.parametrize("path", ["git/config", ".env.example", ".gitignore", "docs/environment.md", "src/github/a.py"])
async def test_ordinary_names_are_written(path: str) -> None:
    assert await verdict(gate(), "write", path) == "allow"


async def test_leave_to_change_a_protected_name_has_to_name_it() -> None:
    made = gate(allow="Edit(.github/**)")
    assert await verdict(made, "write", ".github/workflows/ci.yml") == "allow"
    assert await verdict(made, "write", ".vscode/tasks.json") == "ask"


async def test_links_are_judged_by_where_they_lead(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / ".git").mkdir(parents=True)
    (root / "link").symlink_to(root / ".git")
    (root / "out").symlink_to(tmp_path)
    made = gate(root=str(root), deny="Read(.git/**)")
    assert await verdict(made, "write", "link/config") == "ask"
    assert await verdict(made, "write", "out/x") == "deny"
    assert await verdict(made, "read", "out/x") == "ask"
    assert await verdict(made, "read", "link/config") == "deny"
    # A root that is itself reached through a link is still the root.
    (tmp_path / "alias").symlink_to(root)
    assert await verdict(gate(root=str(tmp_path / "alias")), "write", "a.py") == "allow"


async def test_added_and_readable_directories() -> None:
    made = gate(added=("/work/shared",), readable=("/var/spill",))
    assert await verdict(made, "write", "/work/shared/a") == "allow"
    assert await verdict(made, "read", "/var/spill/x.txt") == "allow"
    assert await verdict(made, "write", "/var/spill/x.txt") == "deny"


async def test_commands_need_a_sandbox_or_the_users_word() -> None:
    assert await verdict(gate(confined=False), "execute", "ls") == "ask"
    assert await verdict(gate(confined=False, allow="Bash"), "execute", "ls") == "ask"
    assert await verdict(gate("bypassPermissions", confined=False), "execute", "ls") == "ask"
    assert await verdict(gate(confined=False, unconfined_ok=True), "execute", "ls") == "allow"


async def test_plan_mode_changes_nothing() -> None:
    made = gate("plan", allow="Edit Bash")
    assert await verdict(made, "write", "a.py") == "deny"
    assert await verdict(made, "execute", "ls") == "deny"
    assert await verdict(made, "read", "a.py") == "allow"
    assert await verdict(gate("plan", commands_read_only=True), "execute", "ls") == "allow"
    assert await verdict(gate("plan", commands_read_only=True, confined=False), "execute", "ls") == "deny"


async def test_dont_ask_denies_and_says_so() -> None:
    decision = await gate("dontAsk", ask="Bash(git push:*)").decide("shell", (Effect("execute", "git push"),), OPERATOR)
    assert decision.verdict == "deny"
    assert "needs approval" in decision.reason
    assert decision.rule == "ask Bash(git push:*)"


async def test_bypass_still_heeds_deny_and_ask() -> None:
    made = gate("bypassPermissions", deny="Bash(rm:*)", ask="Bash(git push:*)")
    assert await verdict(made, "execute", "rm -r x") == "deny"
    assert await verdict(made, "execute", "git push") == "ask"
    assert await verdict(made, "execute", "git log") == "allow"
    assert await verdict(made, "read", "/etc/hosts") == "allow"
    assert await verdict(made, "network", "example.org") == "allow"
    assert await verdict(made, "control", "x") == "deny"


async def test_deny_before_ask_before_allow_and_strictest_of_all_effects() -> None:
    made = gate(allow="Read(secret/**)", ask="Read(secret/**)", deny="Read(secret/key)")
    assert await verdict(made, "read", "secret/key") == "deny"
    assert await verdict(made, "read", "secret/other") == "ask"
    decision = await made.decide(
        "read", (Effect("read", "a"), Effect("read", "secret/other"), Effect("read", "secret/KEY")), OPERATOR
    )
    assert (decision.verdict, decision.rule) == ("deny", "deny Read(secret/key)")
    assert (await made.decide("finish", (), OPERATOR)).verdict == "allow"


async def test_rules_on_tools_by_name() -> None:
    made = gate(deny="mcp__* search", allow="WebFetch(domain:*.example.org)")
    assert await verdict(made, "network", "h", "mcp__server__tool") == "deny"
    assert await verdict(made, "read", "a", "search") == "deny"
    assert await verdict(made, "read", "a", "read") == "allow"
    assert await verdict(made, "network", "docs.example.org") == "allow"
    assert await verdict(made, "network", "example.org.evil.net") == "ask"


async def test_opaque_commands_ask_where_rules_restrict() -> None:
    for command in ("X=rm; $X -r .", 'eval "$foo"', "a && $CMD", ". ./env.sh"):
        assert await verdict(gate(deny="Bash(rm:*)"), "execute", command) in ("ask", "deny")
        assert await verdict(gate(), "execute", command) == "allow"
    for command in ("find . -name x", "echo $HOME", "ls $(pwd)"):
        assert await verdict(gate(deny="Bash(rm:*)"), "execute", command) == "allow"


async def test_hides_what_may_not_be_read() -> None:
    made = gate(deny="Read(secrets/**) Read(*.pem)")
    assert made.hides("secrets/a")
    assert made.hides("deep/down/key.PEM")
    assert made.hides("a\0b")
    assert not made.hides("src/a.py")


async def test_reasons_are_one_clean_line() -> None:
    for effect in (Effect("write", "/x\n\x1b[2J\u202e" + "y" * 500), Effect("network", "h\x1b]0;t\x07")):
        reason = (await gate().decide("t", (effect,), OPERATOR)).reason
        assert reason.isprintable()
        assert len(reason) < 200


async def test_an_error_inside_is_a_denial() -> None:
    def broken(line: str) -> tuple[Effect, ...]:
        raise RecursionError(line)

    made = RuleGate(Bounds(ROOT, confined=True), expand=broken)
    decision = await made.decide("shell", (Effect("execute", "a"),), OPERATOR)
    assert (decision.verdict, decision.rule) == ("deny", "internal error")


@given(
    st.sampled_from(PERMISSION_MODES),
    st.sampled_from(["read", "write", "delete", "execute", "network", "control", "none"]),
    st.text(max_size=60),
)
async def test_always_decides(mode: str, kind: str, target: str) -> None:
    made = gate(mode, allow="Read(**) Edit(a*/**) Bash(a *)", ask="Edit(b?)", deny="Bash(*x*) Read(//etc/**)")
    decision = await made.decide("t", (Effect(kind, target),), OPERATOR)
    assert decision.verdict in ("allow", "ask", "deny")
    assert decision.rule
    assert decision.reason or decision.verdict == "allow"
