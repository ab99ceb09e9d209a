"""Which messages a host gets, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from assay.core.messages import Json
from assay.surfaces.host.lines import Frame

if TYPE_CHECKING:
    from assay.app.flags import Parsed

_HOOKS = frozenset({"hook_started", "hook_progress", "hook_response"})
_ALWAYS_HOOKS = frozenset({"SessionStart"})
_SAID = frozenset({"text", "thinking"})


class Wanted:
    def __init__(self, parsed: Parsed, environ: Mapping[str, str]) -> None:
        self.partial = parsed.on("include_partial_messages")
        self._replays = parsed.on("replay_user_messages")
        self._hooks = parsed.on("include_hook_events")
        self._forward = parsed.on("forward_subagent_text")
        self._quiet_thinking = parsed.text("thinking_display") == "omitted"
        everybody = environ.get("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS") in ("1", "true")
        client = environ.get("CLAUDE_CODE_SDK_READS_SESSION_STATE") in ("1", "true")
        self.states = everybody or client
        self.hidden_states = client and not everybody
        """State frames are for the client library alone."""

    def pass_on(self, frame: Frame, offered: Frame, send: Callable[[Frame], None]) -> None:
        """Send `frame`, or what is wanted of it; `offered` is the host's `initialize` request."""
        if (made := self._of(frame, self._forward or offered.get("forwardSubagentText") is True)) is not None:
            send(made)

    def _of(self, frame: Frame, forward: bool) -> Frame | None:
        kind, child = frame.get("type"), bool(frame.get("parent_tool_use_id"))
        if kind == "system" and frame.get("subtype") in _HOOKS:
            return frame if self._hooks or frame.get("hook_event") in _ALWAYS_HOOKS else None
        if frame.get("isReplay") and child:
            # What a sub-agent is told is new to the host.
            return {key: value for key, value in frame.items() if key != "isReplay"}
        if frame.get("isReplay") and not self._replays:
            return None
        if kind == "stream_event" and child and not forward:
            return None
        if kind == "assistant":
            return self._reply(frame, child and not forward)
        return frame

    def _reply(self, frame: Frame, silent: bool) -> Frame | None:
        message = cast(Frame, frame["message"])
        content = cast("list[Frame]", message["content"])
        if silent and any(block.get("type") in _SAID for block in content):
            return None
        if self._quiet_thinking and any(block.get("type") == "thinking" for block in content):
            content = [block | {"thinking": ""} if block.get("type") == "thinking" else block for block in content]
        # On the wire nobody says yet why a reply ended; its last message does not know it is the last.
        return {**frame, "message": {**message, "content": cast("list[Json]", content), "stop_reason": None}}
