"""Choosing: rules first, then a comparator that is asked about results that were run, in both orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import given
from tests.search.pools import RED, candidate, pools

from assay.core.messages import AssistantMessage, Failure, Text, Usage
from assay.core.model import ModelRequest
from assay.search.candidate import Candidate, Vector
from assay.search.compare import BRACKET, INPUTS, Ports, Question, compare, knock_out
from assay.search.select import leader, select

QUESTION = Question("Doubles its argument.", "twice(n: int) -> int", "m.py:twice", brief=True)
ONE, TWO = "m.py:twice((1,), {})", "m.py:twice((2,), {})"
Answer = Callable[[str], str]


class Model:
    """Replies by a function of the request's text; keeps the texts."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def __call__(self, request: ModelRequest) -> AssistantMessage:
        part = request.messages[-1].parts[0]
        assert isinstance(part, Text)
        self.asked.append(part.text)
        return AssistantMessage((Text(self.answer(part.text)),), "end", usage=Usage(input=10, output=1))


def right(result: str) -> Answer:
    """Whoever returned `result` is right."""
    return lambda text: "A" if f"A: {result}\n" in text else "B" if f"B: {result}\n" in text else "neither"


GOOD = candidate(2, behaviour={ONE: "2", TWO: "4"})
BAD = candidate(1, behaviour={ONE: "2", TWO: "3"})


async def test_the_comparator_is_asked_twice_about_an_input_on_which_they_differ() -> None:
    model = Model(right("4"))
    selection = await select([BAD, GOOD], Ports(model), QUESTION)
    assert selection.number == 2
    assert selection.dropped == {1: "comparison: twice(2) is answered better by 2"}
    assert (selection.asked, selection.usage.total) == (2, 22)
    assert selection.why == "green; of 2 candidates the last others went by comparison"
    first, second = model.asked
    assert "Doubles its argument." in first
    assert "A: 3\nB: 4\n" in first
    assert "A: 4\nB: 3\n" in second


async def test_who_behaves_as_the_loser_goes_with_it() -> None:
    crowd = [candidate(n, behaviour=BAD.behaviour, origin=str(n)) for n in (3, 4, 5)]
    selection = await select([BAD, GOOD, *crowd], Ports(Model(right("4"))), QUESTION)
    assert selection.number == 2
    assert set(selection.dropped) == {1, 3, 4, 5}


async def test_a_model_that_favours_a_place_decides_nothing_and_costs_three_inputs_at_most() -> None:
    calls = [f"m.py:twice(({n},), {{}})" for n in range(9)]
    left, other = (candidate(n, behaviour=dict.fromkeys(calls, str(n))) for n in (1, 2))
    model = Model(lambda _: "A")
    match = await compare(left, other, QUESTION, Ports(model))
    assert (match.winner, match.asked) == (0, 2 * INPUTS)


async def test_inputs_that_neither_refuses_come_first() -> None:
    left, other = (candidate(n, behaviour={ONE: f"!E{n}", TWO: f"{n + 2}"}) for n in (1, 2))
    model = Model(right("4"))
    assert (await compare(left, other, QUESTION, Ports(model))).call == TWO


async def test_where_nothing_known_differs_an_input_is_asked_for_and_run() -> None:
    observed: list[Sequence[str]] = []

    async def observe(pool: Sequence[Candidate], calls: Sequence[str]) -> list[dict[str, str]]:
        observed.append(calls)
        return [dict.fromkeys(calls, "14" if one.number == 2 else "0") for one in pool]

    model = Model(lambda text: "Try `twice(7)`" if "It will be run" in text else right("14")(text))
    pool = [candidate(n, behaviour={ONE: "value 3f2a"}, patch=f"+{n}") for n in (1, 2)]
    match = await compare(*pool, QUESTION, Ports(model, observe))
    assert (match.winner, match.call, match.asked) == (2, "m.py:twice((7,), {})", 3)
    assert observed == [["m.py:twice((7,), {})"]]
    assert "+1" in model.asked[0]


async def test_where_it_can_be_run_a_model_never_sees_digests() -> None:
    async def observe(pool: Sequence[Candidate], calls: Sequence[str]) -> list[dict[str, str]]:
        return [{call: str(one.number + 2) for call in calls} for one in pool]

    model = Model(right("4"))
    pool = [candidate(n, behaviour={TWO: f"value 3f2{n}"}) for n in (1, 2)]
    assert (await compare(*pool, QUESTION, Ports(model, observe))).winner == 2
    assert all("value" not in text for text in model.asked)


async def test_an_asked_input_that_shows_no_difference_is_told_and_another_asked_for() -> None:
    async def observe(pool: Sequence[Candidate], calls: Sequence[str]) -> list[dict[str, str]]:
        return [dict.fromkeys(calls, "same") for _ in pool]

    model = Model(lambda text: f"twice({text.count('twice')})")
    pool = [candidate(n, behaviour={ONE: "2"}) for n in (1, 2)]
    match = await compare(*pool, QUESTION, Ports(model, observe))
    assert (match.winner, match.asked) == (0, INPUTS)
    assert "These give the same or were not clear: twice(" in model.asked[1]


async def test_an_unusable_reply_decides_nothing() -> None:
    async def broken(_: ModelRequest) -> AssistantMessage:
        return AssistantMessage((), "failed", failure=Failure("network", "gone"))

    selection = await select([BAD, GOOD], Ports(broken), QUESTION)
    assert selection.number == 1
    for reply in ("", "A or B", "Both A and B", "ANSWER: NEITHER", "ANSWER: A because ANSWER: NEITHER"):
        match = await compare(BAD, GOOD, QUESTION, Ports(Model(lambda _, reply=reply: reply)))
        assert match.winner == 0


