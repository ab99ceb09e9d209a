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
from typing import Any, NamedTuple

from . import child, filters, kernel, landlock, usage, wire

LOOK = 0.1
"""Seconds between two looks at what the commands use."""


class Live(NamedTuple):
    number: int
    process: int
    handle: int
    """A pidfd of the command's first process."""


class Parent:
    def __init__(self, channel: socket.socket, plan: child.Plan) -> None:
        self._channel = channel
        self._plan = plan
        self._own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._live: dict[int, Live] = {}
        self._stopped: dict[int, str] = {}
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)

    def serve(self) -> None:
        """Until the harness hangs up."""
        while True:
            events = self._poll.poll(int(LOOK * 1000) if self._live else None)
            handles = {live.handle: live for live in self._live.values()}
            for descriptor, _ in events:
                if descriptor in handles:
                    self._ended(handles[descriptor])
                else:
                    self._asked(*wire.receive(self._channel))
            if not events:
                self._look()

    def _asked(self, request: dict[str, Any], descriptors: list[int]) -> None:
        if request["do"] == "run":
            self._run(request, descriptors[0] if descriptors else -1)
        elif request["do"] == "listen":
            self._listen(request["port"])
        elif live := self._live.get(request["id"]):
            number = signal.SIGTERM if request["do"] == "term" else signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(live.handle, number)

    def _run(self, request: dict[str, Any], output: int) -> None:
        master = slave = -1
        opened = [output]
        try:
            if request["terminal"]:
                master, slave = child.terminal_of(*request["terminal"])
                opened = [master, slave]
            kernel.unshare(kernel.NEW_PIDS)
            process = os.fork()
            if not process:
                child.become_command(self._plan, request, output, slave)
            kernel.enter(self._own_pids)
            live = Live(request["id"], process, os.pidfd_open(process))
        except OSError as error:
            wire.send(self._channel, {"id": request["id"], "exit": child.COULD_NOT_EXECUTE, "trouble": str(error)})
            return
        else:
            if master >= 0:
                wire.send(self._channel, {"id": live.number}, (master,))
        finally:
            for descriptor in opened:
                if descriptor >= 0:
                    os.close(descriptor)
        self._live[live.number] = live
        self._poll.register(live.handle, select.POLLIN)

    def _ended(self, live: Live) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(live.process, 0)[1])
        self._poll.unregister(live.handle)
        os.close(live.handle)
        del self._live[live.number]
        told = {"id": live.number, "exit": 128 - code if code < 0 else code}
        wire.send(self._channel, told | {"stopped": self._stopped.pop(live.number, "")})

    def _look(self) -> None:
        first = {live.process: live for live in self._live.values()}
        for process, limit in usage.over(list(first), self._plan.memory, self._plan.processes):
            self._stopped.setdefault(first[process].number, limit)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(first[process].handle, signal.SIGKILL)

    def _listen(self, port: int) -> None:
        try:
            with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
                wire.send(self._channel, {"listening": True}, (listener.fileno(),))
        except OSError as error:
            wire.send(self._channel, {"listening": False, "trouble": str(error)})


def plan_of(message: dict[str, Any]) -> child.Plan:
    """Raises `OSError` or `KeyError` when this machine lacks something; the sandbox is then not this one."""
    return child.Plan(
        **message,
        kept={path: child.mounted_below(path) for path, _ in message["fresh"]},
        calls=filters.assembled(os.uname().machine),
        landlock=landlock.abi(),
        last_capability=child.last_capability(),
    )


def main(descriptor: int) -> None:
    """`descriptor` is the inherited end of the channel."""
    kernel.prctl(kernel.DUMPABLE, 0)
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
