"""Messages between the harness and the resident parent: a length, JSON, and descriptors with the first byte."""

from __future__ import annotations

import json
import socket
from typing import Any

MOST_DESCRIPTORS = 4
CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
Message = dict[str, Any]


def send(channel: socket.socket, message: Message, descriptors: tuple[int, ...] = ()) -> None:
    """Raises `OSError` when the other side is gone. Undecodable bytes of paths and arguments travel as surrogates."""
    body = json.dumps(message).encode("ascii")
    data = len(body).to_bytes(4, "little") + body
    sent = socket.send_fds(channel, [data], list(descriptors))
    if sent < len(data):  # even nothing can't be sent to one who has read it all and is gone
        channel.sendall(data[sent:])


def receive(channel: socket.socket) -> tuple[Message, list[int]]:
    """The next message; raises `EOFError` when there will be none, `OSError` on trouble. The descriptors are closed
    on exec."""
    head, descriptors, _, _ = socket.recv_fds(channel, 4, MOST_DESCRIPTORS, CLOSE_ON_EXEC)
    head += _exactly(channel, 4 - len(head)) if head else b""
    if not head:
        raise EOFError
    body = _exactly(channel, int.from_bytes(head, "little"))
    return json.loads(body), descriptors


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(min(size - len(parts), 1 << 16))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
