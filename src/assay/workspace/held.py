"""Protected names that a command made or changed: taken out of the workspace again and kept aside for review.

What is there when a command starts is mounted read-only for it. What is new afterwards, or while it runs, is moved to a
folder of ours; a link in its old place is put back. Where nothing can be mounted, changes in place are not noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path

from msgspec import structs

from assay.core.errors import FileMissing, WorkspaceError
from assay.core.protected import INTERNALS
from assay.core.workspace import CommandResult
from assay.workspace.copies import discard
from assay.workspace.files import read_file
from assay.workspace.paths import Place, place, told
from assay.workspace.restore import put_back
from assay.workspace.sandbox.port import PROTECTED
from assay.workspace.watch import Identity, Watch

EVERY = 0.25
"""Seconds between two looks while a command runs."""
MOST_MOUNTS = 300
LARGEST_CONFIG = 100_000
PLAIN_CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n"
_SECTION = re.compile(r'\[\s*([\w.-]+)(?:\s+"[^"\\]*")?\s*\]')
_SETTING = re.compile(r'([a-z][a-z0-9-]*)(?:\s*=\s*([^"\\]*))?', re.I)
HARMLESS_SETTINGS = re.compile(
    r"core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol)"
    r"|user\.(name|email)|remote\.(url|fetch|tagopt)|branch\.(remote|merge|rebase)|extensions\.objectformat"
    r"|init\.defaultbranch|submodule\.active|pull\.rebase|push\.default|gc\.\w+|advice\.\w+",
    re.I,
)
"""Of a repository's configuration: what starts no program and points nowhere else."""


class Guard:
    """Keeps the protected names of one workspace as they are while commands run in it."""

    def __init__(self, root: str, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._watch = Watch(root)
        self._before: dict[str, Identity] = {}
        self._mounted: frozenset[str] = frozenset()
        self._running = 0
        self._lock = asyncio.Lock()
        self._looking = threading.Lock()
        """Held for a look and what follows from it, and while this program itself writes."""

    @contextlib.contextmanager
    def ours(self, path: str = "") -> Generator[None]:
        """What becomes of `path` meanwhile, or of anything without one, is this program's doing and no command's."""
        if not self._running:
            yield
            return
        with self._looking:
            try:
                yield
            finally:
                now = self._watch.look()
                for each in now.keys() | self._before.keys():
                    if path in ("", each) or path.startswith(f"{each}/"):
                        if each in now:
                            self._before[each] = now[each]
                        else:
                            self._before.pop(each, None)

    async def begin(self) -> tuple[str, ...] | None:
        """A command is about to run. Returns the paths to mount read-only, None when others run: their view stays."""
        async with self._lock:
            if not self._running:
                self._before = await asyncio.to_thread(self._watch.look)
                there = [path for path, known in self._before.items() if not known.target]
                there.sort(key=lambda path: (path.count("/"), path))
                self._mounted = frozenset(there[:MOST_MOUNTS])
            self._running += 1
            return None if self._running > 1 else tuple(sorted({*PROTECTED, *self._mounted}))

    def end(self) -> None:
        """The command is not run after all."""
        self._running -= 1

    async def watch(self, running: Awaitable[CommandResult]) -> CommandResult:
        """Await a command that `begin` was called for. Raises `WorkspaceError` when something can't be taken back."""
        aside = self._folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}"
        task = asyncio.ensure_future(running)
        held: set[str] = set()
        try:
            while not (await asyncio.wait({task}, timeout=EVERY))[0]:
                held.update(await asyncio.to_thread(self._sweep, aside, final=False))
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            # Nothing of the command is left now that could undo this.
            held.update(self._sweep(aside, final=True))
            self._running -= 1
        result = task.result()
        return structs.replace(result, held=tuple(sorted(held))) if held else result

    def _sweep(self, aside: Path, *, final: bool) -> list[str]:
        """Take back what is new. While commands run, what can't be done at once is left for the last time."""
        with self._looking:
            return self._taken_back(aside, final=final)

    def _taken_back(self, aside: Path, *, final: bool) -> list[str]:
        now = self._watch.look()
        known = {identity[:2] for identity in self._before.values() if not identity.target}
        held: list[str] = []
        for path, identity in now.items():
            was = self._before.get(path)
            if was == identity or identity[:2] in known or self._was_out_of_reach(path, was, identity):
                continue
            for each in self._harmful(path):
                try:
                    self._take(each, aside / each, final=final)
                except FileMissing:
                    continue
                except (OSError, WorkspaceError) as error:
                    if final:
                        raise WorkspaceError(f"{each}: made by a command, and can't be taken back: {error}") from error
                    continue
                held.append(each)
                if final and f"/{each}".casefold().endswith("/.git/config"):
                    self._plain_config(each)
        return held + (self._links_back(now) if final else [])

    def _was_out_of_reach(self, path: str, was: Identity | None, now: Identity) -> bool:
        """A mount point in the directory where it still is could not be replaced by a command; the user did it."""
        return was is not None and path in self._mounted and not now.target and was.parent == now.parent

    def _harmful(self, path: str) -> list[str]:
        """What of a new protected thing has to go."""
        parts = path.split("/")
        at = next((number for number, part in enumerate(parts) if part.casefold() in INTERNALS), -1)
        if at < 0 or parts[at].casefold() != ".git":
            return [path]
        tree = parts[at + 1 : at + 2] == ["worktrees"] and len(parts) > at + 3
        inside = "/".join(parts[at + 3 if tree else at + 1 :])
        if inside == "hooks":
            return self._listed(path, lambda name: not name.endswith(".sample"))
        if inside == "info":
            return self._listed(path, lambda name: name not in ("exclude", "refs", "sparse-checkout"))
        try:
            if inside == "config":
                return [] if harmless(read_file(self._root, path, LARGEST_CONFIG).data) else [path]
            if tree and inside == "commondir":
                return [] if read_file(self._root, path, LARGEST_CONFIG).data.strip() == b"../.." else [path]
            if not inside:
                return [] if self._own_worktree(path) else [path]
        except FileMissing:
            return []
        except WorkspaceError:
            return [path]
        return [path]

    def _listed(self, path: str, harmful: Callable[[str], bool]) -> list[str]:
        try:
            return [f"{path}/{name}" for name in os.listdir(f"{self._root}/{path}") if harmful(name)]  # noqa: PTH208
        except NotADirectoryError:
            return [path]
        except FileNotFoundError:
            return []

    def _own_worktree(self, path: str) -> bool:
        """A file `.git` that `git worktree add` makes: it points into the repository of the workspace."""
        text = read_file(self._root, path, LARGEST_CONFIG).data.decode("utf-8", "replace")
        target = text.removeprefix("gitdir:").strip()
        worktrees = f"{self._root}/.git/worktrees/"
        return text.startswith("gitdir:") and os.path.realpath(target).startswith(worktrees)

    def _take(self, path: str, to: Path, *, final: bool) -> None:
        with place(self._root, path, follow=False) as at:
            found = at.status()
            if found is None:
                raise FileMissing(path)
            if final:
                # A command may have taken away what a move needs.
                with contextlib.suppress(OSError):
                    os.fchmod(at.directory, stat.S_IMODE(os.fstat(at.directory).st_mode) | stat.S_IRWXU)
                if stat.S_ISDIR(found.st_mode):
                    with contextlib.suppress(OSError):
                        os.chmod(at.name, stat.S_IRWXU, dir_fd=at.directory, follow_symlinks=True)
            to.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(to):
                to = to.with_name(f"{to.name}.{os.urandom(3).hex()}")
            try:
                os.rename(at.name, to, src_dir_fd=at.directory)
            except OSError as error:
                if error.errno != errno.EXDEV or not final:
                    raise
                _across(at, to)

    def _plain_config(self, path: str) -> None:
        """A repository without any configuration is none for some programs."""
        with contextlib.suppress(WorkspaceError, OSError), place(self._root, path, follow=False) as at:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(at.name, flags, 0o644, dir_fd=at.directory), "wb") as file:  # noqa: PTH123
                file.write(PLAIN_CONFIG)

    def _links_back(self, now: dict[str, Identity]) -> list[str]:
        """Put protected links back that were removed or replaced; not those whose directory is gone as well."""
        back: list[str] = []
        for path, was in self._before.items():
            if was.target and now.get(path) != was:
                with contextlib.suppress(FileMissing), place(self._root, path, follow=False) as at:
                    try:
                        os.symlink(was.target, at.name, dir_fd=at.directory)
                    except OSError as error:
                        raise told(error, path, "put it back") from error
                    back.append(path)
        return back


