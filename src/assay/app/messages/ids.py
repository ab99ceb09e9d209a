"""Names of public messages that follow from where they stand in the log: whoever reads the log again, to resume in the
middle or to write a transcript, comes to the same ones."""

from __future__ import annotations

_LOW = (1 << 62) - 1


def uuid_of(session: str, number: int, part: int = 0) -> str:
    """A UUID of version 8 (RFC 9562) for part `part` (below 4096) of record `number` of `session`."""
    try:
        base = int(session.replace("-", ""), 16) if len(session) == 36 else _digest(session)
    except ValueError:
        base = _digest(session)
    value = base ^ ((number << 12 | part & 0xFFF) & _LOW)
    value = value & ~(0xF << 76) & ~(3 << 62) | 8 << 76 | 2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _digest(text: str) -> int:
    from hashlib import sha256

    return int.from_bytes(sha256(text.encode()).digest()[:16])
