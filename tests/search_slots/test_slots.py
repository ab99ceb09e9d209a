from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.core.events import AttemptFinished
from assay.core.messages import AssistantMessage, Failure, Text, Usage
from assay.core.model import ModelRequest, estimate_tokens
from assay.repair.patch import Patch, between
from assay.search.candidate import Candidate
from assay.search.slots import Search
from assay.search.slots_asks import asks
from assay.search.slots_holes import gaps
from assay.search.slots_plan import plan, slots_of
from assay.search.slots_prompts import prompt, request, start_of
from assay.search.slots_words import Failing, Fate, Found, Judged, Limits, Ports

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


WHOLE = """```python
def total(prices):
    found = 0
    for price in prices:
        found += price
    return found
```"""
CHEAT = "```diff\n-    return found\n+    return 3\n```"


class Table:
    """Ports over `SHOP`, with a script of replies; what happened is kept. A reply that is a list answers a request for
    several samples."""

    def __init__(
        self, *replies: str | list[str] | Failure, prefill: bool = False, infill: bool = False, patience: int = 1_000
    ):
        self.replies = list(replies)
        self.requests: list[ModelRequest] = []
        self.events: list[AttemptFinished] = []
        self.tried: list[str] = []
        self.judged: list[str] = []
        self.patience = patience
        self.doubts: list[str] = []
        self.ports = Ports(
            self.ask, self.try_, self.judge, self.events.append, self.spent,
            lambda pool: self.doubts, prefill=prefill, infill=infill,
        )  # fmt: skip

    async def ask(self, request: ModelRequest) -> AssistantMessage:
        self.requests.append(request)
        reply = self.replies.pop(0) if self.replies else "no idea"
        if isinstance(reply, Failure):
            return AssistantMessage((), "failed", failure=reply)
        first, *others = [reply] if isinstance(reply, str) else reply
        return AssistantMessage((Text(first),), "end", usage=Usage(100, output=50), others=tuple(others))

    async def try_(self, patches: Sequence[Patch]) -> list[Fate]:
        return [self.fate(patch.apply(SOURCES)["shop.py"]) for patch in patches]

    def fate(self, text: str) -> Fate:
        self.tried.append(text)
        cases: dict[str, list[int]] = {"two": [1, 2], "one": [3]}
        passed: list[str] = []
        for name, prices in cases.items():
            try:
                passed += [name] if namespace(text)["total"](prices) == 3 else []
            except NameError as error:
                return Fate("red", f"NameError: {error}")
        missed = {name: "AssertionError: no" for name in cases if name not in passed}
        return Fate("red" if missed else "plausible", "still red" if missed else "", tuple(passed), missed)

    async def judge(self, patch: Patch) -> Judged:
        text = patch.apply(SOURCES)["shop.py"]
        self.judged.append(text)
        right = namespace(text)["total"]([5]) == 5
        return Judged(right, "" if right else "total([5]) is wrong now", "t1")

    def spent(self) -> str:
        return "enough" if len(self.requests) >= self.patience else ""

    async def run(self, limits: Limits = Limits()) -> Found:  # noqa: B008 - frozen
        slots = slots_of(SOURCES, FAILING, "total() has the wrong sign", limits)
        steps = plan(slots, SOURCES, limits, self.ports.infill)
        search = Search(SOURCES, self.ports, limits)
        return await search.run(asks(steps, SOURCES, self.ports.prefill)) or await search.over()

    @property
    def results(self) -> list[str]:
        return [event.result for event in self.events]


def changed(found: Found) -> str:
    assert found.patch is not None, found
    return found.patch.apply(SOURCES)["shop.py"]


async def test_a_line_that_turns_the_check_green_is_taken_at_once() -> None:
    table = Table(FIXED)
    found = await table.run()
    assert changed(found) == SHOP.replace("found -=", "found +=")
    assert (found.location, found.attempts, found.selected) == ("shop.py:total", 1, 1)
    assert found.first_passed and not found.doubts
    assert [(event.result, event.tree) for event in table.events] == [("green", "t1")]
    assert table.requests[0].temperature == 0.0 and table.requests[0].samples == 1


async def test_what_breaks_something_else_is_refused_and_the_search_goes_on() -> None:
    table = Table(CHEAT, "nonsense", WHOLE)
    found = await table.run()
    assert table.results == ["red", "invalid", "green"]
    assert table.events[0].note == "total([5]) is wrong now"
    assert found.selected == 3 and not found.first_passed


async def test_nothing_is_tried_twice_and_the_original_never() -> None:
    wrong = WHOLE.replace("+= price", "= 0")
    copied = "-    return found\n+    return found"
    table = Table(copied, wrong, wrong.replace("= 0", "= 0  # again"))
    found = await table.run(Limits(samples=3))
    assert found.patch is None and found.attempts == 3
    assert table.results == ["duplicate", "red", "duplicate"]
    assert len(table.tried) == len(set(table.tried)) == 1


