"""A session's transcript on disk, and its copy for a host that keeps sessions itself.

The log is what holds; the transcript is made from it while it grows, and what it lacks is added when it is opened. So
it can be lost, moved or begun late without harm. A line is written when its record is in the log, and is on disk at the
end of a turn, before anybody is told of the result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from assay.core.errors import AssayError
from assay.core.events import InputReceived, TaskEnded, TaskStarted, TurnEnded
from assay.core.messages import Json
from assay.core.store import Record
from assay.sessions.claude.lines import About, Line, Projection, Told
from assay.sessions.claude.names import Place
from assay.sessions.claude.reader import read_lines
from assay.sessions.reader import LogReader

Mirror = Callable[[str, list[Line]], None]
"""Takes the path of a transcript and lines that were added to it."""
_LONGEST = 400_000
"""Bytes of a line: hosts take no message of more than 1 MiB, and we send none of more than half of it."""
_CUTS = (100_000, 10_000, 1_000, 100, 0)
"""Characters that strings of a line which is too long are cut to, the first that is enough."""
_BATCH = 300_000
"""Bytes of lines that are handed to a mirror at once, but for a single line that is longer."""
_DEEPEST = 8
"""Sub-agents of sub-agents that are followed."""
_TAIL = 32_768
"""Bytes after which a title is said again: lists look for it near the end."""


class Transcript:
    """Follows one log: to be subscribed to the run's bus before any surface is.

    `records` reads the log. Nothing is written when `place` is not writable or `keeps` is False; a mirror gets the
    lines all the same.
    """

    def __init__(
        self, place: Place, about: About, records: Callable[[], Iterator[Record]], told: Told, *, keeps: bool = True
    ) -> None:
        self._place = place
        self.mirror: Mirror | None = None
        self.trouble: Callable[[str], None] | None = None
        """Told once when the file can't be written; the session goes on."""
        self._keeps = keeps and place.writable
        self._told = told
        self._begin(about, records)

    def renew(self, session: str, records: Callable[[], Iterator[Record]]) -> None:
        """From now on it is the log of another session that grows."""
        self._begin(replace(self._main.about, session=session), records)

    def _begin(self, about: About, records: Callable[[], Iterator[Record]]) -> None:
        self.path = self._place.transcript(about.session)
        self._records = records
        self._main = Projection(about, self._told)
        self._agents: dict[str, TaskStarted] = {}
        self._begun = False
        self._said: dict[str, Line] = {}
        self._since = 0

    def __call__(self, seen: object) -> None:
        if not isinstance(seen, Record):
            return
        if not self._begun:
            self._begun = True
            self._catch_up(seen.number)
        self._take(seen, self._main.apply(seen))

    def _catch_up(self, number: int) -> None:
        """Add what the file lacks of the records before `number`."""
        known = self._known(self.path)
        late: list[tuple[Record, list[Line]]] = []
        for record in self._records():
            if record.number >= number:
                break
            lines = self._main.apply(record)
            late.append((record, lines))
            if not known.isdisjoint(self._main.uuids(record)):
                late = [each for each in late if isinstance(each[0].event, TaskStarted)]
        for record, lines in late:
            self._take(record, [] if isinstance(record.event, TaskStarted) else lines, late=True)

    def _known(self, path: Path) -> set[str]:
        known: set[str] = set()
        for line in read_lines(path):
            if isinstance(uuid := line.get("uuid"), str):
                known.add(uuid)
            if line.get("type") in ("custom-title", "tag"):
                self._said[str(line["type"])] = line
        return known

    def _take(self, record: Record, lines: list[Line], *, late: bool = False) -> None:
        event = record.event
        if isinstance(event, TaskStarted) and event.what == "agent":
            self._agents[event.task] = event
        elif isinstance(event, TaskEnded) and event.task in self._agents:
            self._agent(self._agents[event.task])
        if isinstance(event, TurnEnded) and not late:
            lines = [*lines, self._main.title_line(), *self._titles()]
        self._add(self.path, lines, durable=isinstance(event, InputReceived | TurnEnded))

    def _titles(self) -> list[Line]:
        """The title and tag that the session was given, if lists might no longer find them."""
        if self._since < _TAIL:
            return []
        self._since = 0
        for line in read_lines(self.path):
            if line.get("type") in ("custom-title", "tag"):
                self._said[str(line["type"])] = line
        return list(self._said.values())

    def _agent(self, started: TaskStarted, parent: str = "", depth: int = 1) -> None:
        """The transcript of a sub-agent, and of those that it had, from the log that it leaves."""
        source = Path(started.output)
        if source.suffix != ".jsonl" or depth > _DEEPEST:
            return
        path = self.path.with_suffix("") / "subagents" / f"agent-{started.task}.jsonl"
        known = self._known(path)
        projection = Projection(replace(self._main.about, agent=started.task), self._told)
        lines: list[Line] = []
        inner: dict[str, TaskStarted] = {}
        model = ""
        try:
            for record in LogReader(source).records():
                fresh = projection.apply(record)
                lines = [] if not known.isdisjoint(projection.uuids(record)) else [*lines, *fresh]
                if isinstance(record.event, TaskStarted) and record.event.what == "agent":
                    inner[record.event.task] = record.event
                elif isinstance(record.event, InputReceived):
                    model = record.event.model
        except (AssayError, OSError) as error:
            self._lost(f"the log of sub-agent {started.task} can't be read: {error}")
            return
        about: Line = {
            "agentType": started.agent,
            "description": started.description,
            "toolUseId": started.call,
            "spawnDepth": depth,
            "model": model,
            **({"parentAgentId": parent} if parent else {}),
        }
        if not known:
            if self._keeps:
                self._write(path.with_suffix(".meta.json"), _encoded(about)[1], whole=True)
            if self.mirror:
                self.mirror(str(path), [{"type": "agent_metadata", **about}])
        self._add(path, lines, durable=True)
        for each in inner.values():
            self._agent(each, started.task, depth + 1)

    def _add(self, path: Path, lines: list[Line], *, durable: bool) -> None:
        if not lines:
            return
        encoded = [_encoded(line) for line in lines]
        text = b"".join(each for _, each in encoded)
        self._since += len(text)
        if self._keeps:
            self._write(path, text, durable=durable)
        if self.mirror:
            for batch in _batches(encoded):
                self.mirror(str(path), batch)

    def _write(self, path: Path, text: bytes, *, durable: bool = False, whole: bool = False) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_TRUNC if whole else os.O_APPEND)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, flags, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    text = b"\n" + text  # somebody's last line was torn; ours must not be part of it
                rest = memoryview(text)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._lost(
                f"the transcript {path} can't be written: {error.strerror or error}; the session's log has it all"
            )

    def _lost(self, text: str) -> None:
        self._keeps = False
        if self.trouble:
            self.trouble(text)


