"""A session of ours from a transcript, which the `claude` command wrote or a host's store handed back.

What was said, the calls and their results come over; what other programs add to their lines does not. Labels: a line
that we wrote has its own. Of others, the user's words are the operator's, what tools of files gave is the project's,
and whatever else a tool or a summary brought in may have been written by anyone.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from assay.core.check import Verdict
from assay.core.events import CallFinished, Compacted, ContextAdded, Event, InputReceived, ModelReplied, TurnEnded
from assay.core.ids import new_id
from assay.core.messages import (
    AssistantMessage,
    AssistantPart,
    Image,
    Json,
    Native,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)
from assay.core.policy import EXTERNAL, OPERATOR, WORKSPACE, Label
from assay.sessions.claude.lines import FOREIGN, INTERRUPTED, Line
from assay.sessions.claude.reader import blocks_of, list_of, results_of, table_of, text_of

_FILES = frozenset(
    {"Read", "Edit", "MultiEdit", "Write", "NotebookEdit", "NotebookRead", "Glob", "Grep", "LS", "TodoWrite"}
)
"""Tools whose results are the project's."""
_TYPED = 20
"""Lines that somebody types at most."""
_STOPS: dict[str, StopReason] = {"tool_use": "calls", "max_tokens": "length", "refusal": "refused"}
_KINDS = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


class Found(Struct):
    """What a transcript holds, for the notice about it."""

    turns: int = 0
    model: str = ""
    """Of the last reply."""
    skipped: dict[str, int] = {}
    """Kinds of lines and blocks of the conversation that nothing was made of, and how often."""

    def notice(self, where: str) -> str:
        left = ", ".join(f"{count} x {kind}" for kind, count in sorted(self.skipped.items()))
        return f"went on from the transcript {where}: {self.turns} turns" + (
            f"; not understood: {left}" if left else ""
        )


def events_of(chain: list[Line], first: int, found: Found) -> Iterator[Event]:
    """The events that stand for a chain of lines (`reader.conversation`). `first` is the number that the first of them
    gets in the log."""
    number, step, turn = first, 0, ""
    tools = {text_of(block, "id"): text_of(block, "name") for line in chain for block in _uses(line)}
    open_calls: set[str] = set()
    words = ""
    for group in _groups(chain, found):
        line = group[0]
        events: list[Event] = []
        if line.get("isCompactSummary"):
            events = [Compacted(_words(line), number + 1)]
        elif line.get("type") == "assistant":
            step += 1
            message = _reply(group, found)
            open_calls = {call.id for call in message.calls}
            words = message.text or words
            found.model = message.model or found.model
            events = [ModelReplied(step, message)]
        else:
            events = list(_said(line, tools, found))
            open_calls -= {event.result.call for event in events if isinstance(event, CallFinished)}
            if any(isinstance(event, InputReceived) for event in events):
                if turn:
                    yield _ended(turn, words, step)
                    number += 1
                found.turns, step, words = found.turns + 1, 0, ""
                turn = next(event.turn for event in events if isinstance(event, InputReceived))
        for event in events:
            yield event
            number += 1
    if turn and step and not open_calls:
        yield _ended(turn, words, step)


def _ended(turn: str, words: str, steps: int) -> TurnEnded:
    return TurnEnded(turn, Verdict("answered", "read from a transcript"), words, steps, 0.0)


def _groups(chain: list[Line], found: Found) -> Iterator[list[Line]]:
    """Lines that are one thing: those of one reply together, with what was put between them behind."""
    replies: dict[str, list[Line]] = {}
    for line in chain:
        message = table_of(line.get("message"))
        name = text_of(message, "id")
        if line.get("type") == "assistant" and name and not line.get("isApiErrorMessage"):
            replies.setdefault(name, []).append(line)
    for line in chain:
        kind, message = text_of(line, "type"), table_of(line.get("message"))
        if line.get("isApiErrorMessage") or (kind == "system" and line.get("subtype") == "compact_boundary"):
            continue
        if kind == "user":
            yield [line]
        elif kind == "assistant":
            group = replies.get(text_of(message, "id"), [line])
            if group[0] is line:
                yield group
        else:
            what = f"{kind}/{text_of(line, 'subtype')}".rstrip("/")
            found.skipped[what] = found.skipped.get(what, 0) + 1


