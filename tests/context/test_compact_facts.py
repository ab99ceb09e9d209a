"""After a compaction the agent still knows a planted fact of each kind."""

from __future__ import annotations

import pytest

from assay.context.compact import Compactor
from assay.core.check import CheckRun, Criterion, Evidence
from assay.core.events import (
    CallDecided,
    CallFinished,
    CheckFinished,
    ContextAdded,
    CriteriaDeclared,
    Event,
    EvidenceRecorded,
    InputReceived,
    ModelReplied,
    TaskEnded,
    TaskStarted,
)
from assay.core.messages import Text, ToolResult
from assay.core.policy import Decision, Effect
from assay.sessions.fold import History, fold
from assay.testing import call, reply

from .logs import edit, numbered, texts


def called(name: str, result: str = "ok", **arguments: object) -> list[Event]:
    each = call(name, dict(arguments), id=f"call-{name}")
    effects = (Effect("write", str(arguments.get("file_path", ""))),)
    return [
        ModelReplied(1, reply("", [each])),
        CallDecided(each.id, name, effects, Decision("allow")),
        CallFinished(ToolResult(each.id, (Text(result),))),
    ]


PLANTED: dict[str, list[Event]] = {
    "the task": [InputReceived("t", (Text("use the FACT port"),))],
    "a later wish": [InputReceived("u", (Text("and mind FACT"),))],
    "instructions": [ContextAdded("instructions", "never touch FACT", "CLAUDE.md")],
    "instructions of a folder": [ContextAdded("instructions", "here FACT holds", "sub/AGENTS.md")],
    "the environment": [ContextAdded("environment", "checks: FACT")],
    "the shape of the answer": [ContextAdded("schema", "answer in FACT")],
    "a rule": [ContextAdded("rules", "FACT is the rule", "rules/a.md")],
    "what a hook said": [ContextAdded("hook", "the branch is FACT")],
    "leave that was given": [ContextAdded("approval", "approved: FACT")],
    "a skill that was preloaded": [ContextAdded("skill", "how to FACT", "deploy")],
    "a skill that was called": called("Skill", "step one: FACT", skill="deploy"),
    "the plan": called("ExitPlanMode", plan="first FACT, then the rest"),
    "the todo list": called("TodoWrite", todos=[{"content": "do FACT", "status": "pending", "activeForm": "x"}]),
    "a file that was changed": called("Edit", file_path="src/FACT.py", old_string="a", new_string="b"),
    "what the model said": [ModelReplied(1, reply("the cause is FACT"))],
    "a criterion": [CriteriaDeclared((Criterion("FACT works"),))],
    "a check": [CheckFinished(CheckRun("FACT test", "t", False, 1, 0.1, "", ""), "baseline")],
    "evidence": [EvidenceRecorded(Evidence("FACT", "c", "B", "fail", "pass", "t", "", 0.1))],
    "a task in the background": [TaskStarted("t1", "agent", "watch FACT")],
    "what a task reported": [ContextAdded("task", "agent t1 found FACT")],
}  # fmt: skip


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("times", [1, 3])
def test_a_planted_fact_survives(kind: str, times: int) -> None:
    events: list[Event] = [InputReceived("t0", (Text("go"),)), *PLANTED[kind]]
    compactor, history = Compactor(), History()
    done = 0
    for round_ in range(times):
        for step in range(12):
            events += edit(100 * (round_ + 1) + step)
        records = numbered(events)
        fold(records[done:], compactor, history)
        done = len(records)
        compacted = compactor.compact(50)
        assert compacted is not None
        events.append(compacted)
        fold(numbered(events)[done:], history)
        compactor.apply(numbered(events)[-1])
        done += 1
    assert "FACT" in texts(history.messages())


def test_the_focus_of_a_compaction_by_hand_is_kept_and_a_finished_task_is_not_told_as_running() -> None:
    events: list[Event] = [
        InputReceived("t0", (Text("go"),)),
        TaskStarted("t1", "command", "the server"),
        TaskEnded("t1", "stopped", "ended"),
    ]
    for step in range(5):
        events += edit(step)
    compactor = Compactor()
    fold(numbered(events), compactor)
    compacted = compactor.compact(0, "remember the port")
    assert compacted is not None
    assert "remember the port" in compacted.summary
    assert "the server" not in compacted.summary


def test_only_the_newest_todo_list_and_the_newest_skills_are_kept() -> None:
    events: list[Event] = [InputReceived("t0", (Text("go"),))]
    for number in range(7):
        events += called("TodoWrite", todos=[{"content": f"item {number}", "status": "pending", "activeForm": "x"}])
        events.append(ContextAdded("skill", f"skill text {number}", f"s{number}"))
    for step in range(5):
        events += edit(step)
    compactor = Compactor()
    fold(numbered(events), compactor)
    compacted = compactor.compact(0)
    assert compacted is not None
    assert "item 6" in compacted.summary
    assert "item 5" not in compacted.summary
    assert "skill text 6" in compacted.summary
    assert "skill text 2" not in compacted.summary