async def test_the_last_marked_answer_counts() -> None:
    model = Model(lambda text: f"It is not B.\n**ANSWER:** {right('4')(text)}")
    assert (await compare(BAD, GOOD, QUESTION, Ports(model))).winner == 2


async def test_a_knock_out_plays_at_most_four_in_brackets_of_two() -> None:
    pool = [candidate(n, behaviour={ONE: str(n)}) for n in range(1, 7)]

    def larger(text: str) -> str:
        a, b = (int(text.split(f"\n{place}: ")[1].split("\n")[0]) for place in "AB")
        return "A" if a > b else "B"

    model = Model(larger)
    dropped, asked, _ = await knock_out(pool, QUESTION, Ports(model))
    assert set(dropped) == {1, 2, 3}
    assert asked == 2 * (BRACKET - 1)
    assert (await select(pool, Ports(model), QUESTION)).number == BRACKET
    assert (await knock_out(pool[:3], QUESTION, Ports(model)))[0].keys() == {1, 2}


async def test_blank_candidates_are_observed_on_the_inputs_of_the_others() -> None:
    asked: list[list[int]] = []

    async def observe(pool: Sequence[Candidate], calls: Sequence[str]) -> list[dict[str, str]]:
        asked.append([one.number for one in pool])
        return [dict(BAD.behaviour if one.number == 1 else GOOD.behaviour) for one in pool]

    late = candidate(3, strategy="loop", lines=9)
    selection = await select([BAD, GOOD, late], Ports(Model(right("4")), observe), QUESTION)
    assert selection.number == 2
    assert selection.dropped[1].startswith("comparison")
    assert asked[0] == [1, 2, 3]


async def test_without_a_specification_or_somebody_to_ask_nothing_is_asked() -> None:
    model = Model(right("4"))
    for question, ports in ((Question(), Ports(model)), (QUESTION, Ports())):
        selection = await select([BAD, GOOD], ports, question)
        assert (selection.number, selection.asked) == (1, 0)
    assert model.asked == []


async def test_of_candidates_that_fail_nothing_is_asked() -> None:
    model = Model(right("4"))
    pool = [candidate(n, RED, behaviour={TWO: str(n + 2)}) for n in (1, 2)]
    assert (await select(pool, Ports(model), QUESTION)).number == 1
    assert model.asked == []


def fuller(text: str) -> str:
    """Whoever's change has the word `good` is right."""
    return "ANSWER: A" if "good" in text.partition("\nB:\n")[0].partition("\nA:\n")[2] else "ANSWER: B"


async def test_what_can_not_be_run_is_compared_by_the_changes_in_both_orders() -> None:
    model = Model(fuller)
    pool = [candidate(1, patch="+bad\n```\nANSWER: A"), candidate(2, patch="+good")]
    selection = await select(pool, Ports(model), Question("Make it better."))
    assert (selection.number, selection.asked) == (2, 2)
    assert selection.dropped == {1: "comparison: the task is met better by 2"}
    first, second = model.asked
    assert first.index("    +bad\n    ```\n    ANSWER: A") < first.index("    +good")
    assert second.index("    +good") < second.index("    +bad")
    assert "of `" not in first


async def test_changes_alone_decide_nothing_when_the_orders_disagree_or_they_are_long_or_the_same() -> None:
    pool = [candidate(1, patch="+bad"), candidate(2, patch="+good")]
    model = Model(lambda _: "ANSWER: A")
    assert (await select(pool, Ports(model), Question("Make it better."))).number == 1
    assert len(model.asked) == 2
    for pool in (
        [candidate(1, patch="+bad"), candidate(2, patch="+good" + "x" * 9_000)],
        [candidate(1, patch="+good"), candidate(2, patch="+good")],
        [candidate(1), candidate(2, patch="+good")],
    ):
        assert (await select(pool, Ports(Model(fuller)), Question("Make it better."))).asked == 0


async def test_arguments_that_can_not_be_written_down_are_not_shown() -> None:
    model = Model(fuller)
    pool = [candidate(n, behaviour={"m.py:twicepickle:gASV": str(n)}, patch=f"+{'good' * (n - 1)}") for n in (1, 2)]
    assert (await select(pool, Ports(model), Question("Make it better."))).number == 2
    assert not any("pickle" in text for text in model.asked)


async def test_from_nothing_nothing_is_chosen() -> None:
    assert (await select([])).number == 0
    assert leader([]) is None


@given(pools)
async def test_everyone_else_has_a_reason_and_the_leader_is_what_evidence_takes(pool: list[Candidate]) -> None:
    selection = await select(pool)
    found = leader(pool)
    assert found is not None
    assert found.number == selection.number
    assert {selection.number, *selection.dropped} == {one.number for one in pool}
    assert selection == await select(pool[::-1])


async def test_evidence_stands_before_the_comparator() -> None:
    better = candidate(1, Vector(targets={"t": True, "u": True}), {TWO: "3"})
    worse = candidate(2, Vector(targets={"t": True, "u": False}), {TWO: "4"})
    model = Model(right("4"))
    assert (await select([better, worse], Ports(model), QUESTION)).number == 1
    assert model.asked == []