def harmless(config: bytes) -> bool:
    """Whether a git configuration has only settings that are known to start nothing."""
    section = ""
    for raw in config.decode("utf-8", "replace").splitlines():
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if heading := _SECTION.fullmatch(line):
            section = heading[1]
            continue
        setting = _SETTING.fullmatch(line)
        if setting is None or not HARMLESS_SETTINGS.fullmatch(f"{section}.{setting[1]}"):
            return False
        if setting[1].casefold() == "url" and ("::" in line or (setting[2] or "").startswith("-")):
            return False
    return True


def _across(at: Place, to: Path) -> None:
    """Move to another file system."""
    import shutil

    found = at.status()
    source = f"/proc/self/fd/{at.directory}/{at.name}"
    if found is not None and stat.S_ISDIR(found.st_mode):
        shutil.copytree(source, to, symlinks=True, copy_function=_copy)
        shutil.rmtree(at.name, dir_fd=at.directory)
    else:
        _copy(source, to)
        os.unlink(at.name, dir_fd=at.directory)


def _copy(source: str, to: str | Path) -> None:
    import shutil

    mode = os.lstat(source).st_mode
    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        shutil.copy2(source, to, follow_symlinks=False)


def folders(held: Path) -> list[Path]:
    """The commands of which something is held, the last one first."""
    return sorted((each for each in held.iterdir() if each.is_dir()), reverse=True) if held.is_dir() else []


def contents(folder: Path) -> list[str]:
    """Paths of the files and links that one command's folder holds."""
    every = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(str(path.relative_to(folder)) for path in every)


def bring_back(root: str, folder: Path) -> tuple[list[str], list[str]]:
    """Put what is held into the workspace after all: (what is there now, what stays held because its place is taken).

    Raises `WorkspaceError` when a file can't be written.
    """
    done: list[str] = []
    taken: list[str] = []
    for path in contents(folder):
        source = folder / path
        mode = source.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)) or _occupied(root, path):
            taken.append(path)
            continue
        link = stat.S_ISLNK(mode)
        data = os.fsencode(source.readlink()) if link else source.read_bytes()
        put_back(root, path, 0o120000 if link else 0o100755 if mode & 0o100 else 0o100644, data)
        source.unlink()
        done.append(path)
    if not taken:
        discard(folder)
    return done, taken


def _occupied(root: str, path: str) -> bool:
    """Something is there, or something that is no directory is on the way there."""
    here = Path(root)
    for part in path.split("/")[:-1]:
        here /= part
        if here.is_symlink() or (here.exists() and not here.is_dir()):
            return True
    return os.path.lexists(Path(root, path))
