"""A session for other eyes: a readable transcript, or its events as JSON lines. The raw log is the file itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from assay.core.events import (
    CallDecided,
    CallFinished,
    CheckFinished,
    Compacted,
    ContextAdded,
    EvidenceRecorded,
    InputReceived,
    ModelReplied,
    Noticed,
    SessionStarted,
    TurnEnded,
)
from assay.core.messages import Image, Text, ToolCall
from assay.core.store import Record
from assay.sessions.line import Line, payload_of, time_of

# Terminal escapes in what a model or a command wrote must not reach whoever prints a transcript.
# Nor invisible characters: zero-width ones, bidirectional marks, tags and the like.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0d\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def export_events(lines: Iterable[Line]) -> Iterator[str]:
    """One JSON object a record: `{"number", "time", "event"}`, unknown kinds included, in ASCII, without line ends."""
    for line in lines:
        record = b'{"number":%d,"time":%a,"event":%b}' % (line.number, time_of(line.body), payload_of(line.body))
        yield record.decode("ascii")


def export_markdown(records: Iterable[Record]) -> Iterator[str]:
    """The session as Markdown, block by block; what tools returned is shortened to its first 40 lines."""
    for record in records:
        block = _block(record)
        if block:
            yield _CONTROL.sub("\ufffd", block) + "\n"


def _block(record: Record) -> str:
    match record.event:
        case SessionStarted() as event:
            origin = f", forked from {event.forked_from}" if event.forked_from else ""
            return (
                f"# Session {event.session}\n\n{event.cwd} · {_moment(record.time)} · assay {event.version}{origin}\n"
            )
        case InputReceived() as event:
            return f"## User\n\n{_content(event.parts)}\n"
        case ContextAdded() as event:
            return f"<details><summary>Context: {event.owner}</summary>\n\n{_fenced(event.text)}\n\n</details>\n"
        case ModelReplied() as event:
            return _reply(event)
        case CallDecided() as event if event.decision.verdict != "allow":
            return f"*{event.tool}: {event.decision.verdict}. {event.decision.reason}*\n"
        case CallFinished() as event:
            word = "Error" if event.result.is_error else "Result"
            return (
                f"{word}{f': {event.display}' if event.display else ''}\n\n{_fenced(_content(event.result.content))}\n"
            )
        case CheckFinished() as event:
            return f"Check ({event.phase}) `{event.run.check}`: {'passed' if event.run.passed else 'failed'}\n"
        case EvidenceRecorded() as event:
            row = event.evidence
            return f"Evidence {row.cls}: {row.criterion} · `{row.command}` · {row.before} → {row.after}\n"
        case Compacted() as event:
            return f"*History was shortened to this summary:*\n\n{event.summary}\n"
        case Noticed() as event:
            return f"*{event.text}*\n"
        case TurnEnded() as event:
            return f"**{event.verdict.outcome}** ({event.verdict.why}) · {event.steps} steps · {event.seconds:.0f} s\n"
        case _:
            return ""


def _reply(event: ModelReplied) -> str:
    message = event.message
    role = "" if event.role == "solver" else f" ({event.role})"
    blocks = [f"## {message.model or 'Assistant'}{role}"]
    if message.failure is not None:
        blocks.append(f"*{message.stop}: {message.failure.message}*")
    elif message.text:
        blocks.append(message.text)
    blocks += [_call(call) for call in message.calls]
    return "\n\n".join(blocks) + "\n"


def _call(call: ToolCall) -> str:
    import json

    return f"Call `{call.name}`\n\n{_fenced(json.dumps(call.arguments, indent=2, ensure_ascii=False), 'json')}"


def _content(parts: Iterable[Text | Image]) -> str:
    return "\n".join(part.text if isinstance(part, Text) else f"[image, {part.media_type}]" for part in parts)


def _fenced(text: str, language: str = "", most: int = 40) -> str:
    lines = text.splitlines()
    if len(lines) > most:
        lines = [*lines[:most], f"[{len(lines) - most} more lines]"]
    ticks = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return "\n".join([fence + language, *lines, fence])


def _moment(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")
