"""The stored sessions: where they lie, which there are, and what is done with whole ones.

    ROOT/sessions/PROJECT-KEY/ID.jsonl      the log
    ROOT/sessions/PROJECT-KEY/ID/           what its tools spilled

There is no index file: a list reads both ends of each log, which for 1,000 sessions takes about a tenth of a second,
and nothing can be out of date.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from assay.core.clock import Clock, SystemClock
from assay.core.errors import SessionBusy, StorageError, UsageError
from assay.core.events import Noticed, SessionStarted
from assay.core.ids import new_id
from assay.sessions.log import SessionLog
from assay.sessions.reader import LogReader
from assay.sessions.summary import Summary, summarize

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def project_key(directory: str) -> str:
    """A name for a project directory: its last words, readable, and a hash that keeps equal ones apart."""
    from hashlib import sha256

    real = os.path.realpath(directory)
    slug = re.sub(r"[^A-Za-z0-9]+", "-", real).strip("-")[-40:].strip("-")
    return f"{slug or 'root'}-{sha256(os.fsencode(real)).hexdigest()[:10]}"


class Sessions:
    """All sessions below `root` (contract, section 6). Errors are UsageError, SessionBusy and StorageError."""

    def __init__(self, root: Path, *, version: str = "", clock: Clock | None = None) -> None:
        self.folder = root / "sessions"
        self._version = version
        self._clock = clock or SystemClock()

    def create(self, directory: str, session: str = "") -> SessionLog:
        """A new session for a project directory; `session` when a host chose its id. On disk with the first input."""
        if session and not _ID.fullmatch(session):
            raise UsageError(f"bad session id {session!r}: letters, digits, - and _ only, at most 128")
        if session and any(self._paths(session)):
            raise UsageError(f"session {session} exists already; go on with it by --resume {session}")
        log = self._new(project_key(directory), session or new_id())
        log.append(SessionStarted(log.session, os.path.realpath(directory), self._version))
        return log

    def open(self, prefix: str) -> SessionLog:
        """The session whose id begins with `prefix`, to go on with."""
        return SessionLog.open(self.find(prefix), clock=self._clock)

    def read(self, prefix: str) -> LogReader:
        """The same, only to look at; works beside a writer."""
        return LogReader(self.find(prefix))

    def find(self, prefix: str) -> Path:
        """The log of the one session whose id begins with `prefix`."""
        if not _ID.fullmatch(prefix):
            raise UsageError(f"no session {prefix!r}; `assay sessions list` shows what there is")
        found = sorted(path for path in self._paths() if path.stem.startswith(prefix))
        exact = [path for path in found if path.stem == prefix]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if not found:
            raise UsageError(f"no session {prefix!r}; `assay sessions list` shows what there is")
        names = ", ".join(path.stem for path in found[:3]) + (", ..." if len(found) > 3 else "")
        raise UsageError(f"{len(found)} sessions begin with {prefix!r} ({names}); write more of the id")

    def summaries(self, directory: str = "") -> list[Summary]:
        """Sessions of one project directory, or of all, last used first; unreadable logs are left out."""
        found: list[Summary] = []
        for path in self._paths(directory=directory):
            with suppress(OSError):  # deleted meanwhile, or not ours to read: then it can't be used either
                summary = summarize(path)
                if summary is not None:
                    found.append(summary)
        return sorted(found, key=lambda each: (each.updated, each.session), reverse=True)

    def latest(self, directory: str) -> str:
        """The id of the session last used in a project directory (`--continue`)."""
        found = self.summaries(directory)
        if not found:
            raise UsageError(
                f"no session to continue in {directory}; `assay sessions list` shows those of all projects"
            )
        return found[0].session

    def fork(self, prefix: str, *, upto: int | None = None, session: str = "") -> SessionLog:
        """A new session that begins with the records of another (the first `upto` of them): same project, own id.

        The copy keeps numbers, times, and what this version does not know. What was damaged is left behind, and said.
        """
        source = self.read(prefix)
        start = next((r.event for r in source.records() if isinstance(r.event, SessionStarted)), None)
        log = self._new(source.path.parent.name, session or new_id())
        try:
            lines = source.lines()
            log.copy(takewhile(lambda line: upto is None or line.number <= upto, lines))
            lines.close()
            log.append(SessionStarted(log.session, start.cwd if start else "", self._version, source.path.stem))
            if source.notices:
                log.append(Noticed(f"not copied: {'; '.join(source.notices)}"))
            log.sync()
        except BaseException:
            log.close()
            log.path.unlink(missing_ok=True)
            raise
        return log

    def delete(self, prefix: str) -> str:
        """Remove a session with its spilled output; returns its id. Not while it is in use."""
        path = self.find(prefix)
        self._remove(path)
        return path.stem

    def delete_older(self, seconds: float) -> list[str]:
        """Remove the sessions that were not used for so long, except those in use; returns their ids."""
        limit = self._clock.now() - seconds
        gone: list[str] = []
        for summary in self.summaries():
            if summary.updated < limit:
                with suppress(SessionBusy):
                    self._remove(Path(summary.path))
                    gone.append(summary.session)
        return gone

    def _new(self, key: str, session: str) -> SessionLog:
        return SessionLog.create(self.folder / key / f"{session}.jsonl", clock=self._clock)

    def _paths(self, session: str = "*", directory: str = "") -> Iterator[Path]:
        return self.folder.glob(f"{project_key(directory) if directory else '*'}/{session}.jsonl")

    def _remove(self, path: Path) -> None:
        import shutil

        from assay.sessions import lock

        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                lock.take(descriptor, path)
                with suppress(FileNotFoundError):
                    shutil.rmtree(path.with_suffix(""))
                path.unlink()
                lock.release(path)
            finally:
                os.close(descriptor)
            with suppress(OSError):  # other sessions are still in it
                path.parent.rmdir()
        except OSError as error:
            raise StorageError(f"can't delete {path}: {error.strerror or error}") from error
