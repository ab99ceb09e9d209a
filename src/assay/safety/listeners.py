"""What waits outside for a word to get out: sockets on loopback that keep whatever arrives."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from pathlib import Path

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
MOST = 1 << 20
"""Bytes that are kept of one connection."""


class Listeners:
    """TCP on both loopback addresses, UDP, Unix sockets with and without a name in `folders`, ICMP where we may listen
    to it. `heard` is everything that arrived. Runs in a thread until `close`."""

    def __init__(self, folders: tuple[Path, ...], name: str) -> None:
        self._heard = bytearray()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, "stop")
        self.ports: dict[str, int] = {}
        self._open("tcp", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        self._open("tcp6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))
        self._open("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        if hasattr(socket, "AF_UNIX"):
            for folder in folders:
                self._open("unix", socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "agent.sock"))
            if os.uname().sysname == "Linux":
                self._open("abstract", socket.AF_UNIX, socket.SOCK_STREAM, f"\0{name}")
        # Only root may hear what is sent to nobody in particular.
        self._open("icmp", socket.AF_INET, socket.SOCK_RAW, ("127.0.0.1", 0), socket.IPPROTO_ICMP)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _open(self, name: str, family: int, kind: int, address: str | tuple[str, int], protocol: int = 0) -> None:
        try:
            made = socket.socket(family, kind, protocol)
        except OSError:
            return
        try:
            made.bind(address)
            if kind == socket.SOCK_STREAM:
                made.listen(64)
            made.setblocking(False)
        except OSError:
            made.close()
            return
        if isinstance(address, tuple):
            self.ports[name] = int(made.getsockname()[1])
        self._selector.register(made, selectors.EVENT_READ, "listen" if kind == socket.SOCK_STREAM else "datagram")

    @property
    def heard(self) -> bytes:
        with self._lock:
            return bytes(self._heard)

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data == "stop":
                    return
                made = key.fileobj
                assert isinstance(made, socket.socket)
                if key.data == "listen":
                    self._accept(made)
                else:
                    self._receive(made, stream=key.data == "stream")

    def _accept(self, made: socket.socket) -> None:
        with contextlib.suppress(OSError):
            peer, _ = made.accept()
            peer.setblocking(False)
            self._keep(b"\n[connection]\n")
            self._selector.register(peer, selectors.EVENT_READ, "stream")

    def _receive(self, made: socket.socket, *, stream: bool) -> None:
        try:
            data = made.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._keep(data)
        if stream and not data:
            self._selector.unregister(made)
            made.close()
        elif stream:
            with contextlib.suppress(OSError):
                made.send(ANSWER)

    def _keep(self, data: bytes) -> None:
        with self._lock:
            if len(self._heard) < 64 * MOST:
                self._heard += data

    def close(self) -> None:
        """Stop listening. What was heard stays."""
        self._wake.send(b"x")
        self._thread.join(5)
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
        self._wake.close()
