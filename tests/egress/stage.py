"""A proxy on loopback, a host behind it that records what reaches it, and raw requests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from assay.core.egress import Exchange, Host
from assay.core.policy import WORKSPACE, Label
from assay.policy.egress import BUDGET, EgressPolicy
from assay.policy.tripwire import Tripwire
from assay.workspace.sandbox.egress.authority import Authority
from assay.workspace.sandbox.egress.proxy import Egress
from assay.workspace.sandbox.resident import PROXY_PORT

SECRET = "s3cr3t-Value/with+signs=0123456789"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def loopback() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


class Loopback:
    """In place of a sandbox's network: our own."""

    def __init__(self) -> None:
        self._socket = loopback()
        self.port: int = self._socket.getsockname()[1]

    async def listener(self) -> socket.socket:
        return self._socket


class Upstream:
    """Answers each request head (and counted body) with `answer`, bytes or a function of what was read."""

    def __init__(self, answer: bytes | Callable[[bytes], bytes] = OK, *, once: bool = False) -> None:
        self.answer = answer
        self.once = once
        self.seen: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._tasks: set[asyncio.Task[object]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                at = len(self.seen)
                self.seen.append(head)
                lower = head.lower()
                if b"content-length:" in lower:
                    count = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
                    while len(self.seen[at]) < len(head) + count:
                        piece = await reader.read(65536)
                        if not piece:
                            return
                        self.seen[at] += piece
                elif b"transfer-encoding: chunked" in lower:
                    while not self.seen[at].endswith(b"0\r\n\r\n"):
                        piece = await reader.read(65536)
                        if not piece:
                            return
                        self.seen[at] += piece
                answer = self.answer if isinstance(self.answer, bytes) else self.answer(self.seen[at])
                writer.write(answer)
                await writer.drain()
                if self.once or not any(word in answer.lower() for word in (b"content-length", b"chunked")):
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    @contextlib.asynccontextmanager
    async def up(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
        listener = loopback()
        self.port = listener.getsockname()[1]
        server = await asyncio.start_server(self._serve, sock=listener, ssl=tls)
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(list(self._tasks))
            await asyncio.sleep(0)


class House:
    """A proxy, what it noted, and how to talk to it."""

    def __init__(self, egress: Egress, port: int, notes: list[Exchange], policy: EgressPolicy) -> None:
        self.egress, self.port, self.notes, self.policy = egress, port, notes, policy
        self.label = WORKSPACE

    async def environment(self) -> dict[str, str]:
        """What commands get, with the port that this proxy really has."""
        found = await self.egress.environment()
        return {name: value.replace(f":{PROXY_PORT}", f":{self.port}") for name, value in found.items()}

    async def raw(self, data: bytes, *, end: bool = True, seconds: float = 10) -> bytes:
        """All that comes back for `data`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            await writer.drain()
            if end:
                writer.write_eof()
            async with asyncio.timeout(seconds):
                return await reader.read()
        except OSError:
            return b""
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def get(self, host: str, port: int, path: str = "/", *, method: str = "GET", extra: str = "") -> bytes:
        text = (
            f"{method} http://{host}:{port}{path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n{extra}\r\n"
        )
        return await self.raw(text.encode())


@contextlib.asynccontextmanager
async def house(
    hosts: dict[str, Host],
    folder: Path,
    *,
    values: dict[str, str] | None = None,
    label: Label = WORKSPACE,
    secrets: tuple[str, ...] = (SECRET,),
    budget: int = BUDGET,
) -> AsyncIterator[House]:
    notes: list[Exchange] = []
    made: list[House] = []
    policy = EgressPolicy(hosts, lambda: made[0].label, values or {}, budget)
    egress = Egress(hosts, policy, Tripwire(secrets), folder, notes.append)
    network = Loopback()
    made.append(House(egress, network.port, notes, policy))
    made[0].label = label
    try:
        await egress.serve(network)
        yield made[0]
    finally:
        await egress.aclose()


def serving_tls(folder: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """What serves TLS as `host`, and the file of the authority that signed it."""
    authority = Authority(folder)
    return authority.context(host), authority.file
