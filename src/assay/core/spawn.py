"""The port through which one run starts another."""

from __future__ import annotations

from typing import Protocol

from assay.core.budget import Budget
from assay.core.check import Verdict
from assay.core.policy import Label


class Spawner(Protocol):
    """Contract: the child's budget is taken out of the parent's, its gate is never looser, and its log is its own. The
    child's session begins with the parent's label, because the prompt was written by whoever read what the parent read;
    the parent joins the label that comes back to its own."""

    async def spawn(self, prompt: str, budget: Budget, label: Label) -> tuple[str, Verdict, Label]:
        """Run `prompt` to its end. `label`: of the parent's session now. Returns the child's last words, the done
        gate's verdict, and the label of the child's session at its end, which is never better than `label`."""
        ...
