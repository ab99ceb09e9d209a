"""Settings that users already have for the `claude` command, read and never written.

`~/.claude/settings.json` (or `$CLAUDE_CONFIG_DIR/settings.json`), and `.claude/settings.json` and
`.claude/settings.local.json` of the project. Keys that mean something here are taken, each by itself: what can't be
understood costs that key and not the file. Rules that forbid count as far as they can be read at all. The rest is named
in one notice for all files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast, get_args

import msgspec

from assay.app.config import Mode, Permissions, Settings
from assay.core.errors import UsageError

_PASSED_OVER = frozenset({"$schema", "includeCoAuthoredBy", "attribution", "theme", "cleanupPeriodDays", "statusLine"})
"""Keys about surfaces and habits that we don't have: not worth a word."""
_EFFORTS = frozenset({"low", "medium", "high", "max"})
_STEERING = (
    r"(?i:PATH|HOME|SHELL|IFS|ENV|BASH_ENV|TMPDIR|(?:LD|DYLD|XDG|ASSAY|GIT|PYTHON|PERL|RUBY|NODE|NPM|JAVA)_?\w*)"
)
"""Variables by which programs, ours among them, are made to run or read something else."""
_NAME = r"[A-Za-z_]\w{0,127}"
_HELD = r"(?i:KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH)"


class Compat:
    """Reads those files, and keeps what settings of ours have no place for."""

    def __init__(self, home: Path | None) -> None:
        self._home = home
        self.model = ""
        """The model named by the strongest layer that may say so; ours only if it resolves."""
        self.variables: dict[str, str] = {}
        """Of `env`: what is to be set where the environment says nothing."""
        self._strange: dict[str, list[str]] = {}
        self._pending: dict[str, str] = {}

    @property
    def user_file(self) -> Path | None:
        return self._home / "settings.json" if self._home else None

    def read(self, text: bytes, path: Path, notices: list[str]) -> tuple[Settings, str]:
        """One file as settings of ours, and the model it names."""
        try:
            raw = msgspec.json.decode(text, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            notices.append(f"{path}: not valid JSON ({error}); none of it counts")
            return Settings(), ""
        strange = self._strange.setdefault(str(path), [])
        values: dict[str, object] = {"permissions": _permissions(raw.get("permissions"), str(path), notices, strange)}
        variables = self._env(raw.get("env"), strange)
        values["environment"] = tuple(name for name in variables if not re.search(_HELD, name))
        for key, kind in (("outputStyle", str), ("hooks", dict), ("enabledPlugins", dict), ("disableAllHooks", bool)):
            if isinstance(raw.get(key), kind) and (key != "hooks" or _are_hooks(raw[key], path, notices)):
                values[key] = raw[key]
        if raw.get("effortLevel") in _EFFORTS:
            values["effort"] = raw["effortLevel"]
        known = {"permissions", "env", "outputStyle", "hooks", "enabledPlugins", "disableAllHooks", "effortLevel"}
        strange += sorted(raw.keys() - known - _PASSED_OVER - {"model"})
        model = raw.get("model")
        try:
            settings = msgspec.convert(values, Settings, from_attributes=True)
        except msgspec.ValidationError:
            settings = _one_by_one(values, strange)
        self._pending = variables
        return settings, model if isinstance(model, str) and model.strip() else ""

    def accept(self, model: str) -> None:
        """The layer read last is trusted: its model and variables count, too."""
        self.model = model or self.model
        self.variables |= self._pending

    def tell(self, notices: list[str]) -> None:
        """One line about all that has no meaning here."""
        told = [f"{path}: {_some(keys)}" for path, keys in self._strange.items() if keys]
        if told:
            notices.append(f"without meaning here, and ignored: {'; '.join(told)}")

    def _env(self, value: object, strange: list[str]) -> dict[str, str]:
        if not isinstance(value, dict):
            return {}
        found: dict[str, str] = {}
        for name, said in cast("dict[str, object]", value).items():
            plain = isinstance(said, (str, int, float)) and "\0" not in str(said)
            if not plain or not re.fullmatch(_NAME, name) or re.fullmatch(_STEERING, name):
                strange.append(f"env.{name[:40]}")
            else:
                found[name] = str(said)
        return found


def _some(keys: list[str]) -> str:
    return f"{', '.join(keys[:8])}{' ...' if len(keys) > 8 else ''}"


def _are_hooks(value: object, path: Path, notices: list[str]) -> bool:
    from assay.policy.hooks.config import read_hooks

    try:
        read_hooks(value, str(path))
    except UsageError as error:
        notices.append(f"{error}; none of the hooks of this file are run")
        return False
    return True


def _permissions(value: object, where: str, notices: list[str], strange: list[str]) -> Permissions:
    if not isinstance(value, dict):
        return Permissions()
    from assay.policy.examples import List, parse_listed

    raw = cast("dict[str, object]", value)
    lists: dict[str, tuple[str, ...]] = {}
    kinds: tuple[List, ...] = ("allow", "ask", "deny")
    for kind in kinds:
        kept: list[str] = []
        said = raw.get(kind)
        for rule in cast("list[object]", said) if isinstance(said, list) else []:
            try:
                parse_listed(kind, rule if isinstance(rule, str) else "")
                kept.append(str(rule))
            except UsageError as error:
                if kind == "allow":
                    strange.append(f"permissions.allow {str(rule)[:40]!r}")
                else:
                    notices.append(f"{where}: permissions.{kind}: {error}; it forbids nothing")
        lists[kind] = tuple(kept)
    mode = raw.get("defaultMode")
    modes = {**{each: each for each in get_args(Mode)}, "manual": "default"}
    if mode is not None and mode not in modes:
        strange.append("permissions.defaultMode")
    folders = raw.get("additionalDirectories")
    strange += [f"permissions.{key}" for key in sorted(raw.keys() - {*kinds, "defaultMode", "additionalDirectories"})]
    return Permissions(
        lists["allow"],
        lists["ask"],
        lists["deny"],
        default_mode=cast("Mode | None", modes.get(str(mode))),
        additional_directories=tuple(
            folder
            for folder in (cast("list[object]", folders) if isinstance(folders, list) else [])
            if isinstance(folder, str)
        ),
    )


def _one_by_one(values: dict[str, object], strange: list[str]) -> Settings:
    kept: dict[str, object] = {}
    for key, value in values.items():
        try:
            msgspec.convert({key: value}, Settings, from_attributes=True)
            kept[key] = value
        except msgspec.ValidationError:
            strange.append(key)
    return msgspec.convert(kept, Settings, from_attributes=True)
