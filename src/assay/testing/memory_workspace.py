"""A workspace that lives in memory: for tests of what stands on one."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from assay.core.errors import ChangedMeanwhile, FileMissing, NotAFile, OutsideWorkspace, ReadOnly, TooLarge
from assay.core.workspace import Change, ChangeKind, Command, CommandResult, FileContent, Process, Stamp

Shell: TypeAlias = "Callable[[Command, MemoryWorkspace], Awaitable[CommandResult]]"
"""Answers commands; it may change `files` of the workspace that it is given."""


async def no_shell(command: Command, workspace: MemoryWorkspace) -> CommandResult:
    """What a machine without any program says."""
    del workspace
    text = f"{command.argv[0]}: not found\n"
    return CommandResult(127, text, len(text), 0.0)


class MemoryWorkspace:
    """Implements `core.workspace.Workspace`. `files` may be looked at and changed as another program would."""

    def __init__(self, files: dict[str, bytes] | None = None, shell: Shell = no_shell, root: str = "/project") -> None:
        self.files = dict(files or {})
        self.commands: list[Command] = []
        """Every command so far."""
        self.trees: dict[str, dict[str, bytes]] = {}
        self._shell, self._root = shell, root
        self._written: dict[str, tuple[bytes, int]] = {}
        self._clock = 0

    @property
    def root(self) -> str:
        return self._root

    @property
    def confined(self) -> bool:
        return True

    async def run(self, command: Command) -> CommandResult:
        self.commands.append(command)
        return await self._shell(command, self)

    def start(self, command: Command) -> Process:
        return Process(self._lasting(command), command.spill if command.live else "")

    async def _lasting(self, command: Command) -> CommandResult:
        result = await self.run(command)
        if command.live and command.spill:
            from pathlib import Path

            Path(command.spill).parent.mkdir(parents=True, exist_ok=True)
            Path(command.spill).write_text(result.output)
        return result

    def _path(self, path: str) -> str:
        if path.startswith(f"{self._root}/"):
            path = path[len(self._root) + 1 :]
        parts: list[str] = []
        for part in path.split("/"):
            if part == "..":
                if not parts:
                    raise OutsideWorkspace(f"{path}: outside the workspace")
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        if not path or path.startswith("/") or "\0" in path:
            raise OutsideWorkspace(f"{path!r}: outside the workspace")
        name = "/".join(parts)
        if not name or any(other.startswith(f"{name}/") for other in self.files):
            raise NotAFile(f"{path}: a directory")
        return name

    def _stamp(self, path: str) -> Stamp:
        data = self.files[path]
        known = self._written.get(path)
        if known is None or known[0] is not data:
            self._clock += 1
            known = self._written[path] = (data, self._clock)
        return Stamp(hashlib.sha256(data).hexdigest(), len(data), known[1], known[1])

    def read_file(self, path: str, limit: int | None = None) -> FileContent:
        name = self._path(path)
        if name not in self.files:
            raise FileMissing(f"{path}: no such file")
        if limit is not None and len(self.files[name]) > limit:
            raise TooLarge(f"{path}: more than {limit} bytes")
        return FileContent(self.files[name], self._stamp(name))

    def write_file(self, path: str, data: bytes, expect: Stamp | None) -> Stamp:
        name = self._path(path)
        if ".git" in name.lower().split("/"):
            raise ReadOnly(f"{path}: files of git are not written directly")
        if any("/".join(name.split("/")[:length]) in self.files for length in range(1, name.count("/") + 1)):
            raise NotAFile(f"{path}: a file stands where a directory must be")
        self._compare(name, expect)
        self.files[name] = bytes(data)
        return self._stamp(name)

    def delete_file(self, path: str, expect: Stamp) -> None:
        name = self._path(path)
        if name not in self.files:
            raise FileMissing(f"{path}: no such file")
        self._compare(name, expect)
        del self.files[name]

    def _compare(self, name: str, expect: Stamp | None) -> None:
        now = self._stamp(name) if name in self.files else None
        if (now is None) != (expect is None) or (now and expect and now.digest != expect.digest):
            raise ChangedMeanwhile(f"{name}: it changed since it was read; read it again")

    async def list_files(self, limit: int = 20_000) -> list[str]:
        return sorted(self.files)[:limit]

    async def snapshot(self) -> str:
        return self._keep(dict(self.files))

    def _keep(self, files: dict[str, bytes]) -> str:
        digest = hashlib.sha256()
        for path, data in sorted(files.items()):
            digest.update(f"{path}\0{len(data)}\0".encode("utf-8", "surrogateescape") + data)
        name = digest.hexdigest()
        self.trees[name] = files
        return name

    async def changes(self, before: str, after: str) -> list[Change]:
        import difflib

        old, new = self.trees[before], self.trees[after]
        found: list[Change] = []
        for path in sorted(old.keys() | new.keys()):
            one, two = old.get(path), new.get(path)
            if one == two:
                continue
            kind: ChangeKind = "added" if one is None else "deleted" if two is None else "modified"
            added = removed = -1
            if b"\0" not in (one or b"") + (two or b""):
                lines = list(difflib.ndiff((one or b"").decode("latin-1").splitlines(True),
                                           (two or b"").decode("latin-1").splitlines(True)))  # fmt: skip
                added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
            found.append(Change(path, kind, added, removed))
        return found

    async def patch(self, before: str, after: str) -> str:
        """Text files only; binary ones are named."""
        import difflib

        parts: list[str] = []
        for change in await self.changes(before, after):
            sides = [self.trees[tree].get(change.path) for tree in (before, after)]
            names = [
                f"{side}/{change.path}" if data is not None else "/dev/null"
                for side, data in zip("ab", sides, strict=True)
            ]
            parts.append(f"diff --git a/{change.path} b/{change.path}\n")
            if change.added < 0:
                parts.append(f"Binary files {names[0]} and {names[1]} differ\n")
                continue
            old, new = ((data or b"").decode("utf-8", "surrogateescape").splitlines(True) for data in sides)
            lines = difflib.unified_diff(old, new, names[0], names[1])
            parts += [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
        return "".join(parts)

    async def read_at(self, tree: str, path: str) -> bytes | None:
        return self.trees[tree].get(path)

    async def compose(self, tree: str, paths: list[str], source: str) -> str:
        files = {path: data for path, data in self.trees[tree].items() if path not in paths}
        return self._keep(files | {path: data for path, data in self.trees[source].items() if path in paths})

    async def restore(self, tree: str) -> list[Change]:
        changes = await self.changes(await self.snapshot(), tree)
        self.files = dict(self.trees[tree])
        return changes

    @asynccontextmanager
    async def copy(self, tree: str) -> AsyncGenerator[MemoryWorkspace, None]:
        twin = MemoryWorkspace(self.trees[tree], self._shell, self._root)
        twin.trees = self.trees
        twin.commands = self.commands
        yield twin

    def kill(self) -> None:
        """There are no processes here."""

    async def aclose(self) -> None:
        """There is nothing to close."""
