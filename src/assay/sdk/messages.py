"""What a program reads of a run: messages and their blocks, made from the lines that every surface has.

Names and fields are those of the field's own Python client (docs/sdk.md has the table), so that a program which reads
one reads the other. What only we have are the last fields of `ResultMessage`, and `EventMessage`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from assay.core.events import Event
from assay.core.messages import Json

Record: TypeAlias = dict[str, Json]


@dataclass(slots=True)
class TextBlock:
    text: str


@dataclass(slots=True)
class ThinkingBlock:
    thinking: str
    signature: str = ""


@dataclass(slots=True)
class ToolUseBlock:
    id: str
    name: str
    input: Record


@dataclass(slots=True)
class ToolResultBlock:
    tool_use_id: str
    content: str | list[Record] | None = None
    is_error: bool | None = None


ContentBlock: TypeAlias = TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock


@dataclass
class UserMessage:
    """What the user's side said: a prompt, or the results of calls."""

    content: str | list[ContentBlock]
    uuid: str | None = None
    parent_tool_use_id: str | None = None
    tool_use_result: Record | None = None
    origin: Record | None = None


@dataclass
class AssistantMessage:
    """What the model said, once it is whole."""

    content: list[ContentBlock]
    model: str
    parent_tool_use_id: str | None = None
    error: str | None = None
    usage: Record | None = None
    message_id: str | None = None
    stop_reason: str | None = None
    session_id: str | None = None
    uuid: str | None = None
    user_message_uuid: str | None = None
    user_message_uuids: list[str] | None = None

    @property
    def text(self) -> str:
        return "".join(block.text for block in self.content if isinstance(block, TextBlock))


@dataclass
class SystemMessage:
    """What the harness says of itself; `data` is the whole line."""

    subtype: str
    data: Record


@dataclass
class TaskStartedMessage(SystemMessage):
    """A sub-agent, or a command in the background, began."""

    task_id: str
    description: str
    uuid: str
    session_id: str
    tool_use_id: str | None = None
    task_type: str | None = None


@dataclass
class TaskProgressMessage(SystemMessage):
    task_id: str
    description: str
    usage: Record
    uuid: str
    session_id: str
    tool_use_id: str | None = None
    last_tool_name: str | None = None


@dataclass
class TaskUpdatedMessage(SystemMessage):
    task_id: str
    patch: Record
    status: str | None = None
    session_id: str | None = None
    uuid: str | None = None


@dataclass
class TaskNotificationMessage(SystemMessage):
    """It ended."""

    task_id: str
    status: Literal["completed", "failed", "stopped"]
    output_file: str
    summary: str
    uuid: str
    session_id: str
    tool_use_id: str | None = None
    usage: Record | None = None


@dataclass
class HookEventMessage(SystemMessage):
    """A hook began or ended; with `Options.include_hook_events`."""

    hook_event_name: str = ""
    session_id: str | None = None
    uuid: str | None = None


@dataclass
class MirrorErrorMessage(SystemMessage):
    """The session store failed; the run goes on, its own log has everything."""

    key: Record | None = None
    error: str = ""


@dataclass
class StreamEvent:
    """A piece of a reply that is being written; with `Options.include_partial_messages`."""

    uuid: str
    session_id: str
    event: Record
    parent_tool_use_id: str | None = None
    user_message_uuid: str | None = None
    user_message_uuids: list[str] | None = None


@dataclass
class RateLimitEvent:
    rate_limit_info: Record
    uuid: str
    session_id: str


@dataclass
class ConversationResetMessage:
    new_conversation_id: str
    uuid: str
    session_id: str


@dataclass
class EventMessage:
    """A record of the session's log as it is written, with `Options.events`: our own closed union, nothing left out."""

    event: Event
    number: int
    """1-based place in the log."""
    time: float
    """Seconds since the epoch."""
    session_id: str


