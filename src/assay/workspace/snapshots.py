"""Snapshots by git, in a private directory of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import stat
import subprocess
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from assay.core.errors import StorageFull, WorkspaceError
from assay.core.workspace import Change, ChangeKind
from assay.workspace.gitstore import Store, index_file, keep_index, open_store
from assay.workspace.ignores import Ignores, patterns, walk
from assay.workspace.talk import Talk
from assay.workspace.trees import Altered, Difference

PATIENCE = 300.0
"""Seconds for one git process."""
NESTED = re.compile(
    rb"(?m)^(?:warning: adding embedded git repository: (.+)|error: '(.+)/' does not have a commit checked out"
    rb"|fatal: Could not run 'git status --porcelain=2' in submodule (.+)|error: '(.+)/' does not have a commit)$"
)
KINDS: dict[str, ChangeKind] = {"A": "added", "D": "deleted"}
Rules = Callable[[Mapping[str, None], Path], None]
DIFF = ("diff-tree", "-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index")


class GitTrees:
    """Implements `Trees`. The private directory is opened at the first use."""

    def __init__(self, root: str, state: Path, binary: str, origin: GitTrees | None = None) -> None:
        """`origin` is whose directory `root` is a copy of: its objects and rules hold here too."""
        self._root, self._state, self._binary, self._origin = root, state, binary, origin
        self._store: Store | None = None
        self._lock = asyncio.Lock()
        self._nested: set[str] = set()
        self._blobs: dict[str, tuple[tuple[int, ...], str]] = {}
        self._entered: dict[str, str] | None = None
        self._fresh = False
        self._written: tuple[tuple[int, ...], str] = ((), "")
        """The index that was last written as a tree, and the tree."""

    def at(self, root: str) -> GitTrees:
        return GitTrees(root, self._state, self._binary, self)

    def close(self) -> None:
        if self._store:
            if self._fresh and self._origin is None:
                keep_index(self._store)
            self._store.entries.unlink(missing_ok=True)
            self._store = None

    def _opened(self) -> Store:
        if self._store is None:
            try:
                origin = self._origin
                self._store = origin._opened().again() if origin else open_store(self._state, self._root)
            except OSError as error:
                raise WorkspaceError(f"{self._state}: can't keep snapshots there: {error.strerror}") from error
        return self._store

    def _environment(self, store: Store, older: bool, index: Path | None) -> dict[str, str]:
        nowhere = str(store.git / "no-programs")
        env = {
            "PATH": nowhere,
            "GIT_EXEC_PATH": nowhere,
            "HOME": nowhere,
            "LC_ALL": "C",
            "GIT_DIR": str(store.git),
            "GIT_WORK_TREE": self._root,
            "GIT_INDEX_FILE": str(index or store.entries),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }
        if older and store.older.is_dir():
            env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(store.older / "objects")
        return env

    async def _run(
        self, *arguments: str, data: bytes = b"", older: bool = True, index: Path | None = None
    ) -> tuple[int, bytes, bytes]:
        store = self._opened()
        talk = Talk((self._binary, *arguments), self._root, self._environment(store, older, index), data)
        try:
            return await asyncio.to_thread(talk.run, PATIENCE)
        except OSError as error:
            raise WorkspaceError(f"git can't be run in {self._root}: {error.strerror}") from error
        except subprocess.TimeoutExpired:
            raise WorkspaceError(f"{self._root}: git {arguments[0]} took more than {PATIENCE:g} s") from None
        finally:
            talk.stop()

    async def _git(self, *arguments: str, data: bytes = b"", older: bool = True, index: Path | None = None) -> bytes:
        code, out, err = await self._run(*arguments, data=data, older=older, index=index)
        if code:
            said = err.decode("utf-8", "replace").strip().splitlines() or [f"exit code {code}"]
            kind = StorageFull if b"No space left" in err else WorkspaceError
            raise kind(f"{self._root}: git {arguments[0]}: {said[-1]}")
        return out

    async def snapshot(self) -> str:
        async with self._lock:
            await self._refresh()
            if self._written[0] == self._index():
                return self._written[1]
            code, out, _ = await self._run("write-tree", older=False)
            if code:
                # The index that we started from knows files whose objects the user's repository has lost.
                self._start_over()
                await self._refresh()
                out = await self._git("write-tree", older=False)
            self._written = (self._index(), out.decode("ascii").strip())
            return self._written[1]

    def _index(self) -> tuple[int, ...]:
        """What tells one index from the next: git replaces it by another file."""
        status = self._opened().entries.stat()
        return (status.st_ino, status.st_mtime_ns, status.st_size)

    async def _refresh(self) -> None:
        """Bring the private index up to the files."""
        started_over = False
        for _ in range(100):
            self._nested = {path for path in self._nested if os.path.lexists(os.path.join(self._root, path, ".git"))}  # noqa: PTH118
            excluded = [f":(exclude,literal,top){path}" for path in sorted(self._nested)]
            bulk = () if self._opened().entries.exists() else ("-c", "core.bigFileThreshold=1")
            code, _, err = await self._run(*bulk, "add", "-A", "--ignore-errors", "--", ":/", *excluded, older=False)
            found = {
                os.fsdecode(_unquoted(next(filter(None, groups)))) for groups in NESTED.findall(err)
            } - self._nested
            if found:
                self._nested |= found
            elif b"No space left" in err:
                raise StorageFull(f"{self._state}: no space left for a snapshot; free some space")
            elif code in (0, 1):  # 1: a file that can't be read was left out
                await self._enter_nested()
                self._fresh = True
                return
            elif not started_over:
                started_over = True
                self._start_over()
            else:
                raise WorkspaceError(f"{self._root}: git add: {err.decode('utf-8', 'replace').strip()[-300:]}")
        raise WorkspaceError(f"{self._root}: too many repositories inside it")

    def _start_over(self) -> None:
        index = self._opened().entries
        for file in (index, index.with_name(f"{index.name}.lock"), index.with_name("index.last")):
            file.unlink(missing_ok=True)
        self._entered = None

    async def _enter_nested(self) -> None:
        """Put the files of repositories inside the workspace into the index, as if they were no repositories."""
        if not self._nested and not self._entered:
            return
        if self._entered is None:
            held = await self._git("ls-files", "-z", "--", *(f":(literal,top){path}" for path in self._nested))
            self._entered = {os.fsdecode(path): "" for path in held.split(b"\0") if path}
        now = await asyncio.to_thread(self._nested_entries)
        gone = [path for path in self._entered if path not in now]
        if now != self._entered:
            lines = [f"0 {'0' * 40}\t{path}" for path in [*gone, *self._nested]]
            lines += [f"{entry}\t{path}" for path, entry in now.items()]
            await self._git("update-index", "-z", "--index-info", data=_joined(lines), older=False)
            self._entered = now

    def _nested_entries(self) -> dict[str, str]:
        assert self._store
        ignores, entries = Ignores(patterns(versioned=True)), dict[str, str]()
        for top in self._nested:
            for path, entry in walk(self._root, ignores, top):
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    key = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_mode)
                    known = self._blobs.get(path)
                    link = entry.is_symlink()
                    if known is None or known[0] != key:
                        data = os.fsencode(os.readlink(entry.path)) if link else Path(entry.path).read_bytes()  # noqa: PTH115
                        known = self._blobs[path] = (key, _write_blob(self._store.git / "objects", data))
                    mode = "120000" if link else "100755" if status.st_mode & 0o100 else "100644"
                    entries[path] = f"{mode} {known[1]}"
        return entries

    async def list_files(self, limit: int) -> list[str]:
        async with self._lock:
            out = await self._git("ls-files", "-z", "-c", "-o", "--exclude-standard", "--deduplicate")
        paths: set[str] = set()
        for raw in out.split(b"\0"):
            path = os.fsdecode(raw)
            full = os.path.join(self._root, path)  # noqa: PTH118 - undecodable names stay as they are
            if path.endswith("/") or (raw and os.path.isdir(full) and not os.path.islink(full)):  # noqa: PTH112, PTH114
                paths.update(
                    inner for inner, _ in walk(self._root, Ignores(patterns(versioned=True)), path.rstrip("/"))
                )
            elif raw and os.path.lexists(full):
                paths.add(path)
            if len(paths) >= limit:
                break
        return sorted(paths)[:limit]

    async def changes(self, before: str, after: str) -> list[Change]:
        if before == after:
            return []
        out = await self._git(*DIFF, "-z", "--raw", "--numstat", _name(before), _name(after))
        fields = iter(out.split(b"\0"))
        kinds: dict[str, ChangeKind] = {}
        changes: list[Change] = []
        for field in fields:
            if field.startswith(b":"):
                kinds[os.fsdecode(next(fields))] = KINDS.get(field[-1:].decode(), "modified")
            elif field:
                added, removed, raw = field.split(b"\t", 2)
                path = os.fsdecode(raw)
                counts = (-1, -1) if added == b"-" else (int(added), int(removed))
                changes.append(Change(path, kinds.get(path, "modified"), *counts))
        return sorted(changes, key=lambda change: change.path)

    async def differences(self, before: str, after: str) -> list[Difference]:
        return [difference for difference, _ in await self._different(before, after)]

    async def _different(self, before: str, after: str) -> list[tuple[Difference, str]]:
        """Differences, each with the hash of the file afterwards."""
        if before == after:
            return []
        fields = iter((await self._git(*DIFF, "-z", "--raw", _name(before), _name(after))).split(b"\0"))
        found: list[tuple[Difference, str]] = []
        for field in fields:
            if field:
                kind = KINDS.get(field[-1:].decode(), "modified")
                about = field.split(b" ")
                found.append((Difference(os.fsdecode(next(fields)), kind, int(about[1], 8)), about[3].decode()))
        return found

    async def replaced(self, before: str, after: str, most: int) -> tuple[int, dict[Difference, bytes]]:
        """How many files differ, and what these are afterwards (nothing when there are more than `most`)."""
        found = await self._different(before, after)
        if len(found) > most:
            return len(found), {}
        named = {difference.path: name for difference, name in found if difference.kind != "deleted"}
        data = await self._blobs_of(named)
        return len(found), {difference: data.get(difference.path, b"") for difference, _ in found}

    async def patch(self, before: str, after: str) -> str:
        if before == after:
            return ""
        out = await self._git(*DIFF, "-p", "--binary", _name(before), _name(after))
        return out.decode("utf-8", "surrogateescape")

    async def read(self, tree: str, paths: list[str]) -> dict[str, bytes]:
        if not paths:
            return {}
        names = await self._listed(tree, paths)
        return await self._blobs_of({path: names[path].split(" ")[1] for path in paths if path in names})

    async def _blobs_of(self, named: dict[str, str]) -> dict[str, bytes]:
        """Contents by path, of hashes by path."""
        if not named:
            return {}
        out = await self._git("cat-file", "--batch", data="".join(f"{name}\n" for name in named.values()).encode())
        found: dict[str, bytes] = {}
        at = 0
        for path in named:
            line = out.index(b"\n", at)
            header = out[at:line].split(b" ")
            if len(header) != 3:
                raise WorkspaceError(f"{path}: its content in a snapshot is lost")
            size = int(header[2])
            found[path] = out[line + 1 : line + 1 + size]
            at = line + 2 + size
        return found

    async def _listed(self, tree: str, paths: Sequence[str]) -> dict[str, str]:
        """Path -> `MODE HASH` of the files of `tree` that `paths` name or hold."""
        few = ("--", *paths) if len(paths) <= 500 else ()
        out = await self._git("--literal-pathspecs", "ls-tree", "-r", "-z", "--full-tree", _name(tree), *few)
        wanted, found = set(paths), dict[str, str]()
        for line in out.split(b"\0"):
            if line:
                about, _, raw = line.partition(b"\t")
                path = os.fsdecode(raw)
                if path in wanted or any(path[:end] in wanted for end in _slashes(path)):
                    mode, _, blob = about.decode("ascii").split(" ")
                    found[path] = f"{mode} {blob}"
        return found

    async def compose(self, tree: str, paths: list[str], source: str) -> str:
        tops = [path.strip("/") for path in paths]
        return await self._edited(tree, await self._listed(tree, tops), await self._listed(source, tops))

    async def _edited(self, tree: str, gone: Iterable[str], put: Mapping[str, str]) -> str:
        """`tree` without the files `gone`, then with those of `put` (path -> `MODE HASH`)."""
        lines = [f"0 {'0' * 40}\t{path}" for path in gone] + [f"{entry}\t{path}" for path, entry in put.items()]
        if not lines:
            return tree
        index = index_file(self._opened().git)
        try:
            await self._git("read-tree", _name(tree), index=index)
            await self._git("update-index", "-z", "--index-info", data=_joined(lines), index=index)
            return (await self._git("write-tree", index=index)).decode("ascii").strip()
        finally:
            index.unlink(missing_ok=True)

    async def amended(self, tree: str, altered: Altered, top: str, rules: Rules) -> str:
        """`tree` with what was altered; the files lie below `top`. New ones that are ignored stay out of it."""
        known = await self._listed(tree, [*altered.gone, *altered.files])
        out = await self._ignored_among([path for path in altered.files if path not in known], rules)
        objects = self._opened().git / "objects"

        def stored() -> dict[str, str]:
            found: dict[str, str] = {}
            for path in altered.files:
                if path not in out:
                    with contextlib.suppress(OSError):
                        found[path] = _entry(objects, f"{top}/{path}")
            return found

        return await self._edited(tree, [*known, *altered.directories], await asyncio.to_thread(stored))

    async def _ignored_among(self, paths: list[str], rules: Rules) -> set[str]:
        """Those of `paths` that are ignored. `rules` lays the .gitignore files of given directories out elsewhere."""
        if not paths:
            return set()
        import tempfile

        directories = {"": None} | {path[:end]: None for path in paths for end in _slashes(path)}
        with tempfile.TemporaryDirectory(prefix="assay-rules-") as place:
            await asyncio.to_thread(rules, directories, Path(place))
            asked = self.at(place)
            code, out, err = await asked._run("check-ignore", "-z", "--stdin", data=_joined(paths))
            asked.close()
        if code > 1:
            raise WorkspaceError(f"{self._root}: git check-ignore: {err.decode('utf-8', 'replace').strip()[-300:]}")
        return {os.fsdecode(path) for path in out.split(b"\0") if path}

    def read_now(self, tree: str, path: str) -> bytes | None:
        """A file of `tree`, without waiting for anything else; needs some milliseconds."""
        store = self._opened()
        done = subprocess.run(
            (self._binary, "cat-file", "blob", f"{_name(tree)}:{path}"),
            env=self._environment(store, True, None),
            cwd=self._root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return None if done.returncode else done.stdout

    async def names(self, tree: str) -> list[str]:
        """The paths of all files of `tree`."""
        out = await self._git("ls-tree", "-r", "-z", "--name-only", "--full-tree", _name(tree))
        return [os.fsdecode(path) for path in out.split(b"\0") if path]

    async def materialise(self, tree: str) -> None:
        async with self._lock:
            await self._git("read-tree", "--reset", _name(tree))
            await self._git("checkout-index", "-a", "-f", "-u")

    async def ignored(self) -> list[str]:
        out = await self._git("ls-files", "-z", "-o", "-i", "--exclude-standard", "--directory")
        return [os.fsdecode(path) for path in out.split(b"\0") if path]


def _slashes(path: str) -> Iterator[int]:
    """Where the directories of `path` end."""
    at = path.find("/")
    while at > 0:
        yield at
        at = path.find("/", at + 1)


def _name(tree: str) -> str:
    """`tree`, checked: it goes onto a command line."""
    if not re.fullmatch(r"[0-9a-f]{40,64}", tree):
        raise WorkspaceError(f"{tree[:80]!r} is not the name of a tree")
    return tree


def _joined(lines: list[str]) -> bytes:
    return b"".join(os.fsencode(line) + b"\0" for line in lines)


def _unquoted(path: bytes) -> bytes:
    """A path as git prints it in a message: in quotes, with C escapes, when it is unusual."""
    if not (path.startswith(b'"') and path.endswith(b'"')):
        return path
    return path[1:-1].decode("unicode_escape").encode("latin-1")


def _entry(objects: Path, full: str) -> str:
    """Store the file or link `full`; `MODE HASH`."""
    mode = os.lstat(full).st_mode
    if stat.S_ISLNK(mode):
        return f"120000 {_write_blob(objects, os.fsencode(os.readlink(full)))}"  # noqa: PTH115
    return f"{'100755' if mode & 0o100 else '100644'} {_write_blob(objects, Path(full).read_bytes())}"


def _write_blob(objects: Path, data: bytes) -> str:
    """Store `data` as git does (a loose object) and return its name."""
    whole = b"blob %d\0" % len(data) + data
    name = hashlib.sha1(whole).hexdigest()  # noqa: S324 - git's naming, no protection
    file = objects / name[:2] / name[2:]
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        aside = file.with_name(f"tmp_{os.urandom(6).hex()}")
        aside.write_bytes(zlib.compress(whole, 1))
        aside.replace(file)
    return name


def git_binary(root: str, search: str) -> str:
    """The git program found in `search` (a PATH), never one that lies in the workspace; empty when there is none."""
    for directory in search.split(os.pathsep):
        found = os.path.join(directory, "git")  # noqa: PTH118 - on the way to the first request
        if directory.startswith("/") and os.path.isfile(found) and os.access(found, os.X_OK):  # noqa: PTH113
            real = os.path.realpath(found)
            if not real.startswith(f"{root}/"):
                return found
    return ""
