"""Answers to calls that an earlier process left without one."""

from __future__ import annotations

from assay.core.events import CallFinished
from assay.core.messages import Text, ToolCall, ToolResult

UNKNOWN = (
    "The program was stopped while {} ran; whether it had its effect is unknown. "
    "Look at the state of things before doing it again."
)
NOT_RUN = "The program was stopped before {} began; it was not run."


def unanswered(call: ToolCall, text: str) -> CallFinished:
    """The result of `call`; `text` is one of the above."""
    said = "outcome unknown" if text is UNKNOWN else "not run"
    return CallFinished(ToolResult(call.id, (Text(text.format(call.name)),), is_error=True), said)
