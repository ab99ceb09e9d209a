"""The attempts to get out of a bubblewrap with a resident parent, made at the start and by `assay doctor`."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys

from assay.workspace.sandbox.bubblewrap import MOUNTED, Bubblewrap
from assay.workspace.sandbox.inside import wire
from assay.workspace.sandbox.inside.probes import PROBES, Outside
from assay.workspace.sandbox.port import Confinement

PATIENCE = 20.0
"""Seconds for all of it."""
ATTEMPT = f"import sys; sys.path.insert(0, {MOUNTED!r}); from inside.probes import main; main(sys.argv[1:])"


def attempt(sandbox: Bubblewrap, view: Confinement, env: dict[str, str], directory: str, home: str) -> tuple[str, int]:
    """What the attempts said, a line each, and how many lines there should be. `directory` has the file `canary`, and
    `home` is the real one.

    Raises `OSError` or `EOFError` when the resident parent does not start.
    """
    with contextlib.ExitStack() as open_things:
        outside = open_things.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = open_things.enter_context(socket.socket(socket.AF_UNIX))
        name = f"assay-probe-{os.urandom(8).hex()}"
        abstract.bind("\0" + name)
        abstract.listen()
        path = f"{view.root}/socket"
        if len(os.fsencode(path)) < 100:  # the most that an address holds
            reachable = open_things.enter_context(socket.socket(socket.AF_UNIX))
            reachable.bind(path)
            reachable.listen()
        known = Outside(directory, home, os.getpid(), outside.getsockname()[1], name, path)
        line = (os.path.realpath(sys.executable), "-I", "-S", "-E", "-B", "-c", ATTEMPT, *map(str, known))
        request: wire.Message = {"do": "run", "id": 1, "argv": line, "env": env, "cwd": view.root}
        return _answer(sandbox, view, request), len(PROBES) + 1


def _answer(sandbox: Bubblewrap, view: Confinement, request: wire.Message) -> str:
    ours, theirs = socket.socketpair()
    info, told = os.pipe()
    with ours, theirs, os.fdopen(info, "rb"), os.fdopen(told, "wb"):
        process = subprocess.Popen(
            sandbox.parent(view, told, theirs.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={},
            pass_fds=(told, theirs.fileno()),
            start_new_session=True,
        )
        theirs.close()
        try:
            ours.settimeout(PATIENCE)
            return _exchange(ours, sandbox, view, request)
        except (EOFError, OSError) as error:
            process.kill()
            said = process.communicate(timeout=PATIENCE)[1].decode("utf-8", "replace").strip().splitlines()
            raise OSError(said[-1] if said else str(error) or "the resident parent ended") from error
        finally:
            process.kill()
            process.communicate(timeout=PATIENCE)


def _exchange(channel: socket.socket, sandbox: Bubblewrap, view: Confinement, request: wire.Message) -> str:
    wire.send(channel, sandbox.plan(view))
    ready, _ = wire.receive(channel)
    if "ready" not in ready:
        raise OSError(str(ready.get("trouble")))
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as output:
        try:
            wire.send(channel, request | {"read_only": False, "terminal": None, "seconds": PATIENCE}, (writing,))
        finally:
            os.close(writing)
        said = output.read()
    wire.receive(channel)
    return said.decode("utf-8", "replace")
