"""Limits of a turn, and what was spent so far."""

from __future__ import annotations

from msgspec import Struct

from assay.core.messages import Usage


class Budget(Struct, frozen=True):
    """None means no limit."""

    steps: int | None = None
    """Requests to a model (`--max-turns`)."""
    tokens: int | None = None
    """Sent and received together."""
    dollars: float | None = None
    seconds: float | None = None
    """Wall clock of the turn."""


class Spent(Struct, frozen=True):
    steps: int = 0
    usage: Usage = Usage()
    dollars: float = 0.0
    seconds: float = 0.0

    def exceeds(self, budget: Budget, *, next_tokens: int = 0, next_dollars: float = 0.0) -> str:
        """Why one more request would go over `budget`, in one line; empty when it fits.

        `next_tokens` and `next_dollars` estimate the least that the next request costs.
        """
        if budget.steps is not None and self.steps >= budget.steps:
            return f"{self.steps} step{'s' if self.steps != 1 else ''} used, the limit is {budget.steps} (--max-turns)"
        if budget.tokens is not None and self.usage.total + next_tokens > budget.tokens:
            return f"{self.usage.total} tokens used, the limit is {budget.tokens} (--max-tokens-total)"
        if budget.dollars is not None and self.dollars + next_dollars > budget.dollars:
            return f"${self.dollars:.4f} spent, the limit is ${budget.dollars:g} (--max-budget-usd)"
        if budget.seconds is not None and self.seconds >= budget.seconds:
            return f"{self.seconds:.0f} s used, the limit is {budget.seconds:g} s (--max-seconds)"
        return ""
