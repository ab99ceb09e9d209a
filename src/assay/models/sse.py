"""Server-sent events (WHATWG HTML, section 9.2) from raw bytes, in any slicing."""

from __future__ import annotations

EVENT_CAP = 8 * 1024 * 1024
"""Bytes that one event may have; nothing that a model says in one delta is near it."""


class TooLong(Exception):
    """An event went over `EVENT_CAP`."""


class SseReader:
    """Cuts a byte stream into events. Comments, ids and retry fields are dropped; half an event is never given."""

    def __init__(self, cap: int = EVENT_CAP) -> None:
        self._cap = cap
        self._rest: list[bytes] = []
        self._size = 0
        self._event = ""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """The events that `data` completes, as (event name, data). Raises `TooLong`."""
        end = data.rfind(b"\n")
        if end < 0:
            self._keep(data)
            return []
        self._rest.append(data[:end])
        lines = b"".join(self._rest).split(b"\n")
        self._rest = []
        found: list[tuple[str, bytes]] = []
        for line in lines:
            self._line(line.removesuffix(b"\r"), found)
        self._size = sum(map(len, self._data))
        self._keep(data[end + 1 :])
        return found

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._cap:
            raise TooLong
        if piece:
            self._rest.append(piece)

    def _line(self, line: bytes, found: list[tuple[str, bytes]]) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            self._event = line[6:].strip().decode("utf-8", "replace")
        elif not line:
            if self._data:
                found.append((self._event, self._data[0] if len(self._data) == 1 else b"\n".join(self._data)))
            self._event, self._data = "", []
