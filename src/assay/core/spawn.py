"""The port through which one run starts another."""

from __future__ import annotations

from typing import Protocol

from assay.core.budget import Budget
from assay.core.check import Verdict


class Spawner(Protocol):
    """Contract: the child's budget is taken out of the parent's, its gate is never looser, and its log is its own."""

    async def spawn(self, prompt: str, budget: Budget) -> tuple[str, Verdict]:
        """Run `prompt` to its end; returns the child's last words and the gate's verdict."""
        ...
