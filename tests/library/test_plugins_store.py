"""Installing plugins: by content, from folders, git and marketplaces, and what is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from assay.app.config import Settings
from assay.app.paths import Paths
from assay.app.plugins import PluginStore, session_plugins
from assay.context.library.plugins import digest_of, read_plugin
from assay.core.errors import UsageError

from .test_imports_rules import put

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "config", tmp_path / "state", tmp_path / "data")


def plugin(folder: Path, name: str = "kit", **more: object) -> Path:
    return put(folder, {
        ".claude-plugin/plugin.json": json.dumps({"name": name, "version": "1.0", **more}),
        "commands/hello.md": "Hello",
        "hooks/hooks.json": '{"hooks": {"Stop": [{"hooks": [{"command": "${CLAUDE_PLUGIN_ROOT}/x"}]}]}}',
        ".mcp.json": '{"mcpServers": {"db": {"command": "${CLAUDE_PLUGIN_DATA}/db"}}}',
    })  # fmt: skip


def commit(folder: Path) -> Path:
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "x")):
        subprocess.run((*GIT, *words), cwd=folder, check=True)
    return folder


def test_the_layout(tmp_path: Path) -> None:
    read = read_plugin(plugin(tmp_path / "p"), tmp_path / "data")
    assert (read.name, read.version) == ("kit", "1.0")
    assert read.hooks["Stop"] == [{"hooks": [{"command": f"{tmp_path}/p/x"}]}]
    assert read.servers == {"db": {"command": f"{tmp_path}/data/kit/db"}}
    bare = put(tmp_path / "bare", {"skills/a/SKILL.md": "x"})
    assert (read_plugin(bare).name, read_plugin(bare).hooks) == ("bare", {})
    inline = plugin(tmp_path / "q", hooks={"Stop": []}, mcpServers="./.mcp.json")
    assert (read_plugin(inline).hooks, list(read_plugin(inline).servers)) == ({"Stop": []}, ["db"])


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no such folder"),
        ({"x.md": ""}, "no plugin: it has neither"),
        ({".claude-plugin/plugin.json": "{"}, "not a JSON object"),
        ({".claude-plugin/plugin.json": "[]"}, "not a JSON object"),
        ({".claude-plugin/plugin.json": '{"name": "../x"}'}, "name: letters"),
        ({".claude-plugin/plugin.json": '{"name": "x", "hooks": "../../h.json"}'}, "outside the plugin"),
        ({".claude-plugin/plugin.json": '{"name": "x", "hooks": "h.json"}'}, "there is no file h.json"),
    ],
)
def test_what_is_no_plugin(tmp_path: Path, files: dict[str, str], said: str) -> None:
    put(tmp_path / "p", files)
    with pytest.raises(UsageError, match=said):
        read_plugin(tmp_path / "p")


def test_the_digest_is_of_names_programs_and_content(tmp_path: Path) -> None:
    folder = plugin(tmp_path / "p")
    first = digest_of(folder)
    assert digest_of(plugin(tmp_path / "other")) == first
    (folder / "commands/hello.md").chmod(0o755)
    assert digest_of(folder) != first
    (folder / "commands/hello.md").chmod(0o644)
    assert digest_of(folder) == first
    (folder / "commands/hello.md").rename(folder / "commands/bye.md")
    assert digest_of(folder) != first
    (folder / "out").symlink_to("/etc")
    with pytest.raises(UsageError, match="leads out"):
        digest_of(folder)


def test_installed_by_content_and_left_out_once_changed(tmp_path: Path, paths: Paths) -> None:
    store, notices = PluginStore(paths), list[str]()
    done = store.install(str(plugin(tmp_path / "p")))
    put(tmp_path / "p", {"commands/hello.md": "Changed at its source"})
    found = session_plugins(paths, Settings(), (), notices)
    assert [(each.name, notices) for each in found] == [("kit", [])]
    assert (found[0].path / "commands/hello.md").read_text() == "Hello"
    assert session_plugins(paths, Settings(enabled_plugins={"kit": False}), (), notices) == []
    assert session_plugins(paths, Settings(), (), notices, installed=False) == []
    store.enable("kit", enabled=False)
    assert session_plugins(paths, Settings(), (), notices) == []
    assert len(session_plugins(paths, Settings(enabled_plugins={"kit": True}), (), notices)) == 1
    store.enable("kit", enabled=True)
    put(Path(done.path), {"commands/hello.md": "Changed here"})
    assert session_plugins(paths, Settings(), (), notices) == []
    assert "not what was installed" in notices[0]
    again = store.install(str(tmp_path / "p"))
    assert again.digest != done.digest
    assert not Path(done.path).exists()
    store.uninstall("kit")
    assert not Path(again.path).exists()
    with pytest.raises(UsageError, match="installed: none"):
        store.uninstall("kit")


def test_folders_named_by_flag_must_be_plugins_and_others_cost_a_notice(tmp_path: Path, paths: Paths) -> None:
    notices: list[str] = []
    plugin(tmp_path / "p")
    found = session_plugins(paths, Settings(plugins=(str(tmp_path / "no"), str(tmp_path / "p"))), (), notices)
    assert [each.name for each in found] == ["kit"]
    assert "no such folder" in notices[0]
    with pytest.raises(UsageError, match="no such folder"):
        session_plugins(paths, Settings(), (str(tmp_path / "no"),), notices)


def test_from_git_and_marketplaces(tmp_path: Path, paths: Paths) -> None:
    store = PluginStore(paths)
    url = f"file://{commit(plugin(tmp_path / 'far'))}"
    assert store.install(url).source == url
    entries = [
        {"name": "near", "source": "./plugins/near"},
        {"name": "kit", "source": {"source": "url", "url": url}},
        {"name": "bad", "source": "../../out"},
        {"name": "odd", "source": {"source": "npm", "package": "x"}},
    ]
    market = put(
        tmp_path / "market", {".claude-plugin/marketplace.json": json.dumps({"name": "m", "plugins": entries})}
    )
    plugin(market / "plugins/near", "near")
    assert store.add_marketplace(str(market)).name == "m"
    assert store.offers("m") == ["near", "kit", "bad", "odd"]
    assert store.install("near@m").key == "near@m"
    assert store.install("kit@m").key == "kit@m"
    assert sorted(store.read().plugins) == ["kit@m", "near@m"]
    for name, said in (("bad", "outside the marketplace"), ("odd", "expected a folder or a git"), ("no", "no plugin")):
        with pytest.raises(UsageError, match=said):
            store.install(f"{name}@m")
    store.remove_marketplace("m")
    assert market.exists()
    remote = store.add_marketplace(f"file://{commit(market)}")
    assert remote.git
    assert store.update_marketplace("m") == remote
    assert store.install("near@m").name == "near"
    store.remove_marketplace("m")
    assert not Path(remote.path).exists()


@pytest.mark.parametrize("what", ["nothing-here", "--upload-pack=touch x.git", "ext::sh.git", "file:///nowhere/at/all"])
def test_what_cannot_be_installed(paths: Paths, what: str) -> None:
    with pytest.raises(UsageError):
        PluginStore(paths).install(what)
    assert not (paths.data / "plugins/cache").exists()


def test_a_damaged_register_is_told(paths: Paths) -> None:
    put(paths.data / "plugins", {"installed.json": "{"})
    notices: list[str] = []
    assert session_plugins(paths, Settings(), (), notices) == []
    assert "installed.json: cannot be read" in notices[0]
