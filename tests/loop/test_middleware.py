"""When a model goes in circles, and when a budget is used up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.budget import Budget, Spent
from assay.core.events import CallFinished
from assay.core.messages import Image, Json, Text, ToolCall, ToolResult, Usage
from assay.core.model import ModelRequest, Price, ToolSpec
from assay.loop.limits import Limits, request_tokens
from assay.loop.stuck import FAILING_STOP_AT, PAIRS_STOP_AT, STOP_AT, WARN_AT, Stuck
from assay.loop.turn import Answered, Inject, Stop

_numbers = count(1)


def step(name: str = "read", output: str = "same", *, error: bool = False, **arguments: Json) -> list[Answered]:
    """One call and its result, with an id and a duration that never come again."""
    number = next(_numbers)
    call = ToolCall(f"c{number}", name, arguments)
    return [(call, CallFinished(ToolResult(call.id, (Text(output),), error), seconds=number))]


async def verdicts(steps: Sequence[list[Answered]]) -> list[str]:
    """What `Stuck` said after each step: "", "warn" or "stop"; nothing after a stop."""
    stuck = Stuck()
    said: list[str] = []
    for answered in steps:
        wish = await stuck.after_calls(answered)
        said.append("stop" if isinstance(wish, Stop) else "warn" if isinstance(wish, Inject) else "")
        if isinstance(wish, Stop):
            assert wish.outcome == "stuck"
            break
    return said


async def test_the_same_call_with_the_same_result_is_warned_about_and_then_stopped() -> None:
    assert (WARN_AT, STOP_AT, FAILING_STOP_AT, PAIRS_STOP_AT) == (3, 5, 4, 6)
    assert await verdicts([step(path="a")] * 9) == ["", "", "warn", "", "stop"]
    fresh = [step(path="a") for _ in range(9)]
    assert await verdicts(fresh) == ["", "", "warn", "", "stop"], "ids and times make no difference"


async def test_the_same_failure_is_stopped_sooner() -> None:
    assert await verdicts([step(error=True) for _ in range(9)]) == ["", "", "warn", "stop"]


async def test_two_steps_that_alternate_are_stopped_at_the_sixth_pair() -> None:
    said = await verdicts([step(path="ab"[number % 2]) for number in range(20)])
    assert said == [""] * (2 * PAIRS_STOP_AT - 1) + ["stop"]


async def test_a_poll_whose_output_changes_is_progress() -> None:
    assert set(await verdicts([step(output=f"{number} %") for number in range(30)])) == {""}
    assert set(await verdicts([step(output=f"{number} %", error=True) for number in range(30)])) == {""}


async def test_anything_new_in_between_starts_the_count_again() -> None:
    steps = [step(path="a")] * 4 + [step(path="b")] + [step(path="a")] * 4
    assert "stop" not in await verdicts(steps)


async def test_three_that_take_turns_are_no_pair() -> None:
    assert set(await verdicts([step(path="abc"[number % 3]) for number in range(40)])) == {""}


async def test_what_was_asked_is_part_of_what_is_the_same() -> None:
    assert set(await verdicts([step(path=str(number)) for number in range(20)])) == {""}
    assert "stop" in await verdicts([step(a=1, b=2) if number % 2 else step(b=2, a=1) for number in range(9)])


async def test_images_count_as_what_they_show() -> None:
    def shot(data: str) -> list[Answered]:
        return [(ToolCall("c", "look", {}), CallFinished(ToolResult("c", (Image("image/png", data),))))]

    assert "stop" in await verdicts([shot("aGk=")] * 9)
    assert set(await verdicts([shot(f"aGk{number}") for number in range(9)])) == {""}


async def test_a_name_that_no_encoding_takes_is_no_trouble() -> None:
    assert "stop" in await verdicts([step("re\ud800ad", "\udfff", path="\ud800") for _ in range(9)])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("12"), st.booleans()), max_size=60))
async def test_it_stops_only_when_something_really_repeats(script: list[tuple[str, str, bool]]) -> None:
    said = await verdicts([step(output=output, error=error, path=path) for path, output, error in script])
    ended = script[: len(said)]
    runs = 1
    longest = [runs := runs + 1 if one == two else 1 for one, two in pairwise(ended)]
    if max(longest, default=1) >= STOP_AT:
        assert said[-1] == "stop"
    if said and said[-1] == "stop":
        tail = ended[-2 * PAIRS_STOP_AT :]
        assert len(set(ended[-FAILING_STOP_AT:])) == 1 or (len(set(tail)) == 2 and tail[:-2] == tail[2:])


@pytest.mark.parametrize(
    ("budget", "stops"),
    [
        (Budget(), False),
        (Budget(steps=4), False),
        (Budget(steps=3), True),
        (Budget(tokens=250), False),
        (Budget(tokens=249), True),
        (Budget(dollars=0.01025), False),
        (Budget(dollars=0.01024), True),
        (Budget(seconds=7.5), False),
        (Budget(seconds=7), True),
    ],
)
async def test_a_turn_ends_at_its_budget_before_the_request_that_would_cross_it(budget: Budget, stops: bool) -> None:
    spent = Spent(3, Usage(100, output=100), 0.01, 7.0)
    wish = await Limits(budget, lambda: spent, lambda: 50, Price(3.0, 15.0, 0.1)).before_step()
    assert isinstance(wish, Stop) == stops
    if isinstance(wish, Stop):
        assert wish.outcome == "budget"
        assert "--max-" in wish.why


async def test_without_a_price_for_cached_input_it_is_counted_in_full() -> None:
    spent = Spent(dollars=0.009)
    limits = Limits(Budget(dollars=0.01), lambda: spent, lambda: 1_000, Price(3.0, 15.0))
    assert isinstance(await limits.before_step(), Stop)
    assert await Limits(Budget(dollars=0.01), lambda: spent, lambda: 1_000, None).before_step() is None


def test_a_first_request_is_sized_by_its_text_and_tools() -> None:
    bare = request_tokens(ModelRequest("x" * 360, (), ()))
    tool = ToolSpec("read", "d" * 360, {"type": "object"})
    assert bare == 100
    assert 200 <= request_tokens(ModelRequest("x" * 360, (tool,), ())) <= 220
