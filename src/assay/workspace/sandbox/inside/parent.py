"""The resident parent: the first process inside the sandbox, which starts each command on the harness's word.

It keeps capabilities, in the sandbox's user namespace alone, to make namespaces with; commands never have one. They see
neither it nor its memory: they live in pid namespaces below, and it can't be traced or dumped.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import stat
import time
from typing import Any, NamedTuple

from . import child, filters, kernel, landlock, usage, wire

LOOK = 0.1
"""Seconds between two looks at what the commands use."""


class Room(NamedTuple):
    """A first process, ready for one command or running it."""

    process: int
    handle: int
    """A pidfd."""
    channel: socket.socket
    protected: list[tuple[str, int, int]]
    read_only: bool


class Parent:
    """Keeps one room ready, since most of what a command needs can be made before it is known."""

    def __init__(self, channel: socket.socket, plan: child.Plan) -> None:
        self._channel = channel
        self._plan = plan
        self._own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._spare: Room | None = None
        self._live: dict[int, Room] = {}
        self._stopped: dict[int, str] = {}
        self._next_look = 0.0
        self._before = usage.machine()
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)

    def serve(self) -> None:
        """Until the harness hangs up."""
        while True:
            if self._spare is None and not self._poll.poll(0):
                self._spare = self._room(read_only=False)
            events = self._poll.poll(int(LOOK * 1000) if self._live else None)
            numbers = {room.handle: number for number, room in self._live.items()}
            for descriptor, _ in events:
                if descriptor in numbers:
                    self._ended(numbers[descriptor])
                else:
                    self._asked(*wire.receive(self._channel))
            if self._live and time.monotonic() >= self._next_look:
                self._look()
                self._next_look = time.monotonic() + LOOK

    def _room(self, *, read_only: bool) -> Room:
        protected = child.protected_now(self._plan)
        ours, theirs = socket.socketpair()
        with theirs:
            kernel.unshare(kernel.NEW_PIDS)
            try:
                process = os.fork()
                if not process:
                    child.become_command(self._plan, theirs, [each[0] for each in protected], read_only=read_only)
            finally:
                kernel.enter(self._own_pids)
        return Room(process, os.pidfd_open(process), ours, protected, read_only)

    def _fitting(self, *, read_only: bool) -> Room:
        """The spare room, unless it is not what is wanted or the protected names have changed since it was made."""
        spare = self._spare
        if spare is None or read_only:
            return self._room(read_only=read_only)
        self._spare = None
        if spare.protected == child.protected_now(self._plan):
            return spare
        spare.channel.close()
        signal.pidfd_send_signal(spare.handle, signal.SIGKILL)
        os.waitpid(spare.process, 0)
        os.close(spare.handle)
        return self._room(read_only=False)

    def _asked(self, request: dict[str, Any], descriptors: list[int]) -> None:
        if request["do"] == "run":
            self._run(request, descriptors)
        elif request["do"] == "listen":
            self._listen(request["port"])
        elif room := self._live.get(request["id"]):
            number = signal.SIGTERM if request["do"] == "term" else signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(room.handle, number)

    def _run(self, request: dict[str, Any], opened: list[int]) -> None:
        number = request["id"]
        try:
            if request["terminal"]:
                opened = [*child.terminal_of(*request["terminal"])]
                wire.send(self._channel, {"id": number}, (opened[0],))
            if not self._live:
                self._before = usage.machine()
            room = self._fitting(read_only=request["read_only"])
            with room.channel:
                wire.send(room.channel, request, (opened[-1],))
        except OSError as error:
            wire.send(self._channel, {"id": number, "exit": child.COULD_NOT_EXECUTE, "trouble": str(error)})
            return
        finally:
            for descriptor in opened:
                os.close(descriptor)
        self._live[number] = room
        self._poll.register(room.handle, select.POLLIN)

    def _ended(self, number: int) -> None:
        room = self._live.pop(number)
        code = os.waitstatus_to_exitcode(os.waitpid(room.process, 0)[1])
        self._poll.unregister(room.handle)
        os.close(room.handle)
        told = {"id": number, "exit": 128 - code if code < 0 else code}
        wire.send(self._channel, told | {"stopped": self._stopped.pop(number, "")})

    def _look(self) -> None:
        """End what uses too much. When there are very many processes all of them are halted meanwhile: beside them the
        look itself would take too long."""
        crowded = usage.machine().threads - self._before.threads >= self._plan.processes * usage.TOO_MANY
        if crowded:
            os.kill(-1, signal.SIGSTOP)
        first = {room.process: (number, room) for number, room in self._live.items()}
        for process, limit in usage.over(list(first), self._plan.memory, self._plan.processes, self._before):
            number, room = first[process]
            self._stopped.setdefault(number, limit)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(room.handle, signal.SIGKILL)
        if crowded:
            os.kill(-1, signal.SIGCONT)

    def _listen(self, port: int) -> None:
        try:
            with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
                wire.send(self._channel, {"listening": True}, (listener.fileno(),))
        except OSError as error:
            wire.send(self._channel, {"listening": False, "trouble": str(error)})


def plan_of(message: dict[str, Any]) -> child.Plan:
    """Raises `OSError` or `KeyError` when this machine lacks something; the sandbox is then not this one."""
    shared = bool(os.stat(message["root"]).st_mode & stat.S_ISGID)
    return child.Plan(
        **message,
        kept={path: child.mounted_below(path) for path, _ in message["fresh"]},
        calls=filters.assembled(os.uname().machine, shared=shared),
        landlock=landlock.abi(),
        last_capability=child.last_capability(),
    )


def main(descriptor: int) -> None:
    """`descriptor` is the inherited end of the channel."""
    kernel.prctl(kernel.DUMPABLE, 0)
    kernel.prctl(kernel.PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)
    channel = socket.socket(fileno=descriptor)
    message, _ = wire.receive(channel)
    try:
        plan = plan_of(message)
    except (OSError, KeyError) as error:
        wire.send(channel, {"trouble": f"{type(error).__name__}: {error}"})
        return
    wire.send(channel, {"ready": True, "landlock": plan.landlock})
    with contextlib.suppress(EOFError, ConnectionError):
        Parent(channel, plan).serve()
