"""Snapshots without git: a directory of compressed files named by their SHA-256, and trees as JSON beside them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import zlib
from pathlib import Path
from typing import TypeAlias, cast

from assay.core.errors import StorageFull, WorkspaceError
from assay.core.workspace import Change
from assay.workspace.ignores import ignored, of_directory, walk
from assay.workspace.patches import count_lines, unified
from assay.workspace.trees import Difference

Entries: TypeAlias = dict[str, tuple[int, str]]
"""Path -> mode and SHA-256."""


class PlainTrees:
    """Implements `Trees`."""

    def __init__(self, root: str, state: Path) -> None:
        self._root, self._state = root, state
        self._store = state / "plain"
        self._seen: dict[str, tuple[tuple[int, ...], str]] = {}
        self._lock = asyncio.Lock()

    def at(self, root: str) -> PlainTrees:
        return PlainTrees(root, self._state)

    def close(self) -> None:
        self._seen.clear()

    async def snapshot(self) -> str:
        async with self._lock:
            try:
                return await asyncio.to_thread(lambda: self._keep(self._look()))
            except OSError as error:
                kind = StorageFull if error.errno == 28 else WorkspaceError
                raise kind(f"{self._store}: can't keep a snapshot: {error.strerror}") from error

    def _files(self) -> list[tuple[str, os.DirEntry[str]]]:
        state = os.path.relpath(self._state, self._root)
        found = walk(self._root, of_directory(self._root))
        return [(path, entry) for path, entry in found if not path.startswith(f"{state}/")]

    def _look(self) -> Entries:
        entries: Entries = {}
        for path, entry in self._files():
            with contextlib.suppress(FileNotFoundError, PermissionError):
                status = entry.stat(follow_symlinks=False)
                key = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
                link = entry.is_symlink()
                known = self._seen.get(path)
                if known is None or known[0] != key:
                    data = os.fsencode(os.readlink(entry.path)) if link else Path(entry.path).read_bytes()  # noqa: PTH115
                    known = self._seen[path] = (key, self._put("blobs", data))
                entries[path] = (0o120000 if link else 0o100755 if status.st_mode & 0o100 else 0o100644, known[1])
        return entries

    def _keep(self, entries: Entries) -> str:
        import json

        return self._put("trees", json.dumps(sorted((path, *entry) for path, entry in entries.items())).encode())

    def _put(self, kind: str, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        file = self._store / kind / name[:2] / name[2:]
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            aside = file.with_name(f"tmp_{os.urandom(6).hex()}")
            aside.write_bytes(zlib.compress(data, 1))
            aside.replace(file)
        return name

    def _get(self, kind: str, name: str) -> bytes:
        if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
            raise WorkspaceError(f"{name[:80]!r} is not the name of a tree")
        try:
            return zlib.decompress((self._store / kind / name[:2] / name[2:]).read_bytes())
        except (OSError, zlib.error) as error:
            raise WorkspaceError(f"{name}: no such snapshot in {self._store}, or it is damaged") from error

    def _entries(self, tree: str) -> Entries:
        import json

        rows = cast("list[tuple[str, int, str]]", json.loads(self._get("trees", tree)))
        return {path: (mode, digest) for path, mode, digest in rows}

    async def list_files(self, limit: int) -> list[str]:
        found: list[str] = []
        for path, _ in walk(self._root, of_directory(self._root)):
            found.append(path)
            if len(found) >= limit:
                break
        return sorted(found)

    async def ignored(self) -> list[str]:
        return ignored(self._root, of_directory(self._root))

    async def differences(self, before: str, after: str) -> list[Difference]:
        old, new = self._entries(before), self._entries(after)
        found: list[Difference] = []
        for path in sorted(old.keys() | new.keys()):
            if old.get(path) != new.get(path):
                kind = "added" if path not in old else "deleted" if path not in new else "modified"
                found.append(Difference(path, kind, new.get(path, (0, ""))[0]))
        return found

    async def changes(self, before: str, after: str) -> list[Change]:
        found: list[Change] = []
        for change in await self.differences(before, after):
            old, new = self._both(before, after, change.path)
            found.append(Change(change.path, change.kind, *count_lines(old or b"", new or b"")))
        return found

    def _both(self, before: str, after: str, path: str) -> tuple[bytes | None, bytes | None]:
        sides = (self._entries(before).get(path), self._entries(after).get(path))
        old, new = (self._get("blobs", side[1]) if side else None for side in sides)
        return old, new

    async def patch(self, before: str, after: str) -> str:
        modes = (self._entries(before), self._entries(after))
        parts: list[str] = []
        for change in await self.differences(before, after):
            old, new = self._both(before, after, change.path)
            parts.append(unified(change.path, old, new, *(side.get(change.path, (0, ""))[0] for side in modes)))
        return "".join(parts)

    async def read(self, tree: str, paths: list[str]) -> dict[str, bytes]:
        entries = self._entries(tree)
        return {path: self._get("blobs", entries[path][1]) for path in paths if path in entries}

    async def compose(self, tree: str, paths: list[str], source: str) -> str:
        tops = tuple(path.strip("/") for path in paths)

        def named(path: str) -> bool:
            return any(path == top or path.startswith(f"{top}/") for top in tops)

        kept = {path: entry for path, entry in self._entries(tree).items() if not named(path)}
        return self._keep(kept | {path: entry for path, entry in self._entries(source).items() if named(path)})

    async def materialise(self, tree: str) -> None:
        from assay.workspace.restore import put_back

        for path, (mode, digest) in self._entries(tree).items():
            put_back(self._root, path, mode, self._get("blobs", digest))
