"""Questions to the user, and plans."""

from __future__ import annotations

import pytest
from hypothesis import given

from assay.core.errors import InvalidArguments
from assay.core.model import estimate_tokens
from assay.core.policy import PERSON
from assay.core.tool import ToolContext
from assay.testing import MemoryWorkspace
from assay.tools.ask import AskTool
from assay.tools.plan import EnterPlanTool, ExitPlanTool, PlanMode
from hooks.test_hook_config import JSON

CONTEXT = ToolContext(MemoryWorkspace(), {})


def question(text: str = "Which?", count: int = 2, **more: object) -> dict:
    return {
        "question": text, "header": "pick", "options": [{"label": f"o{n}", "description": "d"} for n in range(count)],
        **more,
    }  # fmt: skip


class Mode:
    def __init__(self, mode: str = "default") -> None:
        self.mode = mode
        self.file = ""
        plan = PlanMode(lambda: self.mode, self.use, self.keep, lambda: self.file)
        self.enter, self.leave = EnterPlanTool(plan), ExitPlanTool(plan)

    def use(self, mode: str) -> None:
        self.mode = mode

    def keep(self, text: str) -> str:
        self.file = text
        return "/state/plan.md"


async def test_answers_come_with_the_approval() -> None:
    tool = AskTool()
    asked = {"questions": [question(), question("And?", 4, multiSelect=True)]}
    assert tool.effects(asked) == (PERSON,)
    answered = asked | {"answers": {"Which?": "o1", "And?": ["o2", "mine"]}, "annotations": {}}
    assert tool.effects(answered) == (PERSON,)
    outcome = await tool.run(answered, CONTEXT)
    assert outcome.content[0].text == "Which? o1\nAnd? o2, mine"
    assert outcome.debug["answers"] == {"Which?": "o1", "And?": "o2, mine"}
    assert outcome.label.integrity == "operator"
    assert "no answer" in (await tool.run(asked, CONTEXT)).content[0].text


@pytest.mark.parametrize(
    "bad",
    [
        {"questions": []},
        {"questions": [question()] * 5},
        {"questions": [question(count=1)]},
        {"questions": [question(count=5)]},
        {"questions": [question(" ")]},
        {"questions": [question("x" * 5000)]},
        {"questions": [{"question": "x"}]},
        {},
    ],
)
def test_questions_that_are_none(bad: dict) -> None:
    with pytest.raises(InvalidArguments):
        AskTool().effects(bad)


@given(JSON)
async def test_any_answers_are_survived(answers: object) -> None:
    arguments = {"questions": [question()], "answers": {"Which?": answers} if answers is not None else {}}
    assert len((await AskTool().run(arguments, CONTEXT)).content[0].text) < 10_000


async def test_plan_mode_and_back() -> None:
    mode = Mode("acceptEdits")
    with pytest.raises(InvalidArguments, match="not in plan mode"):
        mode.leave.effects({"plan": "x"})
    assert mode.enter.effects({}) != (PERSON,)
    await mode.enter.run({}, CONTEXT)
    assert mode.mode == "plan"
    with pytest.raises(InvalidArguments, match="already"):
        mode.enter.effects({})
    with pytest.raises(InvalidArguments, match="plan is missing"):
        mode.leave.effects({})
    assert mode.leave.effects({"plan": "# do it", "allowedPrompts": [{"tool": "Bash", "prompt": "test"}]}) == (PERSON,)
    outcome = await mode.leave.run({"plan": "# do it"}, CONTEXT)
    assert (mode.mode, mode.file) == ("acceptEdits", "# do it")
    assert "/state/plan.md" in outcome.content[0].text


async def test_whoever_approves_may_choose_the_mode() -> None:
    mode = Mode("plan")
    mode.file = "kept"
    assert mode.leave.effects({}) == (PERSON,)
    mode.mode = "acceptEdits"
    assert "kept" in (await mode.leave.run({}, CONTEXT)).content[0].text
    assert mode.mode == "acceptEdits"


def test_they_cost_little() -> None:
    import msgspec

    mode = Mode()
    specs = [AskTool().spec, mode.enter.spec, mode.leave.spec]
    assert sum(estimate_tokens(msgspec.json.encode(spec).decode()) for spec in specs) < 450
