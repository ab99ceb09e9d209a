"""Where to cut a session so that it ends with a given public message (`--resume-session-at`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from assay.app.messages.ids import uuid_of
from assay.core.errors import UsageError
from assay.core.events import CallFinished, InputReceived, ModelReplied, SessionStarted
from assay.core.store import Record

REFUSED = "Resume rejected by --resume-drops-turn:"
"""How the refusal begins; hosts match on it."""


class ResumeRefused(UsageError):
    """What would be dropped is not what the host said."""


def cut_at(records: Iterable[Record], uuid: str, drops: str | None = None) -> int:
    """The number of the last record to keep, so that the message `uuid` is the last one of the history.

    `drops`: the uuid of the user's message that opens the one turn left out; empty when none may be. Raises
    `UsageError` for an unknown message and `ResumeRefused` when something else would be left out.
    """
    found, keep, done = False, 0, False
    dropped: list[str] = []
    for record, names in _named(records):
        if found and isinstance(record.event, InputReceived):
            dropped.append(record.event.uuid)
        done = done or (found and bool(names))
        found = found or uuid in names
        if found and not done:
            keep = record.number
    if not found:
        raise UsageError(f"--resume-session-at: the session has no message {uuid[:80]}")
    if drops is not None and dropped != ([drops] if drops else []):
        what = f"the turn of {dropped[0]}" if len(dropped) == 1 else f"{len(dropped)} turns"
        raise ResumeRefused(f"{REFUSED} what follows the message is {what if dropped else 'nothing'}")
    return keep


def _named(records: Iterable[Record]) -> Iterator[tuple[Record, list[str]]]:
    """Records with the uuids of the messages that they are shown as. What a fork copied has its old names."""
    session = ""
    for record in records:
        match record.event:
            case SessionStarted(session=name):
                session, names = name, []
            case InputReceived(uuid=given):
                names = [given or uuid_of(session, record.number)]
            case ModelReplied(message=message) if message.failure is None:
                names = [uuid_of(session, record.number, part) for part in range(len(message.parts))]
            case CallFinished():
                names = [uuid_of(session, record.number)]
            case _:
                names = []
        yield record, names
