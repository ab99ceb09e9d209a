"""Copies that are overlays: what they show, what they keep apart, and what happens when the live files change."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.workspace.test_workspace_conformance import local

from assay.core.errors import FileMissing, NotAFile, OutsideWorkspace, ReadOnly
from assay.core.workspace import Workspace
from assay.testing.conformance.workspace import CommandConformance, FileConformance, TreeConformance, shell
from assay.workspace.local import LocalWorkspace
from assay.workspace.overlaid import Overlaid
from assay.workspace.sandbox.port import NoSandbox, Sandbox


class TestOverlaid(FileConformance, TreeConformance, CommandConformance):
    """The suite on a copy; where overlays can't be had, on the whole copy that stands in for one."""

    @pytest.fixture(autouse=True)
    def sandbox(self, found: Sandbox | NoSandbox) -> None:
        self.found = None if isinstance(found, NoSandbox) else found

    @asynccontextmanager
    async def workspace(self, directory: Path) -> AsyncIterator[Workspace]:
        async with local(directory, self.found) as live, live.copy(await live.snapshot()) as twin:
            overlays = self.found is not None and self.found.overlays
            assert isinstance(twin, Overlaid) == overlays
            assert bool(live.whole_copies) != overlays
            yield twin


async def said(workspace: Workspace, line: str) -> str:
    return (await workspace.run(shell(line))).output


def ready(boxed: LocalWorkspace | NoSandbox) -> LocalWorkspace | None:
    """The workspace if overlays can be tried with it."""
    if isinstance(boxed, NoSandbox):
        assert boxed.reason
        return None
    assert boxed._sandbox is not None
    return boxed if boxed._sandbox.overlays else None


LISTING = "find . -path ./.git -prune -o -type f -print -o -type l -print -o -type d -empty -print | sort"


