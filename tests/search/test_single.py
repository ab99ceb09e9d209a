"""One shot at a red check: judged before any further request, and the ordinary loop when it does not do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from assay.app.strategy import strategy_for
from assay.core.budget import Budget
from assay.core.check import CheckRun
from assay.core.events import CheckFinished, ContextAdded, TurnEnded
from assay.core.messages import Message, Text, UserMessage
from assay.core.model import ModelRequest, Reasoning
from assay.core.policy import Decision, Effect, Label
from assay.core.workspace import Command, CommandResult
from assay.run.run import Strategy, tool_loop
from assay.search import single
from assay.search.caps import Look
from assay.search.single import REPAIRING, Shot, digest, small_changes, take_single
from assay.testing import MemoryWorkspace, ScriptedModel, call, reply
from assay.testing.models import PROFILE, Reply
from assay.verify.reports import Report
from assay.verify.runners import Execution, check_of
from run.house import House, read, words

CHECK = "python3 test_calc.py"
CALC = "import math\n\n\ndef add(a, b):\n    return a - b\n\n\ndef unrelated(a):\n    return math.sqrt(a)\n"
TEST = "from calc import add\n\nassert add(2, 3) == 5\n"
TRACE = """Traceback (most recent call last):
  File "test_calc.py", line 3, in <module>
    assert add(2, 3) == 5
