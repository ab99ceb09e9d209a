"""A hook's command as a process: in a session of its own without a terminal, bounded in time and in output.

It is the user's own command, so it is not confined. It reads its input to the end or not at all, and what it leaves
running behind is not waited for; at its time-out, and when nobody wants it any more, the whole group is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping

from msgspec import Struct

KEPT = 1_000_000
"""Bytes of each output that are kept."""
FLOOD = 64_000_000
"""Bytes of output after which a hook is killed."""
_GRACE = 0.5
"""Seconds that outputs are read after the process ended: something it left behind may hold them open."""
_TICK = 0.05
_FAREWELL = 2.0
"""Seconds that a cancelled hook has to be gone."""


class Ran(Struct, frozen=True):
    exit_code: int
    """As a shell reports it: 128 + n for a process ended by signal n."""
    stdout: str
    stderr: str
    trouble: str = ""
    """Why it was killed; empty when it ended by itself."""


class HookProcess:
    """One process and the thread that looks after it: asyncio's own way waits for whoever inherited the pipes."""

    def __init__(self, argv: tuple[str, ...], env: Mapping[str, str], cwd: str, given: bytes, timeout: float) -> None:
        self._argv, self._env, self._cwd = argv, env, cwd
        self._given = memoryview(given)
        self._deadline = time.monotonic() + timeout
        self._unwanted = threading.Event()
        self._kept = {"out": bytearray(), "err": bytearray()}
        self._seen = 0
        self._group = 0

    async def run(self) -> Ran:
        """Start it and wait for its end. A program that can't be started is an exit code of 127. Cancelling this kills
        the process group."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Ran] = loop.create_future()

        def tell(ran: Ran) -> None:
            if not done.done():
                done.set_result(ran)

        def hand_over(ran: Ran) -> None:
            # The loop may be gone when nobody waited for the hook.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, ran)

        threading.Thread(target=self._look_after, args=(hand_over,), name="hook", daemon=True).start()
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            self._unwanted.set()
            await asyncio.wait([done], timeout=_FAREWELL)
            raise

    def kill(self) -> None:
        """At once and without waiting: for a signal handler."""
        if self._group:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)

    def _look_after(self, done: Callable[[Ran], None]) -> None:
        try:
            done(self._run())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            done(Ran(127, "", f"{self._argv[0][:200]}: {reason}"))

    def _run(self) -> Ran:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            self._argv, cwd=self._cwd, env=dict(self._env), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        self._group = process.pid
        trouble = "stopped"
        try:
            with selectors.DefaultSelector() as selector:
                self._watch(selector, process)
                trouble = self._follow(selector, process)
        finally:
            if trouble:
                self.kill()
            self._group = 0
            code = process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
        out, err = (bytes(self._kept[name]).decode("utf-8", "replace") for name in ("out", "err"))
        return Ran(code if code >= 0 else 128 - code, out, err, trouble)

    def _watch(self, selector: selectors.BaseSelector, process: subprocess.Popen[bytes]) -> None:
        for stream, name in ((process.stdin, "in"), (process.stdout, "out"), (process.stderr, "err")):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_WRITE if name == "in" else selectors.EVENT_READ, (name, stream))

    def _follow(self, selector: selectors.BaseSelector, process: subprocess.Popen[bytes]) -> str:
        """Move bytes until it ended; returns why it has to be killed, or nothing."""
        ended = 0.0
        while True:
            now = time.monotonic()
            if not ended and process.poll() is not None:
                ended = now
            if ended and (not selector.get_map() or now - ended > _GRACE):
                return ""
            if self._unwanted.is_set():
                return "cancelled"
            if now > self._deadline:
                return "timed out" if not ended else ""
            if self._seen > FLOOD:
                return "its output never ended"
            if not selector.get_map():
                time.sleep(_TICK / 5)
                continue
            for key, _ in selector.select(_TICK):
                name, stream = key.data
                if not self._move(name, stream.fileno()):
                    selector.unregister(stream)
                    stream.close()

    def _move(self, name: str, descriptor: int) -> bool:
        """False when there is no more to move."""
        try:
            if name == "in":
                self._given = self._given[os.write(descriptor, self._given[:65_536]) :] if self._given else self._given
                return bool(self._given)
            data = os.read(descriptor, 65_536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._seen += len(data)
        kept = self._kept[name]
        kept += data[: max(KEPT - len(kept), 0)]
        return bool(data)
