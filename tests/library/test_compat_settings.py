"""Settings for the `claude` command: what of them counts, by whose word, and what they can't do."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.app.compat import Compat
from assay.app.config import Settings, find_compat, load_settings
from assay.app.paths import claude_home

ONE = {"hooks": [{"type": "command", "command": "x"}]}
ALL = frozenset({"user", "project", "local"})


class Files:
    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.ours = folder / "ours.json"
        self.project = folder / "project"
        for path in (self.home, self.project / ".claude", self.project / ".assay"):
            path.mkdir(parents=True)
        self.compat: Compat | None = None

    def put(self, where: str, content: object) -> str:
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        places = {"user": self.home / "settings.json", "ours": self.ours}
        named = {"project": "settings.json", "local": "settings.local.json"}
        path = places.get(where) or self.project / ".claude" / named.get(where, where)
        path.write_bytes(text)
        return f"sha256:{sha256(text).hexdigest()}"

    def load(self, sources: frozenset[str] = ALL) -> tuple[Settings, list[str]]:
        self.compat = find_compat(self.home, self.project)
        return load_settings(self.ours, self.project, sources, compat=self.compat)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_without_files_nothing_is_loaded(files: Files) -> None:
    assert files.load() == (Settings(), [])
    assert files.compat is None


def test_what_counts_and_what_is_named_once(files: Files) -> None:
    hooks = {"Stop": [{"hooks": [{"type": "command", "command": "x"}]}]}
    files.put("user", {
        "$schema": "x", "theme": "dark", "statusLine": {}, "includeCoAuthoredBy": False, "tui": 1, "zzz": 2,
        "permissions": {"allow": ["Bash(ls:*)", 7, "mcp__*"], "deny": ["Read(.env)"], "ask": ["Bash(git push:*)"],
                        "defaultMode": "acceptEdits", "additionalDirectories": ["/x", 3], "disableAutoMode": 1},
        "hooks": hooks, "outputStyle": "Concise", "enabledPlugins": {"a@b": True}, "effortLevel": "high",
        "disableAllHooks": True, "model": "opus",
        "env": {"A": "1", "API_KEY": "k", "PATH": "/x", "bad name": "", "L": []},
    })  # fmt: skip
    settings, notices = files.load()
    said = settings.permissions
    assert (said.allow, said.deny, said.ask) == (("Bash(ls:*)",), ("Read(.env)",), ("Bash(git push:*)",))
    assert (said.default_mode, said.additional_directories) == ("acceptEdits", ("/x",))
    assert (settings.hooks, settings.output_style, settings.enabled_plugins) == (hooks, "Concise", {"a@b": True})
    assert (settings.effort, settings.disable_all_hooks, settings.environment) == ("high", True, ("A",))
    assert files.compat is not None
    assert (files.compat.model, files.compat.variables) == ("opus", {"A": "1", "API_KEY": "k"})
    assert settings.model is None
    assert len(notices) == 1
    for word in ("tui", "zzz", "env.PATH", "permissions.disableAutoMode", "permissions.allow"):
        assert word in notices[0]
    assert "theme" not in notices[0]


def test_ours_is_stronger_and_lists_add_up(files: Files) -> None:
    files.put("user", {"outputStyle": "a", "hooks": {"Stop": [ONE]}, "permissions": {"deny": ["Read(a)"]}})
    files.put(
        "ours", {"outputStyle": "b", "hooks": {"Stop": [2], "SessionEnd": [3]}, "permissions": {"deny": ["Read(b)"]}}
    )
    settings, _ = files.load()
    assert settings.output_style == "b"
    assert settings.hooks == {"Stop": [ONE, 2], "SessionEnd": [3]}
    assert settings.permissions.deny == ("Read(a)", "Read(b)")


LOOSE = {
    "permissions": {"allow": ["Bash(curl:*)"], "deny": ["Read(b)"], "defaultMode": "bypassPermissions"},
    "hooks": {"Stop": []},
    "env": {"X": "1"},
    "model": "opus",
    "disableAllHooks": True,
    "enabledPlugins": {"a@b": True},
    "outputStyle": "s",
}


@pytest.mark.parametrize("layer", ["project", "local"])
def test_the_project_only_tightens_until_trusted(files: Files, layer: str) -> None:
    digest = files.put(layer, {**LOOSE, "hooks": {"Stop": [ONE]}})
    settings, notices = files.load()
    assert files.compat is not None
    assert (settings.permissions.allow, settings.permissions.deny) == ((), ("Read(b)",))
    assert (settings.hooks, settings.environment, settings.disable_all_hooks) == ({}, (), False)
    assert (settings.enabled_plugins, settings.permissions.default_mode) == ({}, None)
    assert (files.compat.model, files.compat.variables) == ("", {})
    assert settings.output_style == "s"
    told = next(notice for notice in notices if digest in notice)
    for key in ("permissions.allow", "permissions.defaultMode", "hooks", "environment", "disableAllHooks"):
        assert key in told
    files.put("ours", {"trustedSettings": [digest]})
    settings, notices = files.load()
    assert (settings.permissions.allow, settings.hooks) == (("Bash(curl:*)",), {"Stop": [ONE]})
    assert files.compat is not None
    assert (files.compat.model, files.compat.variables) == ("opus", {"X": "1"})


def test_sources_count(files: Files) -> None:
    for layer in ("user", "project", "local"):
        files.put(layer, {"permissions": {"deny": [f"Read({layer})"]}})
    assert files.load()[0].permissions.deny == ("Read(user)", "Read(project)", "Read(local)")
    assert files.load(frozenset({"project"}))[0].permissions.deny == ("Read(project)",)
    assert files.load(frozenset())[0] == Settings()


def test_a_rule_that_forbids_is_never_lost_in_silence(files: Files) -> None:
    files.put("user", {"permissions": {"deny": ["Read(ok)", "Weird((", 3], "allow": "all"}, "hooks": 3, "model": 7})
    settings, notices = files.load()
    assert settings.permissions.deny == ("Read(ok)",)
    assert sum("it forbids nothing" in notice for notice in notices) == 2


KEYS = ["permissions", "allow", "deny", "hooks", "env", "model", "outputStyle", "enabledPlugins", "defaultMode"]
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=8)


def _inner(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4)


@given(
    st.binary(max_size=200) | st.recursive(PLAIN, _inner, max_leaves=12).map(lambda value: json.dumps(value).encode())
)
def test_no_content_makes_it_raise(text: bytes) -> None:
    compat, notices = Compat(None), list[str]()
    settings, _ = compat.read(text, Path("f.json"), notices)
    compat.tell(notices)
    assert isinstance(settings, Settings)


def test_where_it_lies() -> None:
    assert claude_home({"HOME": "/h"}) == Path("/h/.claude")
    assert claude_home({"HOME": "/h", "CLAUDE_CONFIG_DIR": "/c"}) == Path("/c")
    assert claude_home({}) is None
