"""A network without an outside, and a file system without the answers, for the agent alone.

The rig itself keeps the machine's network, for the model server may be anywhere. So the room belongs to one thread: it
leaves the network and mount namespaces of the process, and what it starts, or the sockets it opens, are in the new
ones. Linux and root; elsewhere there is no room, and the run's record says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bench.quiet import _loopback_up

T = TypeVar("T")
_NEWNS, _FS, _NEWNET = 0x00020000, 0x00000200, 0x40000000
_PRIVATE, _RECURSIVE = 1 << 18, 1 << 14


class Room:
    """`do` runs something in the room. `hidden`: folders that are empty inside. `closed` tells whether it is one."""

    def __init__(self, hidden: Sequence[Path] = (), wanted: bool = True) -> None:
        self.closed = wanted and sys.platform == "linux" and os.geteuid() == 0
        self._hidden = [path for path in hidden if path.is_dir()]
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue()
        threading.Thread(target=self._serve, name="room", daemon=True).start()
        if self.closed:
            self.do(self._enter)

    def do(self, work: Callable[[], T]) -> T:
        """The result of `work`, run inside; raises what it raises."""
        box: dict[str, Any] = {}
        done = threading.Event()

        def run() -> None:
            try:
                box["result"] = work()
            except BaseException as error:  # handed on to the asker
                box["error"] = error
            done.set()

        self._work.put(run)
        done.wait()
        if "error" in box:
            raise box["error"]
        return box["result"]

    def leave(self) -> None:
        self._work.put(None)

    def _serve(self) -> None:
        while work := self._work.get():
            work()

    def _enter(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_FS | _NEWNS | _NEWNET):
            self.closed = False
            return
        _loopback_up()
        _checked(libc.mount(b"none", b"/", None, _PRIVATE | _RECURSIVE, None))
        for path in self._hidden:
            with contextlib.suppress(FileNotFoundError):
                _checked(libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", 0, b"size=1m"))


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
