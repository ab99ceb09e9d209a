"""What looks at content on its way: for secrets, and for what a push would change."""

from __future__ import annotations

import re

from assay.core.egress import Watch
from assay.workspace.sandbox.egress.http1 import Pieces

_COMMAND = re.compile(rb"[0-9a-f]{40,64} ([0-9a-f]{40,64}) (refs/[^\0\n]+)(?:\0[^\n]*)?\n?")
_SHALLOW = re.compile(rb"shallow [0-9a-f]{40,64}\n?")
_SIZE = re.compile(rb"[0-9a-f]{4}")
_LONGEST_COMMANDS = 65_536


class Stopped(Exception):
    """The content may not go on; `str()` says why."""


class Watched:
    """Implements `Pieces`: passes on what holds no secret. As much is held back as one could begin in, so that none
    goes out even in part. `next` raises `Stopped`."""

    def __init__(self, pieces: Pieces, watch: Watch) -> None:
        self._pieces = pieces
        self._watch = watch
        self._kept = b""
        self._ended = False

    async def next(self) -> bytes:
        window = self._watch.window
        while not self._ended:
            piece = await self._pieces.next()
            self._ended = not piece
            self._kept += piece
            if piece and self._watch.found(self._kept):
                raise Stopped("a known secret is in it")
            ready = len(self._kept) - window
            if ready > 0 and not self._ended:
                out, self._kept = self._kept[:ready], self._kept[ready:]
                return out
        out, self._kept = self._kept, b""
        return out


class Push:
    """Implements `Pieces`: passes on a git push that updates one ref and nothing else. Nothing is passed on before its
    commands are known. `next` raises `Stopped`.

    Source: git's pack protocol, "Reference Update Request"; the empty request is what git sends to try the connection.
    """

    def __init__(self, pieces: Pieces, ref: str) -> None:
        self._pieces = pieces
        self._ref = ref.encode()
        self._start = bytearray()
        self._at = 0
        """Up to here its lines were judged."""
        self._judged = False

    async def next(self) -> bytes:
        if self._judged:
            return await self._pieces.next()
        while not self._complete():
            piece = await self._pieces.next()
            if not piece:
                raise Stopped("the commands of the push are cut off")
            self._start += piece
            if self._at > _LONGEST_COMMANDS:
                raise Stopped("the commands of the push are too long")
        self._judged = True
        return bytes(self._start)

    def _complete(self) -> bool:
        """All commands are there. Raises `Stopped` for one that may not be."""
        while len(self._start) >= self._at + 4:
            size = bytes(self._start[self._at : self._at + 4])
            if size == b"0000":
                return True
            length = int(size, 16) if _SIZE.fullmatch(size) else 0
            if length < 5:
                raise Stopped("the commands of the push are malformed")
            if len(self._start) < self._at + length:
                return False
            self._judge(bytes(self._start[self._at + 4 : self._at + length]))
            self._at += length
        return False

    def _judge(self, line: bytes) -> None:
        if _SHALLOW.fullmatch(line):
            return
        command = _COMMAND.fullmatch(line)
        if command is None:
            raise Stopped("the commands of the push are malformed")
        if command[2] != self._ref:
            raise Stopped(f"only {self._ref.decode()} may be pushed")
        if not command[1].strip(b"0"):
            raise Stopped("a branch may not be deleted")
