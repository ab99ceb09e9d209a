"""Standard input and output of a driven process."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from assay.surfaces.host.lines import Frame, write_line

T = TypeVar("T")
_CHUNK = 256 * 1024
_AHEAD = 8
"""Pieces that are read before the first of them has been looked at."""


class Source:
    """Reads standard input beside the work, in a thread: it may be a pipe, a socket, a file or a terminal."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._room = threading.BoundedSemaphore(_AHEAD)
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """From now on `take` gets what comes in, and nothing (`b""`) at the end, on the event loop."""
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def _read(self) -> None:
        data = b"-"
        while data:
            self._room.acquire()
            try:
                data = _patiently(0, read=True, work=lambda: os.read(0, _CHUNK))
            except OSError:
                data = b""
            try:
                self._loop.call_soon_threadsafe(self._got, data)
            except RuntimeError:  # the loop is closed: nobody listens any more
                return

    def _got(self, data: bytes) -> None:
        self._room.release()
        self._take(data)


class Sink:
    """Writes lines to standard output at once. `gone` is called once, when nobody reads them any more."""

    def __init__(self, gone: Callable[[], None]) -> None:
        self._gone = gone
        self.open = True
        self.writing = 0
        """The number of the write that is under way, which may wait for the reader; 0 when none is."""
        self._writes = 0

    def send(self, frame: Frame) -> None:
        """Never raises: a reader that left ends the session in order, by `gone`."""
        if not self.open:
            return
        data = memoryview(write_line(frame).encode("ascii"))
        self._writes += 1
        self.writing = self._writes
        try:
            while data:
                rest = data
                data = data[_patiently(1, read=False, work=lambda rest=rest: os.write(1, rest)) :]
        except OSError:
            self.open = False
            self._gone()
        finally:
            self.writing = 0


def _patiently(descriptor: int, *, read: bool, work: Callable[[], T]) -> T:
    """`work` on a stream, again once it is ready: whoever started us may have made it one that does not wait. Raises
    OSError."""
    while True:
        try:
            return work()
        except BlockingIOError:
            import select

            select.select([descriptor] if read else [], [] if read else [descriptor], [])


def complain(text: str) -> None:
    """One line on standard error, with nothing in it that acts on a terminal."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    try:
        sys.stderr.write(shown + "\n")
        sys.stderr.flush()
    except OSError:
        pass
