"""The gate as a task has it: what is out of a model's reach in any mode, and rules that name agents and skills."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from assay.app.compose import make_gate
from assay.app.config import Settings
from assay.app.kept import Kept
from assay.app.paths import find_paths
from assay.app.task import Wish
from assay.core.policy import OPERATOR, Effect
from assay.policy.gate import RuleGate
from assay.tools.agent import AgentTool
from assay.tools.skill import SkillTool


@pytest.fixture
def wish(tmp_path: Path) -> Wish:
    (tmp_path / "project").mkdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "project/link").symlink_to(tmp_path / "theirs")
    environ = {"HOME": str(tmp_path), "CLAUDE_CONFIG_DIR": str(tmp_path / "theirs")}
    return Wish(tmp_path / "project", environ, permission_mode="bypassPermissions")


def made(wish: Wish) -> RuleGate:
    return make_gate(wish, Settings(), find_paths(wish.environ), Kept(), confined=True)


@pytest.mark.parametrize(
    "path", ["theirs/projects/p/s.jsonl", "theirs/settings.json", ".claude/settings.json", ".claude.json",
             "project/link/x", ".config/assay/settings.json", ".local/state/assay/sessions/s"]
)  # fmt: skip
async def test_no_model_writes_where_settings_and_transcripts_lie(wish: Wish, tmp_path: Path, path: str) -> None:
    for permissive in (wish, replace(wish, allowed=("Edit", f"Edit(/{tmp_path}/**)"), add_dirs=(str(tmp_path),))):
        gate = made(permissive)
        gate.use_bounds(attended=True)
        for kind in ("write", "delete"):
            decision = await gate.decide("Write", (Effect(kind, str(tmp_path / path)),), OPERATOR)
            assert (decision.verdict, decision.rule) == ("deny", "control")
        read = await gate.decide("Read", (Effect("read", str(tmp_path / path)),), OPERATOR)
        assert read.verdict == "allow"


class Nobody:
    def __init__(self) -> None:
        self.kinds: dict = {}


@pytest.mark.parametrize(
    ("rule", "agent", "skill"),
    [
        ("Agent(Explore)", "Explore", ""), ("Task(explore)", "Explore", ""), ("Agent", "Explore", ""),
        ("Agent(other)", "", ""), ("Skill(review)", "", "review"), ("Skill(re*)", "", "review"),
        ("Skill", "", "review"),
    ],
)  # fmt: skip
async def test_rules_name_kinds_of_agents_and_skills(wish: Wish, rule: str, agent: str, skill: str) -> None:
    calls = {
        "Agent": AgentTool(Nobody()).effects({"description": "d", "prompt": "p", "subagent_type": "Explore"}),  # type: ignore[arg-type]
        "Skill": SkillTool(None).effects({"skill": "/review"}),  # type: ignore[arg-type]
    }
    denying, asking = made(replace(wish, disallowed=(rule,))), made(wish)
    asking.use_rules(replace(asking.rules, ask=denying.rules.deny))
    for tool, meant in (("Agent", agent), ("Skill", skill)):
        for gate, verdict in ((denying, "deny"), (asking, "ask")):
            decision = await gate.decide(tool, calls[tool], OPERATOR)
            assert decision.verdict == (verdict if meant else "allow")
    allowing = made(replace(wish, allowed=(rule,)))
    decision = await allowing.decide("Agent" if agent else "Skill", calls["Agent" if agent else "Skill"], OPERATOR)
    assert decision.rule == (f"allow {rule}" if (agent or skill) and "explore" not in rule else "no effect")
