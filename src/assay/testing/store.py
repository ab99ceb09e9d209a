"""A session's log in memory."""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.clock import Clock, SystemClock
from assay.core.errors import StorageError
from assay.core.events import Event
from assay.core.store import Record


class MemoryStore:
    """An `EventStore` in a list. Give the same `log` to a second one to open the session again.

    `durable` holds the numbers of the records that were asked to be on disk.
    """

    def __init__(self, session: str = "test", log: list[Record] | None = None, clock: Clock | None = None) -> None:
        self._session = session
        self.log: list[Record] = [] if log is None else log
        self.durable: list[int] = []
        self._clock = clock or SystemClock()
        self._closed = False

    @property
    def session(self) -> str:
        return self._session

    @property
    def notices(self) -> list[str]:
        return []

    def append(self, event: Event, *, durable: bool = False) -> Record:
        if self._closed:
            raise StorageError(f"can't write to session {self._session}: the log is closed")
        earlier = self.log[-1].time if self.log else 0.0
        record = Record(len(self.log) + 1, max(earlier, self._clock.now()), event)
        self.log.append(record)
        if durable:
            self.durable.append(record.number)
        return record

    def records(self) -> Iterator[Record]:
        return iter(self.log[:])

    def close(self) -> None:
        self._closed = True
