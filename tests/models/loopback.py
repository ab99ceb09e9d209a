"""A server on loopback that plays a script, one step for each request it gets; and a clock that needs no waiting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Step = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request as it arrived, and the socket to answer on."""

    def __init__(self, head: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.target = head.split(" ")[1]
        self.headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        self.body = body
        self.reader = reader
        self.writer = writer
        self.at = asyncio.get_running_loop().time()

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


class Server:
    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.requests: list[Exchange] = []
        self.connections = 0
        self.gone = asyncio.Event()
        """Set when a client dropped its connection while a step was waiting."""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
                exchange = Exchange(head, await reader.readexactly(length), reader, writer)
                step = self.steps[min(len(self.requests), len(self.steps) - 1)]
                self.requests.append(exchange)
                await step(exchange)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()


@asynccontextmanager
async def serving(*steps: Step) -> AsyncIterator[Server]:
    server = Server(list(steps))
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def stream(data: bytes, size: int = 200) -> Step:
    """The whole of `data`, in chunks."""

    async def step(exchange: Exchange) -> None:
        await exchange.send(HEAD)
        for at in range(0, len(data), size):
            await exchange.send(chunk(data[at : at + size]))
        await exchange.send(b"0\r\n\r\n")

    return step


def cut(data: bytes, *, clean: bool = False) -> Step:
    """`data`, then the connection ends: broken off, or (`clean`) as if that were all."""

    async def step(exchange: Exchange) -> None:
        await exchange.send(HEAD + chunk(data) + (b"0\r\n\r\n" if clean else b""))
        if not clean:
            exchange.writer.transport.abort()
            raise ConnectionResetError

    return step


def reset() -> Step:
    async def step(exchange: Exchange) -> None:
        exchange.writer.transport.abort()
        raise ConnectionResetError

    return step


def stall(data: bytes = b"", *, headers: bool = True) -> Step:
    """`data`, then nothing until the client goes."""

    async def step(exchange: Exchange) -> None:
        await exchange.send((HEAD if headers else b"") + (chunk(data) if data else b""))
        await exchange.reader.readexactly(1)

    return step


def refuse(status: int, body: object, **headers: str) -> Step:
    async def step(exchange: Exchange) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} No", f"content-length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await exchange.send("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    return step


class FakeClock:
    """Time passes only in `sleep`."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
