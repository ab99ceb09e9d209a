"""The operating-system port: files, commands and snapshots of one project directory.

Paths are workspace-relative POSIX strings unless said otherwise. A *tree* is the hex name of a snapshot of all files
that the project does not ignore; equal content has an equal name.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from msgspec import Struct


class Stamp(Struct, frozen=True):
    """What a file was when it was read: the compare half of a compare-and-swap."""

    digest: str
    """SHA-256 of its bytes, in hex."""
    size: int
    mtime_ns: int
    inode: int


class FileContent(Struct, frozen=True):
    data: bytes
    stamp: Stamp


class Command(Struct, frozen=True):
    """A process to run. `argv` is executed directly; a shell line is `("/bin/sh", "-c", line)` or bash ."""

    argv: tuple[str, ...]
    cwd: str = ""
    """Workspace-relative; empty for the root."""
    env: dict[str, str] = {}
    """Added to the cleaned environment."""
    timeout: float = 120.0
    """Seconds until the whole process tree is killed."""
    limit: int = 32_000
    """Bytes of output kept in `CommandResult.output` (half head, half tail)."""
    spill: str = ""
    """An absolute path where the full output goes, up to the implementation's cap; empty to drop the middle."""
    live: bool = False
    """`spill` is written from the first byte on, as the output comes, and not only when it gets long."""
    read_only: bool = False
    """The workspace itself is not writable for this command."""
    terminal: tuple[int, int] | None = None
    """Rows and columns of a private terminal to run it on; None for pipes and no input."""


class CommandResult(Struct, frozen=True):
    exit_code: int
    """As a shell reports it: 128 + n for a process ended by signal n, 124 for a time-out."""
    output: str
    """stdout and stderr as they came, bounded; undecodable bytes as U+FFFD."""
    output_bytes: int
    seconds: float
    timed_out: bool = False
    spill: str = ""
    """Where the full output lies, if it was spilled."""
    network: tuple[str, ...] = ()
    """Hosts that answered the command; what it printed may be theirs."""
    held: tuple[str, ...] = ()
    """Protected paths that the command made or changed: taken out of the workspace again and kept aside for review."""
    stopped: str = ""
    """Which limit ended it, in words (memory, processes, file size, output); empty when none did."""


class Process:
    """A command under way, made by `Workspace.start`."""

    def __init__(
        self, running: Coroutine[None, None, CommandResult], output: str = "", network: set[str] | None = None
    ):
        import asyncio

        self.output = output
        """The file that its output goes to as it comes; empty when nothing is kept."""
        self.network = set[str]() if network is None else network
        """Hosts that answered meanwhile: what it prints and what it wrote to files may be theirs."""
        self._task = asyncio.ensure_future(running)
        # Whoever asks is told; nobody has to.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def done(self) -> bool:
        return self._task.done()

    async def wait(self, timeout: float | None = None) -> CommandResult | None:
        """How it ended; None when `timeout` seconds went by first. Whoever stops waiting leaves it running. Raises what
        `Workspace.run` raises."""
        import asyncio

        await asyncio.wait({self._task}, timeout=timeout)
        if not self._task.done():
            return None
        return CommandResult(137, "", 0, 0.0) if self._task.cancelled() else self._task.result()

    async def stop(self) -> None:
        """End it with all that it started; returns when that is gone."""
        import asyncio

        self._task.cancel()
        await asyncio.wait({self._task})


ChangeKind = Literal["added", "modified", "deleted"]


class Change(Struct, frozen=True):
    path: str
    kind: ChangeKind
    added: int
    """Lines; -1 for a binary file."""
    removed: int


class Workspace(Protocol):
    """Contract: nothing outside the root is written; a write either happens whole or not at all; every process started
    by `run` is gone when `run` returns, is cancelled, or the workspace is closed; the user's git index, refs and stash
    are never touched. Errors are `core.errors.WorkspaceError` and its kinds."""

    @property
    def root(self) -> str:
        """The absolute path of the project directory."""
        ...

    @property
    def confined(self) -> bool:
        """True when commands run inside a sandbox."""
        ...

    async def run(self, command: Command) -> CommandResult: ...

    def start(self, command: Command) -> Process:
        """Begin `command`, which goes on beside everything else until it ends, is stopped, or the workspace is closed;
        it does not outlive this program either, however that ends."""
        ...

    def read_file(self, path: str, limit: int | None = None) -> FileContent:
        """Raises `FileMissing`, `NotAFile`, `OutsideWorkspace`, `TooLarge` (over `limit` bytes)."""
        ...

    def write_file(self, path: str, data: bytes, expect: Stamp | None) -> Stamp:
        """Put `data` at `path` by an atomic rename, mode preserved. `expect` is what was read before, or None when the
        file must not exist yet; raises `ChangedMeanwhile` when that is no longer so, `ReadOnly`,
        `OutsideWorkspace`, `StorageFull`."""
        ...

    def delete_file(self, path: str, expect: Stamp) -> None: ...

    async def list_files(self, limit: int = 20_000) -> list[str]:
        """Files that the project does not ignore, sorted, at most `limit`."""
        ...

    async def snapshot(self) -> str:
        """The tree of the files as they are now; cheap when little changed."""
        ...

    async def changes(self, before: str, after: str) -> list[Change]: ...

    async def patch(self, before: str, after: str) -> str:
        """A unified diff in git's format, binary files included."""
        ...

    async def read_at(self, tree: str, path: str) -> bytes | None:
        """A file's bytes in a snapshot, or None."""
        ...

    async def compose(self, tree: str, paths: list[str], source: str) -> str:
        """The tree equal to `tree` but with `paths` as they are in `source` (absent there: removed)."""
        ...

    async def restore(self, tree: str) -> list[Change]:
        """Make the files equal to `tree`; returns what was changed. Ignored files are left alone."""
        ...

    def copy(self, tree: str) -> AbstractAsyncContextManager[Workspace]:
        """A scratch workspace with the files of `tree` (ignored files such as installed dependencies stay reachable);
        removed when the context ends."""
        ...

    def kill(self) -> None:
        """End every process that `run` started, at once and without waiting: for a signal handler."""
        ...

    async def aclose(self) -> None: ...
