"""The local model's server: started when first needed, shared by the calls of one user, ended when idle.

By default a server is a small daemon: `assay -p` calls that follow each other find it with the model loaded and the
prompt cache warm, and it ends by itself ten minutes after the last request. `keep=False` makes a private one that
ends with its parent, even if that is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import sysconfig
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from types import TracebackType

import msgspec
from msgspec import Struct

from assay.models.local.errors import RuntimeMissing, ServerFailed
from assay.models.local.machine import threads
from assay.models.local.state import Options, Order, Runtime, State, clear, end, log_of, read_state
from assay.models.local.store import ModelFile

INHERITED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "PYTHONHOME"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
)
"""What a server gets of its parent's environment: no key, no token, no proxy."""
ANSWER = 15.0
"""Seconds within which a running server answers a health check, on a busy machine too."""


class Endpoint(Struct, frozen=True):
    """Where a server listens. `base_url` has no path; requests carry `Authorization: Bearer <api_key>`.

    Loopback: a client must not send these requests through the user's proxy.
    """

    base_url: str
    api_key: str
    pid: int


class LocalServer:
    """The way to a running server, for one caller.

    runtime: the folder for state files, made private. keep: share a daemon (True) or own a private server.
    command: the server program (default: llama.cpp from the `local` extra). start_seconds: the longest start.
    """

    def __init__(
        self,
        runtime: Path,
        *,
        keep: bool = True,
        command: Sequence[str] | None = None,
        start_seconds: float = 180.0,
    ) -> None:
        self._runtime = Runtime(runtime.absolute())
        self._keep = keep
        self._command = command
        self._start_seconds = start_seconds
        self._state: Path | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def ensure(
        self,
        model: ModelFile,
        options: Options | None = None,
        notify: Callable[[str], None] | None = None,
        *,
        shared: bool | None = None,
    ) -> Endpoint:
        """A healthy server for `model`: the one that runs, or a new one. Cheap when it runs; call it before each use.

        `notify` gets a line for a person when a start makes them wait. `shared` (default: `keep`) lets other
        processes use it. Raises RuntimeMissing, or ServerFailed with the end of the server's log.
        """
        shared = self._keep if shared is None else shared
        options = options or Options()
        self._runtime.prepare()
        async with self._lock():
            found = await self._running(model, options, shared)
            if found is not None:
                return found
            if self._command is None and not _installed():
                raise RuntimeMissing("the local model's runtime is not installed: pip install 'assay[local]'")
            if not self._keep:
                await self.stop()  # a private one that died, or that was made with other options
            if notify is not None:
                notify(f"starting the local model {model.name}")
            return await self._start(model, options, shared)

    async def stop(self) -> None:
        """End the server that `ensure` gave last, whoever started it."""
        path, self._state = self._state, None
        if path is not None and (state := read_state(path)) is not None:
            await asyncio.to_thread(end, path, state)
        process, self._process = self._process, None
        if process is not None:
            await process.wait()

    @contextlib.asynccontextmanager
    async def lease(self, *, wait: float = 3_600.0) -> AsyncGenerator[None]:
        """Hold the server for one request, whatever number of samples it asks for.

        The slots share one pool of context: two long conversations at once would overflow it and both fail, and
        they would not be faster than one after the other. Raises ServerFailed after `wait` seconds in the queue.
        """
        path = self._state
        if path is None:
            raise ServerFailed("no local model server is in use: ensure one first")
        late = "the local model is busy with other requests"
        async with _held(self._runtime, path.with_suffix(".turn").name, wait, late):
            yield

    async def wait_closed(self) -> str:
        """Return when a private server has ended by itself, with the end of its log."""
        assert self._process is not None, "only a private server is watched"
        path = self._state
        await self._process.wait()
        return _tail(log_of(path)) if path is not None else ""

    async def __aenter__(self) -> LocalServer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._keep:
            await self.stop()

    def _lock(self) -> contextlib.AbstractAsyncContextManager[None]:
        late = "another call is still starting the local model"
        return _held(self._runtime, "lock", self._start_seconds + ANSWER, late)

    async def _running(self, model: ModelFile, options: Options, shared: bool) -> Endpoint | None:
        for path, state in self._runtime.states():
            if not (path == self._state or (shared and state.shared)) or not state.serves(model.identity, options):
                continue
            ready = state if state.base_url else await self._loaded(path)
            if ready is None:
                continue
            with contextlib.suppress(FileNotFoundError):
                os.utime(path)
                if await _healthy(ready):
                    self._state = path
                    return Endpoint(ready.base_url, ready.api_key, ready.pid)
            await asyncio.to_thread(end, path, ready, 0.0)  # it no longer answers: no use asking it to end
        return None

    async def _loaded(self, path: Path) -> State | None:
        """The state of a server that another process began to start, once it serves."""
        deadline = time.monotonic() + self._start_seconds
        while (state := read_state(path)) is not None and state.alive():
            if state.base_url:
                return state
            if time.monotonic() > deadline:
                await asyncio.to_thread(end, path, state)
                break
            await asyncio.sleep(0.1)
        return None

    async def _start(self, model: ModelFile, options: Options, shared: bool) -> Endpoint:
        path = self._runtime.folder / f"server-{secrets.token_hex(8)}.json"
        order = Order(
            state=str(path),
            model=model.path,
            identity=model.identity,
            api_key=secrets.token_urlsafe(24),
            options=msgspec.structs.replace(options, threads=options.threads or threads()),
            daemon=self._keep,
            shared=shared,
        )
        log = os.open(log_of(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                *(self._command or (sys.executable, "-P", "-m", "assay.models.local.child")),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=self._runtime.folder,
                env=child_environment(),
                start_new_session=True,
            )
        except OSError as error:
            clear(path)
            raise ServerFailed(f"the local model server can't be started: {error.strerror or error}") from None
        finally:
            os.close(log)
        try:
            state = await self._hand_over(process, order)
        except BaseException:
            await self._abandon(process, path)
            raise
        self._state = path
        if not self._keep:
            self._process = process
        return Endpoint(state.base_url, state.api_key, state.pid)

    async def _hand_over(self, process: asyncio.subprocess.Process, order: Order) -> State:
        assert process.stdin is not None and process.stdout is not None
        path = Path(order.state)
        name = Path(order.model).name
        try:
            async with asyncio.timeout(self._start_seconds):
                with contextlib.suppress(ConnectionError):
                    process.stdin.write(msgspec.json.encode(order) + b"\n")
                    await process.stdin.drain()
                if order.daemon:
                    process.stdin.close()
                # It ends when the server answers or is dead; nothing is ever written to it.
                while await process.stdout.read(4_096):
                    continue
                if order.daemon:
                    await process.wait()
        except TimeoutError:
            raise ServerFailed(
                f"the local model {name} did not start within {self._start_seconds:.0f} s{_told(path)}"
            ) from None
        state = read_state(path)
        if state is None or not state.base_url or not state.alive() or not await _healthy(state):
            raise ServerFailed(f"the local model {name} did not start{_told(path)}")
        return state

    async def _abandon(self, process: asyncio.subprocess.Process, path: Path) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        # A daemon is no child of ours: its state file, which it writes before anything slow, tells where it is.
        if (state := read_state(path)) is not None:
            await asyncio.to_thread(end, path, state)
        clear(path)
        await process.wait()


async def serve(server: LocalServer, model: ModelFile, options: Options, ready: Callable[[Endpoint], None]) -> None:
    """Run a server in the foreground until this task is cancelled (Ctrl-C); other calls of the user share it.

    `server` is one made with `keep=False`. Raises ServerFailed when the server ends by itself.
    """
    async with server:
        ready(await server.ensure(model, msgspec.structs.replace(options, idle_seconds=0), shared=True))
        said = await server.wait_closed()
        raise ServerFailed(f"the local model server ended{': ' + said if said else ''}")


def stop_all(runtime: Path) -> int:
    """End every server of this runtime folder. Returns how many there were."""
    states = Runtime(runtime.absolute()).states()
    for path, state in states:
        end(path, state)
    return len(states)


def child_environment() -> dict[str, str]:
    """The environment of a server: what it needs to run, and nothing that could hold a secret.

    Its module path is the caller's, made absolute, so that no folder it happens to run in can stand in for a module.
    """
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    home = str(Path(__file__).resolve().parents[3])
    paths = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if home not in paths and home not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        paths.append(home)
    if paths:
        kept["PYTHONPATH"] = os.pathsep.join(paths)
    return kept


async def _healthy(state: State) -> bool:
    import httpx2

    # trust_env: the user's proxy has no business between this process and its own child.
    async with httpx2.AsyncClient(trust_env=False, timeout=ANSWER) as client:
        try:
            answer = await client.get(
                f"{state.base_url}/v1/models", headers={"Authorization": f"Bearer {state.api_key}"}
            )
        except httpx2.HTTPError:
            return False
    return answer.status_code == 200


@contextlib.asynccontextmanager
async def _held(runtime: Runtime, name: str, wait: float, late: str) -> AsyncGenerator[None]:
    deadline = time.monotonic() + wait
    while True:
        with runtime.try_lock(name) as held:
            if held:
                yield
                return
        if time.monotonic() >= deadline:
            raise ServerFailed(f"{late} after {wait:.0f} s: try again later")
        await asyncio.sleep(0.05)


def _installed() -> bool:
    from importlib.util import find_spec

    return find_spec("xllamacpp") is not None


def _told(path: Path) -> str:
    said = _tail(log_of(path))
    return f": {said}" if said else ""


def _tail(log: Path, lines: int = 4, size: int = 600) -> str:
    """The last lines of a log on one line, at most `size` characters."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8_192))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(said[-lines:])[-size:]
