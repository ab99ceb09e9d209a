"""A scratch copy that copies nothing: an overlay with the live directory below and only the differences above it."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from assay.core.errors import FileMissing, NotAFile, WorkspaceError
from assay.core.workspace import Change, Command, CommandResult, FileContent, Stamp
from assay.workspace import copies
from assay.workspace.ignores import CACHES, Ignores
from assay.workspace.local import LocalWorkspace
from assay.workspace.merged import Merged
from assay.workspace.sandbox.port import Layer
from assay.workspace.sandbox.view import beneath
from assay.workspace.snapshots import GitTrees

MOST_DIFFERENT = 2_000
"""Files that may differ from the live ones; with more of them, making a whole copy is no slower."""
COARSE = 50_000_000
"""Nanoseconds by which a file's time of change may lie behind the clock."""


class Overlaid(LocalWorkspace):
    """A copy whose files are those of the live workspace unless the upper directory has others.

    That holds as long as the live files stay as they were, so they are looked at again after every command: when they
    did change, the copy becomes a whole one and the command is run again there. Of what an earlier command left in
    ignored files nothing comes along then.
    """

    _guarded = False
    _live: LocalWorkspace
    _git: GitTrees
    _scratch: copies.Scratch
    _merged: Merged | None
    """None once this is a whole copy."""
    _below: str
    """The tree of the live files when the overlay was laid."""
    _tree: str
    """The tree of the copy; empty when something may have changed in it."""
    _began: int
    _whole: asyncio.Future[None] | None = None
    """The making of a whole copy."""
    _running = 0
    _dirty = False
    """The upper directory was changed from outside since the last command."""

    @classmethod
    async def lay(cls, live: LocalWorkspace, tree: str, scratch: copies.Scratch) -> Overlaid | str:
        """A copy of `tree`, or why it has to be a whole one."""
        why = await asyncio.to_thread(cls._obstacle, live)
        trees = live._trees
        if why or not isinstance(trees, GitTrees):
            return why or "git is missing"
        began = time.time_ns() - COARSE
        below, ignored = await asyncio.gather(trees.snapshot(), trees.ignored())
        count, wanted = await trees.replaced(below, tree, MOST_DIFFERENT)
        if count > MOST_DIFFERENT:
            return f"{count} files differ from those in the workspace"
        upper = scratch.changes / "all-0"
        upper.mkdir()
        upper.chmod(stat.S_IMODE(Path(live._root).stat().st_mode))
        twin = cls(
            scratch.files, sandbox=live._sandbox, state_dir=live._state, environ=live._environ, beside=live._reading()
        )
        twin._live, twin._scratch, twin._below, twin._tree, twin._began = live, scratch, below, tree, began
        twin._trees = twin._git = trees.at(twin._root)
        twin._merged = Merged(live._root, str(upper), (twin._root, live._root))
        twin._view = live._view._replace(source=twin._root, cache=str(scratch.cache), layers=(), proxy=False)
        caches = Ignores(CACHES)
        masked = [path.rstrip("/") for path in ignored if caches.match(path.rstrip("/"), path.endswith("/"))]
        twin._merged.hide_all([*masked, *(each.path for each in wanted if each.kind == "deleted")])
        for each, data in wanted.items():
            if each.kind != "deleted":
                twin._merged.put(each.path, each.mode, data)
        twin._mount()
        if not live.overlays_proved and (await LocalWorkspace.run(twin, Command(("true",), timeout=20.0))).exit_code:
            await twin.aclose()
            return "an overlay can't be mounted over this directory"
        live.overlays_proved = True
        return twin

    @staticmethod
    def _obstacle(live: LocalWorkspace) -> str:
        """Why an overlay can't stand for a copy of these files here; empty when it can."""
        sandbox, root = live._sandbox, live._root
        if sandbox is None:
            return "commands run without a sandbox"
        if not sandbox.owns_processes or not sandbox.overlays:
            return "overlays don't work on this machine"
        if beneath(str(live._state), [root]) or beneath(root, [str(live._state)]):
            return "our own state lies in the workspace"
        try:
            with os.scandir(root) as found:
                owners = {entry.stat(follow_symlinks=False).st_uid for entry in found} | {os.stat(root).st_uid}  # noqa: PTH116
            mounts = Path("/proc/self/mountinfo").read_bytes().splitlines()
        except OSError as error:
            return f"{root}: {error.strerror}"
        if owners != {os.geteuid()}:
            return "files of the workspace belong to another user"
        top = os.fsencode(root.replace(" ", "\\040")) + b"/"
        if any(line.split(b" ")[4].startswith(top) for line in mounts):
            return "something is mounted inside the workspace"
        return ""

    def _mount(self) -> None:
        """Have the next command see the upper directory afresh. A mount that is alive may not see what is changed
        beneath it; one of another name is another mount."""
        assert self._merged
        old = Path(self._merged.upper)
        new = old.with_name(f"all-{int(old.name[4:]) + 1}")
        old.rename(new)
        new.with_name(f"{new.name}.work").mkdir()
        self._merged.upper = str(new)
        root = self._live._root
        layers = [Layer(root, root, "overlay", str(new))]
        if Path(root, ".git").exists() and not Path(root, ".git").is_symlink():
            layers.append(Layer(f"{root}/.git", f"{root}/.git", "read"))
        self._view = self._view._replace(layers=self._live._carried(tuple(layers)))
        self._dirty = False

    async def run(self, command: Command) -> CommandResult:
        if self._whole is not None:
            await asyncio.shield(self._whole)
            return await super().run(command)
        before = await self.snapshot()
        if self._dirty:
            self._mount()
        self._running += 1
        try:
            result = await super().run(command)
        finally:
            self._running -= 1
            self._tree = ""
        if await self._live._trees.snapshot() == self._below:
            return result
        await self._copy_whole(before)
        return await super().run(command)

    async def _copy_whole(self, tree: str) -> None:
        """Become an ordinary copy of `tree`; done once, whoever asks."""
        if self._whole is None:
            self._merged = None
            self._whole = asyncio.ensure_future(self._materialised(tree))
        await asyncio.shield(self._whole)

    async def _materialised(self, tree: str) -> None:
        await self._trees.materialise(tree)
        ignored = await self._live._trees.ignored()
        layers = await asyncio.to_thread(copies.equip, self._scratch, self._live._root, ignored, self._sandbox)
        self._view = self._view._replace(layers=self._live._carried(layers))

    def _directory(self, cwd: str) -> str:
        if self._merged is None:
            return super()._directory(cwd)
        if cwd in ("", ".", self._root, self._live._root):
            return ""
        parts = self._merged.resolve(cwd)
        found = self._merged.status(parts)
        if found is None or not stat.S_ISDIR(found.status.st_mode):
            raise (FileMissing if found is None else NotAFile)(f"{cwd}: no such directory to run a command in")
        return "/".join(parts)

    def read_file(self, path: str, limit: int | None = None) -> FileContent:
        if self._merged is None or self._top(path, self._beside.readable) != self._root:
            return super().read_file(path, limit)
        self._settle(path)
        return self._merged.read(path, limit)

    def write_file(self, path: str, data: bytes, expect: Stamp | None) -> Stamp:
        if self._merged is None:
            return super().write_file(path, data, expect)
        self._settle(path)
        self._tree, self._dirty = "", True
        return self._merged.write(path, data, expect)

    def delete_file(self, path: str, expect: Stamp) -> None:
        if self._merged is None:
            return super().delete_file(path, expect)
        self._settle(path)
        self._tree, self._dirty = "", True
        return self._merged.delete(path, expect)

    def _settle(self, path: str) -> None:
        """When the live file may be younger than the overlay, have the one of its tree in the copy."""
        assert self._merged
        parts = self._merged.resolve(path)
        found = self._merged.status(parts)
        if found is None or found.top == self._merged.upper or found.status.st_ctime_ns < self._began:
            return
        was = self._git.read_now(self._below, "/".join(parts))
        regular = stat.S_ISREG(found.status.st_mode)
        if regular and was is not None and was != Path(found.top, *parts).read_bytes():
            self._merged.put("/".join(parts), found.status.st_mode, was)
            self._dirty = True

    async def list_files(self, limit: int = 20_000) -> list[str]:
        if self._merged is None:
            return await super().list_files(limit)
        return sorted(await self._git.names(await self.snapshot()))[:limit]

    async def snapshot(self) -> str:
        if self._merged is None:
            return await super().snapshot()
        if self._tree and not self._running:
            return self._tree
        merged = self._merged
        altered = await asyncio.to_thread(merged.altered)
        self._tree = await self._git.amended(self._below, altered, merged.upper, self._rules)
        return self._tree

    def _rules(self, directories: Mapping[str, None], to: Path) -> None:
        """Lay the ignore rules of these directories out in `to`."""
        assert self._merged
        for directory in directories:
            place = to / directory
            place.mkdir(parents=True, exist_ok=True)
            try:
                rules = self._merged.read(f"{directory}/.gitignore" if directory else ".gitignore", 10_000_000).data
            except WorkspaceError:
                continue
            (place / ".gitignore").write_bytes(rules)

    async def restore(self, tree: str) -> list[Change]:
        if self._merged is None:
            return await super().restore(tree)
        now = await self.snapshot()
        changes, wanted = await self.changes(now, tree), await self._trees.differences(now, tree)
        data = await self._trees.read(tree, [each.path for each in wanted if each.kind != "deleted"])
        self._tree, self._dirty = "", True
        self._merged.hide_all([each.path for each in wanted if each.kind == "deleted"])
        for each in wanted:
            if each.path in data:
                self._merged.put(each.path, each.mode, data[each.path])
        return changes

    async def _twin(self, tree: str, scratch: copies.Scratch) -> LocalWorkspace:
        return await self._live._twin(tree, scratch)

    async def aclose(self) -> None:
        if self._whole is not None:
            await asyncio.wait({self._whole})
        await super().aclose()
