"""Waves of attempts: when there are any, how they differ, when they end, and what is adopted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.core.budget import Budget
from assay.core.check import Criterion, DiffStat, Evidence, OutcomeName, Verdict
from assay.core.errors import AuthError
from assay.core.events import AttemptFinished, AttemptSelected, Checkpointed, ModelReplied, Noticed, TurnEnded
from assay.core.messages import Failure, Usage
from assay.core.model import Model, ModelRequest, estimate_tokens
from assay.core.policy import EXTERNAL, OPERATOR
from assay.loop.turn import Stop
from assay.run.run import Run, tool_loop
from assay.search.effort import Dial, dial_of
from assay.search.plan import KNOWN, OPENING, Failed, fresh, handed_on, plans, restart
from assay.search.waves import Lost, Ports, go_on, resumed, share, wanted
from assay.testing import FunctionModel, reply
from assay.testing.models import PROFILE, Reply
from run.forks import Forks, opening, played
from run.house import CHECK, House, mend, read, words, write

WRONG: Sequence[Reply] = [reply("", [write("worse\n", "b.txt")]), "done"]
RIGHT: Sequence[Reply] = [*mend(), "it is good"]
"""Turns the check green."""


def nth(request: ModelRequest, script: Sequence[Reply]) -> Reply:
    """The reply of `script` that follows what `request` shows."""
    return script[min(len(request.messages) // 2, len(script) - 1)]


class Game:
    """A house with its waves. `scripts`: by what an opening holds; "" is the turn's own attempt."""

    def __init__(
        self, folder: Path, scripts: dict[str, Sequence[Reply]], effort: str = "medium", attempts: int | None = None
    ) -> None:
        self.house = House(model=played(scripts))
        self.forks = Forks(self.house, folder)
        self.dial: Dial = dial_of(effort, attempts)  # type: ignore[arg-type]
        self.said = effort in ("high", "max") or (attempts or 1) > 1
        self.opened: list[str] = []
        self.models: dict[str, Model] = {}
        self.lost: list[Lost] = []
        self.ports = Ports(self.forks.fork, lambda: self.lost, lambda _: None, lambda _: None, self.open_model)

    def open_model(self, name: str) -> Model:
        self.opened.append(name)
        if name not in self.models:
            raise AuthError(f"no key for {name}")
        return self.models[name]

    async def strategy(self, run: Run) -> Stop:
        stop = await (resumed(run, tool_loop) if run.state.attempts else tool_loop(run))
        return await go_on(run, stop, self.dial, self.said, self.ports)

    async def turn(self, prompt: str = "make it good", **options: object) -> TurnEnded:
        self.run = self.house.run(**{"checks": (CHECK,), **options})
        return await self.run.turn(words(prompt), self.strategy)

    @property
    def made(self) -> list[AttemptFinished]:
        return [event for event in self.house.of(AttemptFinished) if isinstance(event, AttemptFinished)]

    @property
    def chosen(self) -> AttemptSelected:
        (event,) = self.house.of(AttemptSelected)
        assert isinstance(event, AttemptSelected)
        return event

    @property
    def notices(self) -> str:
        return "\n".join(event.text for event in self.house.of(Noticed) if isinstance(event, Noticed))


