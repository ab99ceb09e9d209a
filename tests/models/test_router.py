from __future__ import annotations

import pytest
from tests.models.loopback import FakeClock

from assay.core.messages import AssistantMessage, Failure, FailureKind, Text, UserMessage
from assay.core.model import Finished, ModelRequest, Profile, Retrying, TextDelta
from assay.models.router import BACK_AFTER, FallbackModel

HELLO = ModelRequest("", (), [UserMessage((Text("Hello."),))])


class Canned:
    """Answers, or fails with `kind`."""

    def __init__(self, name: str, kind: FailureKind | None = None) -> None:
        self.profile = Profile(name, name, "anthropic")
        self.kind = kind
        self.asked = 0
        self.closed = False

    async def stream(self, request):
        self.asked += 1
        yield TextDelta(self.profile.name)
        if self.kind:
            yield Finished(AssistantMessage((), "failed", failure=Failure(self.kind, f"{self.profile.name} is away")))
        else:
            yield Finished(AssistantMessage((Text("Hi."),), "end", self.profile.name))

    async def aclose(self) -> None:
        self.closed = True


async def ask(model) -> tuple[list, AssistantMessage]:
    *events, last = [event async for event in model.stream(HELLO)]
    assert isinstance(last, Finished)
    return events, last.message


@pytest.mark.parametrize("kind", ["overloaded", "server", "network", "timeout", "not_found", "rate_limit"])
async def test_the_next_model_answers_and_it_is_told(kind):
    first, second = Canned("a", kind), Canned("b")
    model = FallbackModel([first, second], FakeClock())
    assert model.profile.name == "a"
    events, message = await ask(model)
    assert message.model == "b" and model.profile.name == "b"
    assert [event.reason for event in events if isinstance(event, Retrying)] == ["a is away; going on with b"]


@pytest.mark.parametrize("kind", ["auth", "quota", "bad_request", "context_too_long", "refused"])
async def test_what_the_user_must_mend_is_not_hidden(kind):
    second = Canned("b")
    _, message = await ask(FallbackModel([Canned("a", kind), second], FakeClock()))
    assert message.failure is not None and message.failure.kind == kind and not second.asked


async def test_an_absent_model_is_left_alone_for_a_while():
    clock, first, second = FakeClock(), Canned("a", "overloaded"), Canned("b")
    model = FallbackModel([first, second], clock)
    await ask(model)
    await ask(model)
    assert (first.asked, second.asked) == (1, 2)
    clock.time += BACK_AFTER + 1
    first.kind = None
    _, message = await ask(model)
    assert message.model == "a"


async def test_the_last_failure_is_final():
    models = [Canned("a", "overloaded"), Canned("b", "network")]
    model = FallbackModel(models, FakeClock())
    for _ in range(2):
        _, message = await ask(model)
        assert message.failure is not None and message.failure.kind == "network"
    await model.aclose()
    assert all(canned.closed for canned in models)
