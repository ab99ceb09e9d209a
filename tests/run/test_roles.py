"""Replies of other roles than the solver."""

from __future__ import annotations

from assay.core.events import ModelReplied
from assay.core.messages import AssistantMessage, Text, UserMessage
from assay.core.model import ModelRequest
from assay.loop.turn import Stop
from assay.run.run import Run
from assay.testing import reply

from .house import House


async def test_what_another_role_says_is_counted_and_no_part_of_the_conversation() -> None:
    house = House(reply("a test"), reply("the answer"), reply("again"))
    run = house.run()

    async def strategy(run: Run) -> Stop:
        request = ModelRequest("", (), (UserMessage((Text("write a test"),)),))
        assert (await run.ask(request, role="tester")).text == "a test"
        assert (await run.ask(ModelRequest("", (), run.state.messages()))).text == "the answer"
        await run.conclude()
        return Stop(None)

    ended = await run.turn((Text("hello"),), strategy)
    assert (ended.text, ended.steps) == ("the answer", 2)
    said = [message.text for message in run.state.messages() if isinstance(message, AssistantMessage)]
    assert said == ["the answer"]
    assert [r.event.role for r in house.log if isinstance(r.event, ModelReplied)] == ["tester", "solver"]
    again = house.run()
    assert [message.text for message in again.state.messages() if isinstance(message, AssistantMessage)] == said