async def test_it_ends_after_its_samples_with_honest_words() -> None:
    table = Table(WHOLE.replace("+= price", "= 3 if prices == [3] else 1").replace("python", ""))
    found = await table.run(Limits(samples=9, batch=1))
    assert found.patch is None and found.attempts == 9 == len(table.requests) == len(table.events)
    assert "none of 9" in found.why
    assert {event.number for event in table.events} == set(range(1, 10))


async def test_the_end_tells_what_the_best_candidate_achieved() -> None:
    half = WHOLE.replace("+= price", "= 3 if prices == [3] else 1")
    found = await Table("?", half).run(Limits(samples=4))
    assert found.hints == ("looked at shop.py:total", "the best candidate passes one", "and leaves red two")


async def test_budget_tokens_and_failures_end_it() -> None:
    assert (await Table(patience=4).run()).why == "enough"
    failure = Failure("auth", "the key was refused")
    found = await Table("x", failure).run()
    assert found.failure == failure and found.attempts == 1
    found = await Table().run(Limits(output_tokens=120))
    assert found.attempts == 3 and "150 tokens" in found.why


async def test_an_empty_reply_costs_one_sample_only() -> None:
    table = Table(Failure("empty", "nothing was said"), WHOLE)
    assert (await table.run()).selected == 2
    assert (table.events[0].result, table.events[0].note) == ("invalid", "nothing was said")


async def test_a_batch_is_one_request_and_as_many_attempts() -> None:
    table = Table("?", "?", "?", [CHEAT, "nonsense", WHOLE, WHOLE])
    found = await table.run(Limits(batch=4, samples=9))
    assert [request.samples for request in table.requests] == [1, 1, 1, 4]
    assert table.results == ["invalid"] * 5 + ["duplicate", "green"]
    assert found.selected == 6 and found.attempts == 7
    assert table.requests[-1].temperature == 0.8


async def test_no_more_is_made_than_the_user_wants() -> None:
    table = Table("?", "?", "?", ["?", "?"])
    found = await table.run(Limits(batch=4, total=5))
    assert found.attempts == 5 and table.requests[-1].samples == 2 and "as many as wanted" in found.why


async def test_only_a_crash_is_argued_with() -> None:
    crash = WHOLE.replace("found += price", "found += prise")
    table = Table("?", crash, WHOLE)
    assert changed(await table.run()).count("found += price") == 1
    again = table.requests[2]
    assert [type(message).__name__ for message in again.messages] == ["UserMessage", "AssistantMessage", "UserMessage"]
    assert "prise" in str(again.messages[2]) and again.samples == 1 and again.temperature == 0.0
    wrong = WHOLE.replace("found += price", "found = 9")
    table = Table("?", wrong, WHOLE)
    assert await table.run()
    assert all(len(request.messages) == 1 for request in table.requests)


async def test_partial_repairs_are_joined() -> None:
    one = "```diff\n-    found = 0\n+    found = 6 if prices == [3] else 0\n```"
    two = SHOP.split("\n\n\n")[0].replace("return found", "return -found if prices == [1, 2] else found")
    table = Table(one, f"```python\n{two}\n```")
    await table.run(Limits(samples=2))
    assert "6 if" in table.judged[0] and "-found if" in table.judged[0]


async def test_thin_checks_ask_for_agreement_of_another_origin() -> None:
    table = Table(CHEAT, WHOLE, "?")
    table.doubts = ["only two assertions speak for it"]
    found = await table.run(Limits(further=1))
    assert len(table.requests) == 2 and found.doubts == ("only two assertions speak for it",)
    assert table.judged[0] != table.judged[-1] and found.selected == 2
    assert [(event.number, event.result) for event in table.events] == [(1, "red"), (2, "green")]


async def test_what_cost_nothing_stands_before_everything_else() -> None:
    table = Table()
    patch = between("shop.py", SHOP, SHOP.replace("-=", "+="), "sign")
    search = Search(SOURCES, table.ports, Limits(), [(Candidate(1, "zero", "sign"), patch)])
    found = await search.run([])
    assert found is not None and found.selected == 1 and not table.requests
    assert not table.events  # it was recorded when it was made