async def test_a_turn_that_is_proved_makes_no_other(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": RIGHT}, "max", 9)
    ended = await game.turn()
    assert (ended.verdict.outcome, ended.selected, game.made) == ("verified", 0, [])


async def test_the_next_one_that_is_right_is_taken(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": WRONG, OPENING: RIGHT}, attempts=5)
    ended = await game.turn()
    assert (ended.verdict.outcome, ended.selected, ended.text) == ("verified", 2, "it is good")
    assert game.house.workspace.files == {"a.txt": b"good\n"}, "and nothing is left of the first"
    assert [each.result for each in game.made] == ["red", "green"]
    assert (game.chosen.made, game.chosen.first_passed) == (2, False)
    assert 0.5 < game.chosen.belief < 1
    trees = [event.tree for event in game.house.of(Checkpointed) if isinstance(event, Checkpointed)]
    assert "b.txt" in game.house.workspace.trees[trees[-1]], "what was set aside can be had again"


async def test_none_is_right_and_the_first_stays(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": WRONG}, attempts=12)
    ended = await game.turn()
    assert (ended.verdict.outcome, ended.selected) == ("failed", 1)
    assert game.house.workspace.files == {"a.txt": b"bad\n", "b.txt": b"worse\n"}
    assert len(game.made) == 4, "alike twice, another way, alike again"
    assert "none is green" in game.chosen.why


@pytest.mark.parametrize(("effort", "most"), [("medium", 2), ("high", 2), ("max", 4)])
async def test_no_more_at_once_than_a_wave_of_the_dial(tmp_path: Path, effort: str, most: int) -> None:
    game = Game(tmp_path, {"": WRONG}, effort)
    live, seen = 0, 0

    async def waits(request: ModelRequest) -> Reply:
        nonlocal live, seen
        live += 1
        seen = max(seen, live)
        await asyncio.sleep(0.02)
        live -= 1
        # Each fails in another way, so that none is futile.
        line = f"{len(game.made)} {live} {len(request.messages)}"
        return nth(request, [reply("", [write(line, f"{len(game.house.workspace.trees)}.txt")]), "done"])

    game.models["p/two"] = FunctionModel(waits)
    game.ports = replace(game.ports, others=("p/two",) * 30)
    await game.turn()
    assert 1 <= seen <= most
    assert 2 < len(game.made) <= game.dial.candidates


async def test_a_local_model_is_asked_by_one_attempt_at_a_time(tmp_path: Path) -> None:
    live = most = 0

    async def answer(request: ModelRequest) -> Reply:
        nonlocal live, most
        live += 1
        most = max(most, live)
        await asyncio.sleep(0.01)
        live -= 1
        return nth(request, WRONG)

    game = Game(tmp_path, {"": WRONG}, "high")
    game.house.model = FunctionModel(answer, replace(PROFILE, name="local/small"))
    await game.turn()
    assert len(game.made) > 2
    assert most == 1


async def test_models_go_round_and_one_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": WRONG}, attempts=4)
    game.models["p/two"] = played({"": RIGHT})
    game.ports = replace(game.ports, others=("p/none", "p/two"))
    ended = await game.turn()
    assert (ended.verdict.outcome, ended.selected) == ("verified", 3)
    assert game.opened == ["p/none", "p/two"]
    assert "no attempt with p/none: no key for p/none" in game.notices


async def test_a_cascade_climbs_until_the_gate_is_content(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": WRONG}, "low")
    asked: list[ModelRequest] = []

    def seen(request: ModelRequest) -> Reply:
        asked.append(request)
        return nth(request, RIGHT)

    game.models = {"p/mid": played({"": WRONG}), "p/strong": FunctionModel(seen), "p/never": played({"": RIGHT})}
    game.ports = replace(game.ports, cascade=("p/mid", "p/strong", "p/never"))
    ended = await game.turn()
    assert (ended.verdict.outcome, ended.selected, game.opened) == ("verified", 3, ["p/mid", "p/strong"])
    said = opening(asked[0])
    assert said.count(OPENING.strip()) == 1
    assert "An earlier attempt" in said
    assert "attempt 3 goes to test/scripted (settings: cascade)" in game.notices


async def test_no_more_is_asked_of_a_provider_that_does_not_reply(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": WRONG, OPENING: [Failure("network", "no connection")]}, "max")
    game.models["p/strong"] = played({"": RIGHT})
    game.ports = replace(game.ports, cascade=("p/strong",))
    ended = await game.turn()
    assert [each.result for each in game.made] == ["red", "invalid", "invalid", "invalid", "green"]
    assert "no further attempts: the provider does not reply" in game.notices
    assert ended.verdict.outcome == "verified", "the next model of the cascade may be elsewhere"


async def test_who_changes_files_meanwhile_keeps_them(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": WRONG}, attempts=2)

    def edits(request: ModelRequest) -> Reply:
        game.house.workspace.files["mine.txt"] = b"mine\n"
        return nth(request, RIGHT)

    game.models["p/two"] = FunctionModel(edits)
    game.ports = replace(game.ports, others=("p/two",))
    ended = await game.turn()
    assert (ended.verdict.outcome, ended.selected) == ("failed", 1)
    assert game.house.workspace.files["mine.txt"] == b"mine\n"
    assert game.house.workspace.files["a.txt"] == b"bad\n"
    assert "files were changed meanwhile, so attempt 2 was not taken over" in game.chosen.why
    assert game.notices.count("\n") == 0


async def test_an_interrupted_wave_is_told_and_nothing_is_adopted(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": WRONG}, "high")

    async def waits(request: ModelRequest) -> Reply:
        game.run.interrupt()
        await asyncio.sleep(60)
        return "never"

    game.models["p/two"] = FunctionModel(waits)
    game.ports = replace(game.ports, others=("p/two",))
    ended = await game.turn()
    assert ended.verdict.outcome == "interrupted"
    assert {(each.result, each.note) for each in game.made[1:]} == {("invalid", "stopped")}
    assert game.house.workspace.files == {"a.txt": b"bad\n", "b.txt": b"worse\n"}
    assert not game.house.of(AttemptSelected)


async def test_going_on_makes_nothing_again(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": WRONG}, attempts=4)

    async def waits(request: ModelRequest) -> Reply:
        game.run.interrupt()
        await asyncio.sleep(60)
        return "never"

    game.models["p/two"] = FunctionModel(waits)
    game.ports = replace(game.ports, others=("p/two",))
    await game.turn()
    asked = len(game.house.model.requests)  # type: ignore[attr-defined]
    game.models["p/two"] = played({"": RIGHT})
    game.lost = [Lost("9.jsonl", "p/m", 3, Usage(100, output=10), 0.5)]
    ended = await game.turn("")
    assert ended.verdict.outcome == "verified"
    assert [each.number for each in game.made] == [1, 2, 3, 4]
    assert [each.note for each in game.made[1:3]] == ["stopped", "the program ended before it did"]
    assert game.chosen.number == 4
    assert len(game.house.model.requests) == asked, "neither the first nor a lost one"  # type: ignore[attr-defined]
    assert "attempt 3 was cut short" in game.notices


@pytest.mark.parametrize("edited", [False, True])
async def test_an_adoption_that_was_cut_short_is_ended_unless_somebody_edited_since(
    tmp_path: Path, edited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    async def halfway(tree: str) -> None:
        workspace.files["a.txt"] = b"good\n"
        raise Killed

    game = Game(tmp_path, {"": WRONG, OPENING: RIGHT}, attempts=5)
    workspace = game.house.workspace
    monkeypatch.setattr(workspace, "restore", halfway)
    with pytest.raises(Killed):
        await game.turn()
    assert workspace.files == {"a.txt": b"good\n", "b.txt": b"worse\n"}
    monkeypatch.undo()
    if edited:
        workspace.files["b.txt"] = b"mine\n"
    ended = await game.turn("")
    if edited:
        assert workspace.files == {"a.txt": b"good\n", "b.txt": b"mine\n"}
    else:
        assert "half taken over" in game.notices
        assert (ended.verdict.outcome, game.chosen.number) == ("verified", 2)
        assert workspace.files == {"a.txt": b"good\n"}


async def test_a_choice_that_was_made_is_only_judged_when_going_on(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": WRONG, OPENING: RIGHT}, attempts=3)
    await game.turn()
    before = len(game.house.log)
    run = game.house.run(checks=(CHECK,))
    run.state.open = True
    stop = await game.strategy(run)
    assert stop == Stop(None)
    assert run.verdict and run.verdict.outcome == "verified"
    assert not [r for r in game.house.log[before:] if isinstance(r.event, AttemptFinished | AttemptSelected)]


async def test_without_a_sandbox_there_are_none(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": WRONG, OPENING: RIGHT}, attempts=3)

    class Loose(type(game.house.workspace)):  # type: ignore[misc]
        confined = False

    game.house.workspace.__class__ = Loose
    ended = await game.turn()
    assert (ended.verdict.outcome, game.made) == ("failed", [])
    assert "without a sandbox" in game.notices


@pytest.mark.parametrize("tokens", [600, 1_500, 4_000])
async def test_a_budget_holds_for_all_together(tmp_path: Path, tokens: int) -> None:
    game = Game(tmp_path, {"": WRONG}, "max", 30)
    ended = await game.turn(budget=Budget(tokens=tokens))
    assert ended.verdict.outcome in ("failed", "budget")
    assert game.run.state.spent.usage.total <= tokens


LONGER: Sequence[Reply] = [*mend(), reply("", [write("more\n", "c.txt")]), "longer"]
"""Turns the check green, too, and changes more."""


def tie(folder: Path, word: Callable[[str], str], effort: str = "high") -> tuple[Game, list[str]]:
    """A game whose second and third attempt are both green; `word` is the comparator's."""
    asked: list[str] = []

    def answer(request: ModelRequest) -> Reply:
        said = opening(request)
        if "Which one does what the task asks for" in said:
            asked.append(said)
            return word(said)
        return nth(request, LONGER if KNOWN in said else RIGHT if OPENING in said else WRONG)

    game = Game(folder, {}, effort)
    game.house.model = FunctionModel(answer)
    return game, asked


def longer(said: str) -> str:
    return "ANSWER: A" if "c.txt" in said.partition("\nB:\n")[0] else "ANSWER: B"


async def test_of_results_that_pass_alike_a_model_says_which_is_right(tmp_path: Path) -> None:
    game, asked = tie(tmp_path, longer)
    ended = await game.turn()
    assert (ended.verdict.outcome, ended.selected, len(asked)) == ("verified", 3, 2)
    assert "c.txt" in game.house.workspace.files
    assert "comparison" in game.chosen.why
    replies = [event for event in game.house.of(ModelReplied) if isinstance(event, ModelReplied)]
    assert [each.role for each in replies if each.role != "solver"] == ["comparator"] * 2


@pytest.mark.parametrize("word", ["ANSWER: A", "ANSWER: NEITHER", "", "ANSWER: A or ANSWER: B, who knows"])
async def test_without_a_clear_word_the_evidence_decides(tmp_path: Path, word: str) -> None:
    game, asked = tie(tmp_path, lambda _: word)
    ended = await game.turn()
    assert (ended.verdict.outcome, ended.selected, len(asked)) == ("verified", 2, 2)
    assert "size" in game.chosen.why


async def test_with_less_effort_nobody_is_asked(tmp_path: Path) -> None:
    game, asked = tie(tmp_path, longer)
    game.dial = replace(game.dial, compares=False)
    assert ((await game.turn()).selected, asked) == (2, [])


async def test_a_comparison_that_the_budget_cuts_short_decides_nothing(tmp_path: Path) -> None:
    game, asked = tie(tmp_path, longer)
    ended = await game.turn(budget=Budget(steps=12))
    assert (ended.selected, len(asked), game.run.state.spent.steps) == (2, 1, 12)


async def test_an_attempt_that_uses_all_its_time_leaves_some_to_take_what_another_made(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": WRONG, OPENING: RIGHT}, "high")

    async def waits(request: ModelRequest) -> Reply:
        await asyncio.sleep(60)
        return "never"

    game.models["p/two"] = FunctionModel(waits)
    game.ports = replace(game.ports, others=("p/slow", "p/two"))
    game.models["p/slow"] = game.house.model
    ended = await game.turn(budget=Budget(seconds=2.0))
    assert [each.result for each in game.made] == ["red", "green", "invalid"]
    assert (ended.verdict.outcome, ended.selected) == ("verified", 2)


def test_time_is_left_for_what_follows_attempts_and_rounds_share_it() -> None:
    run = House("x").run(budget=Budget(seconds=100.0))
    beside, row = share(run, 3, dial_of("max")), share(run, 3, dial_of("max"), rounds=3)
    assert beside and row and beside.seconds and row.seconds
    assert row.seconds * 3 == pytest.approx(beside.seconds)
    assert 50 < beside.seconds < 100


# --- plans and rules ------------------------------------------------------------------------------------------------

FAILED = Failed(1, "still failing: it", "Not done yet", EXTERNAL)


@given(
    first=st.integers(2, 20), size=st.integers(1, 4), places=st.integers(0, 5), known=st.booleans(), anew=st.booleans()
)
def test_plans_differ_and_one_at_most_knows_another(
    first: int, size: int, places: int, known: bool, anew: bool
) -> None:
    named = [f"a.py:{n}-{n + 1} f{n}" for n in range(places)]
    found = plans(first, size, named, FAILED if known else None, anew=anew)
    assert len({plan.text for plan in found}) == len(found) == size
    assert [plan.model for plan in found] == list(range(first - 1, first + size - 1))
    restarts = [plan for plan in found if plan.origin.startswith("restart")]
    assert len(restarts) <= (known and not anew)
    assert size == 1 or len(restarts) < size
    assert all(plan.text.startswith(OPENING) for plan in found)
    assert all(plan.label == EXTERNAL.join(plan.label) for plan in restarts)
    assert found == plans(first, size, named, FAILED if known else None, anew=anew)


def test_a_wave_of_one_is_fresh_every_other_time() -> None:
    origins = [plans(number, 1, (), FAILED, anew=False)[0].origin for number in range(2, 8)]
    assert [origin.startswith("restart") for origin in origins] == [False, True] * 3


def test_places_come_in_but_never_the_likeliest() -> None:
    said = "\n".join(fresh(number, ["a.py:1-2 f", "b.py:1-2 g", "c.py:3-4 h"]).text for number in range(2, 12))
    assert "a.py" not in said
    assert "b.py:1-2 g" in said
    assert "c.py:3-4 h" in said
    assert fresh(3, ()).label == OPERATOR


def test_what_is_handed_on_is_short() -> None:
    failed = Failed(1, "x " * 250, "y " * 400, EXTERNAL)
    plan = handed_on(failed, [f"p{n}.py:1-2 f" for n in range(9)])
    assert plan.text.count(".py") == 5
    assert plan.label.integrity == "external"
    assert estimate_tokens(restart(failed).text) < 300
    assert handed_on(None, ()).text == OPENING.strip()


def verdict(outcome: OutcomeName, after: str = "fail", *, protected: bool = False, check: str = "") -> Verdict:
    row = Evidence("x", "c", "D", "fail", after, "", "", 0.0)  # type: ignore[arg-type]
    criteria = (Criterion("x", check),) if check else ()
    return Verdict(outcome, "", criteria, (row,), diff=DiffStat(protected=("t.py",) if protected else ()))


@pytest.mark.parametrize(
    ("outcome", "checks", "said", "effort", "expected"),
    [
        ("verified", True, True, "max", False),
        ("answered", True, True, "max", False),
        ("unverified", True, True, "max", True),
        ("failed", True, False, "medium", True),
        ("failed", False, False, "medium", False),
        ("failed", False, True, "high", True),
        ("partial", True, False, "medium", False),
        ("partial", True, True, "high", True),
        ("failed", True, True, "low", False),
    ],
)
def test_when_there_is_another(outcome: OutcomeName, checks: bool, said: bool, effort: str, expected: bool) -> None:
    run = House("x").run(checks=(CHECK,) if checks else ())
    run.state.touched = True
    assert wanted(run, verdict(outcome), dial_of(effort), said) is expected  # type: ignore[arg-type]


def test_a_red_check_beside_a_question_asks_for_no_other() -> None:
    run = House("x").run(checks=(CHECK,))
    assert not wanted(run, verdict("failed"), dial_of("medium"), said=False)
    assert wanted(run, verdict("failed"), dial_of("medium", 3), said=True)


def test_without_evidence_there_is_another_only_where_it_was_asked_for() -> None:
    run = House("x").run()
    dial = dial_of("high")
    assert wanted(run, verdict("partial", "pass"), dial, said=True), "checks can be written"
    assert not wanted(run, verdict("partial", "pass"), dial, said=False)
    assert wanted(run, verdict("partial", "pass", check="true"), dial, said=True)
    assert not wanted(run, verdict("partial", protected=True), dial, said=True)


@given(
    tokens=st.none() | st.integers(0, 10**6),
    dollars=st.none() | st.floats(0, 100),
    steps=st.none() | st.integers(1, 500),
    among=st.integers(1, 8),
)
def test_shares_are_never_more_than_what_is_left(
    tokens: int | None, dollars: float | None, steps: int | None, among: int
) -> None:
    run = House("x").run(budget=Budget(steps, tokens, dollars))
    found = share(run, among, dial_of("max"))
    if found is None:
        assert tokens is not None or dollars is not None or steps is not None
        return
    assert tokens is None or (found.tokens or 0) * among <= tokens
    assert dollars is None or (found.dollars or 0.0) * among <= dollars * 1.000001
    assert found.steps and (steps is None or found.steps * among <= steps)


async def test_a_question_is_no_matter_for_attempts(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": ["forty-two"]}, "max", 9)
    ended = await game.turn("six times seven?", checks=())
    assert (ended.verdict.outcome, game.made) == ("answered", [])


async def test_one_that_only_read_leaves_no_candidate(tmp_path: Path) -> None:
    game = Game(tmp_path, {"": WRONG, OPENING: [reply("", [read()]), "I looked."]}, attempts=3)
    ended = await game.turn()
    assert [each.result for each in game.made] == ["red", "invalid", "invalid"]
    assert ended.selected == 1
