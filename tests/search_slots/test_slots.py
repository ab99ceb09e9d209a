from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.events import AttemptFinished
from assay.core.messages import AssistantMessage, Failure, Text
from assay.core.model import ModelRequest, estimate_tokens
from assay.search.slots import Failing, Found, Limits, Ports, Tried, plan, search, slots_of
from assay.search.slots_prompts import prompt, request, start_of

SHOP = '''def total(prices):
    """Sum of prices.

    A long explanation that a tiny model need not read.
    """
    found = 0
    for price in prices:
        found -= price
    return found


def mean(prices):
    return total(prices) / len(prices)
'''
TEST = "from shop import mean, total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
OUTPUT = """
____ test_total ____

    def test_total():
>       assert total([1, 2]) == 3
E       assert -3 == 3

test_shop.py:5: AssertionError
"""
SOURCES = {"shop.py": SHOP, "test_shop.py": TEST}
FAILING = Failing(OUTPUT, ("test_shop.py::test_total",))
FIXED = "```diff\n-        found -= price\n+        found += price\n```"


def namespace(text: str) -> dict[str, Callable[[list[int]], float]]:
    made: dict[str, Callable[[list[int]], float]] = {}
    exec(text, made)
    return made


class Bench:
    """Ports over `SHOP`, with a script of replies; what happened is kept."""

    def __init__(self, *replies: str | Failure, prefill: bool = False, patience: int = 1_000):
        self.replies = list(replies)
        self.requests: list[ModelRequest] = []
        self.events: list[AttemptFinished] = []
        self.checked: list[str] = []
        self.patience = patience
        self.ports = Ports(self.ask, self.check, self.suite, self.events.append, self.spent, prefill)

    async def ask(self, request: ModelRequest) -> AssistantMessage:
        self.requests.append(request)
        reply = self.replies.pop(0) if self.replies else "no idea"
        if isinstance(reply, Failure):
            return AssistantMessage((), "failed", failure=reply)
        return AssistantMessage((Text(reply),), "end")

    async def check(self, path: str, text: str) -> Tried:
        self.checked.append(text)
        return Tried(namespace(text)["total"]([1, 2]) == 3, "still red")

    async def suite(self, path: str, text: str) -> Tried:
        return Tried(namespace(text)["total"]([5]) == 5, "total([5]) is wrong now")

    def spent(self) -> str:
        return "enough" if len(self.requests) >= self.patience else ""

    async def run(self, limits: Limits | None = None) -> Found:
        return await search(SOURCES, FAILING, "total() has the wrong sign", self.ports, limits or Limits())


async def test_a_line_that_turns_the_check_green_is_taken_at_once() -> None:
    bench = Bench(FIXED)
    found = await bench.run()
    assert found.text == SHOP.replace("found -=", "found +=")
    assert (found.path, found.location, found.attempts, found.selected) == ("shop.py", "shop.py:total", 1, 1)
    assert [event.result for event in bench.events] == ["green"]
    assert bench.requests[0].temperature == 0.0


async def test_what_breaks_something_else_is_refused_and_the_search_goes_on() -> None:
    cheat = "```diff\n-    return found\n+    return 3\n```"
    bench = Bench(cheat, "nonsense", FIXED)
    found = await bench.run()
    assert [event.result for event in bench.events] == ["red", "invalid", "green"]
    assert bench.events[0].note == "total([5]) is wrong now"
    assert found.selected == 3


async def test_nothing_is_checked_twice_and_the_original_never() -> None:
    wrong = "-    return found\n+    return 0"
    copied = "-    return found\n+    return found"
    bench = Bench(copied, wrong, wrong.replace("return 0", "return  0  # again"))
    found = await bench.run(Limits(samples=3))
    assert not found.path and found.attempts == 3
    assert [event.result for event in bench.events][:2] == ["duplicate", "invalid"]
    assert len(bench.checked) == len(set(bench.checked))


async def test_it_ends_after_its_samples_with_honest_words() -> None:
    bench = Bench()
    found = await bench.run(Limits(samples=9))
    assert found.path == "" and found.attempts == 9 == len(bench.requests) == len(bench.events)
    assert "none of 9" in found.why
    assert {event.number for event in bench.events} == set(range(1, 10))