def _uses(line: Line) -> list[Line]:
    return [block for block in blocks_of(line) if block.get("type") == "tool_use"]


def _words(line: Line) -> str:
    return "\n".join(text_of(block, "text") for block in blocks_of(line) if block.get("type") == "text")


def _reply(group: list[Line], found: Found) -> AssistantMessage:
    parts: list[AssistantPart] = []
    for block in (block for line in group for block in blocks_of(line)):
        match block.get("type"):
            case "text":
                parts.append(Text(text_of(block, "text")))
            case "thinking":
                parts.append(Thinking(text_of(block, "thinking"), text_of(block, "signature")))
            case "tool_use":
                parts.append(ToolCall(text_of(block, "id"), text_of(block, "name"), table_of(block.get("input"))))
            case kind:
                found.skipped[str(kind)] = found.skipped.get(str(kind), 0) + 1
    last = table_of(group[-1].get("message"))
    uuids: list[Json] = [text_of(line, "uuid") for line in group]
    native = Native(FOREIGN, "", [text_of(last, "id"), *uuids])
    calls = any(isinstance(part, ToolCall) for part in parts)
    stop = "calls" if calls else _STOPS.get(text_of(last, "stop_reason"), "end")
    return AssistantMessage(tuple(parts), stop, text_of(last, "model"), _usage(table_of(last.get("usage"))), native)


def _usage(told: Line) -> Usage:
    def count(key: str) -> int:
        value = told.get(key)
        return value if isinstance(value, int) and 0 <= value < 1 << 53 else 0

    return Usage(
        count("input_tokens"),
        count("cache_read_input_tokens"),
        count("cache_creation_input_tokens"),
        count("output_tokens"),
    )


def _said(line: Line, tools: dict[str, str], found: Found) -> Iterator[Event]:
    uuid, parts = text_of(line, "uuid"), list[Text | Image]()
    for block in blocks_of(line):
        if block.get("type") != "tool_result":
            parts += _shown(block, found)
            continue
        call = text_of(block, "tool_use_id")
        content = block.get("content")
        inner = [table_of(each) for each in list_of(content)]
        if isinstance(content, str):
            inner.append({"type": "text", "text": content})
        shown = tuple(part for each in inner for part in _shown(each, found)) or (Text(""),)
        default = WORKSPACE if tools.get(call) in _FILES else EXTERNAL.join(WORKSPACE)
        yield CallFinished(
            ToolResult(call, shown, block.get("is_error") is True),
            "read from a transcript",
            {"uuid": uuid},
            label=_label(line, default),
        )
    if not parts:
        return
    words = "\n".join(part.text for part in parts if isinstance(part, Text))
    if line.get("isMeta") or words == INTERRUPTED or results_of(line):
        yield ContextAdded("transcript", words, label=_label(line, EXTERNAL.join(WORKSPACE)))
        return
    # What nobody typed, such as a message about a task's end, or what is too long for that, as `run.inputs` has it.
    typed = text_of(table_of(line.get("origin")), "kind") in ("", "human") and words.count("\n") < _TYPED
    label = OPERATOR if typed and len(parts) == 1 else EXTERNAL
    yield InputReceived(new_id(), tuple(parts), label=_label(line, label), uuid=uuid)


def _shown(block: Line, found: Found) -> list[Text | Image]:
    source = table_of(block.get("source"))
    if block.get("type") == "text":
        return [Text(text_of(block, "text"))]
    if block.get("type") == "image" and text_of(source, "media_type") in _KINDS and text_of(source, "data"):
        return [Image(text_of(source, "media_type"), text_of(source, "data"))]
    kind = str(block.get("type"))
    found.skipped[kind] = found.skipped.get(kind, 0) + 1
    return []


def _label(line: Line, default: Label) -> Label:
    ours = table_of(line.get("assay"))
    for integrity in ("operator", "workspace", "external"):
        for secrecy in ("public", "project", "secret"):
            if (ours.get("integrity"), ours.get("secrecy")) == (integrity, secrecy):
                return Label(integrity, secrecy)
    return default


def says_something(line: Line) -> bool:
    """Whether a line is part of the talk itself, and not something that was put beside it."""
    return line.get("type") in ("user", "assistant") and not (line.get("isMeta") or line.get("isApiErrorMessage"))
