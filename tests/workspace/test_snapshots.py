"""Snapshots: the user's repository is never touched and nothing in it is ever executed."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.effort import inputs

from assay.core.errors import WorkspaceError
from assay.workspace.gitstore import clean_index
from assay.workspace.local import LocalWorkspace
from assay.workspace.patches import unified
from assay.workspace.plain import PlainTrees
from assay.workspace.trees import Trees


def git(root: Path, *arguments: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    base = ("git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=e@x", "-c", "init.defaultBranch=main",
            "-c", "protocol.file.allow=always")  # fmt: skip
    return subprocess.run((*base, *arguments), env=env, check=True, capture_output=True, text=True).stdout


def commit(root: Path) -> None:
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")


def state_of(directory: Path) -> dict[str, str]:
    """Every file below `directory` with a digest of its bytes."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def trees(root: Path, tmp_path: Path) -> Trees:
    return PlainTrees(str(root), tmp_path / "plain-state")


async def test_the_users_repository_stays_as_it_is(root: Path, plain: LocalWorkspace) -> None:
    (root / "a").write_text("1\n")
    commit(root)
    (root / "a").write_text("2\n")
    git(root, "stash")
    (root / "a").write_text("3\n")
    (root / "staged").write_text("s")
    git(root, "add", "staged")
    before = state_of(root / ".git")
    tree = await plain.snapshot()
    (root / "a").write_text("4\n")
    await plain.changes(tree, await plain.snapshot())
    await plain.list_files()
    async with plain.copy(tree):
        pass
    await plain.restore(tree)
    assert state_of(root / ".git") == before
    assert (root / "a").read_text() == "3\n"


