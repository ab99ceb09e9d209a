"""The harness's end of the resident parent: one small process inside the sandbox that starts all commands of a view.

Starting it costs some tens of milliseconds, once; a command through it costs little more than one outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from typing import Any

from assay.workspace.process import GRACE, Launch, Running
from assay.workspace.sandbox.bubblewrap import Bubblewrap
from assay.workspace.sandbox.inside import wire
from assay.workspace.sandbox.port import Confinement

PROXY_PORT = 3128
"""Where commands find the egress proxy, on 127.0.0.1 of their own network."""
PATIENCE = 20.0
"""Seconds that the start may take."""
ANSWER = 5.0
"""Seconds for what is answered at once."""
GONE = 137


class Resident:
    """Must be made in a running event loop, by the thread that lives longest: the sandbox dies with the thread."""

    def __init__(self, sandbox: Bubblewrap, view: Confinement) -> None:
        """Raises `OSError` when it can't be started."""
        self.loop = asyncio.get_running_loop()
        self.view = view
        self.place = _place(view)
        self._numbers = 0
        self._live: dict[int, asyncio.Future[wire.Message]] = {}
        self._terminals: dict[int, asyncio.Future[int]] = {}
        self._listening: asyncio.Future[socket.socket] | None = None
        self._ready: asyncio.Future[wire.Message] = self.loop.create_future()
        self._ready.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._handle = -1
        self._channel, theirs = socket.socketpair()
        # No pipe: whoever writes into one that nobody reads any more is killed in the middle of its work.
        self._info = os.memfd_create("info")
        self._errors = os.memfd_create("errors")
        try:
            self.process = subprocess.Popen(
                sandbox.parent(view, self._info, theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                env={},
                cwd="/",
                pass_fds=(self._info, theirs.fileno()),
                start_new_session=True,
            )
            self._channel.settimeout(ANSWER)
            wire.send(self._channel, sandbox.plan(view))
        except BaseException:
            self._channel.close()
            os.close(self._info)
            os.close(self._errors)
            raise
        finally:
            theirs.close()
        self.loop.add_reader(self._channel.fileno(), self._readable)

    @property
    def usable(self) -> bool:
        """False when it has ended, or shows a directory that is no longer there."""
        return self._channel.fileno() >= 0 and self.loop.is_running() and _place(self.view) == self.place

    async def ready(self) -> dict[str, Any]:
        """What it found on this machine: {"landlock": version}. Raises `OSError` when it could not be made."""
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(self._ready)

    async def start(self, launch: Launch, *, read_only: bool) -> Confined:
        """Raises `OSError` when the sandbox is not there."""
        await self.ready()
        self._numbers += 1
        request: wire.Message = {
            "do": "run",
            "id": self._numbers,
            "argv": launch.argv,
            "env": launch.env,
            "cwd": launch.cwd,
            "read_only": read_only,
            "terminal": launch.terminal,
            "seconds": launch.timeout,
        }
        ended = self._live[self._numbers] = self.loop.create_future()
        if launch.terminal is None:
            reading, writing = os.pipe()
            try:
                self._send(request, (writing,))
            except OSError:
                os.close(reading)
                raise
            finally:
                os.close(writing)
        else:
            waiting = self._terminals[self._numbers] = self.loop.create_future()
            self._send(request)
            reading = await waiting
        return Confined(launch, reading, self, self._numbers, ended)

    async def listener(self) -> socket.socket:
        """A socket that listens on 127.0.0.1, port `PROXY_PORT`, in the commands' network; the caller accepts on it
        and closes it. Raises `OSError` when there can be none."""
        await self.ready()
        if self._listening is None:
            self._listening = self.loop.create_future()
            self._send({"do": "listen", "port": PROXY_PORT})
        async with asyncio.timeout(ANSWER):
            return (await asyncio.shield(self._listening)).dup()

    def tell(self, word: str, number: int) -> None:
        """`term` or `kill` for a command; nothing when it is gone."""
        with contextlib.suppress(OSError):
            self._send({"do": word, "id": number})

    def _send(self, message: wire.Message, descriptors: tuple[int, ...] = ()) -> None:
        try:
            wire.send(self._channel, message, descriptors)
        except OSError:
            self.kill()
            raise

    def _readable(self) -> None:
        try:
            message, descriptors = wire.receive(self._channel)
        except (EOFError, OSError, ValueError):
            self.kill()
            return
        if "ready" in message:
            self._grasp()
            self._ready.set_result(message)
        elif "listening" in message:
            self._listened(message, descriptors)
        elif "exit" in message:
            if waiting := self._terminals.pop(message["id"], None):
                waiting.set_exception(OSError(message.get("trouble", "it has no terminal")))
            _settle(self._live.pop(message["id"], None), message)
        elif descriptors:
            _settle(self._terminals.pop(message["id"], None), descriptors[0])
        else:
            self._fail(f"the sandbox can't be made: {message.get('trouble')}")

    def _grasp(self) -> None:
        """Take hold of the first process inside, once bubblewrap has told which one that is."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            self._handle = os.pidfd_open(json.loads(os.pread(self._info, 4096, 0))["child-pid"])

    def _listened(self, message: wire.Message, descriptors: list[int]) -> None:
        assert self._listening is not None
        if descriptors:
            self._listening.set_result(socket.socket(fileno=descriptors[0]))
        else:
            self._listening.set_exception(OSError(f"no port for the egress proxy: {message['trouble']}"))
            self._listening = None

    def _fail(self, why: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(OSError(why))
        self.kill()

    def kill(self) -> None:
        """End it and every command, at once; returns when they are gone. May be called twice."""
        if self._channel.fileno() < 0:
            return
        self.loop.remove_reader(self._channel.fileno())
        self._channel.close()
        if self._handle < 0:
            self._grasp()
        with contextlib.suppress(ProcessLookupError):
            if self._handle >= 0:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            # While it is still starting, what it forked waits for it for ever and is in its process group.
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=2.0)
        said = os.pread(self._errors, 4096, 0).decode("utf-8", "replace").strip().splitlines()
        for descriptor in (self._info, self._errors, self._handle):
            if descriptor >= 0:
                os.close(descriptor)
        self._handle = -1
        why = f"the sandbox ended: {said[-1] if said else self.process.returncode}"
        for future in (self._ready, self._listening, *self._terminals.values()):
            if future is not None and not future.done() and not self.loop.is_closed():
                future.set_exception(OSError(why))
        for future in self._live.values():
            _settle(future, {"exit": GONE, "stopped": ""})
        self._live.clear()
        self._terminals.clear()
        if self._listening is not None and self._listening.done() and not self._listening.exception():
            self._listening.result().close()


class Confined(Running):
    """One live command inside."""

    def __init__(
        self, launch: Launch, reading: int, resident: Resident, number: int, ended: asyncio.Future[wire.Message]
    ) -> None:
        super().__init__(launch, reading)
        self._resident = resident
        self._number = number
        ended.add_done_callback(self._told)
        if ended.done():
            self._told(ended)

    def _told(self, ended: asyncio.Future[wire.Message]) -> None:
        if not self.ended.done() and not ended.cancelled():
            message = ended.result()
            self.code, self.stopped = message["exit"], message.get("stopped", "")
            if "trouble" in message:
                self.capture.feed(f"{message['trouble']}\n".encode())
            self.ended.set_result(None)

    async def stop(self) -> None:
        self._resident.tell("term", self._number)
        await asyncio.wait({self.ended}, timeout=GRACE)
        await self.end()

    async def end(self) -> None:
        self._resident.tell("kill", self._number)
        await asyncio.wait({self.ended}, timeout=GRACE)
        if not self.ended.done():
            self._resident.kill()

    async def settle(self) -> None:
        await asyncio.wait({self.eof}, timeout=1.0)

    def kill(self) -> None:
        """All commands of the sandbox: this is for the end of the work."""
        self._resident.kill()


def _settle(future: asyncio.Future[Any] | None, value: object) -> None:
    if future is not None and not future.done() and not future.get_loop().is_closed():
        future.set_result(value)


def _place(view: Confinement) -> tuple[int, int]:
    try:
        status = os.stat(view.source)  # noqa: PTH116 - asked before every command
    except OSError:
        return (0, 0)
    return status.st_dev, status.st_ino
