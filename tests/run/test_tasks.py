"""What goes on in the background: told between two steps, waking a session at rest, gone with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from assay.core.budget import Budget
from assay.core.errors import UsageError
from assay.core.events import CallFinished, Checkpointed, ContextAdded, ModelReplied, TaskEnded, TaskStarted
from assay.core.messages import Text
from assay.core.workspace import Command, CommandResult
from assay.run.run import Run
from assay.run.state import NOTIFICATION
from assay.run.steps import GATE_ROUNDS
from assay.run.tasks import WOKEN
from assay.testing import MemoryWorkspace, call, reply
from assay.testing.models import Reply

from .family import Family, agent, parts, until
from .house import CHECK, read, shell, words, write

SERVE = call("Bash", {"command": "serve", "run_in_background": True, "description": "a server"})


class Gate:
    """Holds whoever passes until it is opened."""

    def __init__(self, then: Reply = "seen") -> None:
        self.open = asyncio.Event()
        self._then = then

    async def __call__(self, lines: list[str]) -> Reply:
        await self.open.wait()
        return self._then


def serving(family: Family, opened: asyncio.Event, code: int = 0, *hosts: str) -> None:
    """Commands of `family` that say `serve` go on until `opened`."""

    async def answer(command: Command, workspace: MemoryWorkspace) -> CommandResult:
        if "serve" not in command.argv[-1]:
            return await shell(command, workspace)
        await opened.wait()
        return CommandResult(code, "served 3\n", 9, 1.0, network=hosts)

    family.workspace = MemoryWorkspace({"a.txt": b"bad\n"}, answer)


async def follow(family: Family, run: Run) -> object:
    async with asyncio.timeout(20):
        wake = await family.tasks.woken()
    return await run.turn((Text(wake.prompt),), label=wake.label, origin=wake.origin)


async def test_an_agent_in_the_background_wakes_the_session(tmp_path: Path) -> None:
    gate = Gate()
    boss = [reply("", [agent("scout it", run_in_background=True)]), "waiting", "all done"]
    family = Family(parts(boss=boss, scout=[gate]), tmp_path)
    run = family.run()
    assert (await run.turn(words("boss"))).text == "waiting"
    (listed,) = family.tasks.listing()
    assert (listed["task_type"], listed["status"], listed["is_backgrounded"]) == ("local_agent", "running", True)
    assert family.tasks.pending
    requests = len(family.model.requests)
    await asyncio.sleep(0.05)
    assert len(family.model.requests) == requests, "who waits asks no model"
    gate.open.set()
    ended = await follow(family, run)
    assert ended.text == "all done"
    (notice,) = [event for event in family.of(ContextAdded) if event.owner == "task"]
    assert notice.source == listed["task_id"]
    assert notice.text.endswith("\nseen")
    assert notice.label == family.of(TaskEnded)[0].label
    assert family.lines()[-2:] == [WOKEN, notice.text]
    assert run.state.loaded == ["TaskOutput", "TaskStop"]
    assert not family.tasks.pending


async def test_a_running_turn_is_told_between_two_steps(tmp_path: Path) -> None:
    """Never into the middle of a step: what a model replied without knowing must not stand behind what it did not
    know."""
    gate = Gate()

    async def meanwhile(lines: list[str]) -> Reply:
        gate.open.set()
        await until(lambda: not family.tasks.listing())
        return reply("", [read()])

    boss = [reply("", [agent("scout it", "night")]), meanwhile, "all done"]
    family = Family(parts(boss=boss, scout=[gate]), tmp_path)
    run = family.run()
    assert (await run.turn(words("boss"))).text == "all done"
    assert "[background]" in family.lines()[-1], "behind the result of the call"
    assert "[background]" not in "".join(family.lines(-2))
    assert not family.tasks.pending, "it is known, and wakes nobody"
    one, two = [request.messages for request in family.model.requests if not request.system][-2:]
    assert tuple(two[: len(one)]) == tuple(one)


async def test_a_command_goes_on_and_is_told(tmp_path: Path) -> None:
    opened = asyncio.Event()
    family = Family(parts(boss=[reply("", [SERVE]), "on its way", "it is over"]), tmp_path)
    serving(family, opened, 3)
    run = family.run()
    assert (await run.turn(words("boss"))).text == "on its way"
    (result,) = family.of(CallFinished)
    (started,) = family.of(TaskStarted)
    assert (started.what, started.description, started.background) == ("command", "a server", True)
    assert result.debug["tool_use_result"]["backgroundTaskId"] == started.task
    assert result.loads == ("TaskOutput", "TaskStop")
    assert not family.tasks.pending, "a server may run for ever; nobody waits for it"
    opened.set()
    ended = await follow(family, run)
    assert ended.text == "it is over"
    (finished,) = family.of(TaskEnded)
    assert (finished.status, finished.summary) == ("failed", "exit 3\nserved 3")
    assert Path(started.output).read_text() == "served 3\n"


async def test_tasks_are_looked_at_and_ended_by_calls(tmp_path: Path) -> None:
    opened = asyncio.Event()
    family = Family(parts(boss=["x"]), tmp_path)
    serving(family, opened)
    run = family.run()
    await run.turn(words("boss"))
    process = run.parts.workspace.start(Command(("serve",), live=True, spill=str(tmp_path / "o.txt")))
    task = (await family.spawner.adopt(process, "a server", "c1")).task
    now = await family.spawner.look(task, 0.01)
    assert (now.status, now.text) == ("running", "")
    assert family.tasks.output(task) == {"output": "", "status": "running"}
    over = await family.spawner.halt(task)
    assert (over.status, over.what) == ("stopped", "command")
    assert (await family.spawner.look(task)).status == "stopped"
    assert not await family.tasks.stop(task)
    with pytest.raises(UsageError, match="there is no task 'b0'; under way: none"):
        await family.spawner.look("b0")


async def test_the_tools_say_how_a_task_stands(tmp_path: Path) -> None:
    gate = Gate()

    async def ask(lines: list[str]) -> Reply:
        task = family.of(TaskStarted)[0].task
        gate.open.set()
        return reply("", [call("TaskOutput", {"task_id": task}), call("TaskStop", {"task_id": task}),
                          call("TaskOutput", {"task_id": "b9"})])  # fmt: skip

    family = Family(parts(boss=[reply("", [agent("scout it", "night")]), ask, "done"], scout=[gate]), tmp_path)
    await family.turn("boss")
    said = [event.result.content[0].text for event in family.of(CallFinished)][1:]
    assert said[0].endswith(": completed, 0 s\nseen")
    assert said[1].endswith(": completed, 0 s\nseen")
    assert said[2].startswith("TaskOutput: there is no task 'b9'")


async def test_closing_ends_everything_and_says_so(tmp_path: Path) -> None:
    family = Family(parts(boss=[reply("", [SERVE, agent("scout it", "night")]), "waiting"], scout=[Gate()]), tmp_path)
    serving(family, asyncio.Event())
    run = family.run()
    await run.turn(words("boss"))
    assert len(family.tasks.listing()) == 2
    async with asyncio.timeout(20):
        await family.tasks.aclose()
    assert not family.tasks.listing()
    assert [event.status for event in family.of(TaskEnded)] == ["stopped"] * 2


async def test_who_leaves_waits_for_agents_and_not_for_long_for_commands(tmp_path: Path) -> None:
    gate = Gate()
    family = Family(parts(boss=[reply("", [SERVE, agent("scout it", "night")]), "waiting"], scout=[gate]), tmp_path)
    serving(family, asyncio.Event())
    run = family.run()
    await run.turn(words("boss"))
    assert await family.tasks.next_wake(0.05, 0.01) is None
    gate.open.set()
    wake = await family.tasks.next_wake(20, 20)
    assert wake
    assert wake.origin == {"kind": NOTIFICATION}
    await run.turn((Text(wake.prompt),), origin=wake.origin)
    assert await family.tasks.next_wake(20, 0.01) is None, "only the command is left"
    await family.tasks.aclose()


async def test_a_wake_goes_on_with_the_same_work(tmp_path: Path) -> None:
    """One budget, one start tree, one verdict: a second turn must not launder what the first one left unproved."""
    gate = Gate()
    boss = [
        reply("", [agent("scout it", "night")]), reply("", [read()]), reply("", [write("worse\n", "a.txt")]), "waiting",
        "fine", "fine", "it is fine",
    ]  # fmt: skip
    family = Family(parts(boss=boss, scout=[gate]), tmp_path)
    run = family.run(checks=(CHECK,), budget=Budget(steps=20))
    first = await run.turn(words("boss"))
    assert first.verdict.outcome == "failed"
    gate.open.set()
    second = await follow(family, run)
    assert second.verdict.outcome == "failed"
    assert second.steps > first.steps, "steps of one piece of work"
    again = await run.turn(words("boss"))
    assert again.steps == 1 + GATE_ROUNDS, "the user's next wish is another"


async def test_what_an_agent_changes_between_turns_is_judged_by_the_next(tmp_path: Path) -> None:
    gate = Gate(reply("", [write("good\n", "a.txt")]))
    boss = [reply("", [agent("worker", "night")]), "waiting", "well"]
    family = Family(parts(boss=boss, worker=[reply("", [read()]), gate, "mended"]), tmp_path)
    run = family.run(checks=(CHECK,))
    assert (await run.turn(words("boss"))).verdict.outcome == "failed"
    gate.open.set()
    await until(lambda: not family.tasks.listing())
    assert len(family.of(Checkpointed)) == 1
    ended = await run.turn(words("and you, boss"))
    assert ended.verdict.outcome == "verified"
    assert (ended.verdict.evidence[0].before, ended.verdict.evidence[0].after) == ("fail", "pass")


async def test_a_resumed_session_knows_what_ended(tmp_path: Path) -> None:
    gate = Gate()
    boss = [reply("", [agent("scout it", "night")]), "waiting", "I see"]
    family = Family(parts(boss=boss, scout=[gate]), tmp_path)
    await family.run().turn(words("boss"))
    gate.open.set()
    await until(lambda: not family.tasks.listing())
    run = family.run()
    assert family.tasks.pending, "nobody told the model yet"
    task = family.of(TaskStarted)[0].task
    assert (await family.spawner.look(task)).text == "seen"
    await run.turn(words("boss"))
    assert sum("[background]" in line for line in family.lines()) == 1
    assert sum(isinstance(event, ModelReplied) for event in family.events) == 3


async def test_commands_that_heard_a_host_bind_the_session_at_once(tmp_path: Path) -> None:
    opened = asyncio.Event()
    family = Family(parts(boss=["x"]), tmp_path)
    serving(family, opened)
    run = family.run()
    await run.turn(words("boss"))
    process = run.parts.workspace.start(Command(("serve",), live=True, spill=str(tmp_path / "o.txt")))
    await family.spawner.adopt(process, "a server", "c1")
    assert run.label.integrity != "external"
    process.network.add("h.example")
    assert run.label.integrity == "external"
    opened.set()
    await until(lambda: not family.tasks.listing())
    assert run.state.label.integrity == "external"


async def test_an_agents_commands_end_with_it(tmp_path: Path) -> None:
    family = Family(
        parts(boss=[reply("", [agent("worker")]), "done"], worker=[reply("", [SERVE]), "serving"]), tmp_path
    )
    serving(family, asyncio.Event())
    await family.turn("boss")
    ends = [(event.status) for event in family.child() if isinstance(event, TaskEnded)]
    assert ends == ["stopped"]
    assert not family.tasks.listing()


async def test_an_agent_in_the_background_of_an_agent_is_waited_for(tmp_path: Path) -> None:
    """It would outlive the one that sent it out."""
    worker = [reply("", [agent("scout it", "night")]), "both done"]
    family = Family(parts(boss=[reply("", [agent("worker")]), "done"], worker=worker, scout=["seen"]), tmp_path)
    await family.turn("boss")
    (inner,) = [event for event in family.child() if isinstance(event, TaskStarted)]
    assert not inner.background
    assert [event.summary for event in family.child() if isinstance(event, TaskEnded)] == ["seen"]


async def test_twenty_at_once(tmp_path: Path) -> None:
    boss = [reply("", [agent(f"scout {n}", "night") for n in range(20)]), "waiting", *(["more"] * 30)]
    gate = Gate()
    family = Family(parts(boss=boss, scout=[reply("", [read()]), gate]), tmp_path)
    run = family.run()
    await run.turn(words("boss"))
    assert len(family.tasks.listing()) == 20
    gate.open.set()
    await until(lambda: not family.tasks.listing())
    await follow(family, run)
    assert sum("[background]" in line for line in family.lines()) == 20, "one turn for all that ended by then"
    assert not family.tasks.pending
