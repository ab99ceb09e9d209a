"""Two traces of one conversation: the order and kinds of what was said, and the fields that hosts read."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import cast

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


def differences(real: Ran, ours: Ran) -> list[str]:
    """What a host could tell the two apart by, in words; empty when nothing."""
    found: list[str] = []
    one, other = trace(real), trace(ours)
    found += _told_apart(one, other)
    if real.code != ours.code:
        found.append(f"exit {real.code} against {ours.code}")
    if real.files != ours.files:
        found.append(f"files {sorted(real.files)} against {sorted(ours.files)}")
    if real.requests != ours.requests:
        found.append(f"{real.requests} requests against {ours.requests}")
    for kind, keys in READ.items():
        pairs = zip(_of(real, kind), _of(ours, kind), strict=False)
        for theirs, mine in pairs:
            if missing := sorted((keys & theirs.keys()) - mine.keys()):
                found.append(f"{kind} without {', '.join(missing)}")
            if kind == "result":
                denied = [[each["tool_name"] for each in _denials(result)] for result in (theirs, mine)]
                if denied[0] != denied[1]:
                    found.append(f"refused {denied[0]} against {denied[1]}")
                found += [
                    f"{key} {theirs.get(key)!r} against {mine.get(key)!r}"
                    for key in SAME
                    if theirs.get(key) != mine.get(key)
                ]
    return list(dict.fromkeys(found))


def _denials(result: Message) -> list[Message]:
    return cast("list[Message]", result.get("permission_denials") or [])


def _of(ran: Ran, kind: str) -> list[Message]:
    return [message for message in ran.lines if kind_of(message) == kind]


def _told_apart(one: list[str], other: list[str]) -> list[str]:
    """Where the order or the kinds differ: what stands in one and not at that place in the other."""
    found: list[str] = []
    for kind, start, end, begin, stop in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind != "equal":
            left, right = (" + ".join(f"`{line}`" for line in lines) for lines in (one[start:end], other[begin:stop]))
            found.append(f"{left or 'nothing'} against {right or 'nothing'}")
    return found
