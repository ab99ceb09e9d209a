"""What may reach a person's terminal: text of ours, and text of others with its teeth drawn."""

from __future__ import annotations

import contextlib
import sys
import unicodedata
from typing import TextIO

_KEEP = frozenset("\n\t")


def harmless(text: str) -> str:
    """`text` without control sequences, bidirectional overrides or invisible characters; they show as U+FFFD.

    A model, a tool, a file name or a server could otherwise set the clipboard, clear the screen or fake our own lines.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in _KEEP or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else "\ufffd"
        for char in text.replace("\r\n", "\n")
    )


def one_line(text: str, width: int) -> str:
    """`text` on one line of at most `width` characters."""
    flat = " ".join(harmless(text).split())
    return flat if len(flat) <= width else f"{flat[: max(width - 1, 0)]}…"


def write_out(text: str) -> None:
    """Print to standard output; made harmless for a terminal, verbatim into a pipe. A reader that left, a terminal that
    was closed, or a stream that was closed from the start, is no error. Raises `StorageError` when a file there can't
    be written."""
    if sys.stdout is None:
        return
    text = harmless(text) if sys.stdout.isatty() else text
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    except OSError as error:
        gone = isinstance(error, BrokenPipeError) or _hung_up(error, sys.stdout)
        _lead_nowhere(sys.stdout)
        if not gone:
            from assay.core.errors import StorageError

            raise StorageError(f"cannot write to standard output: {error.strerror}") from error


def write_err(text: str) -> None:
    """Print one or more whole lines to standard error, if there is any to print to."""
    _to_err(harmless(text) + "\n")


def draw(line: str) -> None:
    """Replace the live line of a terminal by `line`, which must be harmless already; "" wipes it."""
    _to_err(f"\r\x1b[2K{line}")


def _to_err(text: str) -> None:
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _lead_nowhere(sys.stderr)


def _lead_nowhere(stream: TextIO) -> None:
    """What is still buffered can go nowhere: point the stream elsewhere, or the interpreter complains at exit and
    changes the exit code."""
    import os

    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _hung_up(error: OSError, stream: TextIO) -> bool:
    """Whether `stream` was a terminal that is gone."""
    import errno
    import os
    import stat

    with contextlib.suppress(OSError):
        return error.errno == errno.EIO and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)
    return False
