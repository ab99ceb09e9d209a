"""Text for a model and for a line on a screen: bounded, without what a terminal would obey or a reader not see."""

from __future__ import annotations

import re
from pathlib import Path

from assay.core.policy import WORKSPACE
from assay.core.tool import ToolOutcome, failed

_STRUCK = r"[^\x08\n]\x08"
_ESCAPE = (
    r"\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC: titles, links, clipboard
    r"|\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?"  # DCS, SOS, PM, APC
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]"
)
# C0 but tab and newline, DEL, C1, Arabic letter mark, directional marks, embeddings and isolates, line separators,
# surrogates, tags (invisible copies of ASCII).
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f"
_OBEYED = f"[{_CONTROL}]"
_UNSEEN = f"[{_CONTROL}\u00ad\u034f\u180e\u200b-\u200d\u2060-\u2064\ufeff]"
# Patterns are text here, and compiled (and kept) by `re` when first used: most starts of the program use none.


def visible(text: str) -> str:
    """`text` with control, directional, tag and surrogate characters written as \\xNN or \\uNNNN. Zero-width joiners,
    which some scripts and emoji need, stay."""
    return re.sub(_OBEYED, _written, text)


def has_hidden(text: str) -> bool:
    """True when `visible` would change `text`."""
    return re.search(_OBEYED, text) is not None


def one_line(text: str, limit: int = 120) -> str:
    """`text` as one line of at most `limit` characters, with nothing in it that can't be seen."""
    flat = re.sub(_UNSEEN, _written, " ".join(text[: limit * 4].split()))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def plain(text: str) -> str:
    """What a terminal would have been left with: escape sequences gone, overwritten progress lines reduced to their
    last state, other control characters made visible."""
    if "\x1b" in text or "\x9b" in text:
        text = re.sub(_ESCAPE, "", text)
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    if "\x08" in text:
        text = re.sub(_STRUCK, "", text)
    return visible(text)


def head_tail(text: str, limit: int, total: int = 0, where: str = "") -> str:
    """`text` if it has at most `limit` characters, else its first third and its end, cut at line ends where that is
    near, with the number of bytes left out between them.

    `total`: bytes of the whole output when `text` already lacks a part of it. `where`: a file that holds all of it.
    """
    if len(text) <= limit:
        return f"{text}\n[only a part of {total:,} bytes{_kept(where)}]" if total else text
    size = total or len(text.encode("utf-8", "replace"))
    head, tail = text[: limit // 3], text[len(text) - (limit - limit // 3) :]
    head = head[: head.rfind("\n") + 1] if head.rfind("\n") > len(head) // 2 else head + "\n"
    line_end = tail.find("\n")
    tail = tail[line_end + 1 :] if 0 <= line_end < len(tail) // 2 else tail
    left_out = size - len((head + tail).encode("utf-8", "replace"))
    return f"{head}[… {left_out:,} of {size:,} bytes left out{_kept(where)} …]\n{tail}"


def _kept(where: str) -> str:
    return f"; all of it: {where}" if where else ""


def keep(path: str, text: str) -> str:
    """Writes `text` to `path`, which lies among the session's own files; returns `path`, or nothing if it can't."""
    try:
        Path(path).write_text(text, "utf-8", "replace")
    except OSError:
        return ""
    return path


def refused(message: str) -> ToolOutcome:
    """An outcome that tells the model and the person what went wrong."""
    return failed(visible(message), one_line(message), WORKSPACE)


def _written(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:
        # How Python carries a byte that was not UTF-8 (PEP 383).
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
