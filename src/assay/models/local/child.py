"""The model server's own process: `python -m assay.models.local.child`, an `Order` as JSON on standard input.

It never outlives its purpose: as a daemon it ends when idle or when its state file is gone; otherwise it ends with its
parent, even one that was killed (the kernel's parent-death signal on Linux, the end of standard input anywhere).
Standard output stays open until the server answers, so its end tells a waiting parent that there is news.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Hashable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import msgspec

from assay.models.local.machine import process_start, threads
from assay.models.local.state import Order, Runtime, State, clear, log_of, write_state

LOG_CAP = 1 << 20
"""Bytes of log that are kept."""


class Engine(Protocol):
    """A server that is up. `activity` changes whenever a request has made progress; None means one is running."""

    @property
    def base_url(self) -> str: ...

    def activity(self) -> Hashable | None: ...


def main(start: Callable[[Order], Engine] | None = None) -> None:
    """Serve one order, then end the process. `start` brings up the engine (default: llama.cpp)."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    if order.daemon:
        # The first process ends at once: the server is nobody's child, so nobody has to wait for it.
        if os.fork():
            os._exit(0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    else:
        _die_with_parent()
    path = Path(order.state)
    state = State(
        schema=1,
        pid=os.getpid(),
        started=process_start(os.getpid()),
        base_url="",
        api_key=order.api_key,
        identity=order.identity,
        options=order.options,
        shared=order.shared,
    )
    write_state(path, state)
    try:
        engine = (start or LlamaServer)(order)
    except Exception as error:  # noqa: BLE001  # whatever it is, the parent reads it in the log
        sys.stderr.write(f"the server did not start: {error}\n")
        sys.stderr.flush()
        os._exit(1)  # threads of a half-started engine must not hold the process
    write_state(path, msgspec.structs.replace(state, base_url=engine.base_url))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    watch(engine, path, order.options.idle_seconds)
    os._exit(0)


def watch(engine: Engine, path: Path, idle_seconds: float) -> None:
    """Return when nothing was asked of `engine` for `idle_seconds` (0: never), or when the state file is gone.

    Whoever looks a server up touches its state file under the folder's lock: that counts as being asked, and no
    server ends between being found and being used.
    """
    folder = Runtime(path.parent)
    pause = min(5.0, idle_seconds / 4) if idle_seconds else 5.0
    seen = engine.activity()
    last = time.time()
    while True:
        time.sleep(pause)
        _cap(log_of(path))
        now = engine.activity()
        if now is None or now != seen:
            seen, last = now, time.time()
            continue
        try:
            with folder.try_lock() as held:
                last = max(last, path.stat().st_mtime)
                if held and idle_seconds and time.time() - last >= idle_seconds:
                    clear(path)
                    return
        except OSError:
            return


class LlamaServer:
    """llama.cpp's HTTP server inside this process, on loopback. Raises when the model can't be loaded."""

    def __init__(self, order: Order) -> None:
        # An optional extra, and one without types: hence not a plain import.
        runtime: Any = import_module("xllamacpp")
        options = order.options
        params = runtime.CommonParams()
        params.model.path = order.model
        params.model_alias = {Path(order.model).name}
        params.hostnames = ["127.0.0.1"]
        params.port = options.port
        params.api_keys = [order.api_key]
        params.cors_origins = "localhost"
        params.ui = False
        params.endpoint_metrics = True
        params.endpoint_slots = False
        params.n_ctx = options.context
        params.n_parallel = options.parallel
        params.kv_unified = True  # slots share the pool: one long conversation may use all of it
        params.cache_ram_mib = 512  # conversations put aside when others need their slot; 28 KiB a token
        params.warmup = False
        if sys.platform != "darwin":
            # The server looks for a cancelled request between batches only (and only in a stream that asks for
            # `return_progress`, else after the whole prompt). A CPU reads some 30 tokens a second and thread: the
            # default of 2048 would hold the slot for a minute. 64 reads 4% slower. On a GPU the default is right.
            params.n_batch = params.n_ubatch = 64
        params.verbosity = 2
        params.n_threads_http = options.parallel + 2
        for pool in (params.cpuparams, params.cpuparams_batch):
            pool.n_threads = options.threads or threads()
            pool.poll = 0  # a polling thread starves the others on a busy machine
        self._server: Any = runtime.Server(params)
        self.base_url = str(self._server.listening_address)

    def activity(self) -> Hashable | None:
        counts: dict[str, float] = {}
        for line in str(self._server.handle_metrics()).splitlines():
            name, _, value = line.partition(" ")
            if name.startswith("llamacpp:"):
                counts[name.removeprefix("llamacpp:")] = float(value)
        if counts.get("requests_processing") or counts.get("requests_deferred"):
            return None
        return counts.get("prompt_tokens_total"), counts.get("tokens_predicted_total"), counts.get("n_decode_total")


def _die_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG; the parent may be gone already, see below

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4_096):
                continue
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def _cap(log: Path) -> None:
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_CAP:
            os.truncate(log, 0)


if __name__ == "__main__":
    main()
