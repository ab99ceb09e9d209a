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
from typing import TYPE_CHECKING, Protocol

from assay.core.egress import Exchange, Host, Outbound, Passage, Permit, Watch
from assay.workspace.sandbox.egress.http1 import LONGEST_HEAD
from assay.workspace.sandbox.port import Layer
from assay.workspace.sandbox.resident import PROXY_PORT

if TYPE_CHECKING:
    from assay.workspace.sandbox.egress.authority import Authority

MOST_CONNECTIONS = 64
_USUAL = 64
"""Header values that cost nothing when they come again; so many are remembered."""


class Network(Protocol):
    """A network of commands; `workspace.sandbox.resident.Resident` has one."""

    async def listener(self) -> socket.socket:
        """A socket that listens in it at the port of the proxy; ours to close."""
        ...


class Egress:
    """Serves the commands of one session, one sandbox at a time.

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
        self._network: Network | None = None
        self._server: asyncio.Server | None = None
        self._making = asyncio.Lock()
        self.tasks: set[asyncio.Task[object]] = set()
        """Connections that are served."""
        self._listening: list[set[str]] = []
        self._usual: set[str] = set()

    async def serve(self, network: Network) -> None:
        """From now on accept what is sent to the proxy's port in `network`, and nowhere else. A second call for it does
        nothing. Raises `OSError` when there can be no such port."""
        async with self._making:
            if network is self._network:
                return
            listener = await network.listener()
            listener.setblocking(False)
            if self._server:
                self._server.close()
            self._server = await asyncio.start_server(self._connected, sock=listener, limit=LONGEST_HEAD)
            self._network = network

    async def environment(self) -> dict[str, str]:
        """What makes programs use the proxy, and trust its authority."""
        # What a command serves itself, on its own loopback, is reached without us.
        direct = ",".join(name for name in ("localhost", "127.0.0.1", "::1") if name not in self._names)
        proxy = f"http://127.0.0.1:{PROXY_PORT}"
        found: dict[str, str] = {}
        for name, value in (("http_proxy", proxy), ("https_proxy", proxy), ("no_proxy", direct)):
            found |= {name: value, name.upper(): value}
        if self._terminates:
            from assay.workspace.sandbox.egress.authority import VARIABLES

            async with self._making:
                authority = await asyncio.to_thread(lambda: self.authority)
            found |= dict.fromkeys(VARIABLES, str(authority.file))
        return found

    def layers(self) -> tuple[Layer, ...]:
        """What commands have to see of ours: the file with the authorities that they are to trust."""
        if not self._terminates:
            return ()
        folder = str(self.authority.file.parent)
        return (Layer(folder, folder, "read"),)

    @property
    def authority(self) -> Authority:
        """Made when it is first wanted, which takes some tens of milliseconds."""
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
    def heard(self, hosts: set[str] | None = None) -> Generator[set[str]]:
        """The hosts that answer while this is open: one command's, or those of any that run at the same time."""
        hosts = set() if hosts is None else hosts
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
        if len(self.tasks) >= MOST_CONNECTIONS:
            writer.write(b"HTTP/1.1 503 too many connections\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        from assay.workspace.sandbox.egress.conversation import Conversation

        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(Conversation(self, reader, writer).serve())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def aclose(self) -> None:
        """End every connection and stop listening. May be called twice."""
        server, self._server, self._network = self._server, None, None
        if server:
            server.close()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if server:
            await server.wait_closed()
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)
            self._own, self._authority = "", None
