"""The sandbox holds what it promises, or there is none and that is said."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.core.workspace import Command
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.bubblewrap import Bubblewrap
from assay.workspace.sandbox.find import bubblewrap_binary, find_sandbox, probe
from assay.workspace.sandbox.port import Confinement, NoSandbox, Sandbox
from assay.workspace.sandbox.seatbelt import Seatbelt
from assay.workspace.sandbox.view import beneath, git_directory, tool_roots


async def said(workspace: LocalWorkspace, line: str, read_only: bool = False) -> str:
    result = await workspace.run(Command(("/bin/sh", "-c", line), timeout=20, read_only=read_only))
    return result.output


async def test_nothing_outside_is_written_or_read(boxed: LocalWorkspace | NoSandbox, tmp_path: Path) -> None:
    if isinstance(boxed, NoSandbox):
        assert boxed.reason
        return
    (tmp_path / "secret").write_text("the secret")
    places = f"{tmp_path} /usr /etc /opt /var /"
    line = f"cat {tmp_path}/secret; for d in {places}; do echo x > $d/assay-probe && echo wrote $d; done"
    out = await said(boxed, line)
    assert "the secret" not in out
    assert "wrote /usr" not in out
    assert "wrote /etc" not in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project", "secret", "state"]
    assert await said(boxed, "echo x > mine && cat mine && ls -A ~ | grep -c ssh") == "x\n0\n"


async def test_no_network_no_capabilities_no_other_processes(boxed: LocalWorkspace | NoSandbox) -> None:
    if isinstance(boxed, NoSandbox):
        assert boxed.reason
        return
    assert await said(boxed, "grep -c : /proc/net/dev") == "1\n"
    assert "0000000000000000" in await said(boxed, "grep CapEff /proc/self/status")
    assert int(await said(boxed, "ls /proc | grep -c '^[0-9]'")) < 10
    assert "held" in await said(boxed, "(echo core > /proc/sys/kernel/core_pattern) 2>/dev/null || echo held")
    assert "held" in await said(boxed, "mount -o remount,bind,rw /usr 2>/dev/null || echo held")


async def test_protected_names_are_read_only(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    if isinstance(boxed, NoSandbox):
        assert boxed.reason
        return
    subprocess.run(("git", "init", "-q", str(root)), check=True, env={"PATH": os.environ["PATH"], "HOME": str(root)})
    (root / ".claude").mkdir()
    (root / ".claude/settings.json").write_text("{}")
    names = ".git/config .git/hooks/pre-commit .claude/settings.json"
    line = f"for f in {names}; do echo x >> $f; done; echo x > .git/mine; mv .git/hooks h"
    await said(boxed, line)
    assert "x" not in (root / ".claude/settings.json").read_text()
    assert not (root / ".git/hooks/pre-commit").exists()
    assert (root / ".git/mine").read_text() == "x\n"
    assert (root / ".git/hooks").is_dir()


async def test_read_only_commands(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    if isinstance(boxed, NoSandbox):
        assert boxed.reason
        return
    out = await said(boxed, "touch a 2>/dev/null || echo refused; touch /tmp/b && echo fine", read_only=True)
    assert out == "refused\nfine\n"
    assert list(root.iterdir()) == []


async def test_the_cache_lives_on_and_the_rest_of_home_does_not(boxed: LocalWorkspace | NoSandbox) -> None:
    if isinstance(boxed, NoSandbox):
        assert boxed.reason
        return
    await said(boxed, "mkdir -p ~/.cache/x; echo kept > ~/.cache/x/y; echo gone > ~/gone; echo gone > /tmp/gone")
    assert await said(boxed, "cat ~/.cache/x/y; ls ~/gone /tmp/gone 2>/dev/null") == "kept\n"


async def test_this_python_runs_in_it(boxed: LocalWorkspace | NoSandbox) -> None:
    if isinstance(boxed, NoSandbox):
        assert boxed.reason
        return
    result = await boxed.run(Command((sys.executable, "-c", "import pytest, sys; print(sys.prefix)")))
    assert result.output == f"{sys.prefix}\n"


async def test_a_copy_stands_at_the_original_path(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    if isinstance(boxed, NoSandbox):
        assert boxed.reason
        return
    (root / ".gitignore").write_text("node_modules/\n*.so\n.env\n")
    (root / "a").write_text("1")
    (root / "pkg").mkdir()
    (root / "pkg/ext.so").write_text("binary")
    (root / "node_modules/lib").mkdir(parents=True)
    (root / "node_modules/lib/index.js").write_text("js")
    tree = await boxed.snapshot()
    (root / "a").write_text("2")
    async with boxed.copy(tree) as twin:
        assert twin.seen_root == str(root)
        out = await said(twin, f"pwd; cat a {root}/a {twin.root}/a pkg/ext.so node_modules/lib/index.js")
        assert out == f"{root}\n111binaryjs"
        await said(twin, "echo changed > node_modules/lib/index.js; echo x > a; echo new > pkg/ext.so")
        if boxed._sandbox is not None and boxed._sandbox.overlays:
            assert await said(twin, "cat node_modules/lib/index.js") == "changed\n"
        assert [c.path for c in await twin.changes(tree, await twin.snapshot())] == ["a"]
        where = Path(twin.root)
    assert not where.exists()
    assert (root / "node_modules/lib/index.js").read_text() == "js"
    assert (root / "pkg/ext.so").read_text() == "binary"
    assert (root / "a").read_text() == "2"


async def test_a_copy_reads_the_repository(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    if isinstance(boxed, NoSandbox):
        assert boxed.reason
        return
    (root / "a").write_text("1")
    env = {"PATH": os.environ["PATH"], "HOME": str(root.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    for line in ("init -q", "add a", "-c user.name=n -c user.email=e@x commit -qm one", "tag v1.2"):
        subprocess.run(("git", *line.split()), cwd=root, env=env, check=True)
    async with boxed.copy(await boxed.snapshot()) as twin:
        assert await said(twin, "git describe --tags; touch .git/x 2>/dev/null || echo no") == "v1.2\nno\n"
        assert await twin.list_files() == ["a"]


async def test_an_unconfined_copy_reaches_dependencies(plain: LocalWorkspace, root: Path) -> None:
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/tool").write_text("t")
    (root / "a").write_text("1")
    async with plain.copy(await plain.snapshot()) as twin:
        assert await said(twin, "cat a .venv/bin/tool") == "1t"
        assert await twin.list_files() == ["a"]
    assert (root / ".venv/bin/tool").exists()


async def test_a_cancelled_copy_is_removed(plain: LocalWorkspace, tmp_path: Path) -> None:
    tree = await plain.snapshot()
    with pytest.raises(KeyboardInterrupt):
        async with plain.copy(tree) as twin:
            locked = Path(twin.root, "locked")
            locked.mkdir()
            (locked / "x").write_text("x")
            locked.chmod(0o500)
            raise KeyboardInterrupt
    assert list((tmp_path / "state/copies").iterdir()) == []


def test_a_proof_is_remembered_and_bound_to_the_binary(tmp_path: Path, found: Sandbox | NoSandbox) -> None:
    first = find_sandbox(tmp_path)
    assert isinstance(first, NoSandbox) == isinstance(found, NoSandbox)
    if isinstance(first, NoSandbox):
        assert not (tmp_path / "sandbox.json").exists()
        return
    proved = (tmp_path / "sandbox.json").stat().st_mtime_ns
    assert not isinstance(find_sandbox(tmp_path), NoSandbox)
    assert (tmp_path / "sandbox.json").stat().st_mtime_ns == proved
    known = json.loads((tmp_path / "sandbox.json").read_text())
    known["key"][2] = "/other/bwrap"
    (tmp_path / "sandbox.json").write_text(json.dumps(known))
    assert not isinstance(find_sandbox(tmp_path), NoSandbox)
    (tmp_path / "sandbox.json").write_text("[garbage")
    assert not isinstance(find_sandbox(tmp_path), NoSandbox)


def fake(directory: Path, script: str) -> str:
    file = directory / "bwrap"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    "script",
    [
        "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1",
        "exit 0",
        'while [ "$1" != -- ]; do shift; done; shift; cd "$OUTSIDE/../inside"; exec "$@"',  # confines nothing
    ],
)
def test_a_sandbox_that_does_not_hold_is_none(tmp_path: Path, script: str) -> None:
    directory = tmp_path / "bin"
    directory.mkdir()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    # What its script would do to the real machine is done in a sandbox of directories that do not exist.
    script = script.replace("exec", "PARENT=$PPID LINUX= exec")
    proof = probe(Bubblewrap(fake(directory, script), {"HOME": "/home/user"}), scratch, {**os.environ, "LINUX": ""})
    assert not proof.holds
    assert proof.why


def test_no_binary_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    found = find_sandbox(tmp_path, {"PATH": str(tmp_path)})
    if sys.platform == "linux":
        assert isinstance(found, NoSandbox)
        assert "install" in found.reason


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that an ordinary user may enter."""
    with tempfile.TemporaryDirectory(prefix="assay-test-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_it_holds_for_an_ordinary_user(
    public: Path, found: Sandbox | NoSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    binary = bubblewrap_binary(os.environ)
    if isinstance(found, NoSandbox):
        assert found.reason
        return
    sandbox = Bubblewrap(binary, {"HOME": "/nonexistent/home", "PATH": "/usr/bin:/bin"})
    (public / "work").mkdir()
    (public / "work").chmod(0o777)
    view = Confinement(str(public / "work"), str(public / "work"))
    line = f"id -u; echo x > a; echo x > {public}/b ; ls /tmp"
    argv = sandbox.argv(view, ("/bin/sh", "-c", line), view.root, read_only=False)
    user = 65534 if os.getuid() == 0 else os.getuid()
    become = {"user": user, "group": user, "extra_groups": list[int]()} if os.getuid() == 0 else {}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, env={}, **become)
    assert done.stdout == f"{user}\n{public.name}\n"
    assert (public / "work/a").stat().st_uid == user
    assert not (public / "b").exists()


