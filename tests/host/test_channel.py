"""Requests to a host end in bounded time, whatever it does."""

from __future__ import annotations

import asyncio

import pytest

from assay.app.host import HostGone
from assay.surfaces.host.channel import Channel


class Wire:
    """What was sent; `answers` is called with each request."""

    def __init__(self) -> None:
        self.sent: list[dict] = []

    def __call__(self, frame: dict) -> None:
        self.sent.append(frame)

    @property
    def requests(self) -> list[dict]:
        return [frame for frame in self.sent if frame["type"] == "control_request"]

    @property
    def withdrawn(self) -> list[str]:
        return [frame["request_id"] for frame in self.sent if frame["type"] == "control_cancel_request"]


def response(name: str, **more: object) -> dict:
    return {"subtype": "success", "request_id": name, "response": {}, **more}


async def asked(channel: Channel, wire: Wire, count: int = 1) -> list[asyncio.Task[dict]]:
    """Requests under way."""
    tasks = [asyncio.create_task(channel.ask({"subtype": "x", "n": number})) for number in range(count)]
    while len(wire.requests) < count:
        await asyncio.sleep(0)
    return tasks


async def test_each_answer_finds_its_question() -> None:
    wire = Wire()
    channel = Channel(wire, 20)
    tasks = await asked(channel, wire, 3)
    for request in reversed(wire.requests):
        channel.answer(response(request["request_id"], response={"n": request["request"]["n"]}))
    assert [await task for task in tasks] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert wire.withdrawn == []


async def test_a_refusal_is_told_in_the_words_of_the_host() -> None:
    wire = Wire()
    channel = Channel(wire, 20)
    (task,) = await asked(channel, wire)
    channel.answer({"subtype": "error", "request_id": wire.requests[0]["request_id"], "error": "no callback"})
    with pytest.raises(HostGone, match="no callback"):
        await task


@pytest.mark.parametrize("answer", [None, [], "x", {}, {"request_id": 3}, {"request_id": "unknown"}])
async def test_an_answer_to_nothing_is_no_matter(answer: object) -> None:
    wire = Wire()
    channel = Channel(wire, 20)
    (task,) = await asked(channel, wire)
    channel.answer(answer)
    assert not task.done()
    channel.answer(response(wire.requests[0]["request_id"]))
    assert await task == {}


async def test_a_second_and_a_late_answer_are_no_matter() -> None:
    wire = Wire()
    channel = Channel(wire, 20)
    (task,) = await asked(channel, wire)
    name = wire.requests[0]["request_id"]
    channel.answer(response(name, response={"first": True}))
    channel.answer(response(name, response={"second": True}))
    assert await task == {"first": True}
    channel.answer(response(name))


async def test_no_answer_is_given_up_on_and_withdrawn() -> None:
    wire = Wire()
    with pytest.raises(HostGone, match=r"no answer to x within 0\.05 s"):
        await Channel(wire, 0.05).ask({"subtype": "x"})
    assert wire.withdrawn == [wire.requests[0]["request_id"]]
    with pytest.raises(HostGone, match=r"within 0\.01 s"):
        await Channel(wire, 20).ask({"subtype": "x"}, 0.01)


async def test_who_stops_waiting_withdraws_the_question() -> None:
    wire = Wire()
    (task,) = await asked(Channel(wire, 20), wire)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert wire.withdrawn == [wire.requests[0]["request_id"]]


async def test_a_host_that_leaves_ends_all_waiting_now_and_later() -> None:
    wire = Wire()
    channel = Channel(wire, 20)
    tasks = await asked(channel, wire, 2)
    channel.close("it left")
    for task in tasks:
        with pytest.raises(HostGone, match="it left"):
            await task
    with pytest.raises(HostGone, match="it left"):
        await channel.ask({"subtype": "x"})
    assert len(wire.requests) == 2, "nothing is sent any more"


async def test_what_does_not_fit_a_line_is_not_sent_in_part() -> None:
    wire = Wire()
    with pytest.raises(HostGone, match="too large"):
        await Channel(wire, 20).ask({"subtype": "mcp_message", "message": "x" * 2_000_000})
    assert wire.sent == []


async def test_an_answer_that_is_no_object_counts_as_empty() -> None:
    wire = Wire()
    channel = Channel(wire, 20)
    (task,) = await asked(channel, wire)
    channel.answer(response(wire.requests[0]["request_id"], response=[1]))
    assert await task == {}