async def test_budget_and_failures_end_it() -> None:
    assert (await Bench(patience=4).run()).why == "enough"
    failure = Failure("auth", "the key was refused")
    found = await Bench("x", failure).run()
    assert found.failure == failure and found.attempts == 2


async def test_an_empty_reply_costs_one_sample_only() -> None:
    bench = Bench(Failure("empty", "nothing was said"), *[FIXED] * 9)
    assert (await bench.run()).selected > 1
    assert (bench.events[0].result, bench.events[0].note) == ("invalid", "nothing was said")


async def test_without_a_clue_nothing_is_asked() -> None:
    bench = Bench()
    found = await search(SOURCES, Failing("red"), "please", bench.ports)
    assert not bench.requests and "no function" in found.why


@pytest.mark.parametrize("repeats", [True, False])
async def test_a_reply_whose_beginning_was_given_counts_with_and_without_it(repeats: bool) -> None:
    rest = "        found -= price\n+        found += price\n"
    bench = Bench("```diff\n-" + rest if repeats else rest, prefill=True)
    assert (await bench.run()).selected == 1
    last = bench.requests[0].messages[-1]
    assert isinstance(last, AssistantMessage) and last.text == "```diff\n-"
    assert bench.requests[0].stop == ("```",)


@pytest.mark.parametrize("repeats", [True, False])
async def test_a_whole_function_may_go_on_from_its_signature(repeats: bool) -> None:
    body = '    """Sum of prices."""\n    return sum(prices)\n'
    slot = slots_of(SOURCES, FAILING, "total()", Limits())[0]
    start = start_of(slot.case, "whole")
    assert start == "```python\ndef total(prices):\n"
    answers = {"line": "?", "whole": (start + body) if repeats else body}
    bench = Bench(prefill=True)

    async def ask(asked: ModelRequest) -> AssistantMessage:
        whole = "completely" in str(asked.messages[0])
        return AssistantMessage((Text(answers["whole" if whole else "line"]),), "end")

    bench.ports = Ports(ask, bench.check, bench.suite, bench.events.append, bench.spent, True)
    found = await bench.run()
    assert "return sum(prices)" in found.text and "A long explanation" in found.text


def test_prompts_are_short_and_hold_function_check_and_report() -> None:
    slot = slots_of(SOURCES, FAILING, "total() has the wrong sign", Limits())[0]
    text = prompt(slot.case, "line")
    assert estimate_tokens(text) < 300
    for part in ("wrong sign", "assert total([1, 2]) == 3", "assert -3 == 3", "found -= price", "Sum of prices."):
        assert part in text
    assert "long explanation" not in text
    assert text.index("assert -3 == 3") < text.index("found -= price")
    assert "assert total" not in prompt(slot.case, "whole-report")
    asked = request(slot.case, "whole", prefill=False, temperature=0.8, seed=7)
    assert asked.stop == () and len(asked.messages) == 1 and asked.max_output is not None and asked.max_output < 400


def test_a_crash_names_the_line_that_raised() -> None:
    output = (
        "____ test_total ____\ntest_shop.py:5: in test_total\n    x\nshop.py:8: in total\n    y\nE   TypeError: no\n"
    )
    slot = slots_of(SOURCES, Failing(output, ("test_shop.py::test_total",)), "x", Limits())[0]
    assert slot.case.raised == "found -= price"


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2_000))
def test_plans_begin_greedily_and_large_functions_are_never_asked_for_whole(
    samples: int, places: int, whole: int
) -> None:
    limits = Limits(samples=samples, locations=places, whole_tokens=whole)
    slots = slots_of(SOURCES, FAILING, "total and mean", limits)
    steps = list(plan(slots, limits))
    temperatures = [temperature for _, _, temperature in steps]
    assert temperatures == sorted(temperatures)
    assert len(slots) <= places
    for slot, variant, _ in steps:
        assert variant.startswith("line") or estimate_tokens(slot.case.shown.text) <= whole
