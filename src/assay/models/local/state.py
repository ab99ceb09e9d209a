"""What a parent and its model server know of each other: the order, and the state file.

A state file is `server-<token>.json` in the runtime folder (0700), written by the server itself (0600, it holds the
key) and removed when it ends. Beside it lies the server's log. Files of servers that are gone are cleared away by
whoever finds them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

import msgspec
from msgspec import Struct

from assay.models.local.errors import ServerFailed
from assay.models.local.machine import process_start


class Options(Struct, frozen=True):
    """How to run a model. Slots share one pool of `context` tokens; samples of one request need a slot each."""

    context: int = 8_192
    parallel: int = 8
    threads: int = 0
    """0: one less than the physical cores."""
    idle_seconds: float = 600.0
    """End after so long without a request; 0: never."""
    port: int = 0
    """0: any free one."""


class Order(Struct, frozen=True):
    """What a server is told on its standard input: never in its arguments or environment, which others can read."""

    state: str
    """The state file to keep."""
    model: str
    identity: str
    api_key: str
    options: Options
    daemon: bool
    """Outlive the parent. Otherwise end with it, however it ends."""
    shared: bool
    """Other processes of this user may use it."""


class State(Struct, frozen=True):
    """A server as its state file tells it."""

    schema: int
    pid: int
    started: str
    base_url: str
    """Empty while the model is being loaded."""
    api_key: str
    identity: str
    options: Options
    shared: bool

    def alive(self) -> bool:
        """Whether that very process still runs."""
        return process_start(self.pid) == self.started

    def serves(self, identity: str, options: Options) -> bool:
        """Whether it is good for a caller who asked for `identity` with `options`."""
        return (
            self.identity == identity
            and self.options.context >= options.context
            and self.options.parallel >= options.parallel
            and options.threads in (0, self.options.threads)
            and options.port in (0, self.options.port)
        )


class Runtime:
    """The folder of state files. `folder` is made private (0700); ServerFailed when it belongs to someone else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.folder.stat().st_uid != os.getuid():
                raise ServerFailed(f"runtime folder {self.folder} belongs to another user: remove it or set another")
            self.folder.chmod(0o700)
        except OSError as error:
            raise ServerFailed(f"runtime folder {self.folder}: {error.strerror or error}") from None

    def states(self) -> list[tuple[Path, State]]:
        """The servers that run, with their state files. Clears away what ended servers left."""
        found: list[tuple[Path, State]] = []
        for path in sorted(self.folder.glob("server-*.json")):
            state = read_state(path)
            if state is not None and state.alive():
                found.append((path, state))
            else:
                clear(path)
        return found

    @contextlib.contextmanager
    def try_lock(self, name: str = "lock") -> Generator[bool]:
        """Hold a lock of this folder if it is free; yields whether it was. A killed holder lets go of it."""
        with (self.folder / name).open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def log_of(state: Path) -> Path:
    """The log beside a state file."""
    return state.with_suffix(".log")


def read_state(path: Path) -> State | None:
    """The state in a file, or None when it isn't there or isn't whole."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except (OSError, msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def write_state(path: Path, state: State) -> None:
    """Replace the state file at once, readable by its owner only."""
    draft = path.with_suffix(".tmp")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(state))
    draft.replace(path)


def clear(path: Path) -> None:
    """Remove a state file and what lies beside it."""
    for file in (path, path.with_suffix(".tmp"), path.with_suffix(".turn"), log_of(path)):
        file.unlink(missing_ok=True)


def end(path: Path, state: State, grace: float = 3.0) -> None:
    """End a server and clear its files: asked first, killed after `grace` seconds. Never another process."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience
        while state.alive():
            if time.monotonic() >= deadline:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(state.pid, number)
            time.sleep(0.02)
    clear(path)
