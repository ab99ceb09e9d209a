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


class Ran(Struct, frozen=True):
    exit_code: int
    """As a shell reports it: 128 + n for a process ended by signal n."""
    stdout: str
    stderr: str
    trouble: str = ""
    """Why it was killed; empty when it ended by itself."""


async def run_process(argv: tuple[str, ...], env: Mapping[str, str], cwd: str, given: bytes, timeout: float) -> Ran:
    """Start `argv`, hand it `given`, wait at most `timeout` seconds. A program that can't be started is an exit code of
    127. Cancelling it kills the process group."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Ran] = loop.create_future()

    def tell(ran: Ran) -> None:
        if not done.done():
            done.set_result(ran)

    def hand_over(ran: Ran) -> None:
        # The loop may be gone when nobody waited for the hook.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, ran)

    process = _Process(argv, env, cwd, given, time.monotonic() + timeout, hand_over)
    process.start()
    try:
        return await done
    except asyncio.CancelledError:
        process.kill()
        raise


class _Process:
    """One process and the thread that looks after it: asyncio's own way waits for whoever inherited the pipes."""

    def __init__(
        self,
        argv: tuple[str, ...],
        env: Mapping[str, str],
        cwd: str,
        given: bytes,
        deadline: float,
        done: Callable[[Ran], None],
    ) -> None:
        self._argv, self._env, self._cwd = argv, env, cwd
        self._given = memoryview(given)
        self._deadline = deadline
        self._done = done
        self._unwanted = threading.Event()
        self._kept = {"out": bytearray(), "err": bytearray()}
        self._seen = 0

    def start(self) -> None:
        threading.Thread(target=self._look_after, name="hook", daemon=True).start()

    def kill(self) -> None:
        """From any thread: end it all, and soon."""
        self._unwanted.set()

    def _look_after(self) -> None:
        try:
            self._done(self._run())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._done(Ran(127, "", f"{self._argv[0][:200]}: {reason}"))

    def _run(self) -> Ran:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            self._argv, cwd=self._cwd, env=dict(self._env), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        trouble = ""
        try:
            with selectors.DefaultSelector() as selector:
                self._watch(selector, process)
                trouble = self._follow(selector, process)
        finally:
            if trouble:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
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
