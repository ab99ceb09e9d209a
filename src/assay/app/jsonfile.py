"""A settings file that we write into: read whole, written whole, everything else in it kept."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from assay.core.errors import UsageError
from assay.core.messages import Json


def read_object(file: Path) -> dict[str, Json]:
    """The JSON object in `file`; {} when there is no such file. Raises `UsageError`."""
    if not file.is_file():
        return {}
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Json])
    except (OSError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UsageError(f"{file}: is not a JSON object ({error}); mend it first") from error


def write_object(file: Path, whole: dict[str, Json], mode: int = 0o600) -> None:
    """Whole or not at all; `mode` is that of a new file. Raises `UsageError`."""
    new = file.with_name(f"{file.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        mode = file.stat().st_mode & 0o777
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n")
        new.replace(file)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise UsageError(f"{file}: can't be written ({error.strerror})") from error
