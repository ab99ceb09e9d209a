"""Time that passes only when it is told to."""

from __future__ import annotations

import asyncio


class FakeClock:
    """A `Clock` that never waits: `sleep` moves it on at once and lets other tasks run.

    `slept` lists what was asked for. `now` can be set back with `set`, as a person does; `monotonic` can't.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let time pass; `seconds` is not negative."""
        self._now += seconds
        self._monotonic += seconds

    def set(self, now: float) -> None:
        """Put the calendar to `now`, back or forth."""
        self._now = now
