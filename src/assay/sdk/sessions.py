"""The stored sessions, for programs: which there are, what was said in one, and what is done with whole ones.

They are read from our own logs. `directory` is a project; all projects are meant without it. Errors are `AssayError`:
`UsageError` for a session that does not exist, `SessionBusy` for one that another process holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from assay._version import __version__
from assay.app.messages.messages import Messages
from assay.app.paths import find_paths
from assay.core.errors import UsageError
from assay.core.messages import Json
from assay.core.model import Profile
from assay.run.bus import Bus
from assay.sessions.index import Sessions
from assay.sessions.reader import LogReader


@dataclass
class SessionInfo:
    session_id: str
    summary: str
    """The first words of its first prompt."""
    last_modified: int
    """Milliseconds since the epoch."""
    file_size: int | None = None
    custom_title: str | None = None
    first_prompt: str | None = None
    git_branch: str | None = None
    cwd: str | None = None
    tag: str | None = None
    created_at: int | None = None
    outcome: str | None = None
    """Of its last turn; None when that did not end."""


@dataclass
class SessionMessage:
    type: Literal["user", "assistant"]
    uuid: str
    session_id: str
    message: Json
    """`{"role": ..., "content": ...}` with the blocks of the stream."""
    parent_tool_use_id: str | None = None
    parent_agent_id: str | None = None


@dataclass
class ForkSessionResult:
    session_id: str


def list_sessions(directory: str | None = None, limit: int | None = None, offset: int = 0) -> list[SessionInfo]:
    """Last used first."""
    found = _sessions().summaries(directory or "")[offset:]
    return [
        SessionInfo(
            each.session,
            each.title,
            round(each.updated * 1000),
            each.size,
            first_prompt=each.title or None,
            cwd=each.cwd or None,
            created_at=round(each.started * 1000),
            outcome=each.outcome,
        )
        for each in (found if limit is None else found[:limit])
    ]


def get_session_messages(session_id: str, limit: int | None = None, offset: int = 0) -> list[SessionMessage]:
    """What was said, oldest first: prompts, replies, and results of calls."""
    found = [message for _, message in _messages(_sessions().read(session_id))]
    return found[offset:] if limit is None else found[offset : offset + limit]


def fork_session(session_id: str, up_to_message_id: str | None = None) -> ForkSessionResult:
    """A new session that begins with what was said in another, up to and with a message; the other is left alone."""
    sessions, upto = _sessions(), None
    if up_to_message_id is not None:
        said = _messages(sessions.read(session_id))
        upto = next((number for number, message in said if message.uuid == up_to_message_id), None)
        if upto is None:
            raise UsageError(f"session {session_id} has no message {up_to_message_id!r}")
    log = sessions.fork(session_id, upto=upto)
    log.close()
    return ForkSessionResult(log.session)


def delete_session(session_id: str) -> None:
    """Remove a session with all that its tools kept."""
    _sessions().delete(session_id)


def _sessions() -> Sessions:
    return Sessions(find_paths(os.environ).state, version=__version__)


def _messages(reader: LogReader) -> Iterator[tuple[int, SessionMessage]]:
    """What was said, each with the number of its record."""
    session, heard = reader.path.stem, list[dict[str, Json]]()
    messages, bus = Messages(session, lambda: Profile("", "", "")), Bus()
    messages.follow(bus)
    messages.subscribe(heard.append)
    for record in reader.records():
        bus.emit(record)
        for frame in heard:
            kind: Literal["user", "assistant"] = "user" if frame["type"] == "user" else "assistant"
            if frame["type"] == kind:
                parent = cast("str | None", frame.get("parent_tool_use_id"))
                yield record.number, SessionMessage(kind, str(frame["uuid"]), session, frame["message"], parent)
        heard.clear()