@dataclass
class ResultMessage:
    """The end of a turn. The harness decides `outcome`; the model's word counts for nothing in it."""

    subtype: str
    duration_ms: int
    duration_api_ms: int
    is_error: bool
    num_turns: int
    session_id: str
    stop_reason: str | None = None
    total_cost_usd: float | None = None
    usage: Record | None = None
    result: str | None = None
    structured_output: Json = None
    """With `Options.output`: an instance of that type."""
    model_usage: Record | None = None
    permission_denials: list[Json] | None = None
    deferred_tool_use: Record | None = None
    errors: list[str] | None = None
    api_error_status: int | None = None
    uuid: str | None = None
    terminal_reason: str | None = None
    origin: Record | None = None
    user_message_uuid: str | None = None
    user_message_uuids: list[str] | None = None
    outcome: str = ""
    """One word of the table of outcomes (README): verified, answered, partial, unverified, failed, ..."""
    why: str = ""
    """One line."""
    evidence: list[Record] = field(default_factory=list["Record"])
    """A row for each criterion: class, command, before, after, tree."""
    criteria: list[Record] = field(default_factory=list["Record"])
    unchecked: list[str] = field(default_factory=list[str])
    """What nothing executable spoke for."""
    receipt: str = ""
    """The file that anyone can check again with `assay check --receipt`; empty when there is no evidence."""
    questions: list[Record] = field(default_factory=list["Record"])
    """What would have needed a person's leave, and nobody gave it."""
    assay: Record = field(default_factory=dict[str, Json])
    """All of the above and more, as docs/reference.md describes it under "The result object"."""

    @property
    def verified(self) -> bool:
        return self.outcome == "verified"


Message: TypeAlias = (
    UserMessage
    | AssistantMessage
    | SystemMessage
    | ResultMessage
    | StreamEvent
    | RateLimitEvent
    | ConversationResetMessage
    | EventMessage
)


# --- from lines -------------------------------------------------------------------------------------------------------


def message_of(line: Record) -> Message | None:
    """The message that a line of `stream-json` is; None for kinds that programs pass over."""
    match line.get("type"):
        case "assistant":
            return _assistant(line)
        case "user":
            said = _table(line.get("message"))
            content = said.get("content")
            return UserMessage(
                content if isinstance(content, str) else blocks_of(content),
                _word(line, "uuid"),
                _word(line, "parent_tool_use_id"),
                _some_table(line.get("tool_use_result")),
                _some_table(line.get("origin")),
            )
        case "system":
            return _system(line)
        case "result":
            return _result(line)
        case "stream_event":
            return StreamEvent(
                _text(line, "uuid"),
                _text(line, "session_id"),
                _table(line.get("event")),
                _word(line, "parent_tool_use_id"),
            )
        case "rate_limit_event":
            return RateLimitEvent(_table(line.get("rate_limit_info")), _text(line, "uuid"), _text(line, "session_id"))
        case "conversation_reset":
            return ConversationResetMessage(
                _text(line, "new_conversation_id"), _text(line, "uuid"), _text(line, "session_id")
            )
        case _:
            return None


def blocks_of(content: Json) -> list[ContentBlock]:
    """The blocks of a message's content; kinds that nobody knows are left out."""
    found: list[ContentBlock] = []
    for item in cast("list[Json]", content) if isinstance(content, list) else []:
        block = _table(item)
        match block.get("type"):
            case "text":
                found.append(TextBlock(_text(block, "text")))
            case "thinking":
                found.append(ThinkingBlock(_text(block, "thinking"), _text(block, "signature")))
            case "tool_use":
                found.append(ToolUseBlock(_text(block, "id"), _text(block, "name"), _table(block.get("input"))))
            case "tool_result":
                inner = cast("str | list[Record] | None", block.get("content"))
                found.append(ToolResultBlock(_text(block, "tool_use_id"), inner, block.get("is_error") is True))
            case _:
                pass
    return found


