"""Names for sessions, turns and calls."""

from __future__ import annotations

import os
import time


def new_id() -> str:
    """A UUID of version 7 (RFC 9562): sorts by creation time, and is what hosts expect a session id to look like."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | (random >> 68) << 64 | 2 << 62 | random & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def message_uuid(session: str, number: int, time: float, part: int = 0) -> str:
    """The id of the public message that is made of part `part` of a record: the same on the wire, in a transcript, and
    whenever the log is read again. `time` keeps logs apart in which two machines went on with one session. A UUID of
    version 8 (RFC 9562) from SHA-256."""
    from hashlib import sha256

    value = int.from_bytes(sha256(f"{session}/{number}/{time!r}/{part}".encode()).digest()[:16])
    text = f"{value & ~(0xF << 76) & ~(3 << 62) | 8 << 76 | 2 << 62:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
