"""What stands when a turn's record is written, and whose checks a turn is judged by."""

from __future__ import annotations

import asyncio

from assay.core.events import TurnEnded
from assay.loop.turn import Stop
from assay.testing import reply

from .house import House, words


async def test_an_interrupt_while_the_record_is_written_does_not_change_the_verdict() -> None:
    house = House(reply("done"))
    run = house.run()
    writing, go_on = asyncio.Event(), asyncio.Event()
    close = run._close

    async def slow(stop: Stop) -> TurnEnded:
        writing.set()
        await go_on.wait()
        return await close(stop)

    run._close = slow  # type: ignore[method-assign]
    task = asyncio.create_task(run.turn(words("go")))
    await asyncio.wait_for(writing.wait(), 5)
    run.interrupt()
    await asyncio.sleep(0)
    go_on.set()
    assert (await task).verdict.outcome == "answered"
    assert not task.cancelling()


async def test_a_later_turn_finds_the_checks_of_its_own_start() -> None:
    house = House()
    run = house.run()
    first = await house.workspace.snapshot()
    assert [check.command for check in await run.proof.discover(first)] == []
    house.workspace.files["Makefile"] = b"test:\n\ttrue\n"
    second = await house.workspace.snapshot()
    assert [check.command for check in await run.proof.discover(first)] == []
    assert [check.command for check in await run.proof.discover(second)] == ["make test"]
