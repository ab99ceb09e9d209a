"""The port to a session's log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from assay.core.events import Event


class Record(Struct, frozen=True):
    number: int
    """1-based position in the log."""
    time: float
    """Seconds since the epoch."""
    event: Event


class EventStore(Protocol):
    """Contract: append-only; one writer; what `append(..., durable=True)` returned for is on disk. Raises
    `StorageError` when it can't be written and `SessionBusy` when another process writes."""

    @property
    def session(self) -> str: ...

    def append(self, event: Event, *, durable: bool = False) -> Record: ...

    def records(self) -> Iterator[Record]:
        """Every readable record, oldest first; damage is skipped and counted in `notices`."""
        ...

    @property
    def notices(self) -> list[str]:
        """What was found broken when the log was opened, one line each."""
        ...

    def close(self) -> None: ...
