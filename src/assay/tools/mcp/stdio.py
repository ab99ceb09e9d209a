"""The process of a stdio server: its own group, bounded lines, standard error in a bounded file.

The library's own transport reads lines of any length and keeps no bound on anything; so this is ours, with the same
streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assay.tools.mcp.config import ServerConfig
from assay.tools.mcp.peer import CHATTER, MESSAGE, ServerError

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.shared.message import SessionMessage

    Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
    Outgoing = MemoryObjectSendStream[SessionMessage]

INHERITED = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ")
"""Variables that a server gets without being given them; keys and tokens are not among them."""
LOG = 200_000
"""Bytes of its standard error that are kept."""
_CHUNK = 1 << 16
_PATIENCE = 0.7
"""Seconds that a server has to end after its input ended, and again after a polite signal."""
_ID = re.compile(rb'"id"\s*:\s*(\d{1,9})')


class ServerProcess:
    """A server that runs as a child. `log`: where its standard error goes; None to drop it."""

    def __init__(self, config: ServerConfig, environ: Mapping[str, str], directory: str, log: Path | None):
        self._config = config
        self._environ = environ
        self._directory = directory
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.why = ""
        """How the conversation ended, when that was its doing."""

    @contextlib.asynccontextmanager
    async def streams(self) -> AsyncGenerator[tuple[Incoming, Outgoing]]:
        """Start it; messages in and out until the context ends. Raises `ServerError` when it can't be started."""
        import anyio
        from mcp.shared.message import SessionMessage

        process = await self._start()
        into, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](64)
        outgoing, out = anyio.create_memory_object_stream[SessionMessage](0)
        tasks = [
            asyncio.create_task(self._read(process, into)),
            asyncio.create_task(self._write(process, out, into)),
            asyncio.create_task(self._keep_log(process)),
        ]
        try:
            yield incoming, outgoing
        finally:
            end = asyncio.ensure_future(self._end(process, tasks))
            try:
                await asyncio.shield(end)
            except asyncio.CancelledError:
                await asyncio.wait([end])
                raise
            finally:
                for stream in (into, incoming, outgoing, out):
                    stream.close()

    def kill(self) -> None:
        """End it and all it started, at once."""
        if self._process:
            _signal(self._process, signal.SIGKILL)

    async def _start(self) -> asyncio.subprocess.Process:
        config = self._config
        inherited = {name: self._environ[name] for name in INHERITED if name in self._environ}
        try:
            self._process = await asyncio.create_subprocess_exec(
                config.command,
                *config.args,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self._directory,
                env={**inherited, **config.env},
                start_new_session=True,
                limit=_CHUNK,
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ServerError(f"cannot start {config.command}: {why}; is it installed?") from error
        return self._process

    async def _read(
        self, process: asyncio.subprocess.Process, into: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        import anyio

        assert process.stdout
        lines = Lines()
        garbage = 0
        with into:
            while chunk := await process.stdout.read(_CHUNK):
                for line in lines.feed(chunk):
                    item = _parsed(line)
                    if item is None:
                        garbage += 1
                        continue
                    try:
                        await into.send(item)
                    except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                        return
                if garbage > CHATTER:
                    self.why = "it floods: its output is not the protocol"
                    return
                # A pipe that is never empty must not keep the loop from everything else.
                await asyncio.sleep(0)
        self.why = self.why or "its process ended"

    async def _write(
        self,
        process: asyncio.subprocess.Process,
        out: MemoryObjectReceiveStream[SessionMessage],
        into: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        assert process.stdin
        try:
            async for item in out:
                process.stdin.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                await process.stdin.drain()
        except OSError:
            # Whoever waits for an answer hears that the connection has ended.
            self.why = self.why or "it does not read what it is told"
            into.close()

    async def _keep_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr
        left = LOG
        with contextlib.ExitStack() as stack:
            file = None
            if self._log:
                with contextlib.suppress(OSError):
                    self._log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                    file = stack.enter_context(open(descriptor, "wb", buffering=0))  # noqa: PTH123 - a descriptor
            while chunk := await process.stderr.read(_CHUNK):
                if file and left > 0:
                    with contextlib.suppress(OSError):
                        file.write(chunk[:left])
                left -= len(chunk)
                await asyncio.sleep(0)

    async def _end(self, process: asyncio.subprocess.Process, tasks: list[asyncio.Task[None]]) -> None:
        """Its input ends, then it is asked, then it is made to; what it started goes with it."""
        if process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()
        for ask in (signal.SIGTERM, signal.SIGKILL):
            try:
                async with asyncio.timeout(_PATIENCE):
                    await process.wait()
                break
            except TimeoutError:
                _signal(process, ask)
        _signal(process, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await process.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The transport's pipes are closed here and not by the garbage collector, which would warn.
        transport = getattr(process, "_transport", None)
        if isinstance(transport, asyncio.SubprocessTransport):
            transport.close()


class Lines:
    """Cuts bytes into lines of at most `MESSAGE` bytes. A longer one is dropped as it comes; when it looks like an
    answer, an error takes its place, so that whoever waits for it hears of it."""

    def __init__(self, limit: int = MESSAGE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._head = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        found: list[bytes] = []
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            self._take(piece)
            if self._size > self._limit:
                if match := _ID.search(self._head):
                    found.append(_too_long(int(match[1]), self._limit))
            elif line := b"".join(self._parts).strip():
                found.append(line)
            self._parts, self._size, self._head = [], 0, b""
        self._take(rest)
        return found

    def _take(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._limit:
            self._parts.append(piece)
        elif self._parts:
            self._head = b"".join(self._parts)[:500] or piece[:500]
            self._parts = []


def _too_long(number: int, limit: int) -> bytes:
    text = f"the answer has more than {limit // 1_000_000} MB and was dropped"
    return b'{"jsonrpc":"2.0","id":%d,"error":{"code":-32000,"message":"%s"}}' % (number, text.encode())


def _parsed(line: bytes) -> SessionMessage | None:
    """A message, or None for a line that is none."""
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except (ValueError, RecursionError):
        return None


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """To its group: `start_new_session` made it the leader, and what it started stays there unless it left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
