"""One connection: HTTP/1.1 requests in, planned bytes out, with control of every byte and of how it ends."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable
from typing import cast

from assay.testing.server.ledger import Exchange, redacted
from assay.testing.server.plan import Ending, Plan

_HEAD_LIMIT = 1 << 17
_BODY_LIMIT = 1 << 30

Answer = Callable[[Exchange], Plan]


class BadRequest(Exception):
    """The bytes are no HTTP request that this server takes."""


class Connection(asyncio.Protocol):
    """Reads requests one after the other, asks `answer` for the plan of each, carries it out, tells `done`.

    A plan without pauses is written at once, without a task.
    """

    def __init__(self, answer: Answer, done: Callable[[Exchange], None], peers: "set[Connection]") -> None:
        self._answer = answer
        self._done = done
        self._peers = peers
        self._buffer = bytearray()
        self._exchange: Exchange | None = None
        self._ending: Ending = "keep"
        self._task: asyncio.Task[None] | None = None
        self._drained = asyncio.Event()
        self.gone = asyncio.Event()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)
        # A limit of 0 makes resume_writing mean that everything has been handed to the kernel.
        self._transport.set_write_buffer_limits(0)
        self._drained.set()
        self._peers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the signature is asyncio's
        """Called by the event loop: records an exchange that the client didn't wait for."""
        self._peers.discard(self)
        self.gone.set()
        if self._task is not None:
            self._task.cancel()
        self._drained.set()
        exchange = self._exchange
        if exchange is not None and exchange.ended is None:
            exchange.closed_early = time.monotonic()
            self._finish(exchange)

    def eof_received(self) -> bool:
        """Called by the event loop: a client that stops writing has gone."""
        return False

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._buffer += data
        if self._exchange is None:
            self._next()

    def pause_writing(self) -> None:
        """Called by the event loop."""
        self._drained.clear()

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self._drained.set()

    def drop(self) -> None:
        """Ends the connection at once; the server is stopping, so nobody has gone early."""
        if self._exchange is not None:
            self._finish(self._exchange)
        self._transport.abort()

    def _next(self) -> None:
        """Takes the next request out of the buffer, if it is whole, and answers it."""
        try:
            exchange = self._taken()
        except BadRequest as error:
            text = str(error).encode()
            self._transport.write(
                b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(text), text)
            )
            self._transport.close()
            return
        if exchange is None:
            return
        self._exchange = exchange
        plan = self._answer(exchange)
        exchange.status, self._ending = plan.status, plan.ending
        if not any(isinstance(step, float) for step in plan.steps):
            self._send(b"".join(cast("tuple[bytes, ...]", plan.steps)))
            if self._drained.is_set():
                self._end()
                return
            plan = Plan(plan.status, (), plan.ending)
        self._task = asyncio.get_running_loop().create_task(self._carry_out(plan))

    async def _carry_out(self, plan: Plan) -> None:
        for step in plan.steps:
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                self._send(cast(bytes, step))
                await self._drained.wait()
        await self._drained.wait()
        self._task = None
        self._end()

    def _send(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None or not data:
            return
        if exchange.first_byte is None:
            exchange.first_byte = time.monotonic()
        exchange.bytes_sent += len(data)
        self._transport.write(data)

    def _end(self) -> None:
        """Ends the exchange as planned; a client that hangs stays until it goes away."""
        exchange = self._exchange
        if exchange is None or self._ending == "hang" or self._transport.is_closing():
            return
        self._finish(exchange)
        if self._ending == "keep":
            if self._buffer:
                asyncio.get_running_loop().call_soon(self._next_if_free)
        elif self._ending == "reset":
            _linger_zero(self._transport)
            self._transport.abort()
        else:
            self._transport.close()

    def _next_if_free(self) -> None:
        if self._exchange is None and not self._transport.is_closing():
            self._next()

    def _finish(self, exchange: Exchange) -> None:
        self._exchange = None
        exchange.ended = time.monotonic()
        self._done(exchange)

    def _taken(self) -> Exchange | None:
        """The next request, or None while it isn't whole."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise BadRequest("the head of the request is too long")
            return None
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise BadRequest("not an HTTP/1.1 request")
        fields = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        body = self._body(end + 4, headers)
        if body is None:
            if headers.pop("expect", "").lower() == "100-continue":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._buffer[:end] = _without_expect(bytes(self._buffer[:end]))
            return None
        return Exchange(parts[0], parts[1], redacted(headers), body, time.monotonic())

    def _body(self, start: int, headers: dict[str, str]) -> bytes | None:
        """The body, taken out of the buffer with its head, or None while it isn't whole."""
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunked_body(start)
        try:
            size = int(headers.get("content-length", "0"))
        except ValueError:
            raise BadRequest("the content-length is no number") from None
        if not 0 <= size <= _BODY_LIMIT:
            raise BadRequest("the body is too long")
        if len(self._buffer) < start + size:
            return None
        body = bytes(self._buffer[start : start + size])
        del self._buffer[: start + size]
        return body

    def _chunked_body(self, start: int) -> bytes | None:
        pieces: list[bytes] = []
        while True:
            line = self._buffer.find(b"\r\n", start)
            if line < 0:
                return None
            try:
                size = int(self._buffer[start:line].split(b";")[0], 16)
            except ValueError:
                raise BadRequest("a chunk has no size") from None
            stop = line + 2 + size + 2
            if len(self._buffer) < stop:
                return None
            if size == 0:
                del self._buffer[:stop]
                return b"".join(pieces)
            pieces.append(bytes(self._buffer[line + 2 : stop - 2]))
            start = stop


def _without_expect(head: bytes) -> bytes:
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"expect:"))


def _linger_zero(transport: asyncio.Transport) -> None:
    """Makes closing the socket send a TCP reset instead of an orderly end."""
    connected = cast("socket.socket | None", transport.get_extra_info("socket"))
    if connected is not None:
        with contextlib.suppress(OSError):
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
