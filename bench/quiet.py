"""A network without an outside: loopback only, and a resolver that answers "no such name" and keeps the names.

Without it a measurement would depend on the day's network, and names that a program looks up would go unseen. Needs
root on Linux; elsewhere the measurements run on the network as it is and names are not counted.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence

INSIDE = "BENCH_INSIDE"
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def inside() -> bool:
    """Whether this process was started by `enter`, told by the namespaces it is in and not by a variable alone: what
    is done inside must never be done to the machine's own network."""
    outside, own = os.environ.get(INSIDE, "").split(), _namespaces()
    alone = [name for _, name in socket.if_nameindex()] == ["lo"]
    return len(outside) == len(own) == 2 and not {*outside} & {*own} and alone


def _namespaces() -> list[str]:
    """The names of this process's network and mount namespaces; none where there is no such thing."""
    try:
        return [os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt")]
    except OSError:
        return []


def possible() -> bool:
    """Whether `enter` can work here. Not within what it has started: it is entered once."""
    root = sys.platform == "linux" and os.geteuid() == 0 and INSIDE not in os.environ
    return root and bool(shutil.which("unshare") and shutil.which("mount"))


def enter(arguments: Sequence[str]) -> int:
    """Runs `python -m bench ARGUMENTS` on the quiet network; returns its exit code."""
    command = ["unshare", "--net", "--mount", sys.executable, "-m", "bench", *arguments]
    outside = " ".join(_namespaces())
    return subprocess.run(command, env={**os.environ, INSIDE: outside}, check=False).returncode


class Resolver:
    """Answers every question on 127.0.0.1:53 with "no such name"; `names` are those asked for, in order.

    Raises RuntimeError outside of what `enter` makes: it puts itself in the place of the machine's resolver.
    """

    def __init__(self) -> None:
        if not inside():
            raise RuntimeError("the resolver belongs inside a network of its own; start it through quiet.enter")
        self.names: list[str] = []
        _loopback_up()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        with tempfile.NamedTemporaryFile("w", prefix="bench-resolv-", delete=False) as file:
            file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        # The bind mount lives in this process's own mount namespace and goes with it.
        subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)
        os.unlink(file.name)  # the mount keeps what it needs
        threading.Thread(target=self._serve, name="resolver", daemon=True).start()

    def take(self) -> list[str]:
        """The names asked for since the last call."""
        names, self.names = self.names, []
        return names

    def _serve(self) -> None:
        while True:
            question, sender = self._socket.recvfrom(4096)
            with contextlib.suppress(IndexError, UnicodeDecodeError):
                self.names.append(name_of(question))
            self._socket.sendto(refusal(question), sender)


def name_of(question: bytes) -> str:
    """The first name in a DNS question. Raises IndexError when the packet is too short."""
    labels: list[str] = []
    at = 12
    while question[at]:
        size = question[at]
        labels.append(question[at + 1 : at + 1 + size].decode("ascii"))
        at += 1 + size
    return ".".join(labels)


def refusal(question: bytes) -> bytes:
    """The answer NXDOMAIN (RFC 1035, section 4.1.1) to a question."""
    return question[:2] + struct.pack("!HHHHH", 0x8183, 1, 0, 0, 0) + _only_question(question)


def _only_question(question: bytes) -> bytes:
    """The question section alone: clients add options (EDNS) behind it that an answer need not repeat."""
    end = question.find(b"\0", 12)
    return question[12 : end + 5] if end >= 0 else b""


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