async def test_nothing_of_a_hostile_repository_is_executed(root: Path, tmp_path: Path, plain: LocalWorkspace) -> None:
    marker = tmp_path / "marker"
    evil = f"touch {marker}; cat"
    (root / "a.txt").write_text("x\n")
    commit(root)
    inner = root / "vendor"
    inner.mkdir()
    (inner / "b.txt").write_text("y\n")
    commit(inner)
    for repository in (root, inner):
        (repository / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
        filters = [f"filter.evil.{name}" for name in ("clean", "smudge", "process")]
        diffs = ["diff.external", "diff.evil.command", "diff.evil.textconv"]
        for key in (*filters, *diffs, "core.fsmonitor", "core.pager", "core.sshCommand", "core.editor"):
            git(repository, "config", key, evil)
        hook = repository / ".git" / "hooks" / "post-checkout"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
        for name in ("post-checkout", "post-index-change", "pre-commit", "reference-transaction"):
            (hook.parent / name).write_text(hook.read_text())
            (hook.parent / name).chmod(0o755)
    first = await plain.snapshot()
    (inner / "b.txt").write_text("z\n")
    (root / "a.txt").write_text("z\n")
    second = await plain.snapshot()
    found = {change.path for change in await plain.changes(first, second)}
    assert found == {"a.txt", "vendor/b.txt"}
    assert "+z" in await plain.patch(first, second)
    async with plain.copy(first) as twin:
        assert twin.read_file("vendor/b.txt").data == b"y\n"
        assert await twin.snapshot() == first
    await plain.restore(first)
    assert (inner / "b.txt").read_text() == "y\n"
    assert await plain.snapshot() == first
    assert not marker.exists()


async def test_repositories_inside_are_plain_files_of_the_tree(root: Path, plain: LocalWorkspace) -> None:
    (root / "top").write_text("t")
    commit(root)
    for name in ("one", "sub/two", "emp ty"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_text(name)
        git(root / name, "init", "-q")
    for name in ("one", "sub/two"):
        commit(root / name)
    tree = await plain.snapshot()
    assert await plain.snapshot() == tree
    assert await plain.list_files() == ["emp ty/file", "one/file", "sub/two/file", "top"]
    (root / "one/file").unlink()
    after = await plain.snapshot()
    assert [(c.path, c.kind) for c in await plain.changes(tree, after)] == [("one/file", "deleted")]
    await plain.restore(tree)
    assert (root / "one/file").read_text() == "one"


async def test_a_submodule(root: Path, tmp_path: Path, plain: LocalWorkspace) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "lib.c").write_text("int x;\n")
    commit(other)
    (root / "a").write_text("a")
    git(root, "init", "-q")
    git(root, "submodule", "--quiet", "add", str(other), "lib")
    commit(root)
    tree = await plain.snapshot()
    assert await plain.read_at(tree, "lib/lib.c") == b"int x;\n"
    (root / "lib/lib.c").write_text("int y;\n")
    assert [c.path for c in await plain.changes(tree, await plain.snapshot())] == ["lib/lib.c"]


async def test_a_linked_worktree(root: Path, tmp_path: Path) -> None:
    (root / "a").write_text("a")
    commit(root)
    git(root, "worktree", "add", "-q", str(tmp_path / "linked"))
    workspace = LocalWorkspace(tmp_path / "linked", sandbox=None, state_dir=tmp_path / "state")
    tree = await workspace.snapshot()
    assert await workspace.read_at(tree, "a") == b"a"
    assert tree == git(root, "rev-parse", "HEAD^{tree}").strip()
    await workspace.aclose()


@pytest.mark.parametrize("damage", ["index", "HEAD", "config", "objects", "pointer"])
async def test_a_broken_repository_is_no_obstacle(root: Path, plain: LocalWorkspace, damage: str) -> None:
    (root / "a").write_text("a")
    # Old enough for git to trust what its index says about the file without looking into it again.
    os.utime(root / "a", (1_600_000_000, 1_600_000_000))
    commit(root)
    if damage == "objects":
        for path in (root / ".git/objects").rglob("*"):
            if path.is_file():
                path.unlink()
    elif damage == "pointer":
        (root / ".git").rename(root.parent / "elsewhere")
        (root / ".git").write_text("gitdir: /nowhere/at/all\n")
    else:
        (root / ".git" / damage).write_bytes(b"DIRC\0\0\0\2garbage" * 9)
    tree = await plain.snapshot()
    assert await plain.read_at(tree, "a") == b"a"
    (root / "a").write_text("b")
    assert len(await plain.changes(tree, await plain.snapshot())) == 1


async def test_a_bare_repository_is_a_directory_like_any_other(root: Path, plain: LocalWorkspace) -> None:
    git(root, "init", "-q", "--bare")
    assert "HEAD" in await plain.list_files()
    assert await plain.read_at(await plain.snapshot(), "HEAD") == (root / "HEAD").read_bytes()


async def test_bytes_are_not_converted(root: Path, plain: LocalWorkspace) -> None:
    samples = {"crlf.txt": b"a\r\nb\r\n", "mixed": b"a\r\nb\nc\r", "id": b"$Id$\n", "u16": "ä\n".encode("utf-16")}
    (root / ".gitattributes").write_text("* text=auto eol=crlf ident\nu16 working-tree-encoding=UTF-16\n")
    for name, data in samples.items():
        (root / name).write_bytes(data)
    git(root, "init", "-q")
    git(root, "config", "core.autocrlf", "true")
    git(root, "add", "-A")
    tree = await plain.snapshot()
    for name, data in samples.items():
        assert await plain.read_at(tree, name) == data
        (root / name).unlink()
    await plain.restore(tree)
    assert {name: (root / name).read_bytes() for name in samples} == samples
    async with plain.copy(tree) as twin:
        assert {name: twin.read_file(name).data for name in samples} == samples


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
async def test_no_flag_hides_a_change(root: Path, plain: LocalWorkspace, flag: str) -> None:
    (root / "a").write_text("1")
    commit(root)
    git(root, "update-index", flag, "a")
    tree = await plain.snapshot()
    (root / "a").write_text("2")
    assert [c.path for c in await plain.changes(tree, await plain.snapshot())] == ["a"]


async def test_a_young_index_hides_no_change(root: Path, plain: LocalWorkspace) -> None:
    """The same size within the same tick of the clock as the user's own `git add`."""
    (root / "a").write_text("1")
    commit(root)
    status = (root / "a").stat()
    (root / "a").write_text("2")
    os.utime(root / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert await plain.read_at(await plain.snapshot(), "a") == b"2"


async def test_ignored_files_stay_out_and_alone(root: Path, plain: LocalWorkspace) -> None:
    (root / ".gitignore").write_text("*.log\n/out/\n!keep.log\n")
    git(root, "init", "-q")
    (root / "out").mkdir()
    for name in ("x.log", "keep.log", "out/y", "src.py"):
        (root / name).write_text(name)
    (root / "__pycache__").mkdir()
    (root / "__pycache__/src.pyc").write_text("c")
    tree = await plain.snapshot()
    assert await plain.list_files() == [".gitignore", "keep.log", "src.py"]
    (root / "x.log").write_text("later")
    assert await plain.snapshot() == tree
    await plain.restore(tree)
    assert (root / "x.log").read_text() == "later"
    assert (root / "out/y").exists()


async def test_restore_handles_links_modes_and_kinds(root: Path, plain: LocalWorkspace) -> None:
    (root / "tool").write_text("t")
    (root / "tool").chmod(0o755)
    (root / "link").symlink_to("tool")
    (root / "d").mkdir()
    (root / "d/file").write_text("f")
    tree = await plain.snapshot()
    (root / "tool").chmod(0o644)
    (root / "link").unlink()
    (root / "link").write_text("no link")
    (root / "d/file").unlink()
    (root / "d").rmdir()
    (root / "d").symlink_to("/etc")
    assert {c.path for c in await plain.restore(tree)} >= {"tool", "link", "d/file"}
    assert (root / "tool").stat().st_mode & 0o777 == 0o755
    assert os.readlink(root / "link") == "tool"
    assert (root / "d/file").read_text() == "f"
    assert not (root / "d").is_symlink()
    assert await plain.snapshot() == tree


async def test_strange_names_come_through(root: Path, plain: LocalWorkspace) -> None:
    names = ["new\nline", os.fsdecode(b"caf\xe9"), 'quo"te', ":(top)x", "tab\t", "-x"]
    for name in names:
        (root / name).write_text("1\n")
    tree = await plain.snapshot()
    assert await plain.list_files() == sorted(names)
    for name in names:
        assert await plain.read_at(tree, name) == b"1\n"
        (root / name).write_text("2\n")
    after = await plain.snapshot()
    assert [c.path for c in await plain.changes(tree, after)] == sorted(names)
    assert await plain.compose(after, names, tree) == tree


async def test_a_bad_tree_is_told(plain: LocalWorkspace, trees: Trees) -> None:
    for bad in ("--help", "HEAD", "0" * 40, "f" * 64):
        with pytest.raises(WorkspaceError):
            await plain.read_at(bad, "a")
        with pytest.raises(WorkspaceError):
            await trees.changes(bad, "e" * 64)


async def test_a_killed_git_is_recovered_from(root: Path, plain: LocalWorkspace, tmp_path: Path) -> None:
    (root / "a").write_text("1")
    tree = await plain.snapshot()
    (index,) = (tmp_path / "state" / "git").glob("index.[0-9]*")
    index.with_name(f"{index.name}.lock").write_bytes(b"")
    (root / "a").write_text("2")
    assert await plain.snapshot() != tree
    index.write_bytes(b"garbage")
    (root / "a").write_text("1")
    assert await plain.snapshot() == tree


async def test_a_later_workspace_reads_earlier_trees(root: Path, tmp_path: Path) -> None:
    (root / "a").write_text("1")
    first = LocalWorkspace(root, sandbox=None, state_dir=tmp_path / "state")
    tree = await first.snapshot()
    await first.aclose()
    (root / "a").write_text("2")
    os.utime(tmp_path / "state/git/HEAD", (0, 0))  # long ago: a new generation begins
    second = LocalWorkspace(root, sandbox=None, state_dir=tmp_path / "state")
    now = await second.snapshot()
    assert await second.read_at(tree, "a") == b"1"
    assert await second.read_at(now, "a") == b"2"
    await second.aclose()


BYTES = st.one_of(
    st.lists(st.sampled_from([b"a\n", b"b\n", b"\r\n", b"\xff\n", b"x", b"\x0c\n"]), max_size=12).map(b"".join),
    st.binary(max_size=200),
)


@settings(max_examples=inputs(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    old=st.none() | BYTES, new=st.none() | BYTES, modes=st.sampled_from([(0o100644, 0o100644), (0o100644, 0o100755)])
)
def test_our_own_patches_apply(tmp_path: Path, old: bytes | None, new: bytes | None, modes: tuple[int, int]) -> None:
    if old is None and new is None:
        return
    directory = tmp_path / "apply"
    directory.mkdir(exist_ok=True)
    file = directory / "d é" / "f"
    file.unlink(missing_ok=True)
    file.parent.mkdir(exist_ok=True)
    if old is not None:
        file.write_bytes(old)
        file.chmod(0o644)
    text = unified("d é/f", old, new, modes[0] if old is not None else 0, modes[1] if new is not None else 0)
    if not text:
        assert old == new
        return
    patch = text.encode("utf-8", "surrogateescape")
    if old == new and modes[0] == modes[1]:
        return
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path), "GIT_CONFIG_GLOBAL": "/dev/null"}
    subprocess.run(("git", "apply", "-"), cwd=directory, input=patch, env=env, check=True, capture_output=True)
    assert (file.read_bytes() if file.exists() else None) == new


@settings(max_examples=inputs(200), deadline=None)
@given(data=st.binary(max_size=300), at=st.integers(0, 400))
def test_a_damaged_index_is_never_an_exception(data: bytes, at: int) -> None:
    whole = b"DIRC\0\0\0\2\0\0\0\1" + bytes(60) + b"\0\1a" + bytes(9) + bytes(20)
    for candidate in (data, whole[:at], whole[:at] + data):
        clean = clean_index(candidate)
        assert clean is None or clean[0].startswith(b"DIRC")