def test_tool_roots_never_show_the_home_or_the_workspace(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "home/code/project"
    (root / ".venv").mkdir(parents=True)
    (root / ".venv/pyvenv.cfg").write_text(f"home = {home}/.ssh\n")
    for name in ("bin", ".ssh", ".cargo/bin", ".nvm/versions/node/v20/bin", ".fly/bin", ".fly/lib"):
        (home / name).mkdir(parents=True)
    (home / ".cargo/credentials.toml").write_text("token")
    path = f"{home}/bin:{home}/.cargo/bin:{home}/.fly/bin:{root}/node_modules/.bin:relative:/usr/bin:{tmp_path}"
    roots = tool_roots({"PATH": path}, str(home), str(root))
    assert f"{home}/.nvm" in roots
    assert {f"{home}/bin", f"{home}/.fly/bin", f"{home}/.fly/lib", f"{home}/.cargo/bin"} <= set(roots)
    for hidden in (home, root, tmp_path, home / ".ssh", home / ".cargo/credentials.toml", home / ".fly/config"):
        assert not beneath(str(hidden), roots)


def test_a_forged_worktree_pointer_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/HEAD").write_text("x")
    (tmp_path / "victim/commondir").write_text(".")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/.git").write_text(f"gitdir: {tmp_path}/victim\n")
    assert git_directory(str(tmp_path / "root")) == ""


def test_the_profile_for_macos(tmp_path: Path) -> None:
    sandbox = Seatbelt("/usr/bin/sandbox-exec", {"HOME": str(tmp_path), "PATH": "/usr/bin"})
    root = tmp_path / 'pro"ject'
    root.mkdir()
    argv = sandbox.argv(Confinement(str(root), str(root)), ("make",), str(root), read_only=False)
    assert argv[0] == "/usr/bin/sandbox-exec"
    assert argv[-2:] == (str(root), "make")
    profile = argv[2]
    assert "(deny default)" in profile
    assert 'pro\\"ject' in profile
    assert profile.index("(allow file-write* (subpath") < profile.index("(deny file-write* (subpath")
    quiet = sandbox.profile(Confinement(str(root), str(root)), read_only=True)
    assert "allow file-write* (subpath" not in quiet


def test_modes_of_what_it_writes(tmp_path: Path) -> None:
    if not isinstance(find_sandbox(tmp_path), NoSandbox):
        assert stat.S_ISREG((tmp_path / "sandbox.json").stat().st_mode)
