"""Reading a log that may be damaged: every record that verifies is found, everything else is counted and told."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

from assay.core.errors import StorageError, UsageError
from assay.core.store import Record
from assay.sessions.line import MARK, Line, decode_body, link, parse_line
from assay.sessions.migrate import VERSION, version_of

SEED = b"9835262552176c24"
"""The chain value before the first record: `link` of nothing and the format line, which no import should wait for."""


class Scan:
    """One pass over a log. Iterating yields the verified lines, oldest first; afterwards the counts are final.

    A line that fails its checks is searched for whole records glued to rubble; what follows a damaged place is
    accepted by its own checksum, and the break in the chain is counted. Numbers only grow: a record that comes again is
    skipped. Nothing is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        """Of the last good record."""
        self.chain = SEED
        self.size = 0
        """Bytes seen."""
        self.header = False
        """The first line is as it should be."""
        self.open_end = False
        """The file does not end with a line end."""
        self.tail = 0
        """Bytes behind the last good record that are none."""
        self._places = 0
        self._skipped = 0
        self._first = 0
        self._lost = 0
        self._repeated = 0
        self._breaks: list[int] = []
        self._rubble = 0

    def __iter__(self) -> Iterator[Line]:
        try:
            with self.path.open("rb", buffering=1 << 18) as file:
                yield from self._lines(file)
        except FileNotFoundError:
            raise UsageError(f"no session log at {self.path}; `assay sessions list` shows what there is") from None
        except OSError as error:
            raise StorageError(f"can't read the session log {self.path}: {error.strerror}") from error

    def _lines(self, file: Iterator[bytes]) -> Iterator[Line]:
        for data in file:
            start = self.size
            self.size += len(data)
            if start == 0 and self._read_header(data):
                continue
            line = parse_line(data)
            if line is not None and line.end == len(data) - 1 and data.endswith(b"\n"):
                if self._accept(line):
                    yield line
                continue
            yield from self._salvage(data, start)
        self.tail = self._rubble

    def _read_header(self, data: bytes) -> bool:
        version = version_of(data)
        if version is not None and version > VERSION:
            raise StorageError(
                f"{self.path} was written by a newer assay (log format {version}, this one reads up to {VERSION}): "
                "update assay to use this session"
            )
        self.header = version is not None
        self.open_end = self.header and not data.endswith(b"\n")
        return self.header

    def _salvage(self, data: bytes, start: int) -> Iterator[Line]:
        """Whole records inside a damaged line: behind NUL bytes, behind a torn record, or two without a line end."""
        text = data.removesuffix(b"\n")
        self.open_end = len(text) == len(data)
        done = at = 0
        while (at := text.find(MARK, at)) >= 0:
            line = parse_line(text, at)
            if line is None:
                at += 1
                continue
            self._skip(at - done, start + done)
            done = at = line.end
            if self._accept(line):
                yield line
        self._skip(len(text) - done, start + done)

    def _skip(self, count: int, offset: int) -> None:
        if count:
            if not self._rubble:
                self._places += 1
                self._first = self._first or offset + 1
            self._rubble += count
            self._skipped += count

    def _accept(self, line: Line) -> bool:
        """Whether the record is new. Compares it with the chain and settles the rubble before it."""
        if line.number <= self.number:
            self._repeated += 1
            return False
        followed = link(self.chain, line.body) == line.chain
        if followed and self._rubble and line.body.find(b'"kind":"notice"', 0, 200) > 0:
            # A torn tail that was sealed and told when it was found; no finished record was lost there.
            self._places -= 1
            self._skipped -= self._rubble
            self._first = self._first if self._places else 0
        elif not followed:
            self._lost += line.number - self.number - 1
            if not self._rubble or line.number == self.number + 1:
                self._breaks.append(line.number)
        self._rubble = 0
        self.number, self.chain = line.number, line.chain
        return True

    def notices(self) -> list[str]:
        """What was found broken, one line each, with the file's name."""
        found: list[str] = []
        name = self.path.name
        if self.size and not self.header:
            found.append(f"{name}: the first line, which names the format, is damaged; read as version {VERSION}")
        if self.tail and self.open_end:
            found.append(f"{name}: the last record was cut off ({self.tail} bytes); all before it is kept")
        elif self.open_end:
            found.append(f"{name}: the last line was not ended; nothing is lost")
        places = self._places - bool(self.tail and self.open_end)
        if places:
            lost = f"{self._lost} records are missing" if self._lost else "no record is known to be missing"
            skipped = self._skipped - (self.tail if self.open_end else 0)
            found.append(
                f"{name}: damaged in {places} place{'s' * (places > 1)}, the first at byte {self._first - 1}; "
                f"{skipped} bytes skipped, {lost}"
            )
        if self._repeated:
            found.append(f"{name}: {self._repeated} repeated records skipped")
        if self._breaks:
            numbers = ", ".join(map(str, self._breaks[:5])) + (", ..." if len(self._breaks) > 5 else "")
            found.append(f"{name}: the chain is broken at record {numbers}: lines before it were removed or changed")
        return found


class LogReader:
    """A log opened only to look at it: no lock, nothing repaired. Safe beside a writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notices: list[str] = []
        """What the latest iteration over `lines` or `records` found, once it ended or was closed."""

    def lines(self) -> Generator[Line, None, None]:
        """Verified lines, with kinds that this version does not know. Raises UsageError, StorageError."""
        scan = Scan(self.path)
        try:
            yield from scan
        finally:
            self.notices = scan.notices()

    def records(self) -> Iterator[Record]:
        """The records that this version understands."""
        unread = 0
        for line in self.lines():
            record = decode_body(line.body)
            if record is None:
                unread += 1
            else:
                yield record
        if unread:
            self.notices.append(unread_notice(self.path, unread))


def unread_notice(path: Path, count: int) -> str:
    return f"{path.name}: {count} records of kinds that this version does not know were skipped; they stay in the file"
