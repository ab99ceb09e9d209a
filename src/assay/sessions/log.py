"""A session's log: one append-only file of lines, which survives whatever stops its writer.

Format, version 1. ASCII only; every line is one JSON object and ends with a single line feed.

    {"assay_log":1}
    {"crc":"5f1d3c0a","chain":"9c56cc51b374c3ba","len":94,"n":1,"t":1764000000.25,"event":{"kind":"session_started",...}}

The first line names the format. Every other line is a record. Its *body* is the text from `"n":` to the
line's end:

- `crc`: CRC-32 (zlib) of the body, 8 hex digits. A record is good or bad by itself.
- `chain`: the first 16 hex digits of SHA-256 over the predecessor's `chain` and the body, as ASCII. The first record's
  predecessor value is the same over an empty string and the format line. Shows lines that were removed or changed.
- `len`: bytes of the body. A whole record can be found behind rubble and without its line end.
- `n`: the record's number; grows by one, except where a fork left damage behind.
- `t`: seconds since the epoch; never smaller than the record's before, even when the clock is set back.
- `event`: one of `assay.core.events`, with its `kind`. Unknown kinds and fields are kept as they are.

A record is written by one `write`. A torn tail (a crash, a full disk) is ended with a line feed before the next record,
so nothing is ever glued to it and nothing is ever cut off; a `notice` record tells of it. A fork begins with the
bodies of the session that it came from, then a `session_started` that names it.

Beside `ID.jsonl` lie `ID.pid` (the writer's process id, while there is one) and `ID/` (spilled output of tools).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from assay.core.clock import Clock, SystemClock
from assay.core.errors import StorageError, UsageError
from assay.core.events import Event, Noticed
from assay.core.store import Record
from assay.sessions import lock
from assay.sessions.line import Line, decode_body, encode_body, encode_event, encode_line, link, time_of
from assay.sessions.migrate import HEADER
from assay.sessions.reader import SEED, LogReader, Scan, unread_notice


class SessionLog:
    """The `EventStore` on disk: the one writer of a session. Made by `create` or `open`; memory stays flat.

    After a `StorageError` the log may be used on: what the failed write left behind is sealed by the next one.
    """

    def __init__(self, path: Path, descriptor: int, clock: Clock) -> None:
        self.path = path
        self._descriptor = descriptor
        self._clock = clock
        self._number = 0
        self._chain = SEED
        self._time = 0.0
        self._torn = False
        self._unsynced_directory = False
        self._notices: list[str] = []
        self._unread = 0

    @classmethod
    def create(cls, path: Path, *, clock: Clock | None = None) -> SessionLog:
        """A new log at `path`, whose directories are made (mode 0700) if need be. Raises StorageError."""
        try:
            _make_private(path.parent)
        except OSError as error:
            raise _failure("make the directory", path.parent, error) from error
        log = cls._locked(path, os.O_CREAT | os.O_EXCL, clock)
        log._unsynced_directory = True
        try:
            log._write(HEADER)
        except StorageError:
            path.unlink(missing_ok=True)  # nothing was ever in it
            log.close()
            raise
        return log

    @classmethod
    def open(cls, path: Path, *, clock: Clock | None = None) -> SessionLog:
        """The log at `path`, to go on with: verified, its torn tail sealed, `notices` filled.

        Raises UsageError (no such log), SessionBusy, StorageError.
        """
        log = cls._locked(path, 0, clock)
        try:
            log._adopt(Scan(path))
        except BaseException:
            log.close()
            raise
        return log

    @classmethod
    def _locked(cls, path: Path, flags: int, clock: Clock | None) -> SessionLog:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)
        except FileNotFoundError:
            raise UsageError(f"no session log at {path}; `assay sessions list` shows what there is") from None
        except FileExistsError:
            raise StorageError(f"can't make the session log {path}: it exists; choose another session id") from None
        except OSError as error:
            raise _failure("open the session log", path, error) from error
        try:
            warning = lock.take(descriptor, path)
        except OSError as error:
            os.close(descriptor)
            raise _failure("lock the session log", path, error) from error
        except StorageError:
            os.close(descriptor)
            raise
        log = cls(path, descriptor, clock or SystemClock())
        if warning:
            log._notices.append(warning)
        return log

    def _adopt(self, scan: Scan) -> None:
        """Take over the state that `scan` finds, and seal what it finds torn."""
        last: Line | None = None
        for line in scan:
            last = line
        if last is not None:
            self._number, self._chain = last.number, last.chain
            self._time = time_of(last.body)
        if scan.size == 0:
            self._write(HEADER)
        found = scan.notices()
        self._notices += found
        self._torn = scan.open_end
        if scan.tail or scan.open_end:
            self.append(Noticed("; ".join(found)), durable=True)

    @property
    def session(self) -> str:
        return self.path.stem

    @property
    def notices(self) -> list[str]:
        if self._unread:
            return [*self._notices, unread_notice(self.path, self._unread)]
        return list(self._notices)

    @property
    def spill(self) -> Path:
        """The directory for output too long to show; not made yet."""
        return self.path.with_suffix("")

    def append(self, event: Event, *, durable: bool = False) -> Record:
        """Write one record. With `durable`, returns only when the disk has it. Raises StorageError."""
        try:
            payload = encode_event(event)
        except RecursionError as error:
            raise StorageError(f"can't write to {self.path}: the event is nested too deeply") from error
        time = max(round(self._clock.now(), 6), self._time)
        number = self._number + 1
        self._append_body(number, encode_body(number, time, payload))
        self._time = time
        if durable:
            self.sync()
        return Record(number, time, event)

    def copy(self, lines: Iterable[Line]) -> None:
        """Append records of another log as they are, with their numbers and times, at the front of this one."""
        for line in lines:
            self._append_body(line.number, line.body)
            self._time = time_of(line.body)

    def _append_body(self, number: int, body: bytes) -> None:
        chain = link(self._chain, body)
        self._write(encode_line(chain, body))
        self._number, self._chain = number, chain

    def _write(self, data: bytes) -> None:
        if self._descriptor < 0:
            raise StorageError(f"can't write to {self.path}: the log is closed")
        rest = memoryview(b"\n" + data if self._torn else data)
        try:
            while rest:
                count = os.write(self._descriptor, rest)
                self._torn = rest[count - 1] != 0x0A if count else self._torn
                rest = rest[count:]
        except OSError as error:
            if bytes(rest) == b"\n":
                return  # the record is whole; its missing end is made good by the next write
            raise _failure("write to the session log", self.path, error) from error

    def sync(self) -> None:
        """Wait until everything appended is on disk. Raises StorageError."""
        try:
            if os.fstat(self._descriptor).st_nlink == 0:
                raise StorageError(f"the session log {self.path} was deleted while in use; nothing more can be kept")
            # macOS has no fdatasync; its fsync hands the data to the drive, like Linux's.
            getattr(os, "fdatasync", os.fsync)(self._descriptor)
            if self._unsynced_directory:
                _sync_directory(self.path.parent)
                _sync_directory(self.path.parent.parent)
                self._unsynced_directory = False
        except OSError as error:
            raise _failure("write to the session log", self.path, error) from error

    def records(self) -> Iterator[Record]:
        """Every record that was in the log when the iteration began, read from disk anew."""
        last, unread = self._number, 0
        for line in LogReader(self.path).lines():
            if line.number > last:
                break
            record = decode_body(line.body)
            if record is not None:
                yield record
            else:
                unread += 1
        self._unread = unread

    def close(self) -> None:
        """Give the session free. Closing twice is fine."""
        if self._descriptor >= 0:
            lock.release(self.path)
            os.close(self._descriptor)
            self._descriptor = -1


def _make_private(path: Path) -> None:
    """Like `mkdir(parents=True)`, which would leave the parents open to everyone."""
    if not path.is_dir():
        _make_private(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failure(verb: str, path: Path, error: OSError) -> StorageError:
    import errno

    advice = {
        errno.ENOSPC: "free some space, then go on with --resume",
        errno.EDQUOT: "free some of the quota, then go on with --resume",
        errno.EROFS: "set ASSAY_HOME to a directory that can be written",
        errno.EACCES: "set ASSAY_HOME to a directory that can be written",
    }.get(error.errno or 0, "check that disk, or set ASSAY_HOME to another place")
    return StorageError(f"can't {verb} {path}: {error.strerror or error}; {advice}")
