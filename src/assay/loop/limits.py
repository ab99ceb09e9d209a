"""Middleware that ends a turn at its budget, before the request that would go over it."""

from __future__ import annotations

from collections.abc import Callable

from assay.core.budget import Budget, Spent
from assay.core.model import ModelRequest, Price, estimate_tokens
from assay.loop.turn import Inject, Middleware, Stop

LEAST_OUTPUT = 16
"""Tokens that every request leaves the model for its reply."""


class Limits(Middleware):
    """Checks a `Budget` against what was spent so far (`spent`, a fold of the log and the clock).

    The least that the next request costs is estimated from the size of the last one, so that a money limit stops
    before it is crossed, not after.
    """

    def __init__(self, budget: Budget, spent: Callable[[], Spent], next_input: Callable[[], int], price: Price | None):
        self._budget = budget
        self._spent = spent
        self._next_input = next_input
        self._price = price

    async def before_step(self) -> Stop | Inject | None:
        tokens = self._next_input()
        dollars = least_dollars(tokens, self._price) if self._price else 0.0
        over = self._spent().exceeds(self._budget, next_tokens=tokens, next_dollars=dollars)
        return Stop("budget", over) if over else None


def least_dollars(tokens: int, price: Price) -> float:
    """What a request of `tokens` with the shortest of replies costs at least."""
    # Cached input is the cheapest a provider sells; whoever has no such price pays in full.
    return (tokens * (price.cache_read or price.input) + LEAST_OUTPUT * price.output) / 1_000_000


def request_tokens(request: ModelRequest) -> int:
    """A rough size of a first request, before any provider has counted one."""
    text = request.system + "".join(f"{spec.name}{spec.description}{spec.parameters}" for spec in request.tools)
    return estimate_tokens(text)
