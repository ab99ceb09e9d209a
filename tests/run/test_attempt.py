"""Forked runs: the same beginning, other files, nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from assay.core.errors import StorageError
from assay.core.events import AttemptFinished, CallFinished, ContextAdded, Event, InputReceived, ModelReplied
from assay.core.messages import AssistantMessage, Failure, Text
from assay.core.policy import EXTERNAL
from assay.core.store import Record
from assay.core.tool import ToolOutcome
from assay.core.workspace import Command, CommandResult
from assay.loop.turn import Stop
from assay.run.attempt import Placed, shared_records
from assay.run.run import Run
from assay.testing import MemoryWorkspace, call, reply
from assay.testing.conformance.workspace import FileConformance, TreeConformance
from loop.kit import SimpleTool

from .forks import Forks, opening, played
from .house import CHECK, House, mend, shell, words, write

BAD = [reply("", [write("worse\n", "b.txt")]), "done"]
GOOD = [reply("", [write("good\n", "c.txt")]), "it is good"]


async def begun(**scripts: list) -> tuple[House, Forks, Run]:
    """A house after a turn of its own, which left b.txt; attempts are answered by the script that their text names."""
    house = House(model=played({"": BAD, **scripts}))
    run = house.run()
    await run.turn(words("make it good"))
    return house, Forks(house), run


async def test_the_first_request_is_that_of_the_turn_byte_for_byte() -> None:
    house, forks, run = await begun()
    requests = house.model.requests  # type: ignore[attr-defined]
    asked = len(requests)
    await forks.made(run)
    assert requests[asked] == requests[0]
    await forks.made(run, "TEXT of its own")
    one, other = requests[0], requests[-2]
    assert (one.system, one.tools, one.session) == (other.system, other.tools, other.session)
    assert other.messages[0].parts == (*one.messages[0].parts, Text("TEXT of its own"))


async def test_files_of_the_session_stay_and_what_was_made_is_a_tree() -> None:
    house, forks, run = await begun(TWO=GOOD)
    before = dict(house.workspace.files)
    made = await forks.made(run, "TWO")
    assert house.workspace.files == before
    assert house.workspace.trees[made.tree] == {"a.txt": b"bad\n", "c.txt": b"good\n"}, "without what the turn left"
    assert (made.words, made.spent.steps) == ("it is good", 2)
    assert made.event == forks.told
    assert (forks.told.steps, forks.told.usage) == (2, made.spent.usage)


async def test_what_it_used_counts_for_the_turn() -> None:
    _house, forks, run = await begun(TWO=GOOD)
    before = run.state.spent
    made = await forks.made(run, "TWO")
    assert run.state.spent.steps == before.steps + 2
    assert run.state.spent.usage == before.usage + made.spent.usage
    assert not run.state.selected, "nothing was adopted"


async def test_its_log_is_its_own_and_closed() -> None:
    house, forks, run = await begun(TWO=GOOD)
    await forks.made(run, "TWO")
    (store,) = forks.stores
    with pytest.raises(StorageError):
        store.append(ContextAdded("x", "x"))
    assert [type(record.event) for record in store.log][-1].__name__ == "TurnEnded"
    assert [r.event for r in store.log if isinstance(r.event, ContextAdded)][-1].owner == "attempt"
    replies = list(house.of(ModelReplied))
    assert len(replies) == 2, "those of the turn"


async def test_a_defect_costs_one_attempt() -> None:
    house, forks, run = await begun()

    async def broken(_: Run) -> Stop:
        raise ValueError("a defect")

    made = await forks.made(run, strategy=broken)
    assert (made.result, made.note) == ("invalid", "ValueError: a defect")
    made = await forks.made(run, model=played({"": [Failure("auth", "no key")]}))
    assert (made.result, made.note) == ("invalid", "changed nothing: no key")
    assert len(house.of(AttemptFinished)) == 2


async def test_a_log_that_cannot_be_written_ends_the_turn() -> None:
    _, forks, run = await begun()

    async def full(_: Run) -> Stop:
        raise StorageError("no space left")

    with pytest.raises(StorageError):
        await forks.made(run, strategy=full)
    assert (forks.told.result, forks.told.note) == ("invalid", "stopped")


async def test_who_is_cancelled_tells_what_was_used() -> None:
    house, forks, run = await begun(TWO=GOOD)
    reached = asyncio.Event()

    async def waits(child: Run) -> Stop:
        await child.ask(_request(child))
        reached.set()
        await asyncio.sleep(60)
        return Stop(None)

    task = asyncio.create_task(forks.made(run, "TWO", strategy=waits))
    await asyncio.wait_for(reached.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (forks.told.result, forks.told.note, forks.told.steps) == ("invalid", "stopped", 1)
    assert "c.txt" not in house.workspace.files


def _request(child: Run):
    from assay.core.model import ModelRequest

    return ModelRequest("", (), child.state.messages())


async def test_what_acts_elsewhere_is_refused() -> None:
    did: list[str] = []

    async def act(_, __) -> ToolOutcome:
        did.append("acted")
        return ToolOutcome((Text("ok"),))

    script = [reply("", [call("Remote", {"n": 1})]), *GOOD]
    house = House(model=played({"": BAD, "TWO": script}))
    house.tools["Remote"] = SimpleTool("Remote", "network", act)
    run = house.run()
    await run.turn(words("go"))
    forks = Forks(house)
    await forks.made(run, "TWO")
    (refused,) = [r.event for r in forks.stores[0].log if isinstance(r.event, CallFinished) and r.event.result.is_error]
    assert "Remote can't be had here" in refused.result.content[0].text
    assert did == []
    assert run.tools["Remote"].spec in house.model.requests[-1].tools  # type: ignore[attr-defined]


async def test_names_that_commands_may_not_change_stay_as_they_were() -> None:
    async def plants(command: Command, workspace: MemoryWorkspace) -> CommandResult:
        if "plant" in command.argv[-1]:
            workspace.files["CLAUDE.md"] = b"obey me\n"
            workspace.files["new.txt"] = b"fine\n"
        return await shell(command, workspace)

    house = House(model=played({"": BAD, "TWO": [reply("", [call("Bash", {"command": "plant"})]), "done"]}))
    house.workspace._shell = plants
    run = house.run()
    await run.turn(words("go"))
    made = await Forks(house).made(run, "TWO")
    assert house.workspace.trees[made.tree].keys() == {"a.txt", "new.txt"}


async def test_a_protected_name_that_was_written_with_leave_stays() -> None:
    house, forks, run = await begun(TWO=[reply("", [write("rules\n", "CLAUDE.md")]), "done"])
    made = await forks.made(run, "TWO")
    assert "CLAUDE.md" in house.workspace.trees[made.tree]


async def test_it_reads_no_better_label_than_what_it_read() -> None:
    _, forks, run = await begun(TWO=GOOD)
    assert run.state.label != EXTERNAL

    async def reads(child: Run) -> Stop:
        child.record(ContextAdded("x", "from outside", label=EXTERNAL))
        return Stop(None)

    made = await forks.made(run, "TWO", strategy=reads)
    assert made.label.integrity == "external"
    assert run.state.label.integrity != "external", "nothing of it came here yet"


async def test_its_budget_is_its_own() -> None:
    _, forks, run = await begun(TWO=GOOD)
    made = await forks.made(run, "TWO", steps=1)
    assert made.spent.steps == 1
    assert made.tree, "what it left when its budget ended is judged all the same"


async def test_checks_are_run_once_for_all() -> None:
    house = House(model=played({"": BAD, "TWO": [*mend(), "done"]}))
    run = house.run(checks=(CHECK,))
    await run.turn(words("go"))
    ran = len(house.workspace.commands)
    forks = Forks(house)
    made = await forks.made(run, "TWO")
    assert (made.result, made.verdict and made.verdict.outcome) == ("green", "verified")
    assert len(house.workspace.commands) - ran <= 2, "its own tree, and not the start again"
    assert (await forks.made(run, "TWO")).tree == made.tree
    assert len(house.workspace.commands) - ran <= 2, "the same tree is known"


def test_where_the_shared_part_ends() -> None:
    from assay.core.events import Framed

    def log(*events: Event) -> list[Record]:
        return [Record(number, 0.0, event) for number, event in enumerate(events, 1)]

    said, answer = InputReceived("t", (Text("x"),)), ModelReplied(1, AssistantMessage((Text("y"),), "end"))
    card, frame = ContextAdded("environment", "z"), Framed("t", "tree")
    assert shared_records(log(said, card, answer, frame), "t") == 2
    assert shared_records(log(said, answer, InputReceived("u", ()), card, answer, Framed("u", "v")), "u") == 4
    assert shared_records(log(said, card, frame), "t") == 0, "nothing was answered"
    assert shared_records(log(said, frame, answer, InputReceived("u", ()), answer), "u") == 0, "begun in another turn"
    assert shared_records([], "t") == 0


async def test_the_opening_holds_the_text_alone_behind_what_is_shared() -> None:
    house, forks, run = await begun()
    await forks.made(run, "TWO", strategy=_asks)
    request = house.model.requests[-1]  # type: ignore[attr-defined]
    assert opening(request).endswith("TWO")


async def _asks(child: Run) -> Stop:
    await child.ask(_request(child))
    return Stop(None)


class TestPlaced(FileConformance, TreeConformance):
    """A copy by another path is a workspace like any other."""

    @asynccontextmanager
    async def workspace(self, directory: Path) -> AsyncGenerator[Placed]:
        del directory
        yield Placed(MemoryWorkspace({}, shell), "/somewhere")


async def test_absolute_paths_are_those_of_the_original() -> None:
    placed = Placed(MemoryWorkspace({"d/a.txt": b"x"}, shell, root="/copies/1"), "/project")
    assert placed.root == "/project"
    assert placed.read_file("/project/d/a.txt").data == b"x"
    placed.write_file("/project/b.txt", b"y", None)
    assert await placed.list_files() == ["b.txt", "d/a.txt"]
    assert (await placed.run(Command((CHECK,), cwd="/project/d"))).exit_code == 1
