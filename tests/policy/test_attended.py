"""With somebody there to ask, what is more than reading is asked, unless a rule or the mode covers it."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.core.policy import OPERATOR, Effect
from assay.policy.bounds import Bounds, PermissionMode
from assay.policy.gate import RuleGate
from assay.policy.rules import parse_rules


def gate(root: Path, mode: PermissionMode = "default", *, attended: bool = True, allow: str = "") -> RuleGate:
    bounds = Bounds(str(root), confined=True, attended=attended)
    return RuleGate(bounds, mode, parse_rules(allow))


async def verdict(gate: RuleGate, effect: Effect) -> str:
    tool = "Bash" if effect.kind == "execute" else "Write"
    return (await gate.decide(tool, (effect,), OPERATOR)).verdict


def run(line: str) -> Effect:
    return Effect("execute", line)


READS = (
    "ls -la", "echo hello", "cat a | grep b | wc -l", "git status", "git log --oneline -5", "find . -name '*.py'",
    "head -3 a && tail -3 b", "pwd; date", "sort a", "diff a b", "cd src && ls", "rg TODO", "test -f a", "env",
)  # fmt: skip
CHANGES = (
    "touch a", "rm a", "python x.py", "make", "git commit -m x", "git push", "find . -delete", "find . -exec rm {} +",
    "sort -o a b", "echo x > a", "ls; touch a", "cat a | sh", "env A=1 make", "date -s now", "tee a", "npm test",
    "git -c core.pager=x log", "git diff --output=a", "tree -o a", "xargs rm", "./run", "git reflog expire --all",
    "rg --pre=x y", "$(echo rm) a",
)  # fmt: skip


@pytest.mark.parametrize("line", READS)
async def test_reading_is_not_asked(tmp_path: Path, line: str) -> None:
    assert await verdict(gate(tmp_path), run(line)) == "allow"


@pytest.mark.parametrize("line", CHANGES)
async def test_everything_else_is_asked(tmp_path: Path, line: str) -> None:
    assert await verdict(gate(tmp_path), run(line)) != "allow"


@pytest.mark.parametrize("line", [*READS, "touch a", "python x.py", "make"])
async def test_nobody_there_means_the_sandbox_holds(tmp_path: Path, line: str) -> None:
    assert await verdict(gate(tmp_path, attended=False), run(line)) == "allow"


@pytest.mark.parametrize("line", CHANGES)
async def test_attended_is_never_looser(tmp_path: Path, line: str) -> None:
    order = ("allow", "ask", "deny")
    for mode in ("default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"):
        alone = await verdict(gate(tmp_path, mode, attended=False), run(line))
        watched = await verdict(gate(tmp_path, mode), run(line))
        assert order.index(watched) >= order.index(alone)


async def test_rules_and_modes_cover(tmp_path: Path) -> None:
    write = Effect("write", "a.txt")
    assert await verdict(gate(tmp_path), write) == "ask"
    assert await verdict(gate(tmp_path, allow="Write"), write) == "allow"
    assert await verdict(gate(tmp_path, "acceptEdits"), write) == "allow"
    assert await verdict(gate(tmp_path, "bypassPermissions"), write) == "allow"
    assert await verdict(gate(tmp_path, "dontAsk"), write) == "deny"
    assert await verdict(gate(tmp_path, allow="Bash(touch:*)"), run("touch a")) == "allow"
    assert await verdict(gate(tmp_path, allow="Bash(touch:*)"), run("touch a; make")) == "ask"


async def test_a_file_outside_is_a_persons_to_give_and_nobodys_else(tmp_path: Path) -> None:
    outside = Effect("write", "/somewhere/else.txt")
    assert await verdict(gate(tmp_path), outside) == "ask"
    assert await verdict(gate(tmp_path, "acceptEdits"), outside) == "ask"
    assert await verdict(gate(tmp_path, attended=False), outside) == "deny"
    assert await verdict(gate(tmp_path), Effect("delete", "/somewhere/else.txt")) == "deny"


@pytest.mark.parametrize("line", ["mkdir a", "touch a", "mv a b", "cp a b", "rm a", "ls"])
async def test_handling_files_goes_with_accepting_edits(tmp_path: Path, line: str) -> None:
    assert await verdict(gate(tmp_path, "acceptEdits"), run(line)) == "allow"
    assert await verdict(gate(tmp_path, "acceptEdits"), run("python x.py")) == "ask"


async def test_the_mode_changes_while_it_runs(tmp_path: Path) -> None:
    made = gate(tmp_path)
    assert await verdict(made, Effect("write", "a")) == "ask"
    made.use_mode("acceptEdits")
    assert await verdict(made, Effect("write", "a")) == "allow"
    made.use_mode("plan")
    assert await verdict(made, Effect("write", "a")) == "deny"
