"""Between turns: prompts of the host, wake-ups from the background, and the end; none of them is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from assay.app.flags import parse
from assay.app.task import Wish
from assay.core.messages import Text
from assay.core.policy import EXTERNAL
from assay.core.spawn import Wake
from assay.surfaces.host.prompts import Prompt
from assay.surfaces.host.session import Session

LIMIT = 20.0


class Background:
    """Stands for a task and for what runs in its background: `wakes` are there to be taken."""

    def __init__(self) -> None:
        self.wakes: list[Wake] = []
        self.changed = asyncio.Event()
        self.alive = False

    @property
    def tasks(self) -> Background:
        return self

    @property
    def pending(self) -> bool:
        return self.alive or bool(self.wakes)

    def end(self, prompt: str) -> None:
        self.wakes.append(Wake(prompt, {"kind": "task-notification"}, EXTERNAL))
        self.changed.set()

    async def woken(self) -> Wake:
        while not self.wakes:
            self.changed.clear()
            await self.changed.wait()
        return self.wakes.pop(0)

    async def next_wake(self) -> Wake | None:
        return await self.woken() if self.pending else None


@pytest.fixture
async def session() -> Session:
    made = Session(parse([]), Wish(Path("/project"), {}))
    made._task = Background()
    return made


async def text(session: Session) -> str | None:
    async with asyncio.timeout(LIMIT):
        prompt = await session._next()
    return prompt.parts[0].text if prompt else None


def say(session: Session, words: str) -> None:
    session._frame({"type": "user", "message": {"role": "user", "content": words}})


async def test_a_prompt_that_waits_comes_at_once(session: Session) -> None:
    say(session, "one")
    say(session, "two")
    assert [await text(session), await text(session)] == ["one", "two"]


async def test_a_prompt_that_comes_later(session: Session) -> None:
    waiting = asyncio.create_task(text(session))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    say(session, "late")
    assert await waiting == "late"


async def test_a_wake_up_is_a_prompt_of_nobody(session: Session) -> None:
    session._task.end("it is done")
    async with asyncio.timeout(LIMIT):
        prompt = await session._next()
    assert prompt == Prompt((Text("it is done"),), "", {"kind": "task-notification"}, verbatim=True, label=EXTERNAL)


@pytest.mark.parametrize("count", range(1, 4))
async def test_what_comes_in_the_same_moment_is_not_lost(session: Session, count: int) -> None:
    waiting = asyncio.create_task(text(session))
    await asyncio.sleep(0.01)
    for number in range(count):
        session._task.end(f"wake {number}")
        say(session, f"prompt {number}")
    found = [await waiting, *[await text(session) for _ in range(2 * count - 1)]]
    assert sorted(found) == sorted([f"wake {n}" for n in range(count)] + [f"prompt {n}" for n in range(count)])


async def test_the_end_of_input_waits_for_the_background(session: Session) -> None:
    session._task.alive = True
    waiting = asyncio.create_task(text(session))
    await asyncio.sleep(0.01)
    session._take(b"")
    await asyncio.sleep(0.01)
    assert not waiting.done()
    session._task.alive = False
    session._task.end("at last")
    assert await waiting == "at last"
    assert await text(session) is None


async def test_the_end_of_input_with_nothing_alive(session: Session) -> None:
    say(session, "one")
    session._take(b"")
    assert [await text(session), await text(session)] == ["one", None]


async def test_who_is_stopped_begins_nothing_more(session: Session) -> None:
    waiting = asyncio.create_task(text(session))
    await asyncio.sleep(0.01)
    session._stop(143)
    assert await waiting is None
    say(session, "one")
    assert await text(session) is None
