"""Sessions kept where the program wants them: a port of five methods, and what mirrors a session into it.

The log on disk stays the one that a run lives by. Each of its records is handed to the store as an entry in the order
it was written, before the message about it is yielded at the end of a turn; and a session that is not on this disk is
written anew from its entries when it is to be gone on with. What tools spilled into files is not mirrored.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NotRequired, Protocol, TypedDict, cast

import msgspec

from assay.core.errors import StorageError, UsageError
from assay.core.messages import Json
from assay.core.store import EventStore, Record
from assay.run.bus import Seen
from assay.sessions.index import Sessions, project_key
from assay.sessions.line import Line, encode_body, encode_event
from assay.sessions.log import SessionLog

Entry = dict[str, Json]
"""`type` (the kind of the event), `uuid`, `timestamp` (ISO 8601), `number`, `time`, `event`."""
BATCH = 200
"""Entries that are handed over at most at once."""
PATIENCE = 60.0
"""Seconds that a store may take for one batch."""


class SessionKey(TypedDict):
    project_key: str
    session_id: str
    subpath: NotRequired[str]
    """Of what belongs to a session but is not its log, as `subagents/ID`."""


class SessionListSubkeysKey(TypedDict):
    project_key: str
    session_id: str


class SessionStoreListEntry(TypedDict):
    session_id: str
    mtime: int
    """Milliseconds since the epoch."""


class SessionStore(Protocol):
    """Contract: entries come back equal and in the order in which they were appended; `load` is None for a key that
    nothing was appended to; deleting a session deletes what is below it, deleting a subpath only that."""

    async def append(self, key: SessionKey, entries: list[Entry]) -> None: ...

    async def load(self, key: SessionKey) -> list[Entry] | None: ...

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]: ...

    async def delete(self, key: SessionKey) -> None: ...

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]: ...


class InMemorySessionStore:
    """A `SessionStore` in a dict; gone with the process."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str, str], list[bytes]] = {}
        self._changed: dict[tuple[str, str], int] = {}

    async def append(self, key: SessionKey, entries: list[Entry]) -> None:
        # Encoded at once: what the caller changes later must not change what was kept.
        self._entries.setdefault(_place(key), []).extend(msgspec.json.encode(entry) for entry in entries)
        now = int(datetime.now(UTC).timestamp() * 1000)
        self._changed[_place(key)[:2]] = max(now, max(self._changed.values(), default=0) + 1)

    async def load(self, key: SessionKey) -> list[Entry] | None:
        found = self._entries.get(_place(key))
        return None if found is None else [msgspec.json.decode(entry, type=dict[str, Json]) for entry in found]

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        found = {session for project, session, subpath in self._entries if project == project_key and not subpath}
        return [{"session_id": session, "mtime": self._changed[project_key, session]} for session in sorted(found)]

    async def delete(self, key: SessionKey) -> None:
        place = _place(key)
        for each in list(self._entries):
            if each == place or (not place[2] and each[:2] == place[:2]):
                del self._entries[each]

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        wanted = (key["project_key"], key["session_id"])
        return sorted(place[2] for place in self._entries if place[:2] == wanted and place[2])


def _place(key: SessionKey) -> tuple[str, str, str]:
    return key["project_key"], key["session_id"], key.get("subpath", "")


def entry_of(session: str, number: int, time: float, payload: bytes) -> Entry:
    """One record as an entry; `payload` is the event's JSON."""
    import json

    event = cast("dict[str, Json]", json.loads(payload))
    return {
        "type": str(event.get("kind", "")),
        "uuid": f"{session}-{number}",
        "timestamp": datetime.fromtimestamp(time, UTC).isoformat(),
        "number": number,
        "time": time,
        "event": event,
    }


def lines_of(entries: Iterable[Entry]) -> Iterator[Line]:
    """The lines of a log from its entries. Raises `StorageError` for what no record was written as."""
    import json

    last = 0
    for entry in entries:
        number, time, event = entry.get("number"), entry.get("time"), entry.get("event")
        if not isinstance(number, int) or not isinstance(time, int | float) or not isinstance(event, dict):
            raise StorageError(f"session store: what follows entry {last} is no record of a session")
        if number <= last:
            continue  # appended twice: a store that was asked again after a time-out
        last = number
        payload = json.dumps(event, separators=(",", ":")).encode("ascii")
        yield Line(number, b"", encode_body(number, float(time), payload), 0)


def write_from(sessions: Sessions, session: str, directory: str, entries: list[Entry]) -> None:
    """Put the log of `session` on this disk, made from `entries`. Raises `AssayError`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", session):
        raise UsageError(f"bad session id {session[:80]!r}: letters, digits, - and _ only, at most 128")
    path = sessions.folder / project_key(directory) / f"{session}.jsonl"
    log = SessionLog.create(path)
    try:
        log.copy(lines_of(entries))
        log.sync()
    except BaseException:
        log.close()
        path.unlink(missing_ok=True)
        raise
    log.close()


async def fetch(store: SessionStore, sessions: Sessions, session: str, directory: Path) -> str:
    """Make sure that `session` (empty for the newest) lies on this disk; returns its id. Raises `AssayError`."""
    key = project_key(str(directory))
    try:
        async with asyncio.timeout(PATIENCE):
            if not session:
                listed = await store.list_sessions(key)
                if not listed:
                    raise UsageError(f"no session to continue in {directory}: the session store has none")
                session = max(listed, key=lambda each: each["mtime"])["session_id"]
            try:
                return sessions.find(session).stem
            except UsageError:
                entries = await store.load({"project_key": key, "session_id": session})
    except TimeoutError:
        raise StorageError(f"session store: no answer within {PATIENCE:g} s") from None
    if not entries:
        raise UsageError(f"no session {session!r} on this machine or in the session store")
    write_from(sessions, session, str(directory), entries)
    return session


class Mirror:
    """Collects the records of a run and hands them to a store, in order, in batches."""

    def __init__(self, store: SessionStore, session: str, directory: str, failed: Callable[[SessionKey, str], None]):
        self.key: SessionKey = {"project_key": project_key(directory), "session_id": session}
        self._store = store
        self._failed = failed
        self._waiting: list[Entry] = []

    def watch(self, seen: Seen) -> None:
        if isinstance(seen, Record):
            self.take(seen)

    def take(self, record: Record) -> None:
        payload = encode_event(record.event)
        self._waiting.append(entry_of(self.key["session_id"], record.number, record.time, payload))

    async def begin(self, log: EventStore) -> None:
        """Take what is in the log and not in the store: all of a new session, nothing of one that came from there."""
        try:
            async with asyncio.timeout(PATIENCE):
                known = await self._store.load(self.key)
        except Exception as error:  # noqa: BLE001 - the store is the user's; the session lives without it
            self._failed(self.key, f"{type(error).__name__}: {error}")
            return
        last = max((number for entry in known or [] if isinstance(number := entry.get("number"), int)), default=0)
        for record in log.records():
            if record.number > last:
                self.take(record)

    async def flush(self) -> None:
        """Hand over what was collected. What a store refuses is told once and tried again with the next flush."""
        while self._waiting:
            batch = self._waiting[:BATCH]
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._store.append(self.key, batch)
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(self.key, f"{type(error).__name__}: {error}")
                return
            del self._waiting[: len(batch)]
