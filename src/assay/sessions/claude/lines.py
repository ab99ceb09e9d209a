"""From the records of a log to the lines of a transcript: a fold that gives the same lines whenever it is made.

A conversation line has `uuid` and `parentUuid`, one line for each block of a reply, and all blocks of a reply share
`message.id`. Lines of a log are one chain; where the conversation was taken back, the chain branches, and the newest
branch is what holds. `assay` on a line tells our number of the record and its label; other programs ignore it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

from msgspec import Struct

from assay.core.events import (
    CallFinished,
    Compacted,
    ContextAdded,
    Framed,
    InputReceived,
    ModelReplied,
    Rewound,
    SessionStarted,
    TurnEnded,
)
from assay.core.ids import message_uuid
from assay.core.messages import AssistantMessage, Image, Json, Text, Thinking, ToolCall, Usage
from assay.core.policy import Label
from assay.core.store import Record
from assay.sessions.claude.names import UUID

Line: TypeAlias = dict[str, Json]
FOREIGN = "transcript"
"""The `Native.dialect` of a reply that was read from a transcript: no provider's own, so it is never replayed; it keeps
the ids that its lines had."""
INTERRUPTED = "[Request interrupted by user]"
"""What readers of transcripts know a break by."""
_STOP: dict[str, Json] = {"end": "end_turn", "calls": "tool_use", "length": "max_tokens", "refused": "refusal"}
_OWN = frozenset({"environment", "instructions", "schema"})
"""Owners of context that each run adds anew."""


class About(Struct, frozen=True):
    """What every conversation line of a file says."""

    session: str
    cwd: str = ""
    branch: str = ""
    version: str = ""
    entrypoint: str = "cli"
    agent: str = ""
    """The id of the sub-agent whose lines these are; empty for the session itself."""


Told = Callable[[ToolCall | None, CallFinished], Json]
"""What a call did, as an object for programs (`toolUseResult`); None for nothing."""


class Projection:
    """A fold of one log. `apply` gives the lines of a record, oldest first."""

    def __init__(self, about: About, told: Told = lambda _call, _finished: None) -> None:
        self.about = about
        self._told = told
        self.leaf: str | None = None
        """The id of the last line of the chain."""
        self._origin = about.session
        self._inputs = ""
        self._prompt = ""
        self._leaves: list[tuple[int, str]] = []
        self._callers: dict[str, tuple[str, ToolCall]] = {}

    def apply(self, record: Record) -> list[Line]:
        match record.event:
            case SessionStarted(session=session):
                self._origin = session
                return []
            case InputReceived() as event:
                return self._input(record, event)
            case ContextAdded() as event if event.owner not in _OWN:
                message: Json = {"role": "user", "content": event.text}
                return [self._line(record, "user", label=event.label, isMeta=True, message=message)]
            case Framed(tree=tree) if self._inputs:
                return [self._snapshot(record.time, tree)]
            case ModelReplied(role="solver") as event:
                return self._reply(record, event)
            case CallFinished() as event:
                return [self._result(record, event)]
            case Compacted() as event:
                return self._compacted(record, event)
            case Rewound(keeps_to=int(keeps)):
                kept = [leaf for leaf in self._leaves if leaf[0] <= keeps]
                self._leaves, self.leaf = kept, kept[-1][1] if kept else None
                return []
            case TurnEnded() as event:
                return self._ended(record, event)
            case _:
                return []

    def uuids(self, record: Record) -> list[str]:
        """The ids of the messages of a record, one for each block of a reply; empty for a record that has none."""
        match record.event:
            case InputReceived(uuid=uuid) if UUID.fullmatch(uuid):
                return [uuid]
            case ModelReplied(message=message, role="solver"):
                native = message.native
                if native and native.dialect == FOREIGN:
                    return [str(block) for block in native.blocks[1:]]
                parts = 0 if message.failure and message.failure.kind == "cancelled" else max(len(message.parts), 1)
                return [self._name(record, part) for part in range(parts)]
            case CallFinished(debug=debug) if isinstance(uuid := debug.get("uuid"), str) and UUID.fullmatch(uuid):
                return [uuid]
            case Compacted():
                return [self._name(record, part) for part in range(2)]
            case InputReceived() | CallFinished() | ContextAdded():
                return [self._name(record)]
            case TurnEnded(verdict=verdict) if verdict.outcome == "interrupted":
                return [self._name(record)]
            case _:
                return []

    def _name(self, record: Record, part: int = 0) -> str:
        return message_uuid(self._origin, record.number, record.time, part)

    def _reply_name(self, record: Record) -> str:
        """The `message.id` that all blocks of a reply share."""
        return f"msg_{self._name(record).replace('-', '')}"

    def title_line(self) -> Line:
        """What the session was asked last, for lists."""
        return {"type": "last-prompt", "lastPrompt": self._prompt, "sessionId": self.about.session}

    # --- the kinds ------------------------------------------------------------------------------------------------

    def _input(self, record: Record, event: InputReceived) -> list[Line]:
        first, *more = event.parts
        plain = isinstance(first, Text) and not more
        content = cast("Text", first).text if plain else [block_object(part) for part in event.parts]
        line = self._line(record, "user", label=event.label, message={"role": "user", "content": content})
        if event.origin:
            line["origin"] = event.origin
        self._inputs = str(line["uuid"])
        words = next((part.text for part in event.parts if isinstance(part, Text)), "")
        self._prompt = " ".join(words[:800].split())[:200]
        return [line]

    def _reply(self, record: Record, event: ModelReplied) -> list[Line]:
        message = event.message
        if message.failure:
            if message.failure.kind == "cancelled":
                return []
            said: Json = [{"type": "text", "text": f"API Error: {message.failure.message}"}]
            body = {**message_object(message, said), "id": self._reply_name(record), "model": "<synthetic>"}
            return [self._line(record, "assistant", message=body, isApiErrorMessage=True)]
        native, lines = message.native, list[Line]()
        known = str(native.blocks[0]) if native and native.dialect == FOREIGN else self._reply_name(record)
        for part, piece in enumerate(message.parts):
            body = {**message_object(message, [block_object(piece)]), "id": known}
            line = self._line(record, "assistant", part, message=body)
            if isinstance(piece, ToolCall):
                self._callers[piece.id] = str(line["uuid"]), piece
            lines.append(line)
        return lines

    def _result(self, record: Record, event: CallFinished) -> Line:
        result = event.result
        block: Json = {
            "type": "tool_result",
            "tool_use_id": result.call,
            "content": [block_object(part) for part in result.content],
            "is_error": result.is_error,
        }
        line = self._line(record, "user", label=event.label, message={"role": "user", "content": [block]})
        caller, call = self._callers.pop(result.call, ("", None))
        if (told := self._told(call, event)) is not None:
            line["toolUseResult"] = told
        if caller:
            line["sourceToolAssistantUUID"] = caller
        return line

    def _compacted(self, record: Record, event: Compacted) -> list[Line]:
        kept = [uuid for number, uuid in self._leaves if number >= event.keeps_from]
        before, self.leaf = self.leaf, None
        about: dict[str, Json] = {"trigger": "auto"}
        boundary = self._line(record, "system", subtype="compact_boundary", content="", compactMetadata=about)
        summary = self._line(
            record,
            "user",
            1,
            isCompactSummary=True,
            isVisibleInTranscriptOnly=True,
            message={"role": "user", "content": event.summary},
        )
        boundary["logicalParentUuid"] = before
        if kept:
            about["preservedMessages"] = {"anchorUuid": summary["uuid"], "uuids": list[Json](kept)}
        return [boundary, summary]

    def _ended(self, record: Record, event: TurnEnded) -> list[Line]:
        if event.verdict.outcome != "interrupted":
            return []
        content: Json = [{"type": "text", "text": INTERRUPTED}]
        return [self._line(record, "user", message={"role": "user", "content": content})]

    def _snapshot(self, time: float, tree: str) -> Line:
        about: Json = {
            "messageId": self._inputs,
            "trackedFileBackups": {},
            "timestamp": iso_time(time),
            "tree": tree,
        }
        return {
            "type": "file-history-snapshot",
            "messageId": self._inputs,
            "snapshot": about,
            "isSnapshotUpdate": False,
        }

    def _line(self, record: Record, kind: str, part: int = 0, *, label: Label | None = None, **more: Json) -> Line:
        about, found = self.about, self.uuids(record)
        uuid = found[part] if part < len(found) else self._name(record, part)
        ours: dict[str, Json] = {"record": record.number}
        if label:
            ours |= {"integrity": label.integrity, "secrecy": label.secrecy}
        line: Line = {
            "parentUuid": self.leaf,
            "isSidechain": bool(about.agent),
            "userType": "external",
            "cwd": about.cwd,
            "sessionId": about.session,
            "version": about.version,
            "gitBranch": about.branch,
            "entrypoint": about.entrypoint,
            "type": kind,
            **({"agentId": about.agent} if about.agent else {}),
            **more,
            "uuid": uuid,
            "timestamp": iso_time(record.time),
            "assay": ours,
        }
        if self._origin != about.session and not about.agent:
            line["forkedFrom"] = {"sessionId": self._origin, "messageUuid": uuid}
        self.leaf = uuid
        self._leaves.append((record.number, uuid))
        return line


def message_object(message: AssistantMessage, content: Json) -> dict[str, Json]:
    return {
        "type": "message",
        "role": "assistant",
        "model": message.model,
        "content": content,
        "stop_reason": _STOP.get(message.stop),
        "stop_sequence": None,
        "usage": _usage(message.usage),
    }


def _usage(usage: Usage) -> dict[str, Json]:
    return {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }


def block_object(part: Text | Image | Thinking | ToolCall) -> dict[str, Json]:
    """A block of content as the Messages API has it."""
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Image(media_type, data):
            return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
        case Thinking(text, signature):
            return {"type": "thinking", "thinking": text, "signature": signature}
        case ToolCall(id, name, arguments):
            return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def iso_time(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, with milliseconds and a Z."""
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