AssertionError: got {}
"""
DRIVEN = strategy_for(PROFILE)


async def shell(command: Command, workspace: MemoryWorkspace) -> CommandResult:
    code = workspace.files.get("calc.py", b"")
    if CHECK not in " ".join(command.argv) or b"return a + b" in code:
        return CommandResult(0, "", 0, 0.1)
    said = TRACE.format(code.count(b"*"))
    return CommandResult(1, said, len(said), 0.1)


class Bench(House):
    def __init__(self, *script: Reply, **more: object):
        super().__init__(*script, files={"calc.py": CALC.encode(), "test_calc.py": TEST.encode()}, **more)  # type: ignore[arg-type]
        self.workspace = MemoryWorkspace(dict(self.workspace.files), shell)

    async def go(self, prompt: str = "add() is wrong", strategy: Strategy = DRIVEN, **options: object) -> TurnEnded:
        self.last = self.run(**{"checks": (CHECK,), **options})
        return await self.last.turn(words(prompt), strategy)

    @property
    def requests(self) -> list[ModelRequest]:
        assert isinstance(self.model, ScriptedModel)
        return self.model.requests

    def told(self, owner: str) -> list[str]:
        """What the harness put before the model in this name."""
        return [event.text for event in self.events if isinstance(event, ContextAdded) and event.owner == owner]

    @property
    def calc(self) -> str:
        return self.workspace.files["calc.py"].decode()


def edit(old: str = "a - b", new: str = "a + b", path: str = "calc.py") -> object:
    return call("Edit", {"file_path": path, "old_string": old, "new_string": new})


def said(messages: list[Message] | tuple[Message, ...]) -> str:
    parts = [part for message in messages if isinstance(message, UserMessage) for part in message.parts]
    return "\n".join(part.text for part in parts if isinstance(part, Text))


def fix(text: str = "") -> Reply:
    return reply(text, [edit()])


def vain(count: int) -> list[Reply]:
    """Edits beside the point."""
    turns = [("sqrt", "cbrt"), ("cbrt", "sqrt")] * count
    return [reply("", [edit(*turn)]) for turn in turns[:count]]


async def test_a_task_that_one_reply_solves_costs_one_request() -> None:
    bench = Bench(fix())
    ended = await bench.go(budget=Budget(steps=1))
    assert (ended.verdict.outcome, ended.steps, len(bench.requests)) == ("verified", 1, 1)
    assert ended.text == f"Changed calc.py. `{CHECK}` failed before and passes now."
    shown = said(bench.requests[0].messages)
    assert "calc.py:4-5 add" in shown and "```python\ndef add(a, b):\n    return a - b\n```" in shown
    assert "unrelated" not in shown
    assert shown.index("<environment>") < shown.index("<located>") < shown.index("make the whole change in this reply")


@pytest.mark.parametrize(
    ("signature", "end"), [("", "failed before and passes now."), ("x", "some of what failed passes now.")]
)
def test_nothing_is_said_to_pass_that_does_not(signature: str, end: str) -> None:
    run = SimpleNamespace(parts=SimpleNamespace(workspace=MemoryWorkspace({})))
    red = SimpleNamespace(check=SimpleNamespace(command=CHECK))
    shot = Shot(SimpleNamespace(run=run, red=red, looks=[Look("x", 2, 0), Look(signature, 1, 1)]))  # type: ignore[arg-type]
    assert shot._summary().endswith(end)


def test_a_long_command_leaves_room_for_the_end_of_the_output_and_for_no_more() -> None:
    check = check_of(f"{CHECK} {'x' * 2_000}", "--check")
    ran = CheckRun(check.command, "t", False, 1, 0.1, "", "noise " * 500 + "the end")
    said = digest(Execution(check, ran, Report(), "", False))
    assert said.endswith("the end")
    assert len(said) < 2_600


async def test_what_is_found_by_trying_is_found_in_the_files_of_the_start_and_a_defect_there_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = Bench()
    run = house.run(checks=(CHECK,))
    await run.start_tree()
    house.workspace.files["calc.py"] = b"edited meanwhile"
    seen: list[dict[str, str]] = []

    async def search(copy: object, red: object, sources: dict[str, str], *rest: object) -> object:
        seen.append(sources)
        raise RuntimeError("a defect")

    monkeypatch.setattr(single, "search", search)
    first = SimpleNamespace(run=SimpleNamespace(seconds=0))
    red = SimpleNamespace(check=SimpleNamespace(runner="pytest"), first=first)
    async with small_changes(run, red) as found:  # type: ignore[arg-type]
        assert await found() == ""
    assert seen[0]["calc.py"] == CALC


async def test_its_own_words_are_the_answer() -> None:
    ended = await Bench(fix("It subtracted; it adds now.")).go()
    assert ended.text == "It subtracted; it adds now."


async def test_what_was_shown_was_seen_and_a_resumed_run_knows_it() -> None:
    bench = Bench(reply("", [read("test_calc.py")]), reply("I stop."), *["No."] * 3)
    await bench.go()
    stamp = bench.workspace.read_file("calc.py").stamp.digest
    assert bench.last.state.seen["calc.py"] == stamp
    assert bench.run().state.seen == bench.last.state.seen


async def test_a_file_that_changed_since_it_was_shown_is_not_edited_blindly() -> None:
    bench = Bench(fix(), *["I stop."] * 4)
    run = bench.run(checks=(CHECK,))

    def change(seen: object) -> None:
        event = getattr(seen, "event", None)
        if isinstance(event, ContextAdded) and event.owner == "single":
            bench.workspace.files["calc.py"] = CALC.replace("sqrt", "exp").encode()

    run.bus.subscribe(change)
    await run.turn(words("add() is wrong"), DRIVEN)
    assert "a - b" in bench.calc and "changed since you saw it" in str(bench.requests[1].messages)


async def test_a_red_check_goes_back_and_the_loop_goes_on_in_the_same_conversation() -> None:
    changes = [("a - b", "a * b"), ("a * b", "a ** b"), ("a ** b", "a + b")]
    bench = Bench(*[reply("", [edit(*change)]) for change in changes])
    ended = await bench.go()
    assert (ended.verdict.outcome, len(bench.requests)) == ("verified", 3)
    first, second, third = bench.requests
    assert second.messages[: len(first.messages)] == first.messages
    assert third.messages[: len(second.messages)] == second.messages
    assert (first.system, first.tools) == (second.system, second.tools) == (third.system, third.tools)
    back = said(second.messages[len(first.messages) :])
    assert f"After these edits `{CHECK}` still fails" in back and "got 1" in back
    assert len(back) <= 1_100


async def test_looking_further_first_is_fine() -> None:
    bench = Bench(reply("", [read("test_calc.py")]), fix())
    ended = await bench.go()
    assert (ended.verdict.outcome, len(bench.requests)) == ("verified", 2)


async def test_the_same_failure_is_told_in_one_line() -> None:
    bench = Bench(reply("", [edit("math.sqrt", "math.exp")]), *["I stop."] * 4)
    await bench.go()
    assert f"`{CHECK}` fails as before" in said(bench.requests[1].messages)


@pytest.mark.parametrize("also", [read("test_calc.py"), edit("not there", "x")], ids=["another call", "a failed edit"])
async def test_replies_that_do_not_only_edit_are_left_to_the_model(also: object) -> None:
    bench = Bench(reply("", [edit(), also]), "Done.")
    ended = await bench.go()
    assert (ended.verdict.outcome, ended.text, len(bench.requests)) == ("verified", "Done.", 2)


async def test_what_the_gate_misses_goes_back_twice_at_most() -> None:
    tests = [reply("", [edit(f"== {n}", f"== {n + 1}", "test_calc.py")]) for n in (6, 7)]
    bench = Bench(reply("", [edit(), edit("== 5", "== 6", "test_calc.py")]), *tests, *["I leave it."] * 4)
    ended = await bench.go()
    assert ended.verdict.outcome == "partial" and ended.text == "I leave it."
    texts = bench.told("gate")
    assert len(texts) == 4 and all("protected paths" in text for text in texts)


class Hiding:
    """A gate that keeps one file from the model."""

    async def decide(self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: object = None) -> Decision:
        hidden = any(effect.kind == "read" and effect.target == "calc.py" for effect in effects)
        return Decision("deny" if hidden else "allow", "no")


async def test_files_that_policy_hides_are_not_shown() -> None:
    bench = Bench(*["I can't."] * 3, gate=Hiding())
    ended = await bench.go()
    assert ended.verdict.outcome == "failed"
    assert "return a - b" not in said(bench.requests[0].messages)
    assert f"`{CHECK}` fails now. For this request" in said(bench.requests[0].messages)


class Planning:
    """A gate that lets nothing be written."""

    async def decide(self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: object = None) -> Decision:
        return Decision("deny" if any(effect.kind == "write" for effect in effects) else "allow", "a plan is made")


async def test_where_nothing_may_be_edited_nobody_is_told_to() -> None:
    bench = Bench(*["I plan."] * 3, gate=Planning())
    await bench.go()
    assert not bench.told("single") and not bench.told("located")
    bench = Bench(*["I plan."] * 3)
    bench.tools = {name: tool for name, tool in bench.tools.items() if name == "Read"}
    await bench.go()
    assert not bench.told("single")


OPTIONS = {
    "nothing asked": {"checks": ()},
    "a green check": {"checks": ("true",)},
    "an effort and a question": {"checks": (), "reasoning": Reasoning(effort="high")},
    "a form for the answer": {"schema": {"type": "object"}},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
async def test_without_something_red_to_mend_requests_are_as_ever(options: dict[str, object]) -> None:
    sent: list[list[ModelRequest]] = []
    for strategy in (DRIVEN, take_single, tool_loop):
        bench = Bench(*["{}"] * 5)
        await bench.go("What does add() do?", strategy, **options)
        sent.append(bench.requests)
    assert sent[0] == sent[1] == sent[2]


async def test_a_question_runs_nothing_when_there_is_no_check() -> None:
    bench = Bench("It adds.")
    await bench.go("What does add() do?", checks=(), reasoning=Reasoning(effort="high"), attempts=4)
    assert not bench.of(CheckFinished) and len(bench.requests) == 1


async def test_a_later_turn_of_a_session_is_not_begun_anew() -> None:
    bench = Bench(fix(), reply("", [edit("a + b", "a - b")]), *["Fine."] * 4)
    await bench.go()
    await bench.last.turn(words("Now break it again"), DRIVEN)
    assert len(bench.told("single")) == 1
    assert len(bench.requests) > 2


async def test_a_model_that_goes_nowhere_is_ended_where_an_effort_was_named() -> None:
    bench = Bench(*vain(8), "?")
    ended = await bench.go(reasoning=Reasoning(effort="medium"))
    assert ended.verdict.outcome == "failed" and len(bench.requests) == 6
    assert ended.text.startswith("Stopped: the last 6 edits did not change what fails.")
    assert "place: calc.py:9" in ended.text and "avoid: " in ended.text
    assert "the last 6 edits did not change what fails" in ended.verdict.unchecked
    assert ended.verdict.evidence[0].after == "fail"
    assert len(bench.told("caps")) == 1


async def test_without_an_effort_it_is_told_and_goes_on() -> None:
    bench = Bench(*vain(8), fix())
    ended = await bench.go()
    assert (ended.verdict.outcome, len(bench.requests)) == ("verified", 9)


async def test_efforts_vary_where_that_is_free_and_are_put_back() -> None:
    profile = replace(PROFILE, reasoning="effort", quirks=frozenset({"effort_keeps_cache"}))
    script = [reply("", [read("test_calc.py")]), reply("", [edit(new="a * b")]), reply("", [edit("a * b", "a + b")])]
    bench = Bench(model=ScriptedModel(script, profile))
    asked = Reasoning(effort="medium")
    await bench.go(reasoning=asked)
    assert [request.reasoning.effort for request in bench.requests] == ["high", "low", "low"]
    assert bench.last.options.reasoning == asked


@pytest.mark.parametrize(
    "prompt", ["Fix add()", "the tests fail", "make the test pass", "It crashes on []", "a bug in x"]
)
def test_prompts_that_ask_for_a_repair(prompt: str) -> None:
    assert REPAIRING.search(prompt)


@pytest.mark.parametrize("prompt", ["What does add do?", "Add a flag --json", "Rename a to b", "prefix all names"])
def test_prompts_that_do_not(prompt: str) -> None:
    assert not REPAIRING.search(prompt)
