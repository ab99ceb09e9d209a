"""What may be done without a question, as it changes while a session runs: mode, rules, directories.

Changes come from a host, or from a person's answer to a question, in the form that hosts of the `claude` command use:
`{"type": "addRules", "rules": [{"toolName", "ruleContent"}], "behavior": "allow", "destination": "session"}`. They hold
at once. With another destination than `session` they are kept, too, in our settings files (`app.remember`) and never in
another program's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from assay.core.errors import UsageError
from assay.core.messages import Json
from assay.core.policy import PERSON, Question
from assay.policy.rules import Rule, Rules

if TYPE_CHECKING:
    from assay.app.paths import Paths
    from assay.app.task import Task
    from assay.policy.gate import RuleGate
    from assay.workspace.local import LocalWorkspace

Table = dict[str, Json]
LISTS = ("allow", "ask", "deny")
DESTINATIONS = ("session", "localSettings", "projectSettings", "userSettings")
_REASONS = {"mode": "mode", "attended": "mode", "outside": "workingDir", "hook": "hook", "ask": "rule", "deny": "rule"}
_FOR_SAFETY = frozenset({"protected", "rule of two", "no checkpoint", "opaque command", "unconfined"})
_MOST = 100
"""Updates of one answer, and rules or directories of one update."""


class Permissions:
    """The permissions of a task. Raises `UsageError` for what makes no sense; then nothing of it was done."""

    def __init__(self, task: Task, gate: RuleGate, workspace: LocalWorkspace, paths: Paths) -> None:
        self._task = task
        self._gate = gate
        self._workspace = workspace
        self._paths = paths
        self._added: dict[str, tuple[Rule, ...]] = dict.fromkeys(LISTS, ())
        """What updates added."""
        self._unkept: list[Table] = []
        """Updates for files that are to be written between turns, so that no turn is charged with them."""

    @property
    def mode(self) -> str:
        return self._gate.mode

    def set_mode(self, mode: str) -> None:
        self._task.set_mode("default" if mode == "manual" else mode)

    def update(self, updates: Sequence[Table]) -> None:
        """Carry out permission updates, all or none."""
        if len(updates) > _MOST:
            raise UsageError(f"permission updates: more than {_MOST} at once")
        read = [_read(update) for update in updates]
        for update in read:
            if update["type"] == "setMode":
                self._task.may_use(str(update["mode"]))
            elif update["type"] == "addDirectories":
                self._found(update)
        for update in read:
            self._apply(update)
            if update["destination"] != "session":
                self._unkept.append(update)
        if not self._task.run.busy:
            self.keep()

    def keep(self) -> None:
        """Write what is to outlast this session."""
        if not self._unkept:
            return
        from assay.app.remember import remember

        waiting, self._unkept = self._unkept, []
        self._task.notices += remember(waiting, self._paths, Path(self._workspace.root))

    def suggestions(self, question: Question) -> list[Table]:
        """Updates with which `question` would not have been asked: what a host offers as "always"."""
        if PERSON in question.effects or question.decision.rule.startswith(("ask ", *_FOR_SAFETY)):
            return []
        found: list[Table] = []
        command = question.arguments.get("command")
        if any(effect.kind == "execute" for effect in question.effects) and isinstance(command, str):
            rules = [{"toolName": "Bash", "ruleContent": text} for text in _rules_for(command)]
            found.append(_update("addRules", "localSettings", rules=rules, behavior="allow"))
            found += self._directories(question)
            if any(each.effect.kind in ("write", "delete") for each in question.decision.weighed):
                found.append(_update("setMode", "session", mode="acceptEdits"))
        elif any(effect.kind in ("write", "delete", "destroy") for effect in question.effects):
            found += self._directories(question) or [_update("setMode", "session", mode="acceptEdits")]
        elif any(effect.kind == "read" for effect in question.effects):
            found += self._directories(question)
        elif question.tool == "WebFetch" and question.effects and question.effects[0].kind == "network":
            rules = [{"toolName": "WebFetch", "ruleContent": f"domain:{question.effects[0].target}"}]
            found.append(_update("addRules", "localSettings", rules=rules, behavior="allow"))
        else:
            rules = [{"toolName": question.tool}]
            found.append(_update("addRules", "localSettings", rules=rules, behavior="allow"))
        return found

    def reason(self, question: Question) -> Table:
        """Why it is asked, in the fields of a host's `can_use_tool`."""
        decision = question.decision
        rule = decision.rule
        kind = "safetyCheck" if rule in _FOR_SAFETY else _REASONS.get(rule.partition(" ")[0], "other")
        said: Table = {"decision_reason": decision.reason, "decision_reason_type": kind}
        spoken = next((each for each in decision.weighed if each.rule == rule and each.reason == decision.reason), None)
        if rule in ("outside", "protected") and spoken:
            said["blocked_path"] = spoken.effect.target
        if rule.startswith("ask "):
            said["matched_ask_rule"] = rule.removeprefix("ask ")
        if PERSON in question.effects:
            said["requires_user_interaction"] = True
        if not self.suggestions(question):
            said["suppress_always_allow_rule"] = True
        return said

    # --- carrying out ---------------------------------------------------------------------------------------------

    def _apply(self, update: Table) -> None:
        kind = update["type"]
        if kind == "setMode":
            self.set_mode(str(update["mode"]))
        elif kind in ("addDirectories", "removeDirectories"):
            self._use_directories(update)
        else:
            self._use_rules(str(kind), str(update["behavior"]), cast("list[Rule]", update["parsed"]))

    def _use_rules(self, kind: str, behavior: str, rules: list[Rule]) -> None:
        # Others add rules, too (a skill lends some), so what is there is the point to start from.
        present, ours = self._gate.rules, self._added[behavior]
        listed = {name: cast("tuple[Rule, ...]", getattr(present, name)) for name in LISTS}
        gone = {rule.text for rule in (ours if kind == "replaceRules" else rules)}
        kept = tuple(rule for rule in listed[behavior] if rule.text not in gone)
        if kind == "addRules":
            kept = tuple(rule for rule in listed[behavior] if rule not in ours or rule.text not in gone)
        more = () if kind == "removeRules" else tuple(rules)
        left = () if kind == "replaceRules" else tuple(rule for rule in ours if rule.text not in gone)
        self._added[behavior] = (*left, *more)
        self._gate.use_rules(Rules(**(listed | {behavior: (*kept, *more)})))

    def _use_directories(self, update: Table) -> None:
        found, there = self._found(update), self._gate.added
        add = update["type"] == "addDirectories"
        wanted = tuple(dict.fromkeys((*there, *found))) if add else tuple(path for path in there if path not in found)
        self._gate.use_bounds(added=wanted)
        self._workspace.admit(wanted)

    def _found(self, update: Table) -> list[str]:
        """The directories of an update, absolute and resolved."""
        named = cast("list[str]", update["directories"])
        found = [os.path.realpath(os.path.join(self._workspace.root, Path(path).expanduser())) for path in named]  # noqa: PTH118 - an absolute one stays absolute
        missing = [path for path in found if not Path(path).is_dir()]
        if missing and update["type"] == "addDirectories":
            raise UsageError(f"addDirectories: {missing[0]} is not a directory")
        return found

    def _directories(self, question: Question) -> list[Table]:
        """The directories outside that `question` is about, as an update."""
        paths = [each.effect.target for each in question.decision.weighed if each.rule == "outside"]
        tops = [os.path.dirname(os.path.realpath(os.path.join(self._workspace.root, path))) for path in paths]  # noqa: PTH118, PTH120
        kept = [top for top in dict.fromkeys(tops) if Path(top).is_dir() and len(Path(top).parts) > 2]
        return [_update("addDirectories", "session", directories=cast("list[Json]", kept))] if kept else []