async def test_holes_are_asked_for_where_the_endpoint_fills_them() -> None:
    table = Table("?", "?", "?", ["    return found", "    return -found", "    return 3", ""], infill=True)
    found = await table.run()
    hole = table.requests[3].hole
    assert hole is not None and hole.prefix.startswith("def total") and table.requests[3].stop == ("\n",)
    assert table.requests[3].samples == 8 and table.requests[3].max_output == 24
    assert hole.suffix == "\n" and changed(found) == SHOP.replace("return found", "return -found")
    assert table.results == ["invalid"] * 5 + ["green", "plausible"] and found.selected == 5
    assert table.events[-1].note == "another was taken"


def test_without_a_clue_there_is_no_slot() -> None:
    assert slots_of(SOURCES, Failing("red"), "please", Limits()) == []


@pytest.mark.parametrize("repeats", [True, False])
async def test_a_reply_whose_beginning_was_given_counts_with_and_without_it(repeats: bool) -> None:
    rest = "        found -= price\n+        found += price\n"
    table = Table("```diff\n-" + rest if repeats else rest, prefill=True)
    assert (await table.run()).selected == 1
    last = table.requests[0].messages[-1]
    assert isinstance(last, AssistantMessage) and last.text == "```diff\n-"
    assert table.requests[0].stop == ("```",)


@pytest.mark.parametrize("repeats", [True, False])
async def test_a_whole_function_may_go_on_from_its_signature(repeats: bool) -> None:
    body = '    """Sum of prices."""\n    return sum(prices)\n'
    slot = slots_of(SOURCES, FAILING, "total()", Limits())[0]
    start = start_of(slot.case, "whole")
    assert start == "```python\ndef total(prices):\n"
    table = Table("?", "?", (start + body) if repeats else body, prefill=True)
    found = await table.run()
    assert "return sum(prices)" in changed(found) and "A long explanation" in changed(found)


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


def test_the_specification_is_asked_for_without_the_body() -> None:
    slot = slots_of(SOURCES, FAILING, "total() has the wrong sign", Limits())[0]
    text = prompt(slot.case, "spec")
    assert "A long explanation" in text and "found -= price" not in text and "assert total" not in text
    assert start_of(slot.case, "spec").endswith('"""\n')
    assert "found -= price" in prompt(slot.case, "minimal")


def test_a_specification_with_examples_comes_first() -> None:
    told = SHOP.replace("    A long explanation", "    >>> total([1, 2])\n    3\n\n    A long explanation")
    for source, first in ((SHOP, "line"), (told, "spec")):
        sources = {**SOURCES, "shop.py": source}
        steps = plan(slots_of(sources, FAILING, "total()", Limits()), sources, Limits(), False)
        assert next(steps).variant == first


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2_000), st.integers(1, 8), st.booleans())
def test_plans_keep_to_their_limits(samples: int, places: int, whole: int, batch: int, infill: bool) -> None:
    limits = Limits(samples=samples, locations=places, whole_tokens=whole, batch=batch)
    slots = slots_of(SOURCES, FAILING, "total and mean", limits)
    steps = list(plan(slots, SOURCES, limits, infill))
    rewrites = [step for step in steps if step.gap is None]
    assert sum(step.samples for step in rewrites) <= samples
    assert sum(step.samples for step in steps if step.gap) <= limits.holes * infill
    temperatures = [step.temperature for step in rewrites]
    assert temperatures == sorted(temperatures)
    assert len(slots) <= places
    for step in rewrites:
        assert step.variant.startswith("line") or estimate_tokens(step.slot.case.shown.text) <= whole
        assert step.samples == 1 if step.temperature == 0 else step.samples <= batch


def test_a_function_on_one_line_has_no_place_for_another() -> None:
    source = "def total(prices): return 0\n"
    slots = slots_of({"shop.py": source}, Failing(""), "total() is wrong", Limits())
    assert slots and gaps(source, slots[0]) == []


REFUSED = Failure("bad_request", "n must be at most 4", 400)


async def test_a_server_that_gives_fewer_samples_at_once_is_asked_for_fewer() -> None:
    table = Table("no idea", "no idea", "no idea", REFUSED, REFUSED, ["no idea", FIXED])
    await table.run(Limits(batch=8))
    asked = [request.samples for request in table.requests if request.samples > 1]
    assert asked[:3] == [8, 4, 2] and max(asked[2:]) == 2, asked


async def test_a_server_that_fills_no_gaps_is_asked_for_none_and_the_search_goes_on() -> None:
    table = Table(*["no idea"] * 6, infill=True)

    async def ask(request: ModelRequest) -> AssistantMessage:
        if request.hole is not None:
            table.requests.append(request)
            return AssistantMessage((), "failed", failure=Failure("not_found", "no such page", 404))
        return await Table.ask(table, request)

    table.ports = replace(table.ports, ask=ask)
    found = await table.run(Limits(hole_batch=1))
    assert sum(request.hole is not None for request in table.requests) == 1
    assert table.requests[-1].hole is None and found.failure is None
