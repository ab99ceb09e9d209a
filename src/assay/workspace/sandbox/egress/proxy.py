"""The proxy that commands reach the network through: it listens inside the sandbox and dials from outside it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assay.core.egress import Exchange, Host, Outbound, Passage, Permit, Watch
from assay.workspace.sandbox.egress.http1 import LONGEST_HEAD

if TYPE_CHECKING:
    from assay.workspace.sandbox.egress.authority import Authority

MOST_CONNECTIONS = 64
_USUAL = 64
"""Header values that cost nothing when they come again; so many are remembered."""


class Egress:
    """Serves any number of sandboxes of one session.

    `hosts` are what the user allows; `permit` has the word on each request; `watch` knows the secrets; `note` is told
    what became of each request; `folder` is a directory of ours in which the authorities for commands may be put.
    """

    def __init__(
        self,
        hosts: Mapping[str, Host],
        permit: Permit,
        watch: Watch,
        folder: Path,
        note: Callable[[Exchange], None],
    ) -> None:
        self.watch = watch
        self.note = note
        self._permit = permit
        self._names = frozenset(hosts)
        self._terminates = any(host.kind != "tunnel" for host in hosts.values())
        self._folder = folder
        self._own = ""
        self._authority: Authority | None = None
        self._outside: ssl.SSLContext | None = None
        self._servers: dict[int, asyncio.Server] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._listening: list[set[str]] = []
        self._usual: set[str] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Accept on `listener` from now on; its descriptor is ours. A second call for the same one does nothing."""
        if listener.fileno() in self._servers:
            return
        listener.setblocking(False)
        server = await asyncio.start_server(self._connected, sock=listener, limit=LONGEST_HEAD)
        self._servers[listener.fileno()] = server

    def environment(self, port: int) -> dict[str, str]:
        """What makes programs use the proxy at `port` of the sandbox's loopback, and trust its authority."""
        from assay.workspace.sandbox.egress.authority import VARIABLES

        proxy = f"http://127.0.0.1:{port}"
        # What a command serves itself, on its own loopback, is reached without us.
        direct = ",".join(name for name in ("localhost", "127.0.0.1", "::1") if name not in self._names)
        found: dict[str, str] = {}
        for name, value in (("http_proxy", proxy), ("https_proxy", proxy), ("no_proxy", direct)):
            found |= {name: value, name.upper(): value}
        if self._terminates:
            found |= dict.fromkeys(VARIABLES, str(self.authority.file))
        return found

    @property
    def readable(self) -> str:
        """A directory that commands have to see at its own path; empty for none."""
        return str(self.authority.file.parent) if self._terminates else ""

    @property
    def authority(self) -> Authority:
        if self._authority is None:
            from assay.workspace.sandbox.egress.authority import Authority

            self._folder.mkdir(parents=True, exist_ok=True)
            self._own = tempfile.mkdtemp(dir=self._folder)
            self._authority = Authority(Path(self._own))
        return self._authority

    async def outside(self) -> ssl.SSLContext:
        """What checks the certificates of hosts, against the authorities of this machine or of SSL_CERT_FILE."""
        if self._outside is None:
            self._outside = await asyncio.to_thread(ssl.create_default_context)
            self._outside.set_alpn_protocols(["http/1.1"])
        return self._outside

    @contextlib.contextmanager
    def heard(self) -> Generator[set[str]]:
        """The hosts that answer while this is open: one command's, or those of any that run at the same time."""
        hosts: set[str] = set()
        self._listening.append(hosts)
        try:
            yield hosts
        finally:
            self._listening = [each for each in self._listening if each is not hosts]

    def answered(self, host: str) -> None:
        for each in self._listening:
            each.add(host)

    def ask(self, method: str, scheme: str, host: str, port: int, *, target: str = "", body: bool = False,
            values: tuple[str, ...] = ()) -> Passage:  # fmt: skip
        """The word on a request. `values` are of the headers that go out even with a narrow passage."""
        new = {value for value in values if value not in self._usual}
        if len(self._usual) + len(new) <= _USUAL:
            self._usual |= new
        size = len(target) + sum(map(len, new))
        heard = frozenset(name for each in self._listening for name in each)
        return self._permit(
            Outbound(method, "https" if scheme == "https" else "http", host, port, target, body, size, heard)
        )

    def told(self, method: str, host: str, port: int, target: str, counted: tuple[int, int], status: int,
             reason: str = "") -> None:  # fmt: skip
        """`counted` are the bytes sent and received."""
        path = hashlib.sha256(target.encode()).hexdigest()[:12] if target else ""
        self.note(Exchange(method, host, port, path, *counted, status, reason))

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MOST_CONNECTIONS:
            writer.write(b"HTTP/1.1 503 too many connections\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        from assay.workspace.sandbox.egress.conversation import Conversation

        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(Conversation(self, reader, writer).serve())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """End every connection and stop listening. May be called twice."""
        servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for server in servers:
            await server.wait_closed()
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)
            self._own, self._authority = "", None
