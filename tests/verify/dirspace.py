"""A plain directory as a workspace: the port over a temporary folder, unconfined, trees kept in memory."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from assay.core.errors import ChangedMeanwhile, FileMissing, OutsideWorkspace
from assay.core.workspace import Change, Command, CommandResult, FileContent, Stamp, Workspace
from assay.verify.signed import KEY_FILE

IGNORED = {".git", ".venv", "__pycache__", "node_modules", "target"}
Files = dict[str, bytes]
MEMORY: dict[tuple[str, ...], CommandResult] = {}


class DirectoryWorkspace:
    confined = False

    def __init__(self, root: Path, trees: dict[str, Files] | None = None) -> None:
        self.root = str(root)
        self._trees: dict[str, Files] = {} if trees is None else trees
        self.commands: list[str] = []
        self.tree = ""
        """Of a copy: what runs there depends on nothing else, and is remembered for the whole session."""
        self.remember = True
        self.copies = 0

    def _files(self) -> Files:
        found: Files = {}
        for path in sorted(Path(self.root).rglob("*")):
            name = path.relative_to(self.root)
            if path.is_file() and not IGNORED.intersection(name.parts):
                found[name.as_posix()] = path.read_bytes()
        return found

    def _keep(self, files: Files) -> str:
        digest = hashlib.sha256()
        for path, data in sorted(files.items()):
            digest.update(f"{path}\0{len(data)}\0".encode() + data)
        self._trees[digest.hexdigest()] = files
        return digest.hexdigest()

    async def run(self, command: Command) -> CommandResult:
        self.commands.append(command.argv[4] if len(command.argv) > 4 else " ".join(command.argv))
        if not self.tree:
            return await self._run(command)
        key = (self.tree, *command.argv, *command.env.values())
        if key not in MEMORY:
            MEMORY[key] = await self._run(command)
        Path(self.root, KEY_FILE).unlink(missing_ok=True)
        return MEMORY[key]

    async def _run(self, command: Command) -> CommandResult:
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            cwd=Path(self.root, command.cwd),
            env={"PATH": os.environ["PATH"], "HOME": self.root, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **command.env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        timed_out = False
        try:
            async with asyncio.timeout(command.timeout):
                data, _ = await process.communicate()
        except TimeoutError:
            timed_out, data = True, b""
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        code = 124 if timed_out else process.returncode or 0
        return CommandResult(
            code if code >= 0 else 128 - code,
            data.decode(errors="replace"),
            len(data),
            time.monotonic() - started,
            timed_out,
        )

    def read_file(self, path: str, limit: int | None = None) -> FileContent:
        if ".." in path.split("/"):
            raise OutsideWorkspace(path)
        target = Path(self.root, path)
        if not target.is_file():
            raise FileMissing(f"{path}: no such file")
        data = target.read_bytes()
        return FileContent(data, Stamp(hashlib.sha256(data).hexdigest(), len(data), 0, 0))

    def write_file(self, path: str, data: bytes, expect: Stamp | None) -> Stamp:
        target = Path(self.root, path)
        if target.exists() != (expect is not None):
            raise ChangedMeanwhile(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return self.read_file(path).stamp

    def delete_file(self, path: str, expect: Stamp) -> None:
        Path(self.root, path).unlink()

    async def list_files(self, limit: int = 20_000) -> list[str]:
        return sorted(self._files())[:limit]

    async def snapshot(self) -> str:
        return self._keep(self._files())

    async def changes(self, before: str, after: str) -> list[Change]:
        old, new = self._trees[before], self._trees[after]
        found: list[Change] = []
        for path in sorted({*old, *new}):
            if old.get(path) != new.get(path):
                kind = "added" if path not in old else "deleted" if path not in new else "modified"
                rows = list(difflib.ndiff(*(side.get(path, b"").decode().splitlines() for side in (old, new))))
                count = [sum(row.startswith(sign) for row in rows) for sign in ("+ ", "- ")]
                found.append(Change(path, kind, count[0], count[1]))
        return found

    async def patch(self, before: str, after: str) -> str:
        parts: list[str] = []
        for change in await self.changes(before, after):
            sides = [self._trees[tree].get(change.path, b"").decode().splitlines() for tree in (before, after)]
            names = [f"a/{change.path}", f"b/{change.path}"]
            rows = [*difflib.unified_diff(sides[0], sides[1], names[0], names[1], lineterm="")]
            parts += [f"diff --git {names[0]} {names[1]}", *rows]
        return "\n".join(parts) + "\n"

    async def read_at(self, tree: str, path: str) -> bytes | None:
        return self._trees[tree].get(path)

    async def compose(self, tree: str, paths: list[str], source: str) -> str:
        files = {path: data for path, data in self._trees[tree].items() if path not in paths}
        files.update({path: data for path, data in self._trees[source].items() if path in paths})
        return self._keep(files)

    async def restore(self, tree: str) -> list[Change]:
        changes = await self.changes(await self.snapshot(), tree)
        for change in changes:
            target = Path(self.root, change.path)
            if change.kind == "deleted":
                target.unlink()
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self._trees[tree][change.path])
        return changes

    @asynccontextmanager
    async def copy(self, tree: str) -> AsyncIterator[Workspace]:
        self.copies += 1
        folder = Path(tempfile.mkdtemp(prefix="copy-"))
        try:
            copy = DirectoryWorkspace(folder, self._trees)
            copy.commands = self.commands
            await copy.restore(tree)
            copy.tree = tree if self.remember else ""
            yield copy
        finally:
            shutil.rmtree(folder)

    async def aclose(self) -> None:
        return None

    def put(self, path: str, text: str) -> None:
        target = Path(self.root, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def drop(self, path: str) -> None:
        Path(self.root, path).unlink()
