"""One writer a session: an advisory lock of the operating system on the log itself, which dies with its holder."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from assay.core.errors import SessionBusy


def take(descriptor: int, log: Path) -> str:
    """Lock the open log for writing and leave our process id beside it, for whoever finds it locked.

    Returns a warning when this file system has no locks, else an empty string. Raises SessionBusy.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SessionBusy(
            f"session {log.stem} is in use by {_holder(log)}; wait for it, or branch off with --fork-session"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
            raise
        return f"{log.name}: this file system has no locks; do not open the session twice"
    with suppress(OSError):  # only the name of the holder is lost, not the lock
        _holder_file(log).write_text(str(os.getpid()), encoding="ascii")
    return ""


def release(log: Path) -> None:
    """Remove the process id. The lock itself ends when the log's descriptor is closed."""
    with suppress(OSError):  # a stale id is overwritten by the next writer and means nothing without the lock
        _holder_file(log).unlink(missing_ok=True)


def _holder_file(log: Path) -> Path:
    return log.with_suffix(".pid")


def _holder(log: Path) -> str:
    try:
        return f"process {int(_holder_file(log).read_text(encoding='ascii'))}"
    except (OSError, ValueError):
        return "another process"