def _encoded(line: Line) -> tuple[Line, bytes]:
    """A line as JSON, and the line again, cut where it would be too long for those who read it."""
    # ASCII only: lone surrogates survive, and a line stays a line for readers that split at U+2028.
    import json

    text = json.dumps(line, separators=(",", ":"))
    for most in _CUTS:
        if len(text) <= _LONGEST:
            break
        line = cast("Line", _clipped(line, most))
        text = json.dumps(line, separators=(",", ":"))
    return line, f"{text}\n".encode("ascii")


def _clipped(value: Json, most: int) -> Json:
    """`value` with no string of more than about `most` characters in it."""
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[:most]}\n[… {len(value) - most:,} characters left out …]"
    if isinstance(value, list):
        return [_clipped(each, most) for each in cast("list[Json]", value)]
    if isinstance(value, dict):
        table = cast("Line", value)
        source = table.get("source")
        if table.get("type") == "image" and len(str(source)) > most:
            return {"type": "text", "text": f"[an image of {len(str(source)):,} characters is left out here]"}
        return {key: _clipped(each, most) for key, each in table.items()}
    return value


def _batches(lines: list[tuple[Line, bytes]]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    size = 0
    for line, text in lines:
        if batch and size + len(text) > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(text)
    if batch:
        yield batch
