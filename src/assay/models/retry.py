"""How often and how soon a failed request is made again.

Retries happen inside `Model.stream` only, before `Finished`: no tool of an abandoned reply can have started. Each kind
of failure has its own small budget, and all of them together end within a minute and eight requests.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from assay.core.messages import Failure, FailureKind


class RetryPolicy(Struct, frozen=True):
    requests: int = 8
    """Of one `stream`, the first included."""
    seconds: float = 55.0
    """From the first request to the start of the last one, time-outs aside."""
    base: float = 0.5
    """The first pause; each further one is twice as long, give or take a quarter."""
    longest: float = 8.0
    longest_asked: float = 45.0
    """A server that asks for a longer wait (`Retry-After`) is not waited for."""


TRIES: dict[FailureKind, int] = {
    "overloaded": 8,
    "server": 8,
    "rate_limit": 8,
    "network": 4,
    "cut": 4,
    "timeout": 2,
    "protocol": 2,
}
"""Requests that may fail with a kind before it is final; kinds that are not here are final at once."""


class Retries:
    """The retries of one `stream`."""

    def __init__(self, policy: RetryPolicy, started: float, random: Callable[[], float]) -> None:
        self._policy = policy
        self._started = started
        self._random = random
        self._failed: dict[FailureKind, int] = {}
        self.requests = 1

    def pause(self, failure: Failure, now: float) -> float | None:
        """Seconds to wait before the next request, None to give up. `now` is on the clock of `started`."""
        policy = self._policy
        count = self._failed.get(failure.kind, 0) + 1
        self._failed[failure.kind] = count
        if count >= TRIES.get(failure.kind, 1) or self.requests >= policy.requests:
            return None
        spread = 0.75 + self._random() / 2
        pause = min(policy.base * 2 ** (self.requests - 1), policy.longest) * spread
        if failure.kind in ("network", "cut"):
            pause /= 2
        if failure.retry_after is not None:
            if failure.retry_after > policy.longest_asked:
                return None
            # Never sooner than asked, and not all clients at the same instant.
            pause = failure.retry_after + 0.1 + min(1.0, failure.retry_after / 4) * self._random()
        # A server that let the whole time-out pass has used up the time by itself; it gets its second chance anyway.
        if failure.kind != "timeout" and now + pause - self._started > policy.seconds:
            return None
        self.requests += 1
        return pause