async def test_the_copy_shows_another_tree(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    live = ready(boxed)
    if live is None:
        return
    (root / "gone/deep").mkdir(parents=True)
    (root / "gone/deep/a").write_text("a")
    (root / "file").write_text("file")
    (root / "directory").mkdir()
    (root / "directory/x").write_text("x")
    (root / "tool").write_text("#!/bin/sh\necho ran\n")
    (root / "tool").chmod(0o755)
    (root / "link").symlink_to("file")
    tree = await live.snapshot()
    for line in ("rm -r gone directory file link", "mkdir -p file/in new/er", "echo y > file/in/y; echo n > new/er/n"):
        subprocess.run(("sh", "-c", line), cwd=root, check=True)
    (root / "directory").write_text("now a file")
    (root / "tool").write_text("changed")
    (root / "tool").chmod(0o644)
    async with live.copy(tree) as twin:
        assert isinstance(twin, Overlaid)
        assert await said(twin, LISTING) == "./directory/x\n./file\n./gone/deep/a\n./link\n./tool\n"
        assert await said(twin, "./tool; cat link") == "ran\nfile"
        assert twin.read_file("link").data == b"file"
        assert await twin.list_files() == ["directory/x", "file", "gone/deep/a", "link", "tool"]
        twin._tree = ""
        assert await twin.snapshot() == tree
        assert twin._whole is None
    assert (root / "directory").read_text() == "now a file"


async def test_caches_stay_behind_and_dependencies_come_along(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    live = ready(boxed)
    if live is None:
        return
    (root / ".gitignore").write_text("deps/\n*.log\n")
    for path in ("a.py", "__pycache__/a.pyc", "p/__pycache__/b.pyc", "p/c.pyc", "deps/d", ".pytest_cache/v"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    tree = await live.snapshot()
    async with live.copy(tree) as twin:
        assert await said(twin, LISTING) == "./.gitignore\n./a.py\n./deps/d\n"
        await said(twin, "mkdir __pycache__; echo x > __pycache__/x; echo x > deps/d; echo x > new.log; echo y > new")
        assert [c.path for c in await twin.changes(tree, await twin.snapshot())] == ["new"]
        await said(twin, "echo '!*.log' >> .gitignore; mkdir q; echo 'z*' > q/.gitignore; echo > q/zz")
        changed = [c.path for c in await twin.changes(tree, await twin.snapshot())]
        assert changed == [".gitignore", "new", "new.log", "q/.gitignore"]
    assert (root / "deps/d").read_text() == "deps/d"
    assert not (root / "new.log").exists()


async def test_a_live_change_meanwhile_is_kept_out(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    live = ready(boxed)
    if live is None:
        return
    (root / "a").write_text("old")
    (root / "b").write_text("old")
    tree = await live.snapshot()
    async with live.copy(tree) as twin:
        assert isinstance(twin, Overlaid)
        twin.write_file("mine", b"mine", None)
        running = asyncio.ensure_future(twin.run(shell("echo x >> twice; sleep 0.5; cat a mine twice; echo x > out")))
        await asyncio.sleep(0.2)
        (root / "a").write_text("new")
        # The result is that of the tree, from a run that saw nothing else; what the first run did is undone.
        assert (await running).output == "oldminex\n"
        assert twin._whole is not None
        assert twin.read_file("out").data == b"x\n"
        assert twin.read_file("a").data == b"old"
        (root / "b").write_text("new")
        assert await said(twin, "cat a b out") == "oldoldx\n"
        assert [c.path for c in await twin.changes(tree, await twin.snapshot())] == ["mine", "out", "twice"]
    assert (root / "a").read_text() == "new"


async def test_reads_are_of_the_tree(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    live = ready(boxed)
    if live is None:
        return
    (root / "a").write_text("old")
    async with live.copy(await live.snapshot()) as twin:
        (root / "a").write_text("new")
        assert twin.read_file("a").data == b"old"
        stamp = twin.write_file("a", b"mine", twin.read_file("a").stamp)
        assert await said(twin, "cat a") == "mine"
        twin.delete_file("a", stamp)
        assert await twin.list_files() == []


async def test_files_and_commands_see_each_other_in_turn(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    live = ready(boxed)
    if live is None:
        return
    (root / "d").mkdir()
    (root / "d/a").write_text("0")
    async with live.copy(await live.snapshot()) as twin:
        for number in range(1, 4):
            twin.write_file("d/a", str(number).encode(), twin.read_file("d/a").stamp)
            assert await said(twin, f"cat d/a; cat d/n 2>/dev/null; echo {number} > d/n") == (
                f"{number}{number - 1}\n" if number > 1 else "1"
            )
            assert twin.read_file("d/n").data == f"{number}\n".encode()
        await said(twin, "rm -r d; mkdir d; echo fresh > d/b")
        with pytest.raises(FileMissing):
            twin.read_file("d/a")
        assert await twin.list_files() == ["d/b"]
        twin.write_file("d/a", b"back", None)
        assert await said(twin, "cat d/*") == "backfresh\n"
        await said(twin, "rm -r d")
        twin.write_file("d/c", b"again", None)
        assert await said(twin, "ls d") == "c\n"


async def test_links_lead_nowhere_else(boxed: LocalWorkspace | NoSandbox, root: Path, tmp_path: Path) -> None:
    live = ready(boxed)
    if live is None:
        return
    (tmp_path / "secret").write_text("s")
    (root / "out").symlink_to("../secret")
    (root / "loop").symlink_to("loop")
    (root / "sub").mkdir()
    (root / "sub/up").symlink_to("../real")
    (root / "whole").symlink_to(f"{root}/real")
    (root / "real").write_text("r")
    async with live.copy(await live.snapshot()) as twin:
        with pytest.raises(OutsideWorkspace):
            twin.read_file("out")
        with pytest.raises(OutsideWorkspace):
            twin.write_file("out", b"", None)
        with pytest.raises(Exception, match="too many"):
            twin.read_file("loop")
        for bad in (".git/hooks/x", "sub/.GIT/x"):
            with pytest.raises(ReadOnly):
                twin.write_file(bad, b"", None)
        with pytest.raises(NotAFile):
            await twin.run(shell("true", cwd="real"))
        twin.write_file("sub/up", b"through", twin.read_file("whole").stamp)
        assert await said(twin, "cat real") == "through"
    assert (root / "real").read_text() == "r"


async def test_reasons_for_a_whole_copy(boxed: LocalWorkspace | NoSandbox, root: Path) -> None:
    live = ready(boxed)
    if live is None:
        return
    (root / "a").write_text("x")
    live._state = root / "state"
    async with live.copy(await live.snapshot()) as twin:
        assert not isinstance(twin, Overlaid)
        assert await said(twin, "cat a") == "x"
    assert live.whole_copies.startswith("our own state lies in the workspace: every file was copied")


ACTIONS = (
    "echo {n} > {a}", "echo {n} >> {a}", "rm -rf {a}", "mkdir -p {a}", "mv {a} {b}", "cp -r {a} {b}", "ln -sf {a} {b}",
    "chmod +x {a}", "rm -rf {a}; mkdir -p {a}; echo {n} > {a}/f", "mkdir -p {d}; echo {n} > {d}/x",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
async def test_it_is_like_a_whole_copy(boxed: LocalWorkspace | NoSandbox, root: Path, seed: int) -> None:
    live = ready(boxed)
    if live is None:
        return
    rng = random.Random(seed)
    names = ("a", "b", "d/a", "d/b", "d/e/a", "d/e", "d", "ign/x", "d/y.log")

    def some(count: int) -> list[str]:
        return [
            rng.choice(ACTIONS).format(n=rng.randrange(9), a=rng.choice(names), b=rng.choice(names), d="d/e/f")
            for _ in range(count)
        ]

    def here(where: Path, lines: list[str]) -> None:
        subprocess.run(("sh", "-c", "\n".join(lines)), cwd=where, check=False, stderr=subprocess.DEVNULL)

    (root / ".gitignore").write_text("ign/\n*.log\n")
    here(root, some(12))
    tree = await live.snapshot()
    here(root, some(12))
    inside = some(12)
    async with live.copy(tree) as twin:
        assert isinstance(twin, Overlaid)
        twin._tree = ""
        assert await twin.snapshot() == tree
        # Ignored files are the live ones and may stand in the way of a command, so they go first.
        inside = ["rm -rf ign d/y.log", *inside]
        await twin.run(shell("\n".join(inside)))
        theirs = await twin.snapshot()
        assert twin._whole is None
        assert await twin.list_files() == sorted(os.fsdecode(name) for name in await twin._git.names(theirs))
        await twin.restore(tree)
        assert await twin.snapshot() == tree
    live._sandbox, box = None, live._sandbox
    async with live.copy(tree) as plain:
        here(Path(plain.root), inside)
        assert await live.changes(theirs, await plain.snapshot()) == []
    live._sandbox = box
