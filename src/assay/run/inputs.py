"""What opens a turn: who could have written it, and what is said of calls that an earlier process left behind."""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.events import CallFinished
from assay.core.messages import Image, Text, ToolCall, ToolResult
from assay.core.policy import EXTERNAL, OPERATOR, Label

PASTED = 20
"""Lines; a part of the input with more was not typed but pasted."""


def label_of(parts: Sequence[Text | Image]) -> Label:
    """The operator's own words come first. What is attached behind them, and what is too long to have been typed, could
    be by anyone: hostile text is often carried in by the user's own hand."""
    pasted = len(parts) > 1 or any(isinstance(part, Text) and part.text.count("\n") >= PASTED for part in parts)
    return EXTERNAL if pasted else OPERATOR


UNKNOWN = (
    "The program was stopped while {} ran; whether it had its effect is unknown. "
    "Look at the state of things before doing it again."
)
NOT_RUN = "The program was stopped before {} began; it was not run."


def unanswered(call: ToolCall, text: str) -> CallFinished:
    """The result of a call that a stop of the program cut short; `text` is `UNKNOWN` or `NOT_RUN`."""
    said = "outcome unknown" if text is UNKNOWN else "not run"
    return CallFinished(ToolResult(call.id, (Text(text.format(call.name)),), is_error=True), said)
