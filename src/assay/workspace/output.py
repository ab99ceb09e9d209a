"""Output of a command, within bounds: both ends in memory and, when that is not all, the whole in a capped file."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class Capture:
    """Takes bytes as they come. Memory stays within three times `limit` however much there is."""

    def __init__(self, limit: int, spill: str = "", spill_cap: int = 50_000_000, *, live: bool = False) -> None:
        """`limit` bytes are kept; `spill` is the absolute path of the file for all of it, up to `spill_cap` bytes, made
        when more than `limit` comes, or at once when it is to be `live`."""
        self.total = 0
        self.spill = ""
        self._wanted = spill
        self._half = max(limit, 2) // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._spill_left = spill_cap
        self._file = -1
        if live and spill:
            self._open(spill)
            self._wanted = ""

    def _open(self, spill: str) -> None:
        """Begin the file with what came so far, all of which is still here."""
        with contextlib.suppress(OSError):  # no spill file costs the middle of the output, never the command
            Path(spill).parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(spill, flags, 0o600)
            self.spill = spill
            self._write(self._head + self._tail)

    def feed(self, data: bytes) -> None:
        self.total += len(data)
        if self._wanted and self.total > 2 * self._half:
            self._open(self._wanted)
            self._wanted = ""
        if self._file >= 0:
            self._write(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if len(data) >= self._half:
            self._tail[:] = data[-self._half :]
        elif data:
            self._tail += data
            if len(self._tail) > 2 * self._half:
                del self._tail[: -self._half]

    def _write(self, data: bytes | bytearray) -> None:
        view = memoryview(data)[: self._spill_left]
        self._spill_left -= len(view)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:  # the disk is full: what is there stays, and the command goes on
            self._spill_left = 0

    def text(self) -> str:
        """What was kept, with a line that says how much of the middle is missing."""
        tail = bytes(self._tail[-self._half :])
        missing = self.total - len(self._head) - len(tail)
        if missing <= 0:
            return (bytes(self._head) + tail).decode("utf-8", "replace")
        head, rest = _whole_end(bytes(self._head)), _whole_start(tail)
        missing = self.total - len(head) - len(rest)
        middle = f"\n[... {missing} bytes left out ...]\n"
        return head.decode("utf-8", "replace") + middle + rest.decode("utf-8", "replace")

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _whole_end(data: bytes) -> bytes:
    """`data` without a UTF-8 sequence that the cut left unfinished at its end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            need = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return data[:-back] if need > back else data
    return data


def _whole_start(data: bytes) -> bytes:
    """`data` without the rest of a UTF-8 sequence that the cut left at its start."""
    skip = 0
    while skip < min(3, len(data)) and data[skip] & 0xC0 == 0x80:
        skip += 1
    return data[skip:]
