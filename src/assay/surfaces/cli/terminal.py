"""What may reach a person's terminal: text of ours, and text of others with its teeth drawn.

Everything that a surface prints goes through `write_out` or `write_err`; the only control characters that reach a
terminal are those with which the live line wipes itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import unicodedata
from typing import TextIO

_KEEP = frozenset("\n\t")
_REFUSED = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# What Unicode calls default-ignorable and files under letters and marks: nothing is drawn, so anything can hide there.
# The selectors U+FE0E and U+FE0F stay: they only choose between the two pictures of a symbol.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0") | frozenset(
    map(chr, range(0xFE00, 0xFE0E))
)
_TAGS = range(0xE0000, 0xE1000)


def harmless(text: str) -> str:
    """`text` with nothing but what can be seen, line ends and tabs; what can't be shows as U+FFFD.

    That is: no control characters (C0, DEL, C1), no bidirectional or zero-width formatting, no tags, invisible letters
    or surrogates, no private use. A model, a tool, a file name or a server could otherwise set the clipboard, clear the
    screen, fake our own lines or hide words.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _visible(char) else "\ufffd" for char in text.replace("\r\n", "\n"))


def _visible(char: str) -> bool:
    if char in _KEEP:
        return True
    return unicodedata.category(char) not in _REFUSED and char not in _UNSEEN and ord(char) not in _TAGS


def one_line(text: str, width: int) -> str:
    """`text` on one line of at most `width` characters."""
    flat = " ".join(harmless(text).split())
    return flat if len(flat) <= width else f"{flat[: max(width - 1, 0)]}…"


def ascii_json(text: str) -> str:
    """JSON `text` with all but printable ASCII in its strings escaped: the same value, and nothing that acts."""
    return re.sub("[^\n -~]", lambda found: _escaped(found[0]), text)


def _escaped(char: str) -> str:
    pair = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{pair[at : at + 4]}" for at in range(0, len(pair), 4))


def is_live(stream: TextIO | None) -> bool:
    """True for a terminal that can rewrite its last line."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def write_out(text: str) -> None:
    """Print to standard output; made harmless for a terminal, verbatim into a pipe. A reader that left, a terminal that
    was closed, or a stream that was closed from the start, is no error. Raises `StorageError` when a file there can't
    be written."""
    if sys.stdout is None:
        return
    encoding = "utf-8"
    if sys.stdout.isatty():
        # In the terminal's own encoding: a byte within UTF-8 is a control character to one that expects Latin-1.
        text, encoding = harmless(text), sys.stdout.encoding or encoding
    try:
        sys.stdout.buffer.write(text.encode(encoding, "replace"))
        sys.stdout.buffer.flush()
    except OSError as error:
        gone = isinstance(error, BrokenPipeError) or _hung_up(error, sys.stdout)
        _lead_nowhere(sys.stdout)
        if not gone:
            from assay.core.errors import StorageError

            raise StorageError(f"cannot write to standard output: {error.strerror}") from error


def write_err(text: str) -> None:
    """Print one message to standard error, if there is any to print to, harmless wherever that leads. What follows its
    first line is set in, so that words of others in it can't pass for a message of ours."""
    _to_err(harmless(text).rstrip("\n").replace("\n", "\n  ") + "\n")


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
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _hung_up(error: OSError, stream: TextIO) -> bool:
    """Whether `stream` was a terminal that is gone."""
    import errno
    import stat

    with contextlib.suppress(OSError):
        return error.errno == errno.EIO and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)
    return False
