"""Versions of the log's format.

Version 1 is the only one so far. Within a version, kinds of events and fields are only ever added, with defaults: an
older program skips what it does not know, a newer one reads what older ones wrote. `tests/sessions/golden` holds a log
of each version, which must load for ever. A change that can't be made this way gets version 2, and a function here that
turns the body of a version 1 record into its new shape while it is read; files are never rewritten.
"""

from __future__ import annotations

VERSION = 1
HEADER = b'{"assay_log":1}\n'


def version_of(first_line: bytes) -> int | None:
    """The format's version that a log's first line names, or None when that line is damaged."""
    import msgspec

    try:
        header = msgspec.json.decode(first_line, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    version = header.get("assay_log")
    return version if isinstance(version, int) and version > 0 else None
