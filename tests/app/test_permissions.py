"""Permissions that change while a session runs, what a host is offered to keep, and where it is kept."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given

from assay.app.config import load_settings
from assay.app.paths import Paths
from assay.app.permissions import Permissions
from assay.core.errors import UsageError
from assay.core.policy import OPERATOR, PERSON, Decision, Effect, Question, Weighed
from assay.policy.bounds import Bounds
from assay.policy.gate import RuleGate
from assay.policy.rules import parse_rules
from hooks.test_hook_config import JSON

ALL = frozenset({"user", "project", "local"})


class Stage:
    """What `Permissions` stands on: a task, a workspace, a gate."""

    def __init__(self, root: Path) -> None:
        self.root = str(root / "project")
        self.paths = Paths(root / "config", root / "state", root / "data")
        Path(self.root).mkdir()
        self.gate = RuleGate(Bounds(self.root, confined=True, attended=True), rules=parse_rules(deny="Bash(rm:*)"))
        self.run = self
        self.busy = False
        self.admitted: tuple[str, ...] = ()
        self.notices: list[str] = []
        self.modes: list[str] = []
        self.permissions = Permissions(self, self.gate, self, self.paths)  # type: ignore[arg-type]

    def may_use(self, mode: str) -> None:
        if mode not in ("default", "manual", "acceptEdits", "plan"):
            raise UsageError(f"no mode {mode}")

    def set_mode(self, mode: str) -> None:
        self.modes.append(mode)

    def admit(self, directories: tuple[str, ...]) -> None:
        self.admitted = directories

    async def verdict(self, kind, target: str, tool: str = "Bash") -> str:
        return (await self.gate.decide(tool, (Effect(kind, target),), OPERATOR)).verdict

    def settings(self, name: str = "settings.local.json"):
        return json.loads((Path(self.root) / ".assay" / name).read_text())


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def rules(*texts: str, kind: str = "addRules", behavior: str = "allow", destination: str = "session") -> dict:
    made = [{"toolName": text.partition("(")[0], "ruleContent": text.partition("(")[2][:-1] or None} for text in texts]
    return {"type": kind, "rules": made, "behavior": behavior, "destination": destination}


async def test_rules_of_a_session(stage: Stage) -> None:
    update = stage.permissions.update
    assert await stage.verdict("execute", "make") == "ask"
    update([rules("Bash(make:*)", "Bash(rm:*)")])
    assert await stage.verdict("execute", "make") == "allow"
    assert await stage.verdict("execute", "rm x") == "deny", "what settings deny stays denied"
    update([rules("Bash(npm test)", kind="replaceRules")])
    assert await stage.verdict("execute", "make") == "ask"
    assert await stage.verdict("execute", "npm test") == "allow"
    update([rules("Bash(npm test)", kind="removeRules")])
    assert await stage.verdict("execute", "npm test") == "ask"
    update([rules("Bash(make)", behavior="deny"), rules("Read(a)", behavior="ask")])
    assert await stage.verdict("execute", "make") == "deny"
    assert await stage.verdict("read", "a", "Read") == "ask"
    update([rules("Bash(rm:*)", kind="removeRules", behavior="deny")])
    assert await stage.verdict("execute", "rm x") == "ask"
    assert not (Path(stage.root) / ".assay").exists()


async def test_modes_and_directories(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stage.permissions.update(
        [
            {"type": "setMode", "mode": "manual", "destination": "session"},
            {"type": "addDirectories", "directories": ["../other"], "destination": "session"},
        ]
    )
    assert stage.modes == ["default"]
    assert stage.admitted == (str(tmp_path / "other"),)
    assert await stage.verdict("delete", str(tmp_path / "other/x"), "Edit") == "ask"
    stage.permissions.update([{"type": "removeDirectories", "directories": ["../other"]}])
    assert stage.admitted == ()
    assert await stage.verdict("delete", str(tmp_path / "other/x"), "Edit") == "deny"


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"type": "addRules"},
        {"type": "addRules", "rules": [], "behavior": "maybe"},
        {"type": "addRules", "rules": [3], "behavior": "allow"},
        {"type": "addRules", "rules": [{"toolName": "((("}], "behavior": "allow"},
        {"type": "addRules", "rules": [{"toolName": "mcp__*"}], "behavior": "allow"},
        {"type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": 3}], "behavior": "allow"},
        {"type": "setMode"},
        {"type": "setMode", "mode": "bypassPermissions"},
        {"type": "addDirectories", "directories": "x"},
        {"type": "addDirectories", "directories": ["/nowhere/at/all"]},
        {"type": "addRules", "rules": [], "behavior": "allow", "destination": "/etc/passwd"},
        {"type": "frobnicate"},
    ],
)
async def test_what_makes_no_sense_changes_nothing(stage: Stage, bad: dict) -> None:
    with pytest.raises(UsageError):
        stage.permissions.update([rules("Bash(make:*)"), bad])
    assert await stage.verdict("execute", "make") == "ask"


@given(JSON)
def test_any_update_is_done_or_refused(value: object) -> None:
    from assay.app.permissions import _read

    if isinstance(value, dict):
        for kind in ("addRules", "setMode", "addDirectories"):
            try:
                _read({"behavior": "allow", **value, "type": kind})
            except UsageError:
                continue


def trusted(stage: Stage) -> list[str]:
    return json.loads(stage.paths.settings.read_text())["trustedSettings"]


async def test_what_is_kept_is_trusted_and_loads_again(stage: Stage) -> None:
    stage.permissions.update(
        [
            rules("Bash(make:*)", destination="localSettings"),
            {"type": "setMode", "mode": "acceptEdits", "destination": "localSettings"},
            rules("Read(secret)", behavior="deny", destination="userSettings"),
        ]
    )
    assert stage.settings() == {"permissions": {"allow": ["Bash(make:*)"], "defaultMode": "acceptEdits"}}
    settings, notices = load_settings(stage.paths.settings, Path(stage.root), ALL)
    assert (settings.permissions.allow, settings.permissions.default_mode) == (("Bash(make:*)",), "acceptEdits")
    assert settings.permissions.deny == ("Read(secret)",)
    assert notices == []
    before = trusted(stage)
    stage.permissions.update([rules("Bash(make:*)", kind="removeRules", destination="localSettings")])
    assert stage.settings()["permissions"]["allow"] == []
    assert trusted(stage) != before
    assert len(trusted(stage)) == 1, "the old content is not trusted any more"
    stage.permissions.update([rules("Edit(a)", "Edit(a)", kind="replaceRules", destination="projectSettings")])
    assert stage.settings("settings.json")["permissions"]["allow"] == ["Edit(a)", "Edit(a)"]


async def test_a_file_that_is_not_trusted_is_not_made_so(stage: Stage) -> None:
    path = Path(stage.root) / ".assay/settings.local.json"
    path.parent.mkdir()
    path.write_text('{"permissions": {"allow": ["Bash"]}}')
    stage.permissions.update([rules("Bash(make:*)", destination="localSettings")])
    assert path.read_text() == '{"permissions": {"allow": ["Bash"]}}'
    assert "for this session only" in stage.notices[0]
    assert await stage.verdict("execute", "make") == "allow"
    stage.paths.config.mkdir()
    stage.paths.settings.write_text(
        json.dumps({"trustedSettings": [f"sha256:{sha256(path.read_bytes()).hexdigest()}"], "model": "x/y"})
    )
    stage.permissions.update([rules("Bash(make:*)", destination="localSettings")])
    assert stage.settings()["permissions"]["allow"] == ["Bash", "Bash(make:*)"]
    assert json.loads(stage.paths.settings.read_text())["model"] == "x/y"


@pytest.mark.parametrize("content", ["{oops", "[]", '{"permissions": []}'])
async def test_a_damaged_file_is_left_alone(stage: Stage, content: str) -> None:
    stage.paths.config.mkdir()
    stage.paths.settings.write_text(content)
    stage.permissions.update([rules("Bash(make:*)", destination="userSettings")])
    assert stage.paths.settings.read_text() == content
    assert len(stage.notices) == 1


async def test_files_are_written_between_turns(stage: Stage) -> None:
    stage.busy = True
    stage.permissions.update([rules("Bash(make:*)", destination="localSettings")])
    assert not (Path(stage.root) / ".assay").exists()
    stage.permissions.keep()
    assert stage.settings()["permissions"]["allow"] == ["Bash(make:*)"]


async def question(stage: Stage, tool: str, kind, target: str, **arguments: object) -> Question:
    effects = (Effect(kind, target),)
    decision = await stage.gate.decide(tool, effects, OPERATOR)
    return Question("c", tool, arguments, effects, decision, "d")


@pytest.mark.parametrize(
    ("tool", "kind", "target", "expected"),
    [
        ("Bash", "execute", "make all", [("addRules", "Bash", "make all")]),
        ("Bash", "execute", "git push origin x", [("addRules", "Bash", "git push:*")]),
        ("Bash", "execute", "npm run a && cargo build --x",
         [("addRules", "Bash", "npm run:*"), ("addRules", "Bash", "cargo build:*")]),
        ("Bash", "execute", "echo x > f", [("addRules", "Bash", "echo x > f"), ("setMode", "acceptEdits", "")]),
        ("Edit", "write", "a.py", [("setMode", "acceptEdits", "")]),
        ("Edit", "write", ".git/config", []),
        ("WebFetch", "network", "a.example", [("addRules", "WebFetch", "domain:a.example")]),
        ("mcp__s__t", "network", "mcp:s", [("addRules", "mcp__s__t", "")]),
        ("AskUserQuestion", "none", PERSON.target, []),
    ],
)  # fmt: skip
async def test_suggestions_allow_what_they_are_for(stage: Stage, tool, kind, target, expected) -> None:
    asked = await question(stage, tool, kind, target, **({"command": target} if kind == "execute" else {}))
    assert asked.decision.verdict == "ask"
    found: list[tuple[str, str, str]] = []
    for update in stage.permissions.suggestions(asked):
        found += [(update["type"], rule["toolName"], rule.get("ruleContent", "")) for rule in update.get("rules", [])]
        if update["type"] == "setMode":
            found.append(("setMode", update["mode"], ""))
    assert found == expected
    stage.permissions.update([{**each, "destination": "session"} for each in stage.permissions.suggestions(asked)])
    if expected and expected[0][0] == "addRules":
        assert await stage.verdict(kind, target, tool) == "allow"


async def test_a_directory_outside_is_suggested(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    asked = await question(stage, "Read", "read", str(tmp_path / "other/x"))
    (update,) = stage.permissions.suggestions(asked)
    assert update == {"type": "addDirectories", "directories": [str(tmp_path / "other")], "destination": "session"}
    said = stage.permissions.reason(asked)
    assert (said["decision_reason_type"], said["blocked_path"]) == ("workingDir", str(tmp_path / "other/x"))


@pytest.mark.parametrize(
    ("rule", "kind"),
    [("ask Bash(x)", "rule"), ("attended", "mode"), ("hook PreToolUse", "hook"), ("protected", "safetyCheck"),
     ("unconfined", "safetyCheck"), ("person", "other")],
)  # fmt: skip
def test_reasons(stage: Stage, rule: str, kind: str) -> None:
    effect = PERSON if rule == "person" else Effect("execute", "x")
    decision = Decision("ask", "why", rule, (Weighed(effect, "ask", rule, "why"),))
    said = stage.permissions.reason(Question("c", "Bash", {"command": "x"}, (effect,), decision, "d"))
    assert (said["decision_reason"], said["decision_reason_type"]) == ("why", kind)
    assert said.get("matched_ask_rule") == ("Bash(x)" if rule.startswith("ask ") else None)
    assert ("requires_user_interaction" in said) == (rule == "person")
    assert ("suppress_always_allow_rule" in said) == (rule not in ("attended", "hook PreToolUse"))