def _assistant(line: Record) -> AssistantMessage:
    said = _table(line.get("message"))
    return AssistantMessage(
        blocks_of(said.get("content")),
        _text(said, "model"),
        _word(line, "parent_tool_use_id"),
        _word(line, "error"),
        _some_table(said.get("usage")),
        _word(said, "id"),
        _word(said, "stop_reason"),
        _word(line, "session_id"),
        _word(line, "uuid"),
        _word(line, "user_message_uuid"),
    )


def _system(line: Record) -> SystemMessage:
    subtype = _text(line, "subtype")
    ids = (_text(line, "uuid"), _text(line, "session_id"))
    match subtype:
        case "task_started":
            return TaskStartedMessage(
                subtype, line, _text(line, "task_id"), _text(line, "description"), *ids, _word(line, "tool_use_id"),
                _word(line, "task_type"),
            )  # fmt: skip
        case "task_progress":
            return TaskProgressMessage(
                subtype, line, _text(line, "task_id"), _text(line, "description"), _table(line.get("usage")), *ids,
                _word(line, "tool_use_id"), _word(line, "last_tool_name"),
            )  # fmt: skip
        case "task_updated":
            patch = _table(line.get("patch"))
            return TaskUpdatedMessage(
                subtype, line, _text(line, "task_id"), patch, _word(patch, "status"), ids[1], ids[0]
            )
        case "task_notification":
            status = cast('Literal["completed", "failed", "stopped"]', _text(line, "status"))
            return TaskNotificationMessage(
                subtype, line, _text(line, "task_id"), status, _text(line, "output_file"), _text(line, "summary"), *ids,
                _word(line, "tool_use_id"), _some_table(line.get("usage")),
            )  # fmt: skip
        case "hook_started" | "hook_progress" | "hook_response":
            return HookEventMessage(subtype, line, _text(line, "hook_event"), ids[1], ids[0])
        case _:
            return SystemMessage(subtype, line)


def _result(line: Record) -> ResultMessage:
    proof = _table(line.get("assay"))
    cost = line.get("total_cost_usd")
    errors = line.get("errors")
    return ResultMessage(
        _text(line, "subtype"),
        _whole(line, "duration_ms"),
        _whole(line, "duration_api_ms"),
        line.get("is_error") is True,
        _whole(line, "num_turns"),
        _text(line, "session_id"),
        _word(line, "stop_reason"),
        float(cost) if isinstance(cost, int | float) else None,
        _some_table(line.get("usage")),
        _word(line, "result"),
        line.get("structured_output"),
        _some_table(line.get("modelUsage")),
        _list(line.get("permission_denials")),
        _some_table(line.get("deferred_tool_use")),
        [str(error) for error in _list(errors)] if errors is not None else None,
        _whole(line, "api_error_status") or None,
        _word(line, "uuid"),
        _word(line, "terminal_reason"),
        _some_table(line.get("origin")),
        _word(line, "user_message_uuid"),
        outcome=_text(proof, "outcome"),
        why=_text(proof, "why"),
        evidence=[_table(row) for row in _list(proof.get("evidence"))],
        criteria=[_table(row) for row in _list(proof.get("criteria"))],
        unchecked=[str(row) for row in _list(proof.get("unchecked"))],
        questions=[_table(row) for row in _list(proof.get("questions"))],
        assay=proof,
    )


def _table(value: Json) -> Record:
    return cast("Record", value) if isinstance(value, dict) else {}


def _some_table(value: Json) -> Record | None:
    return cast("Record", value) if isinstance(value, dict) else None


def _list(value: Json) -> list[Json]:
    return cast("list[Json]", value) if isinstance(value, list) else []


def _text(line: Record, key: str) -> str:
    value = line.get(key)
    return value if isinstance(value, str) else ""


def _word(line: Record, key: str) -> str | None:
    value = line.get(key)
    return value if isinstance(value, str) else None


def _whole(line: Record, key: str) -> int:
    value = line.get(key)
    return value if isinstance(value, int) else 0
