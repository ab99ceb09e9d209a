"""What may reach a person's terminal: text of ours, and text of others with its teeth drawn."""

from __future__ import annotations

import contextlib
import sys
import unicodedata

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
    """Print to standard output; made harmless for a terminal, verbatim into a pipe. A reader that left, or a stream
    that was closed from the start, is no error. Raises `StorageError` when a file there can't be written."""
    if sys.stdout is None:
        return
    text = harmless(text) if sys.stdout.isatty() else text
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is still buffered can go nowhere. Point the stream elsewhere, or the interpreter complains at exit.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            from assay.core.errors import StorageError

            raise StorageError(f"cannot write to standard output: {error.strerror}") from error


def write_err(text: str) -> None:
    """Print one or more whole lines to standard error, if there is any to print to."""
    if sys.stderr is None:
        return
    with contextlib.suppress(OSError):
        sys.stderr.write(harmless(text) + "\n")
        sys.stderr.flush()
