"""How much a model is to think, from the words of flags and settings."""

from __future__ import annotations

from assay.core.errors import UsageError
from assay.core.model import EFFORTS, Effort, Reasoning


def read_reasoning(effort: str | None, thinking: str | None) -> Reasoning:
    """`--effort` and `--thinking`. Raises `UsageError`."""
    level: Effort | None = "max" if effort == "xhigh" else next((word for word in EFFORTS if word == effort), None)
    if thinking is None:
        return Reasoning(effort=level)
    if thinking in ("off", "adaptive"):
        return Reasoning("off" if thinking == "off" else "adaptive", effort=level)
    if thinking.isascii() and thinking.isdigit() and len(thinking) < 10 and int(thinking) >= 1024:
        return Reasoning("budget", int(thinking), level)
    raise UsageError(f"--thinking takes off, adaptive or a number of tokens from 1024; got '{thinking}'")
