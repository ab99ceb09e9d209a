"""What every `core.workspace.Workspace` must do.

    class TestMine(FileConformance, TreeConformance, CommandConformance):
        @asynccontextmanager
        async def workspace(self, directory: Path): ...

Each test gets pytest's `tmp_path` as `directory`: an empty directory that the workspace may use or leave alone. The
suites need an asynchronous test runner (pytest-asyncio in automatic mode) and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

from assay.core.errors import ChangedMeanwhile, FileMissing, NotAFile, OutsideWorkspace, TooLarge, WorkspaceError
from assay.core.workspace import Command, Workspace


@contextmanager
def refused(kind: type[WorkspaceError]) -> Generator[None]:
    """The block must raise `kind`, with one line of text."""
    try:
        yield
    except kind as error:
        assert str(error).strip()
        assert "\n" not in str(error)
    else:
        raise AssertionError(f"{kind.__name__} was not raised")


class Suite:
    def workspace(self, directory: Path) -> AbstractAsyncContextManager[Workspace]:
        """A fresh, empty workspace, closed when the context ends. May use `directory`."""
        del directory
        raise AssertionError("give the suite a workspace")


class FileConformance(Suite):
    async def test_bytes_come_back_as_they_were_written(self, tmp_path: Path) -> None:
        samples = [b"", b"a\r\nb\rc\n", b"\xef\xbb\xbfbom", b"\xff\xfe\0x", bytes(range(256)) * 300, b"no newline"]
        async with self.workspace(tmp_path) as workspace:
            for number, data in enumerate(samples):
                stamp = workspace.write_file(f"deep/er/{number}.bin", data, None)
                content = workspace.read_file(f"deep/er/{number}.bin")
                assert content.data == data
                assert content.stamp == stamp
                assert stamp.size == len(data)

    async def test_a_write_replaces_only_what_was_read(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            first = workspace.write_file("a", b"1", None)
            second = workspace.write_file("a", b"2", first)
            with refused(ChangedMeanwhile):
                workspace.write_file("a", b"3", first)
            with refused(ChangedMeanwhile):
                workspace.write_file("a", b"3", None)
            with refused(ChangedMeanwhile):
                workspace.write_file("new", b"3", first)
            assert workspace.read_file("a").data == b"2"
            assert second.digest != first.digest

    async def test_a_delete_needs_what_was_read(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            old = workspace.write_file("a", b"1", None)
            new = workspace.write_file("a", b"2", old)
            with refused(ChangedMeanwhile):
                workspace.delete_file("a", old)
            workspace.delete_file("a", new)
            with refused(FileMissing):
                workspace.read_file("a")
            with refused(FileMissing):
                workspace.delete_file("a", new)

    async def test_no_path_leads_outside(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            stamp = workspace.write_file("in", b"x", None)
            for path in ("../x", "a/../../x", "/etc/passwd", "", "a\0b", f"{workspace.root}-beside/x"):
                with refused(OutsideWorkspace):
                    workspace.read_file(path)
                with refused(OutsideWorkspace):
                    workspace.write_file(path, b"x", None)
                with refused(OutsideWorkspace):
                    workspace.delete_file(path, stamp)

    async def test_an_absolute_path_beneath_the_root_is_fine(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            workspace.write_file(f"{workspace.root}/a", b"x", None)
            assert workspace.read_file("./a").data == b"x"

    async def test_what_is_no_file_is_refused(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            workspace.write_file("d/a", b"x", None)
            with refused(NotAFile):
                workspace.read_file("d")
            with refused(NotAFile):
                workspace.write_file("d", b"x", None)
            with refused(NotAFile):
                workspace.write_file("d/a/b", b"x", None)
            with refused(WorkspaceError):
                workspace.write_file(".git/hooks/pre-commit", b"x", None)

    async def test_a_limit_holds(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            workspace.write_file("a", b"12345", None)
            assert workspace.read_file("a", 5).data == b"12345"
            with refused(TooLarge):
                workspace.read_file("a", 4)


class TreeConformance(Suite):
    async def test_equal_content_has_an_equal_name(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            empty = await workspace.snapshot()
            stamp = workspace.write_file("d/a.txt", b"x\n", None)
            one = await workspace.snapshot()
            assert await workspace.snapshot() == one
            new = workspace.write_file("d/a.txt", b"y\n", stamp)
            two = await workspace.snapshot()
            workspace.write_file("d/a.txt", b"x\n", new)
            assert len({empty, one, two}) == 3
            assert await workspace.snapshot() == one

    async def test_changes_tell_kinds_and_lines(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            edited = workspace.write_file("edited", b"1\n2\n3\n", None)
            gone = workspace.write_file("gone", b"1\n", None)
            before = await workspace.snapshot()
            workspace.write_file("edited", b"1\nzwei\n3\n4\n", edited)
            workspace.delete_file("gone", gone)
            workspace.write_file("new.bin", b"\0\1", None)
            after = await workspace.snapshot()
            found = {c.path: (c.kind, c.added, c.removed) for c in await workspace.changes(before, after)}
            assert found == {"edited": ("modified", 2, 1), "gone": ("deleted", 0, 1), "new.bin": ("added", -1, -1)}
            assert await workspace.changes(after, after) == []

    async def test_a_patch_is_in_git_format(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            stamp = workspace.write_file("a.txt", b"one\ntwo\n", None)
            before = await workspace.snapshot()
            workspace.write_file("a.txt", b"one\nzwei", stamp)
            text = await workspace.patch(before, await workspace.snapshot())
            assert text.startswith("diff --git a/a.txt b/a.txt\n")
            assert "-two\n+zwei\n\\ No newline at end of file\n" in text
            assert await workspace.patch(before, before) == ""

    async def test_a_tree_can_be_read_and_listed(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            stamp = workspace.write_file("d/ü x.txt", b"\xff\r\n", None)
            workspace.write_file("b", b"", None)
            tree = await workspace.snapshot()
            workspace.write_file("d/ü x.txt", b"later", stamp)
            assert await workspace.read_at(tree, "d/ü x.txt") == b"\xff\r\n"
            assert await workspace.read_at(tree, "b") == b""
            assert await workspace.read_at(tree, "nothing") is None
            assert await workspace.list_files() == ["b", "d/ü x.txt"]
            assert len(await workspace.list_files(limit=1)) == 1

    async def test_compose_takes_paths_from_another_tree(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            stamps = {path: workspace.write_file(path, b"old", None) for path in ("a", "b", "c")}
            old = await workspace.snapshot()
            for path, stamp in stamps.items():
                workspace.write_file(path, b"new", stamp)
            workspace.write_file("d", b"new", None)
            new = await workspace.snapshot()
            mixed = await workspace.compose(new, ["b", "d"], old)
            assert [await workspace.read_at(mixed, path) for path in "abcd"] == [b"new", b"old", b"new", None]
            assert await workspace.compose(new, ["a", "b", "c", "d"], old) == old
            assert await workspace.compose(new, [], old) == new

    async def test_restore_brings_a_tree_back(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            edited = workspace.write_file("edited", b"\xff\r\n", None)
            gone = workspace.write_file("deep/gone", b"1\n", None)
            tree = await workspace.snapshot()
            workspace.write_file("edited", b"2", edited)
            workspace.delete_file("deep/gone", gone)
            workspace.write_file("other/new", b"3", None)
            changes = await workspace.restore(tree)
            assert {c.path: c.kind for c in changes} == {
                "edited": "modified", "deep/gone": "added", "other/new": "deleted",
            }  # fmt: skip
            assert workspace.read_file("edited").data == b"\xff\r\n"
            assert await workspace.list_files() == ["deep/gone", "edited"]
            assert await workspace.snapshot() == tree
            assert await workspace.restore(tree) == []

    async def test_a_copy_is_apart_and_shares_trees(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            workspace.write_file("a", b"1", None)
            tree = await workspace.snapshot()
            workspace.write_file("later", b"x", None)
            async with workspace.copy(tree) as twin:
                assert await twin.list_files() == ["a"]
                assert await twin.snapshot() == tree
                twin.write_file("a", b"2", twin.read_file("a").stamp)
                theirs = await twin.snapshot()
            assert workspace.read_file("a").data == b"1"
            assert await workspace.read_at(theirs, "a") == b"2"
            await workspace.restore(theirs)
            assert workspace.read_file("a").data == b"2"


def shell(line: str, timeout: float = 20.0, **more: object) -> Command:
    import msgspec

    return msgspec.structs.replace(Command(("/bin/sh", "-c", line), timeout=timeout), **more)


class CommandConformance(Suite):
    """For workspaces with a real shell."""

    async def test_result_is_told_as_a_shell_would(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            result = await workspace.run(shell("echo out; echo err >&2; exit 3"))
            assert (result.exit_code, result.output, result.output_bytes) == (3, "out\nerr\n", 8)
            assert (await workspace.run(shell("kill -9 $$"))).exit_code == 137
            assert (await workspace.run(shell("kill -TERM $$"))).exit_code == 143
            assert (await workspace.run(Command(("no-such-program-here",)))).exit_code == 127
            assert (await workspace.run(shell("true"))).exit_code == 0

    async def test_commands_and_files_see_each_other(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            workspace.write_file("d/a", b"x", None)
            result = await workspace.run(shell('cat a; printf %s "$MINE" > b', cwd="d", env={"MINE": "y"}))
            assert result.output == "x"
            assert workspace.read_file("d/b").data == b"y"
            with refused(OutsideWorkspace):
                await workspace.run(shell("true", cwd=".."))
            with refused(WorkspaceError):
                await workspace.run(shell("true", cwd="missing"))

    async def test_standard_input_is_closed(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            began = time.monotonic()
            assert (await workspace.run(shell("cat; read x || echo none"))).output == "none\n"
            assert time.monotonic() - began < 60

    async def test_output_keeps_head_and_tail(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path / "w") as workspace:
            spill = str(tmp_path / "spill" / "full.txt")
            line = "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last"
            result = await workspace.run(shell(line, limit=1000, spill=spill))
            assert result.output.startswith("first\n")
            assert result.output.endswith("\nlast\n")
            assert len(result.output.encode()) < 2200
            assert result.output_bytes == len(Path(spill).read_bytes()) > 3_000_000
            assert result.spill == spill
            assert (await workspace.run(shell("printf '\\377\\000x'"))).output == "\ufffd\0x"

    async def test_a_timeout_ends_the_whole_tree(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            began = time.monotonic()
            line = "echo early; (while :; do echo x >> alive; sleep 0.05; done) & trap '' TERM; sleep 60; sleep 60"
            result = await workspace.run(shell(line, timeout=2.0))
            assert time.monotonic() - began < 30
            assert (result.exit_code, result.timed_out, result.output) == (124, True, "early\n")
            await self.settled(workspace)

    async def begun(self, workspace: Workspace) -> None:
        """Somebody has written to the file `alive`."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with contextlib.suppress(FileMissing):
                if workspace.read_file("alive").data:
                    return
            await asyncio.sleep(0.02)

    async def settled(self, workspace: Workspace) -> None:
        """Nobody writes to the file `alive` any more."""
        size = workspace.read_file("alive").stamp.size
        await asyncio.sleep(0.25)
        assert workspace.read_file("alive").stamp.size == size

    async def test_what_a_command_leaves_behind_ends_with_it(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            loop = "while :; do echo x >> alive; sleep 0.05; done"
            for line in (
                f"({loop}) & echo done",
                f"setsid sh -c '{loop}' >/dev/null 2>&1 & sleep 0.2; echo done",
                f"nohup sh -c '{loop}' >/dev/null 2>&1 & sleep 0.2; echo done",
                f"sh -c 'setsid sh -c \"trap : TERM HUP; {loop}\" >/dev/null 2>&1 &' & sleep 0.2; echo done",
            ):
                with contextlib.suppress(FileMissing):
                    workspace.delete_file("alive", workspace.read_file("alive").stamp)
                workspace.write_file("alive", b"", None)
                began = time.monotonic()
                result = await workspace.run(shell(line))
                assert result.output == "done\n"
                assert time.monotonic() - began < 30
                await self.settled(workspace)

    async def test_cancelling_ends_a_command(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            line = "while :; do echo x >> alive; sleep 0.05; done"
            task = asyncio.ensure_future(workspace.run(shell(line, timeout=60)))
            await self.begun(workspace)
            began = time.monotonic()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 30
            assert task.cancelled()
            await self.settled(workspace)
            assert (await workspace.run(shell("echo again"))).output == "again\n"

    async def test_closing_ends_commands(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            line = "setsid sh -c 'while :; do echo x >> alive; sleep 0.05; done' & sleep 60"
            task = asyncio.ensure_future(workspace.run(shell(line, timeout=60)))
            await self.begun(workspace)
            await workspace.aclose()
            result = await asyncio.wait_for(task, 30)
            assert result.exit_code == 137
            await self.settled(workspace)

    async def test_commands_run_at_once(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            lines = [shell(f"sleep 0.3; echo {number}") for number in range(4)]
            results = await asyncio.gather(*(workspace.run(line) for line in lines))
            assert [result.output for result in results] == ["0\n", "1\n", "2\n", "3\n"]

    async def test_a_started_command_runs_beside_others(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path / "w") as workspace:
            spill = str(tmp_path / "out" / "1.txt")
            line = "echo first; while ! test -e go; do sleep 0.05; done; echo last; exit 3"
            process = workspace.start(shell(line, timeout=60, spill=spill, live=True))
            assert process.output == spill
            await self.said(spill, "first\n")
            assert await process.wait(0.05) is None
            assert not process.done
            assert (await workspace.run(shell("echo x > go; echo beside"))).output == "beside\n"
            result = await process.wait(30)
            assert result
            assert (result.exit_code, result.output) == (3, "first\nlast\n")
            assert Path(spill).read_text() == "first\nlast\n"
            assert process.done
            assert await process.wait() == result

    async def test_a_started_command_can_be_stopped(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path / "w") as workspace:
            spill = str(tmp_path / "out.txt")
            line = "echo here; while :; do echo x >> alive; sleep 0.05; done"
            process = workspace.start(shell(line, timeout=60, spill=spill, live=True))
            await self.begun(workspace)
            await asyncio.wait_for(process.stop(), 30)
            result = await process.wait()
            assert result
            assert result.exit_code == 137
            await self.settled(workspace)
            assert Path(spill).read_text() == "here\n"
            assert (await workspace.run(shell("echo again"))).output == "again\n"

    async def test_closing_ends_started_commands(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path / "w") as workspace:
            line = "trap '' HUP; (while :; do echo x >> alive; sleep 0.05; done) & sleep 60"
            process = workspace.start(shell(line, timeout=60, spill=str(tmp_path / "out.txt"), live=True))
            await self.begun(workspace)
            await workspace.aclose()
            result = await process.wait(30)
            assert result
            assert result.exit_code == 137
            await self.settled(workspace)

    async def said(self, path: str, text: str) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if Path(path).exists() and Path(path).read_text() == text:
                return
            await asyncio.sleep(0.02)
        assert Path(path).read_text() == text

    async def test_a_copy_runs_commands_on_its_own_files(self, tmp_path: Path) -> None:
        async with self.workspace(tmp_path) as workspace:
            workspace.write_file("a", b"1", None)
            tree = await workspace.snapshot()
            async with workspace.copy(tree) as twin:
                assert (await twin.run(shell("cat a; echo 2 > a; echo x > b"))).output == "1"
                assert twin.read_file("a").data == b"2\n"
            assert workspace.read_file("a").data == b"1"
            with refused(FileMissing):
                workspace.read_file("b")
