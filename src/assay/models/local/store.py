"""The model store: files known by their content.

```
models/
  blobs/sha256-<hex>      a whole model file; the name is its hash
  partial/<hex>           the first bytes of a file that is being pulled
  index.json              names, origins, and which blobs were hashed when; may be lost, it can be rebuilt
  pull.lock               held while a pull writes
```
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from assay.models.local.errors import ModelFileError

if TYPE_CHECKING:
    from assay.models.local.pinned import Pinned

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and a note for a person."""

CHUNK = 4 << 20
GGUF_MAGIC = b"GGUF"


class Entry(Struct, frozen=True):
    """One named model of the index; `size` in bytes, `origin` is the mirror that supplied it."""

    sha256: str
    size: int
    licence: str = ""
    origin: str = ""


class Stamp(Struct, frozen=True, array_like=True):
    """What a blob's inode looked like when its hash was last found right."""

    size: int
    mtime_ns: int
    inode: int


class Index(Struct, frozen=True):
    schema: int = 1
    models: dict[str, Entry] = {}
    verified: dict[str, Stamp] = {}


class ModelFile(Struct, frozen=True):
    """A file that may be loaded. `identity` changes when its content may have changed."""

    path: str
    identity: str
    name: str
    pinned: bool


class Store:
    """A content-addressed folder of model files under `root` (made when first written to)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.partials = root / "partial"
        self._index = root / "index.json"

    def blob(self, pin: Pinned) -> Path:
        """Where the pinned file is or would be."""
        return self.blobs / f"sha256-{pin.sha256}"

    def partial(self, pin: Pinned) -> Path:
        """Where the first bytes of the pinned file are kept while it is pulled."""
        return self.partials / pin.sha256

    def index(self) -> Index:
        """The index; empty when there is none or it is damaged."""
        try:
            return msgspec.json.decode(self._index.read_bytes(), type=Index)
        except (OSError, msgspec.DecodeError, UnicodeError, RecursionError):
            return Index()

    def find(self, pin: Pinned, progress: Progress | None = None) -> Path | None:
        """The pinned file, its hash known to be right, or None when the store doesn't hold it.

        Hashes the file only when it changed since it was last found right (size, time of change, inode).
        Raises ModelFileError when the bytes are wrong.
        """
        path = self.blob(pin)
        try:
            stamp = _stamp(path)
        except OSError:
            return None
        if self.index().verified.get(pin.sha256) == stamp and stamp.size == pin.size:
            return path
        found = hash_file(path, progress, pin.display) if stamp.size == pin.size else f"{stamp.size} bytes"
        if found != pin.sha256:
            raise ModelFileError(
                f"model file {path} is damaged (expected sha256 {pin.sha256[:12]}…, {pin.size} bytes; found "
                f"{found[:24]}): run `assay models pull` to fetch it again"
            )
        self._record(pin, stamp, origin=None)
        return path

    def adopt(self, file: Path, pin: Pinned, *, origin: str) -> Path:
        """Move `file`, whose hash the caller has just found right, into the store under its name. Returns the blob."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        path = self.blob(pin)
        # Stamped before the move: a rename keeps inode and mtime, and a later change is then always noticed.
        stamp = _stamp(file)
        file.replace(path)
        _sync_folder(self.blobs)
        self._record(pin, stamp, origin=origin)
        return path

    def locate(self, model: Pinned | str | os.PathLike[str]) -> ModelFile:
        """The file to load for a pinned model or for a GGUF file of the user's own. Raises ModelFileError."""
        if isinstance(model, str | os.PathLike):
            return user_file(Path(model))
        path = self.find(model)
        if path is None:
            raise ModelFileError(f"{model.display} is not in {self.root}: run `assay models pull`")
        return ModelFile(str(path), f"sha256:{model.sha256}", model.name, pinned=True)

    def remove(self, pin: Pinned) -> None:
        """Forget the pinned file and delete it, with what was pulled of it so far."""
        for path in (self.blob(pin), self.partial(pin)):
            path.unlink(missing_ok=True)
        index = self.index()
        models = {name: entry for name, entry in index.models.items() if entry.sha256 != pin.sha256}
        verified = {sha: stamp for sha, stamp in index.verified.items() if sha != pin.sha256}
        self._write(Index(models=models, verified=verified))

    def free(self) -> int:
        """Bytes free where the store is or would be."""
        place = self.root
        while not place.exists() and place != place.parent:
            place = place.parent
        return shutil.disk_usage(place).free

    def _record(self, pin: Pinned, stamp: Stamp, origin: str | None) -> None:
        index = self.index()
        old = index.models.get(pin.name)
        if origin is None:
            origin = old.origin if old is not None else ""
        entry = Entry(pin.sha256, pin.size, pin.licence, origin)
        try:
            self._write(
                Index(
                    models={**index.models, pin.name: entry},
                    verified={**index.verified, pin.sha256: stamp},
                )
            )
        except OSError:
            # A store that can't be written (read-only, full disk) still serves; it only hashes again next time.
            return

    def _write(self, index: Index) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        draft = self._index.with_suffix(f".{os.getpid()}.tmp")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(index), indent=2))
        draft.replace(self._index)


def user_file(path: Path) -> ModelFile:
    """A GGUF file of the user's own: not pinned, only its magic is checked. Raises ModelFileError."""
    path = path.expanduser().absolute()
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
            stat = os.fstat(file.fileno())
    except OSError as error:
        raise ModelFileError(f"model file {path} can't be read: {error.strerror or error}") from None
    if magic != GGUF_MAGIC:
        raise ModelFileError(f"{path} is not a GGUF model file (it starts with {magic!r}): name a .gguf file")
    identity = f"file:{path}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}"
    return ModelFile(str(path), identity, path.stem, pinned=False)


def hash_file(path: Path, progress: Progress | None = None, note: str = "") -> str:
    """The SHA-256 of a file in hex, read in pieces."""
    import hashlib

    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        total = os.fstat(file.fileno()).st_size
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total, f"checking {note or path.name}")
    return digest.hexdigest()


def _stamp(path: Path) -> Stamp:
    stat = path.stat()
    return Stamp(stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
