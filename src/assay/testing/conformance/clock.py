"""The contract of `Clock`."""

from __future__ import annotations

import asyncio

from assay.core.clock import Clock


class ClockConformance:
    """Needs a fixture `clock`."""

    def test_now_is_in_this_age(self, clock: Clock) -> None:
        assert 1_500_000_000 < clock.now() < 10_000_000_000

    async def test_sleeping_moves_the_durations_on(self, clock: Clock) -> None:
        before = clock.monotonic()
        async with asyncio.timeout(5.0):
            await clock.sleep(0.02)
        assert clock.monotonic() >= before + 0.019

    async def test_no_time_is_no_wait(self, clock: Clock) -> None:
        async with asyncio.timeout(5.0):
            await clock.sleep(0)
            await clock.sleep(-1)
