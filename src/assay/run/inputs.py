"""Who could have written what opens a turn."""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.messages import Image, Text
from assay.core.policy import EXTERNAL, OPERATOR, Label

PASTED = 20
"""Lines; a part of the input with more was not typed but pasted."""


def label_of(parts: Sequence[Text | Image]) -> Label:
    """The operator's own words come first. What is attached behind them, and what is too long to have been typed, could
    be by anyone: hostile text is often carried in by the user's own hand."""
    pasted = len(parts) > 1 or any(isinstance(part, Text) and part.text.count("\n") >= PASTED for part in parts)
    return EXTERNAL if pasted else OPERATOR
