"""Two traces of one conversation: the order and kinds of what was said, and the fields that hosts read."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple, cast

from bench.compat.drive import Ran

OPTIONAL = {
    "system/status", "system/hook_started", "system/hook_response", "system/hook_progress", "system/task_progress",
    "system/task_updated", "system/background_tasks_changed", "system/thinking_tokens", "system/commands_changed",
    "system/informational", "system/notification", "rate_limit_event", "keep_alive", "tool_progress",
    "tool_use_summary",
    "prompt_suggestion", "command_lifecycle", "control_cancel_request", "system/api_retry",
    "system/permission_denied",
}  # fmt: skip
"""What hosts may be told besides; neither its presence nor its place is compared."""
READ = {
    "system/init": {"cwd", "session_id", "uuid", "tools", "mcp_servers", "model", "permissionMode", "slash_commands",
                    "apiKeySource", "claude_code_version", "output_style", "agents", "skills", "plugins"},
    "result": {"subtype", "is_error", "duration_ms", "duration_api_ms", "num_turns", "result", "stop_reason",
               "session_id",
               "total_cost_usd", "usage", "modelUsage", "permission_denials", "uuid", "terminal_reason", "errors",
               "structured_output"},
}  # fmt: skip
"""Keys whose presence is compared."""
SAME = ("subtype", "is_error", "num_turns", "terminal_reason", "stop_reason", "api_error_status", "structured_output")
"""Values of results that must be equal."""

Message = dict[str, object]


class Seen(NamedTuple):
    """One conversation as it is compared, and kept."""

    trace: list[str]
    code: int | None
    files: list[str]
    """Made or changed."""
    requests: int
    inits: list[list[str]]
    """Keys of each."""
    results: list[list[str]]
    """Keys of each."""
    values: list[dict[str, object]]
    """Of each result, what must be equal."""
    denied: list[list[str]]
    """Of each result, the tools that were refused."""


def kind_of(message: Message) -> str:
    """`TYPE`, or `TYPE/SUBTYPE` for what the system says."""
    return f"system/{message.get('subtype')}" if message.get("type") == "system" else str(message.get("type"))


def _blocks(message: Message) -> Iterator[str]:
    content = cast("Message", message.get("message") or {}).get("content")
    if isinstance(content, str):
        yield "text"
    for block in cast("list[Message]", content if isinstance(content, list) else []):
        kind = str(block.get("type"))
        yield kind + (f" {block.get('name')}" if kind == "tool_use" else " error" if block.get("is_error") else "")


def trace(ran: Ran) -> list[str]:
    """One line a message, without what differs from run to run."""
    found: list[str] = []
    for message in ran.lines:
        kind = kind_of(message)
        if kind in OPTIONAL or message.get("sdk_host_only"):
            continue
        if kind in ("assistant", "user"):
            child = " of a sub-agent" if message.get("parent_tool_use_id") else ""
            found.append(f"{kind}{child}: {', '.join(_blocks(message))}")
        elif kind == "result":
            found.append(f"result: {message.get('subtype')}")
        elif kind == "stream_event":
            event = cast("Message", message["event"]).get("type")
            if not found or found[-1] != f"stream: {event}":
                found.append(f"stream: {event}")
        elif kind == "system/session_state_changed":
            found.append(f"state: {message.get('state')}")
        elif kind == "control_request":
            found.append(f"asks: {cast('Message', message['request']).get('subtype')}")
        elif kind == "control_response":
            found.append(f"answers: {cast('Message', message['response']).get('subtype')}")
        else:
            found.append(kind)
    return found


def seen(ran: Ran) -> Seen:
    """What is compared of a conversation; nothing of what was said in it."""
    results = [each for each in ran.lines if kind_of(each) == "result"]
    return Seen(
        trace(ran),
        ran.code,
        sorted(ran.files),
        ran.requests,
        [sorted(READ["system/init"] & each.keys()) for each in ran.lines if kind_of(each) == "system/init"],
        [sorted(READ["result"] & each.keys()) for each in results],
        [{key: each.get(key) for key in SAME} for each in results],
        [[str(call["tool_name"]) for call in cast("list[Message]", each["permission_denials"])] for each in results],
    )


def differences(real: Seen, ours: Seen) -> list[str]:
    """What a host could tell the two apart by, in words; empty when nothing."""
    found = _told_apart(real.trace, ours.trace)
    if real.code != ours.code:
        found.append(f"exit {real.code} against {ours.code}")
    if real.files != ours.files:
        found.append(f"files {real.files} against {ours.files}")
    if real.requests != ours.requests:
        found.append(f"{real.requests} requests against {ours.requests}")
    for kind, all_theirs, all_ours in (
        ("system/init", real.inits, ours.inits),
        ("result", real.results, ours.results),
    ):
        for theirs, mine in zip(all_theirs, all_ours, strict=False):
            if missing := sorted({*theirs} - {*mine}):
                found.append(f"{kind} without {', '.join(missing)}")
    for one, other in zip(real.values, ours.values, strict=False):
        found += [f"{key} {one[key]!r} against {other[key]!r}" for key in SAME if one[key] != other[key]]
    for denied, refused in zip(real.denied, ours.denied, strict=False):
        if denied != refused:
            found.append(f"refused {denied} against {refused}")
    return list(dict.fromkeys(found))


def _told_apart(one: list[str], other: list[str]) -> list[str]:
    """Where the order or the kinds differ: what stands in one and not at that place in the other."""
    found: list[str] = []
    for kind, start, end, begin, stop in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind != "equal":
            left, right = (" + ".join(f"`{line}`" for line in lines) for lines in (one[start:end], other[begin:stop]))
            found.append(f"{left or 'nothing'} against {right or 'nothing'}")
    return found
