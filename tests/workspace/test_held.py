"""Protected names that commands make or change are taken back, and ordinary work goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from assay.core.protected import protected_part, taken_back
from assay.core.workspace import CommandResult
from assay.testing.conformance.workspace import shell
from assay.workspace.held import Guard, harmless
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.port import NoSandbox
from assay.workspace.watch import Watch

GIT = "git -c user.name=n -c user.email=n@example.org -c init.defaultBranch=main"


def ready(boxed: LocalWorkspace | NoSandbox) -> LocalWorkspace | None:
    if isinstance(boxed, NoSandbox):
        assert boxed.reason
        return None
    return boxed


async def told(workspace: LocalWorkspace, line: str, **more: object) -> CommandResult:
    return await workspace.run(shell(line, **more))


def kept(tmp_path: Path) -> dict[str, str]:
    """What is held, by path."""
    folders = (tmp_path / "state/held").glob("*")
    return {
        str(file.relative_to(folder)): file.read_text() if file.is_file() else "->"
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file() or file.is_symlink()
    }


NEW = (
    ".vscode/tasks.json", ".github/workflows/x.yml", ".envrc", ".env", ".mcp.json", "AGENTS.md", ".npmrc",
    ".claude/settings.json", "deep/er/.cursor/rules/x", "deep/CLAUDE.md", ".husky/pre-commit", ".gitlab-ci.yml",
    "sitecustomize.py", ".bashrc", "nested/.git/hooks/pre-commit", "nested/.git/config.worktree", ".VSCode/x",
    ".hg/hgrc",
)  # fmt: skip


async def test_new_names_are_taken_back(boxed: LocalWorkspace | NoSandbox, root: Path, tmp_path: Path) -> None:
    workspace = ready(boxed)
    if workspace is None:
        return
    line = "; ".join(f"mkdir -p {Path(name).parent}; echo x > {name}" for name in NEW)
    result = await told(workspace, f"{line}; echo fine > file; echo done")
    assert (result.exit_code, result.output) == (0, "done\n")
    assert {path for name in NEW for path in [name] if (root / name).exists()} == set()
    assert kept(tmp_path) == dict.fromkeys(NEW, "x\n")
    assert all(any(name == held or name.startswith(f"{held}/") for held in result.held) for name in NEW)
    assert (root / "file").read_text() == "fine\n"
    assert (await told(workspace, "ls -a")).held == ()


async def test_what_is_there_stays(boxed: LocalWorkspace | NoSandbox, root: Path, tmp_path: Path) -> None:
    workspace = ready(boxed)
    if workspace is None:
        return
    for name in (".vscode/tasks.json", "AGENTS.md", "pkg/.vscode/tasks.json", "pkg/CLAUDE.md", ".github/w.yml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("mine")
    (root / "CLAUDE.md").symlink_to("AGENTS.md")
    line = (
        "for f in .vscode/tasks.json AGENTS.md pkg/.vscode/tasks.json pkg/CLAUDE.md .github/w.yml; do"
        " echo evil > $f; rm -f $f; mv x $f; done; rm CLAUDE.md; echo evil > CLAUDE.md;"
        " mv pkg moved; mkdir -p pkg/.vscode; echo evil > pkg/.vscode/tasks.json"
    )
    result = await told(workspace, f"exec 2>/dev/null; echo > x; {line}")
    assert set(result.held) == {"CLAUDE.md", "pkg/.vscode"}
    assert os.readlink(root / "CLAUDE.md") == "AGENTS.md"
    for name in (".vscode/tasks.json", "AGENTS.md", "moved/.vscode/tasks.json", "moved/CLAUDE.md", ".github/w.yml"):
        assert (root / name).read_text() == "mine"
    assert not (root / "pkg/.vscode").exists()
    assert kept(tmp_path) == {"CLAUDE.md": "evil\n", "pkg/.vscode/tasks.json": "evil\n"}


async def test_a_racer_ends_with_it_held(boxed: LocalWorkspace | NoSandbox, root: Path, tmp_path: Path) -> None:
    workspace = ready(boxed)
    if workspace is None:
        return
    line = "while :; do mkdir -p .vscode; echo evil > .vscode/tasks.json; chmod 500 .vscode; echo x > .envrc; done"
    result = await told(workspace, f"({line}) 2>/dev/null", timeout=1.2)
    assert result.timed_out
    assert {".vscode", ".envrc"} <= set(result.held)
    assert not (root / ".vscode").exists()
    assert not (root / ".envrc").exists()
    task = asyncio.ensure_future(told(workspace, f"({line}) 2>/dev/null", timeout=60))
    await asyncio.sleep(0.4)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not (root / ".vscode").exists()


async def test_it_is_taken_back_meanwhile(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    workspace = ready(boxed)
    if workspace is None:
        return
    task = asyncio.ensure_future(
        told(workspace, "echo x > .envrc; while [ -e .envrc ]; do sleep 0.05; done", timeout=30)
    )
    result = await task
    assert (result.exit_code, result.timed_out, result.held) == (0, False, (".envrc",))


async def test_locked_directories_do_not_help(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    workspace = ready(boxed)
    if workspace is None:
        return
    result = await told(workspace, "mkdir -p d/.vscode/x; chmod 000 d/.vscode/x d/.vscode; chmod 555 d")
    assert result.held == ("d/.vscode",)
    assert not (root / "d/.vscode").exists()


async def test_git_goes_on_working(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    workspace = ready(boxed)
    if workspace is None:
        return
    (root / "a").write_text("1")
    for line in (
        f"{GIT} init -q && {GIT} add a && {GIT} commit -qm one",
        "git checkout -qb other && echo 2 > a",
        f"{GIT} commit -qam two && git checkout -q - && git log --oneline --all | wc -l | grep -qx 2",
        f"git worktree add -q tree other && cat tree/a && {GIT} -C tree commit -q --allow-empty -m three",
        "git clone -q . clone && cd clone && git status --short && git log -1 --format=%s",
        f"{GIT} stash list; git branch -D other 2>/dev/null; git gc -q; git fsck",
    ):
        result = await told(workspace, line)
        assert (result.exit_code, result.held) == (0, ()), f"{line}: {result.output}"
    assert (root / "clone/.git/config").exists()
    evil = (
        "git init -q sub; git -C sub config core.fsmonitor ./evil; mkdir -p sub/.git/hooks;"
        " echo x > sub/.git/hooks/post-checkout; echo 'gitdir: ../evil' > d/.git; echo done"
    )
    (root / "d").mkdir()
    result = await told(workspace, evil)
    assert result.output == "done\n"
    assert set(result.held) == {"sub/.git/config", "sub/.git/hooks/post-checkout", "d/.git"}
    assert b"fsmonitor" not in (root / "sub/.git/config").read_bytes()
    assert (await told(workspace, "git -C sub status --short; git -C clone config core.pager evil")).exit_code != 0
    assert "evil" not in (root / "clone/.git/config").read_text()


async def test_worktrees_stay_with_their_repository(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    workspace = ready(boxed)
    if workspace is None:
        return
    (root / "a").write_text("1")
    for line in (
        f"{GIT} init -q && {GIT} add a && {GIT} commit -qm one && git worktree add -q tree && git worktree add -q more",
        f"echo 2 > tree/a && {GIT} -C tree commit -qam two && git -C tree log --format=%s | grep -qx two",
        "git worktree add -q -b third new && git worktree move new moved && git worktree remove moved",
    ):
        result = await told(workspace, line)
        assert (result.exit_code, result.held) == (0, ()), f"{line}: {result.output}"
    there = ".git/worktrees/tree"
    evil = (
        f"cd {there}; echo ../../../evil > commondir; mkdir hooks; echo x > hooks/post-checkout;"
        " echo '[core] fsmonitor = x' > config; cp config config.worktree; ln -s ../../evil ../linked"
    )
    result = await told(workspace, evil)
    names = ("config", "config.worktree", "hooks/post-checkout")
    assert set(result.held) == {*(f"{there}/{name}" for name in names), ".git/worktrees/linked"}
    assert (root / there / "commondir").read_text() == "../..\n"
    result = await told(workspace, "git worktree add -q bad; echo ../../../evil > .git/worktrees/bad/commondir")
    assert result.held == (".git/worktrees/bad/commondir",)
    result = await told(workspace, "git init -q sub; mkdir -p sub/evil/x/hooks; ln -s ../evil sub/.git/worktrees")
    assert result.held == ("sub/.git/worktrees",)


async def test_the_users_own_changes_stay(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    workspace = ready(boxed)
    if workspace is None:
        return
    for name in ("AGENTS.md", "pkg/AGENTS.md"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("old")
    task = asyncio.ensure_future(told(workspace, "sleep 0.6"))
    await asyncio.sleep(0.25)
    for name in ("AGENTS.md", "pkg/AGENTS.md"):
        (root / "new").write_text("new")
        (root / "new").replace(root / name)
    assert (await task).held == ()
    assert (root / "AGENTS.md").read_text() == (root / "pkg/AGENTS.md").read_text() == "new"


async def test_a_copy_keeps_no_guard(boxed: LocalWorkspace | NoSandbox, root: Path, tmp_path: Path) -> None:
    workspace = ready(boxed)
    if workspace is None:
        return
    async with workspace.copy(await workspace.snapshot()) as twin:
        assert (await twin.run(shell("echo x > .env; cat .env"))).output == "x\n"
    assert not (root / ".env").exists()
    assert kept(tmp_path) == {}


def test_watch_sees_every_change(tmp_path: Path) -> None:
    watch = Watch(str(tmp_path))
    for number in range(30):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / ".envrc").write_text("x")
        assert f"d{number}/.envrc" in watch.look()
        if number % 3 == 0:
            (tmp_path / f"d{number}" / ".envrc").unlink()
            (tmp_path / f"d{number}").rename(tmp_path / f"e{number}")
    assert sorted(watch.look()) == sorted(f"d{number}/.envrc" for number in range(30) if number % 3)
    for skipped in ("node_modules", "vendor"):
        (tmp_path / skipped / ".github").mkdir(parents=True)
    (tmp_path / "link").symlink_to("d1")
    assert not [path for path in watch.look() if path.startswith(("node_modules", "vendor", "link"))]


async def test_moves_across_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    root.mkdir()
    guard = Guard(str(root), tmp_path / "held")
    rename = os.rename

    def refuse(source: str, to: str | Path, **more: int) -> None:
        if str(to).startswith(str(tmp_path / "held")):
            raise OSError(18, "Invalid cross-device link")
        rename(source, to, **more)

    async def work() -> CommandResult:
        (root / ".vscode/deep").mkdir(parents=True)
        (root / ".vscode/deep/x").write_text("x")
        (root / ".vscode/out").symlink_to("/etc/passwd")
        os.mkfifo(root / ".vscode/pipe")
        (root / ".envrc").write_text("y")
        return CommandResult(0, "", 0, 0.0)

    await guard.begin()
    monkeypatch.setattr(os, "rename", refuse)
    result = await guard.watch(work())
    assert result.held == (".envrc", ".vscode")
    assert list(root.iterdir()) == []
    (folder,) = (tmp_path / "held").iterdir()
    assert (folder / ".vscode/deep/x").read_text() == "x"
    assert (folder / ".vscode/out").is_symlink()


def test_configurations() -> None:
    remote = b'[remote "origin"]\n\turl = /a/b\n\tfetch = +refs/*:refs/*\n'
    assert harmless(b"[core]\n\tbare = false\n# x\n" + remote + b'[branch "m"]\n\tmerge = x\n')
    for evil in (
        b"[core]\n\tfsmonitor = x", b"[core]\n\tbare = false\n\thooksPath=x", b"[core] fsmonitor = x",
        b"[alias]\n\tst = !x",
        b'[remote "o"]\n\turl = ext::sh -c x', b"[include]\n\tpath = x", b"[core]\n\tbare = \\\n\tfsmonitor", b"\xff",
        b'[filter "x"]\n\tclean = x', b"[core\n]", b'[remote "o"]\n\tuploadpack = x', b"fsmonitor = x",
    ):  # fmt: skip
        assert not harmless(evil), evil


def test_names() -> None:
    for path in ("a/.VSCode /x", ".github/x", "deep/AGENTS.md", "x/.env.local", ".git/hooks/x", "Jenkinsfile"):
        assert protected_part(path.split("/")), path
    for path in ("a/b.py", ".env.example", "environment", ".gitignore", "git/hooks/x", "package.json"):
        assert not protected_part(path.split("/")), path
    assert not taken_back(".git", directory=True)
    assert not taken_back(".yarn", directory=True)
    assert taken_back(".vscode", directory=True)


async def test_what_we_write_beside_a_command_is_not_taken_back(
    boxed: LocalWorkspace | NoSandbox, root: Path, tmp_path: Path
) -> None:
    """A command goes on in the background; what a person approved meanwhile stays, what the command makes does not."""
    workspace = ready(boxed)
    if workspace is None:
        return
    line = "touch up; while ! test -e go; do sleep 0.05; done; mkdir -p .github; echo x > .github/theirs.yml; sleep 1"
    process = workspace.start(shell(line, timeout=60, spill=str(tmp_path / "out.txt"), live=True))
    async with asyncio.timeout(20):
        while not (root / "up").exists():
            await asyncio.sleep(0.02)
    stamp = workspace.write_file(".envrc", b"ours\n", None)
    workspace.write_file(".envrc", b"ours again\n", stamp)
    workspace.write_file("go", b"", None)
    result = await process.wait(30)
    assert result
    assert result.held == (".github",)
    assert (root / ".envrc").read_text() == "ours again\n"
    assert not (root / ".github/theirs.yml").exists()
