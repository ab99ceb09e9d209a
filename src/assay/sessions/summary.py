"""What a list of sessions shows of one, read from both ends of its log without reading the middle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from assay.core.check import OutcomeName
from assay.core.events import Event, InputReceived, SessionStarted, TurnEnded
from assay.sessions.fold import title_of
from assay.sessions.line import decode_body, parse_line, time_of

_HEAD = 1 << 22
"""Bytes from the start in which the first prompt is looked for: it may come with a file piped in."""
_BLOCK = 1 << 14
_TAIL = 1 << 20
"""Bytes from the end in which the last turn is looked for."""


class Summary(Struct, frozen=True):
    session: str
    path: str
    cwd: str
    title: str
    """The first words of the first prompt; empty when there is none."""
    started: float
    """Seconds since the epoch."""
    updated: float
    """When the last record was written."""
    size: int
    """Bytes of the log."""
    outcome: OutcomeName | None
    """Of the last turn; None when it did not end, or there was none."""


def summarize(path: Path) -> Summary | None:
    """The summary of a log, or None when no record at its start can be read. Raises OSError."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        started, start, prompt = _beginning(file)
        if not started:
            return None
        updated, outcome = _ending(file, status.st_size)
    return Summary(
        path.stem,
        str(path),
        start.cwd if start else "",
        title_of(prompt) if prompt else "",
        started,
        updated or status.st_mtime,
        status.st_size,
        outcome,
    )


def _beginning(file: BinaryIO) -> tuple[float, SessionStarted | None, InputReceived | None]:
    """When the first readable record was written, how the session started, and its first prompt."""
    started, start, seen = 0.0, None, 0
    for data in file:
        line = parse_line(data)
        if line is not None:
            started = started or time_of(line.body)
            event = _event(line.body, b"session_started", b"input")
            if isinstance(event, InputReceived):
                return started, start, event
            if isinstance(event, SessionStarted):
                start = start or event
        seen += len(data)
        if seen > _HEAD:
            break
    return started, start, None


def _ending(file: BinaryIO, size: int) -> tuple[float, OutcomeName | None]:
    """When the last record was written (0 when it can't be told), and the outcome of the last turn."""
    updated, reach = 0.0, _BLOCK
    while True:
        file.seek(max(0, size - reach))
        data = file.read(reach)
        for text in reversed(data.split(b"\n")):
            line = parse_line(text)
            if line is None:
                continue
            updated = updated or time_of(line.body)
            event = _event(line.body, b"input", b"turn_ended")
            if event is not None:
                return updated, event.verdict.outcome if isinstance(event, TurnEnded) else None
        if reach >= min(size, _TAIL):
            return updated, None
        reach *= 8


def _event(body: bytes, *kinds: bytes) -> Event | None:
    """The record's event, decoded only if it looks like one of `kinds`."""
    if not any(body.find(b'"kind":"%b"' % kind, 0, 200) > 0 for kind in kinds):
        return None
    record = decode_body(body)
    return record.event if record else None
