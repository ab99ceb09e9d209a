"""Which session a task goes on with, from where in it, and where it is told to other programs."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from assay._version import __version__
from assay.core.errors import AssayError, UsageError
from assay.core.events import CallFinished, InputReceived, ModelReplied, Noticed, Rewound, TurnEnded
from assay.core.store import Record
from assay.sessions.index import Sessions
from assay.sessions.log import SessionLog

if TYPE_CHECKING:
    from assay.app.task import Task, Wish
    from assay.sessions.claude.names import Place


class NoConversation(UsageError):
    """There is no session of that id."""


class ResumeRejected(AssayError):
    """A resume that would leave out something else than what the caller knows of."""


def open_sessions(sessions: Sessions, wish: Wish, stack: contextlib.AsyncExitStack) -> Sessions:
    """Where the session of this task is kept: in `sessions`, or in a folder that goes with the task."""
    if wish.persist:
        return sessions
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="assay-session-")))
    if wish.session is not None and (source := _own(sessions, wish)) is not None:
        target = folder / "sessions" / source.parent.name / source.name
        target.parent.mkdir(mode=0o700, parents=True)
        shutil.copyfile(source, target)
    return Sessions(folder, version=__version__)


def _own(sessions: Sessions, wish: Wish) -> Path | None:
    try:
        return sessions.find(wish.session or sessions.latest(str(wish.directory)))
    except UsageError:
        return None


def open_store(sessions: Sessions, wish: Wish) -> SessionLog:
    """The log that the task writes: a new one, the one to go on with, or its fork. Raises `UsageError` for a session
    that does not exist, and `ResumeRejected`."""
    from assay.sessions.claude.names import find_place

    directory = str(wish.directory)
    place = find_place(wish.environ, directory)
    if wish.session is None:
        return _new(sessions, wish, place)
    if wish.session_id and not wish.fork:
        raise UsageError("--session-id with --resume or --continue needs --fork-session")
    identity, path = _find(sessions, wish, place)
    if not identity:
        return _new(sessions, wish, place)
    _adopt(sessions, directory, identity, path)
    upto = _cut(sessions, wish, identity) if wish.resume_at else None
    if wish.fork:
        if wish.session_id:
            _free(sessions, wish.session_id, place)
        return sessions.fork(identity, upto=upto, session=wish.session_id)
    log = sessions.open(identity)
    if upto is not None and any(_talk(record) for record in log.records() if record.number > upto):
        log.append(Rewound(upto), durable=True)
    return log


def _new(sessions: Sessions, wish: Wish, place: Place | None) -> SessionLog:
    for flag, given in (("--fork-session", wish.fork), ("--resume-session-at", wish.resume_at)):
        if given and wish.session is None:
            raise UsageError(f"{flag} goes with --continue or --resume ID")
    if wish.session_id:
        _free(sessions, wish.session_id, place)
    return sessions.create(str(wish.directory), wish.session_id)


def _free(sessions: Sessions, identity: str, place: Place | None) -> None:
    taken = place is not None and place.writable and place.transcript(identity).exists()
    with contextlib.suppress(UsageError):
        taken = taken or sessions.find(identity).stem == identity
    if taken:
        raise UsageError(f"session id {identity} is in use already; go on with it by --resume {identity}")


def _find(sessions: Sessions, wish: Wish, place: Place | None) -> tuple[str, Path | None]:
    """The id of the session to go on with, and its transcript if that may hold more than we have. An empty id: there is
    none to continue, and whoever drives us wants a new one then."""
    directory = str(wish.directory)
    if wish.session == "":
        newest = next(iter(sessions.summaries(directory)), None)
        told, when = place.newest() if place and place.writable else ("", 0.0)
        if told and (newest is None or (when > newest.updated and told != newest.session)):
            return told, place.transcript(told) if place else None
        if newest is None and wish.host is not None:
            return "", None
        if newest is None:
            return sessions.latest(directory), None  # says that there is none
        wanted = newest.session
    else:
        wanted = wish.session or ""
    path = place.transcript(wanted) if place else None
    if path is not None and not path.is_file():
        path = None
    try:
        found = sessions.find(wanted)
    except UsageError as error:
        if path is not None:
            return wanted, path
        if str(error).startswith("no session"):
            raise NoConversation(
                f"No conversation found with session ID: {wanted[:200]} (`assay sessions list` shows what there is)"
            ) from None
        raise
    return found.stem, path if place and place.writable else None


def _adopt(sessions: Sessions, directory: str, identity: str, path: Path | None) -> None:
    """Take into our log what only a transcript holds: all of it, or what another machine added."""
    if path is None:
        return
    from assay.sessions.claude.imported import Found, events_of, says_something
    from assay.sessions.claude.reader import conversation, read_lines, text_of

    chain = conversation(list(read_lines(path)))
    numbers, last = _numbers(sessions, identity)
    at = max((place for place, line in enumerate(chain) if text_of(line, "uuid") in numbers), default=-1)
    kept = numbers[text_of(chain[at], "uuid")] if at >= 0 else 1
    tail = chain[at + 1 :]
    if not any(map(says_something, tail)):
        if not last:
            raise UsageError(f"there is no conversation in {path}; start a new session")
        return
    log = sessions.open(identity) if last else sessions.create(directory, identity)
    try:
        found = Found()
        if last > kept:
            log.append(Rewound(kept))
        for event in events_of(tail, _number(log) + 1, found):
            log.append(event)
        log.append(Noticed(found.notice(str(path))), durable=True)
    finally:
        log.close()


def _numbers(sessions: Sessions, identity: str) -> tuple[dict[str, int], int]:
    """The ids of the messages in our log of a session, with the numbers of their records; and the number of the last
    record that says something. Nothing for a session that we don't have."""
    from assay.sessions.claude.lines import About, Projection

    numbers: dict[str, int] = {}
    last = 0
    with contextlib.suppress(UsageError):
        projection = Projection(About(identity))
        for record in sessions.read(identity).records():
            projection.apply(record)
            numbers |= dict.fromkeys(projection.uuids(record), record.number)
            last = record.number if _talk(record) or not last else last
    return numbers, last