def _update(kind: str, destination: str, **fields: Json) -> Table:
    return {"type": kind, **fields, "destination": destination}


def _rules_for(command: str) -> list[str]:
    """What covers a command line: its first two words as a prefix for each part where that says something, else the
    line itself."""
    from assay.policy.commands import split_command

    parts = split_command(command.strip())
    if not parts or len(parts) > 5:
        return [command.strip()]
    return list(dict.fromkeys(_prefix(part) for part in parts))


def _prefix(part: str) -> str:
    words = part.split()
    plain = len(words) > 2 and words[1].replace("-", "").isalnum() and not words[1].startswith("-")
    return f"{words[0]} {words[1]}:*" if plain and words[0] in _SUBCOMMANDS else part


_SUBCOMMANDS = frozenset({
    "git", "npm", "pnpm", "yarn", "cargo", "go", "docker", "podman", "kubectl", "gh", "uv", "poetry", "pip", "make",
    "dotnet", "mvn", "gradle", "bundle", "rails", "composer", "deno", "bun",
})  # fmt: skip
"""Programs whose second word says what is done."""


def _read(update: Table) -> Table:
    """An update with all its fields as they should be; rules parsed, under `parsed`."""
    from assay.policy.examples import List, parse_listed

    kind, destination = update.get("type"), update.get("destination") or "session"
    if destination not in DESTINATIONS:
        raise UsageError(
            f"permission update: destination {str(destination)[:40]!r} is none of {', '.join(DESTINATIONS)}"
        )
    if kind == "setMode":
        if not isinstance(update.get("mode"), str):
            raise UsageError("permission update: setMode needs a mode")
        return {"type": kind, "destination": destination, "mode": update["mode"]}
    if kind in ("addDirectories", "removeDirectories"):
        given = _listed(update.get("directories"), "directories")
        if not all(isinstance(path, str) and "\0" not in path for path in given):
            raise UsageError("permission update: directories are paths")
        return {"type": kind, "destination": destination, "directories": given}
    if kind not in ("addRules", "replaceRules", "removeRules"):
        raise UsageError(f"permission update: there is no type {str(kind)[:40]!r}")
    behavior: List | None = next((name for name in LISTS if name == update.get("behavior")), None)
    if behavior is None:
        raise UsageError("permission update: behavior is none of allow, ask, deny")
    texts = [_text_of(rule) for rule in _listed(update.get("rules"), "rules")]
    parsed: Json = [parse_listed(behavior, text) for text in texts]
    return {"type": kind, "destination": destination, "behavior": behavior, "rules": texts, "parsed": parsed}


def _listed(value: Json, name: str) -> list[Json]:
    if not isinstance(value, list) or len(cast("list[Json]", value)) > _MOST:
        raise UsageError(f"permission update: {name} is a list of at most {_MOST}")
    return cast("list[Json]", value)


def _text_of(rule: Json) -> str:
    said = cast("Table", rule) if isinstance(rule, dict) else {}
    tool, content = said.get("toolName"), said.get("ruleContent")
    if not isinstance(tool, str) or not isinstance(content, str | None):
        raise UsageError("permission update: a rule has a toolName and perhaps a ruleContent")
    return f"{tool}({content})" if content else tool
