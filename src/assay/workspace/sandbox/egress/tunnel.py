"""A tunnel: TLS relayed both ways between a command and a host.

Sources: RFC 8446, 4.1.2 (ClientHello) and RFC 6066, 3 (the name of the server in it).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from assay.core.egress import Watch, is_address
from assay.workspace.sandbox.egress.dial import Connection

IDLE = 300.0
"""Seconds without a byte in either direction."""
FIRST = 30.0
"""Seconds for the first record."""
_CHUNK = 65_536
_LONGEST_RECORD = 16_384


class Relay:
    """What is within is not ours to see; but it is TLS, with the host that was named, and a known secret that goes in
    the clear ends it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        host: str,
        watch: Watch,
        answered: Callable[[], None],
    ) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer
        self._watch = watch
        self._answered = answered
        self.sent = self.received = 0
        self._deadline: asyncio.Timeout | None = None

    async def run(self, upstream: Connection) -> str:
        """Until both ends have ended. Returns why it was cut short, or empty."""
        try:
            async with asyncio.timeout(FIRST):
                hello = await self._hello()
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self._writer.transport.abort()
            upstream.writer.transport.abort()
            return str(error) or "no byte in time"
        outward = asyncio.create_task(self._outward(upstream.writer, hello))
        inward = asyncio.create_task(self._inward(upstream.reader))
        try:
            async with asyncio.timeout(IDLE) as self._deadline:
                await asyncio.gather(outward, inward)
        except (OSError, TimeoutError) as error:
            self._writer.transport.abort()
            upstream.writer.transport.abort()
            return str(error) or "no byte in time"
        finally:
            for task in (outward, inward):
                task.cancel()
            await asyncio.wait((outward, inward))
        return ""

    async def _hello(self) -> bytes:
        """The first record. Raises `ConnectionAbortedError` when it does not begin TLS with the host."""
        head = await self._reader.readexactly(5)
        length = int.from_bytes(head[3:], "big")
        if head[:2] != b"\x16\x03" or not 4 < length <= _LONGEST_RECORD:
            raise ConnectionAbortedError("a tunnel carries TLS only")
        body = await self._reader.readexactly(length)
        name = server_name(body)
        if name != self._host and not (name == "" and is_address(self._host)):
            raise ConnectionAbortedError("TLS names another host than the tunnel is for, or none")
        return head + body

    def _moved(self) -> None:
        assert self._deadline
        self._deadline.reschedule(asyncio.get_running_loop().time() + IDLE)

    async def _outward(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        last, window = b"", self._watch.window
        while piece:
            self._moved()
            if window:
                if self._watch.found(last + piece):
                    raise ConnectionAbortedError("not sent: a known secret is in it")
                last = (last + piece)[-window:]
            self.sent += len(piece)
            writer.write(piece)
            await writer.drain()
            piece = await self._reader.read(_CHUNK)
        writer.write_eof()

    async def _inward(self, reader: asyncio.StreamReader) -> None:
        while piece := await reader.read(_CHUNK):
            self._moved()
            self._answered()
            self.received += len(piece)
            self._writer.write(piece)
            await self._writer.drain()
        self._writer.write_eof()


def server_name(hello: bytes) -> str | None:
    """The host that a ClientHello is for, empty when it names none; None when this is no ClientHello."""
    fields = _Fields(hello)
    try:
        if fields.take(1) != b"\x01" or fields.number(3) != len(hello) - 4:
            return None
        fields.take(34)  # version, random
        fields.vector(1)
        fields.vector(2)
        fields.vector(1)
        extensions = _Fields(fields.vector(2) if fields.left else b"")
        while extensions.left:
            kind, data = extensions.number(2), extensions.vector(2)
            if kind == 0:
                names = _Fields(_Fields(data).vector(2))
                return names.vector(2).decode("ascii").lower() if names.take(1) == b"\0" else None
    except (ValueError, UnicodeError):
        return None
    return ""


class _Fields:
    """Reads the fields of a TLS structure; raises `ValueError` beyond its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError("cut off")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        """Bytes behind their length, which has `width` bytes."""
        return self.take(self.number(width))