def _number(log: SessionLog) -> int:
    number = 0
    for record in log.records():
        number = record.number
    return number


def _talk(record: Record) -> bool:
    return isinstance(record.event, InputReceived | ModelReplied | CallFinished)


def _cut(sessions: Sessions, wish: Wish, identity: str) -> int:
    """The number of the last record that counts when a session is gone on with from `wish.resume_at`."""
    from assay.sessions.claude.lines import About, Projection

    projection = Projection(About(identity))
    at, cut, dropped = 0, 0, list[tuple[Record, list[str]]]()
    for record in sessions.read(identity).records():
        projection.apply(record)
        uuids = projection.uuids(record)
        if wish.resume_at in uuids:
            at, cut, dropped = record.number, record.number, []
        elif at and isinstance(record.event, Rewound) and record.event.keeps_to is not None:
            keeps = record.event.keeps_to
            dropped = [each for each in dropped if each[0].number <= keeps]
        elif at and _talk(record):
            dropped.append((record, uuids))
        elif at and not dropped and isinstance(record.event, TurnEnded):
            cut = record.number
    if not at:
        raise UsageError(f"--resume-session-at: session {identity} has no message with the uuid {wish.resume_at}")
    if wish.resume_drops is not None and dropped:
        _check(dropped, wish.resume_drops)
    return cut


def _check(dropped: list[tuple[Record, list[str]]], expected: str) -> None:
    inputs = [(record, uuids) for record, uuids in dropped if isinstance(record.event, InputReceived)]
    what = ""
    if not isinstance(dropped[0][0].event, InputReceived):
        what = "messages of the turn that is to be kept come after the given point"
    elif len(inputs) > 1:
        what = f"{len(inputs)} prompts come after the given point"
    elif expected not in inputs[0][1]:
        what = f"the prompt after the given point is {inputs[0][1][0]}, not {expected or 'none'}"
    if what:
        raise ResumeRejected(
            f"Resume rejected by --resume-drops-turn: {what}. Nothing was changed; resume without it, or read the "
            "session again and choose another point"
        )


def follow(task: Task, store: SessionLog) -> None:
    """Tell the session to programs that read transcripts: in the folder that CLAUDE_CONFIG_DIR names, and to a host
    that wants a copy."""
    wish = task.wish
    if "CLAUDE_CONFIG_DIR" not in wish.environ and not wish.mirror:
        return
    from assay.app.messages.tooluse import tool_use_result
    from assay.sessions.claude.lines import About
    from assay.sessions.claude.names import branch_of, find_place
    from assay.sessions.claude.writer import Transcript

    directory = str(wish.directory.resolve())
    place = find_place(wish.environ, directory)
    if place is None or not (wish.mirror or (place.writable and wish.persist)):
        return
    entry = wish.environ.get("CLAUDE_CODE_ENTRYPOINT") or "cli"
    about = About(store.session, directory, branch_of(directory), __version__, entry)
    transcript = Transcript(place, about, store.records, tool_use_result, keeps=wish.persist)
    transcript.trouble = lambda text: task.run.record(Noticed(text))
    task.run.bus.subscribe(transcript)
    task.transcript = transcript
