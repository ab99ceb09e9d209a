"""A tunnel: bytes relayed both ways between a command and a host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from assay.core.egress import Watch
from assay.workspace.sandbox.egress.dial import Connection

IDLE = 300.0
"""Seconds without a byte in either direction."""
_CHUNK = 65_536


class Relay:
    """What is within is not ours to see; a known secret that goes in the clear ends it all the same."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watch: Watch, answered: Callable[[], None]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._watch = watch
        self._answered = answered
        self.sent = self.received = 0
        self._deadline: asyncio.Timeout | None = None

    async def run(self, upstream: Connection) -> str:
        """Until both ends have ended. Returns why it was cut short, or empty."""
        outward = asyncio.create_task(self._outward(upstream.writer))
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

    def _moved(self) -> None:
        assert self._deadline
        self._deadline.reschedule(asyncio.get_running_loop().time() + IDLE)

    async def _outward(self, writer: asyncio.StreamWriter) -> None:
        last, window = b"", self._watch.window
        while piece := await self._reader.read(_CHUNK):
            self._moved()
            if window:
                if self._watch.found(last + piece):
                    raise ConnectionAbortedError("not sent: a known secret is in it")
                last = (last + piece)[-window:]
            self.sent += len(piece)
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def _inward(self, reader: asyncio.StreamReader) -> None:
        while piece := await reader.read(_CHUNK):
            self._moved()
            self._answered()
            self.received += len(piece)
            self._writer.write(piece)
            await self._writer.drain()
        self._writer.write_eof()
