"""Running one command to its end: output bounded, time bounded, and nothing of it left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from assay.core.workspace import CommandResult
from assay.workspace.output import Capture
from assay.workspace.processes import MARKER, family, kill_family, kill_group, send

CHUNK = 1 << 18
GRACE = 2.0
"""Seconds between TERM and KILL."""
LINGER = 0.25
"""Seconds that the output pipe may stay open after the command itself has ended."""
MOST_OUTPUT = 2_000_000_000
"""Bytes after which a command is stopped: nothing sensible writes that much, and it would go on for ever."""
GONE = 137
"""The exit code of what was killed."""
BY_SIGNAL = {128 + signal.SIGXFSZ: "file size", 128 + signal.SIGXCPU: "CPU time"}
"""Limits that end a process by a signal of their own, by the exit code."""
F_SETPIPE_SZ = 1031  # Linux; the fcntl module has it under this name only there

LIMITS = (
    # dash counts processes with -p, bash with -u; file sizes are in units of 512 bytes. A limit that the machine
    # does not grant is left as it is. The kernel is told to end this before the harness when memory runs out.
    "ulimit -c 0; ulimit -f 16777216; { ulimit -u 8192 || ulimit -p 8192; } 2>/dev/null; "
    "{ echo 500 >/proc/self/oom_score_adj; } 2>/dev/null; "
)
# A terminal becomes the one that controls the session when the session's first process opens it by name.
REPLACE = '[ -t 0 ] && exec <"$(tty)"; exec "$@"'
# For what may run on for long and is in no sandbox: our end of its input closes when we are gone, however that came,
# and this watcher takes its process group along.
TETHER = 'exec 4<&0 </dev/null; { read -r _ <&4; kill -KILL 0; } >/dev/null 2>&1 & exec 4<&-; exec "$@"'
# The shell stays as the first process of a pid namespace: it takes in orphans, and when it ends, so does all the rest.
# What it would say itself about the end of the command goes nowhere.
ATTEND = 'exec 3>&2 2>/dev/null; (exec "$@") 2>&3 3>&-; exit $?'


def limited(argv: tuple[str, ...], *, first: bool, tethered: bool = False) -> tuple[str, ...]:
    """`argv` started by a shell that lowers what it may use: 8 GiB a file, 8,192 processes, no core dumps, and for
    each process three quarters of the machine's memory (as data: address space that is only reserved is free).

    `first`: the shell will be the first process of a pid namespace. `tethered`: its input is a pipe of ours (`fed`),
    and it ends with us.
    """
    memory = f"ulimit -d {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') * 3 // 4 // 1024} 2>/dev/null; "
    return ("/bin/sh", "-c", memory + LIMITS + (ATTEND if first else TETHER if tethered else REPLACE), "sh", *argv)


class Launch(NamedTuple):
    """How to start a command, after the sandbox had its say."""

    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    timeout: float
    limit: int
    spill: str = ""
    owned: bool = False
    """Whatever the command started dies with the process of `argv`, and is gone when that is."""
    terminal: tuple[int, int] | None = None
    """Rows and columns of a private terminal."""
    calls: bytes = b""
    """A filter of system calls that `argv`, a bubblewrap, is to install."""
    fed: bool = False
    """`argv` reads from a pipe that has nothing in it and ends when the command is given up, or we are gone."""
    live: bool = False
    """`spill` is written from the first byte on."""


class Running(ABC):
    """One live command: its output, and when it ends."""

    def __init__(self, launch: Launch, reading: int) -> None:
        """`reading` is where its output comes from, ours from now on."""
        self.loop = asyncio.get_running_loop()
        self.code: int | None = None
        """The exit code as a shell tells it, once it is known."""
        self.stopped = ""
        """Which limit ended it."""
        self.eof = self.loop.create_future()
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self._out = reading
        self.capture = Capture(launch.limit, launch.spill, live=launch.live)
        os.set_blocking(reading, False)
        if sys.platform == "linux" and launch.terminal is None:
            import fcntl

            with contextlib.suppress(OSError):
                fcntl.fcntl(reading, F_SETPIPE_SZ, 1 << 20)
        self.loop.add_reader(reading, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._out, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # a terminal that nobody has open any more
            data = b""
        if data:
            self.capture.feed(data)
        else:
            self.loop.remove_reader(self._out)
        if (not data or self.capture.total > MOST_OUTPUT) and not self.eof.done():
            self.eof.set_result(None)

    async def wait(self, timeout: float) -> bool:
        """Until the command ends; False when `timeout` seconds went by first or it wrote far too much."""
        deadline = self.loop.time() + timeout
        while not self.ended.done():
            waiting = {self.ended} if self.eof.done() else {self.ended, self.eof}
            left = deadline - self.loop.time()
            done, _ = await asyncio.wait(waiting, timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED)
            if not done or self.capture.total > MOST_OUTPUT:
                return self.ended.done() and self.capture.total <= MOST_OUTPUT
        return True

    @abstractmethod
    async def stop(self) -> None:
        """TERM to all of it, KILL to what is left after the grace."""

    @abstractmethod
    async def end(self) -> None:
        """KILL to all of it; returns when it is gone."""

    @abstractmethod
    async def settle(self) -> None:
        """After the command ended: take in what is left in the pipe and end what it left behind."""

    @abstractmethod
    def kill(self) -> None:
        """KILL all of it without an event loop; returns when it is gone. Blocks for some milliseconds."""

    def close(self) -> None:
        self.loop.remove_reader(self._out)
        os.close(self._out)
        self.capture.close()


class Spawned(Running):
    """A command that is a child of ours."""

    def __init__(self, launch: Launch) -> None:
        """Starts the process. Raises `OSError` when that can't be done."""
        self.token = os.urandom(8).hex()
        self.owned = launch.owned
        self._pidfd = -1
        reading, writing = _terminal(*launch.terminal) if launch.terminal else os.pipe()
        self.pipe = f"pipe:[{os.fstat(reading).st_ino}]"
        calls = _in_memory(launch.calls) if launch.calls else -1
        passed = ("--seccomp", str(calls)) if launch.calls else ()
        try:
            self.process = subprocess.Popen(
                (launch.argv[0], *passed, *launch.argv[1:]),
                stdin=writing if launch.terminal else subprocess.PIPE if launch.fed else subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=launch.cwd,
                env=launch.env | {MARKER: self.token},
                start_new_session=True,
                pass_fds=(calls,) if launch.calls else (),
            )
            super().__init__(launch, reading)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
            if calls >= 0:
                os.close(calls)
        self._watch()

    def _watch(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self.process.pid) if sys.platform == "linux" else -1
        except OSError:  # a kernel without it
            self._pidfd = -1
        if self._pidfd >= 0:
            self.loop.add_reader(self._pidfd, self._exited)
        else:
            waiting = self.loop.run_in_executor(None, self.process.wait)
            waiting.add_done_callback(lambda _: self._exited())

    def _exited(self) -> None:
        if self._pidfd >= 0:
            self.loop.remove_reader(self._pidfd)
        code = self.process.wait()
        self.code = 128 - code if code < 0 else code
        if not self.ended.done():
            self.ended.set_result(None)

    async def stop(self) -> None:
        found = await asyncio.to_thread(family, self.process.pid, self.token)
        # The sandbox's own monitor would die of a TERM and take everything with it, leaving no grace.
        send(found - {self.process.pid} if self.owned else found, signal.SIGTERM)
        if not self.owned:
            kill_group(self.process.pid, signal.SIGTERM)
        await asyncio.wait({self.ended}, timeout=GRACE)
        self.kill()

    async def end(self) -> None:
        self.kill()

    async def settle(self) -> None:
        if not self.owned:
            await asyncio.wait({self.eof}, timeout=LINGER)
            kill_group(self.process.pid, signal.SIGKILL)
            await asyncio.to_thread(kill_family, self.process.pid, self.token, "" if self.eof.done() else self.pipe)
        await asyncio.wait({self.eof}, timeout=1.0)

    def kill(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        if not self.owned:
            kill_group(self.process.pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
        kill_family(self.process.pid, self.token)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=1.0)

    def close(self) -> None:
        super().close()
        if self.process.stdin:
            self.process.stdin.close()
        if self._pidfd >= 0:
            self.loop.remove_reader(self._pidfd)
            os.close(self._pidfd)


def _in_memory(data: bytes) -> int:
    descriptor = os.memfd_create("calls")
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _terminal(rows: int, columns: int) -> tuple[int, int]:
    from assay.workspace.sandbox.inside.child import terminal_of  # few commands ask for one

    return terminal_of(rows, columns)


async def spawn(launch: Launch) -> Running:
    return Spawned(launch)


class Runner:
    """Runs commands, any number at once, and can end them all."""

    def __init__(self) -> None:
        self._live: set[Running] = set()

    async def run(self, launch: Launch, begin: Callable[[Launch], Awaitable[Running]] = spawn) -> CommandResult:
        """Run to the end. A command that can't be started has the exit code that a shell would give it."""
        began = time.monotonic()
        try:
            running = await begin(launch)
        except OSError as error:
            code = 127 if isinstance(error, FileNotFoundError) else 126
            said = f"{error.filename or launch.argv[0]}: {error.strerror}" if error.strerror else str(error)
            return CommandResult(code, said + "\n", 0, 0.0)
        self._live.add(running)
        try:
            in_time = await running.wait(launch.timeout)
            if not in_time:
                await running.stop()
            await running.settle()
            return _result(running, time.monotonic() - began, in_time)
        except asyncio.CancelledError:
            await running.end()
            raise
        finally:
            self._live.discard(running)
            running.close()

    def kill_all(self) -> None:
        for running in list(self._live):
            running.kill()


def _result(running: Running, seconds: float, in_time: bool) -> CommandResult:
    capture = running.capture
    code = GONE if running.code is None else running.code
    text = capture.text()
    flooded = not in_time and capture.total > MOST_OUTPUT
    if flooded:
        text += f"\n[stopped: more than {MOST_OUTPUT} bytes of output]\n"
    timed_out = not in_time and not flooded
    return CommandResult(
        124 if timed_out else GONE if flooded else code,
        text,
        capture.total,
        seconds,
        timed_out=timed_out,
        spill=capture.spill,
        stopped="output" if flooded else running.stopped or BY_SIGNAL.get(code, ""),
    )
