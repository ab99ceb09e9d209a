"""What goes on beside the turns of a session: sub-agents, at whatever depth, and commands in the background.

All that live share three things with the session. The *budget* of its turn: what any of them spends, and what a
request of any of them may still cost, counts for all. The *label*: they work on the same files, so what one has read
another may find written there. The *turn*: what a sub-agent changes is changed in the turn of the session, and judged
with it.

Who ended, and whether the model was told, are folds of the log; only what is alive is kept here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assay.core.budget import Spent
from assay.core.errors import AssayError, StorageError, UsageError
from assay.core.events import (
    CallFinished,
    Checkpointed,
    ContextAdded,
    ModelReplied,
    TaskEnded,
    TaskStarted,
)
from assay.core.messages import Json, Usage
from assay.core.model import Price
from assay.core.policy import EXTERNAL, WORKSPACE, Label
from assay.core.spawn import Report, TaskStatus, Wake
from assay.core.store import Record
from assay.core.workspace import Process
from assay.loop.turn import Inject, Middleware, Stop
from assay.run.bus import ChildSeen, Seen
from assay.run.masked import mask_file
from assay.run.reports import bounded, left_by, notice_of, printed, task_type, told
from assay.run.state import NOTIFICATION

if TYPE_CHECKING:
    from assay.run.run import Run

MOST_AT_ONCE = 20
MOST = 200
"""Sub-agents of one session, whoever sent them out."""
PATIENCE = 20.0
"""Seconds for something to end that was told to."""
WOKEN = "A task in the background has ended. What came of it follows; go on with what is left to do, if anything."
_LOST = "the program ended before it did"


class Live:
    """One task that has not ended."""

    def __init__(self, started: TaskStarted, owner: Run, began: float):
        self.started = started
        self.owner = owner
        """The run whose log it is in."""
        self.began = began
        self.child: Run | None = None
        self.process: Process | None = None
        self.work: asyncio.Task[None] | None = None
        self.calls = 0
        self.stopped = False
        """It was told to end."""

    @property
    def label(self) -> Label:
        if self.child:
            return self.child.state.label
        return WORKSPACE.join(EXTERNAL) if self.process and self.process.network else WORKSPACE

    def report(self, status: TaskStatus, text: str, now: float) -> Report:
        started, state = self.started, self.child.state if self.child else None
        return Report(
            started.task,
            started.what,
            status,
            started.description,
            text,
            started.agent,
            started.output,
            started.call,
            started.background,
            self.child.parts.model.profile.name if self.child else "",
            state.spent.usage if state else Usage(),
            self.calls,
            round(now - self.began, 3),
            state.dollars if state else None,
            self.label,
        )


class Tasks:
    """Those of one session; `root` is its run."""

    def __init__(self, root: Run):
        self.root = root
        self.began = sum(started.what == "agent" for started, _ in root.state.ended.values())
        """Sub-agents so far."""
        self._live: dict[str, Live] = {}
        self._promised: dict[int, Spent] = {}
        self._taken: set[str] = set()
        self._changed = asyncio.Event()
        root.tasks = self
        root.bus.subscribe(lambda seen: self._replied(root, seen))

    # --- what those that live share ---------------------------------------------------------------------------------

    @property
    def label(self) -> Label:
        """The join of what the session and all that live with it have read."""
        label = self.root.state.label
        for live in self._live.values():
            if live.child or (live.process and live.process.network):
                label = label.join(live.label)
        return label

    @property
    def outgoing(self) -> Label:
        """By which a proxy judges what commands send now. Leave for one call counts while nothing else is alive that
        could use it."""
        runs = [self.root, *(live.child for live in self._live.values() if live.child)]
        if any(run.may_send and not self._others(run) for run in runs):
            return replace(self.label, integrity="workspace")
        return self.label

    def _others(self, run: Run) -> bool:
        """Whether anything is alive but `run` and those that wait for it."""
        chain, found = [run], self._of(run)
        while found:
            if found.started.background and found.owner.busy:
                return True
            chain.append(found.owner)
            found = self._of(found.owner)
        return any(live.child not in chain for live in self._live.values())

    def _of(self, run: Run) -> Live | None:
        return next((live for live in self._live.values() if live.child is run), None)

    def spent(self, run: Run) -> Spent:
        """What counts against the budget of `run`: steps are its own, the rest is everybody's."""
        total = self.root.used
        for live in self._live.values():
            if live.child:
                own = live.child.state.spent
                total = replace(total, usage=total.usage + own.usage, dollars=total.dollars + own.dollars)
        return total if run is self.root else replace(total, steps=run.state.spent.steps)

    def promised(self, run: Run) -> Spent:
        """What requests of others that are under way may still cost."""
        each = [spent for other, spent in self._promised.items() if other != id(run)]
        return Spent(0, sum((one.usage for one in each), Usage()), sum(one.dollars for one in each))

    def promise(self, run: Run, usage: Usage, price: Price | None) -> None:
        """`run` is about to make a request that may cost this much."""
        self._promised[id(run)] = Spent(1, usage, price.cost(usage) if price else 0.0)

    async def room(self, run: Run) -> None:
        """Wait while only what others may yet spend stands between `run` and its next request."""
        while (others := self.promised(run)).usage.total:
            budget, spent, tokens = run.options.budget, run.spent, run.next_input()
            over = budget.tokens is not None and spent.usage.total + others.usage.total + tokens > budget.tokens
            if not over and (budget.dollars is None or spent.dollars + others.dollars < budget.dollars):
                return
            await self._changed.wait()

    def _replied(self, run: Run, seen: Seen) -> None:
        if isinstance(seen, Record) and isinstance(seen.event, ModelReplied):
            self._promised.pop(id(run), None)
            self.poke()

    def turned(self, run: Run) -> None:
        """A turn of `run` has ended."""
        self._promised.pop(id(run), None)
        self.poke()

    def poke(self) -> None:
        """Whoever waits looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def before_effect(self, child: Run) -> None:
        """A sub-agent is about to change something: it counts as a change of the session's turn, or, between turns, of
        the next one."""
        live, root = self._of(child), self.root
        if live is None or child.parts.workspace is not root.parts.workspace:
            return
        if root.busy or root.state.open:
            if root.state.touched:
                return
            tree = await root.start_tree()
            await root.proof.discover(tree, untouched=True)
        elif root.state.awaits_change:
            tree = await root.parts.workspace.snapshot()
        else:
            return
        root.record(Checkpointed(live.started.call or live.started.task, tree), durable=True)

    def middleware(self, run: Run) -> list[Middleware]:
        return [_Turnstile(self, run), _News(run)]

    # --- beginning and ending ---------------------------------------------------------------------------------------

    def admit(self) -> None:
        """Raises `UsageError` when there may be no further sub-agent."""
        if sum(live.started.what == "agent" for live in self._live.values()) >= MOST_AT_ONCE:
            raise UsageError(f"{MOST_AT_ONCE} agents are at work already; wait until one ends")
        if self.began >= MOST:
            raise UsageError(f"this session has sent out {MOST} agents, which is the most; do the rest yourself")

    def begin(self, owner: Run, started: TaskStarted, of: Run | Process) -> Live:
        """Something began. Raises `StorageError`."""
        owner.record(started, durable=True)
        live = Live(started, owner, self.root.parts.clock.monotonic())
        self._live[started.task] = live
        if isinstance(of, Process):
            live.process = of
        else:
            self.began += 1
            live.child, of.tasks = of, self
            of.bus.subscribe(self._relay(live))
        return live

    def _relay(self, live: Live) -> Callable[[Seen], None]:
        started, child = live.started, live.child
        assert child

        def relay(seen: Seen) -> None:
            if isinstance(seen, ChildSeen):
                return
            if isinstance(seen, Record) and isinstance(seen.event, CallFinished):
                live.calls += 1
            self._replied(child, seen)
            self.root.bus.emit(ChildSeen(started.task, started.agent, started.call, seen))

        return relay

    def adopt(self, owner: Run, process: Process, description: str, call: str) -> Report:
        """A command goes on in the background."""
        task = f"b{os.urandom(4).hex()}"
        live = self.begin(
            owner, TaskStarted(task, "command", description, call, process.output, background=True), process
        )
        live.work = asyncio.create_task(self._attend(live, process))
        return live.report("running", "", live.began)

    async def _attend(self, live: Live, process: Process) -> None:
        code: int | None = None
        text = ""
        try:
            result = await process.wait()
            if result:
                code, text = result.exit_code, result.output
        except AssayError as error:
            text = str(error)
        if live.owner.parts.mask and process.output:
            await asyncio.to_thread(mask_file, live.owner.parts.mask, process.output)
        said = printed(process.output) or text
        status = "stopped" if live.stopped else "completed" if code == 0 else "failed"
        self.end(live, status, f"exit {code}\n{said}" if code else said)

    def end(self, live: Live, status: TaskStatus, text: str) -> None:
        """It has come to its end; told once."""
        if self._live.get(live.started.task) is not live:
            return
        report = live.report(status, bounded(text, live.started.output), self.root.parts.clock.monotonic())
        del self._live[live.started.task]
        ended = TaskEnded(
            report.task,
            "stopped" if status == "running" else status,
            report.text,
            report.usage,
            report.calls,
            report.seconds,
            report.dollars,
            report.label,
        )
        with contextlib.suppress(StorageError):  # met by whoever writes next; nothing is lost but this record
            live.owner.record(ended, durable=True)
        self.poke()

    def miss(self, run: Run) -> None:
        """Record the end of what an earlier process began and took along."""
        for task, started in list(run.state.tasks.items()):
            if task not in self._live:
                usage, label = left_by(started)
                run.record(TaskEnded(task, "stopped", _LOST, usage, label=label), durable=True)

    # --- looking, stopping, waking ----------------------------------------------------------------------------------

    async def look(self, task: str, patience: float = 0.0) -> Report:
        """See `Spawner.look`."""
        live = self._live.get(task)
        if live and live.work and patience > 0:
            await asyncio.wait({live.work}, timeout=patience)
            live = self._live.get(task)
        if live:
            now = self.root.parts.clock.monotonic()
            text = printed(live.started.output) if live.process else live.child.state.last_text if live.child else ""
            return live.report("running", bounded(text, live.started.output), now)
        runs = (self.root, *(each.child for each in self._live.values() if each.child))
        found = next((run.state.ended[task] for run in runs if task in run.state.ended), None)
        if found is None:
            there = ", ".join(self._live) or "none"
            raise UsageError(f"there is no task '{task[:80]}'; under way: {there}")
        return told(*found)

    async def halt(self, task: str) -> Report:
        """See `Spawner.halt`."""
        if live := self._live.get(task):
            await self._stop(live)
        return await self.look(task)

    def interrupt(self, run: Run) -> None:
        """The turn of `run` is to end: the agents that it sent out end with it, also those in the background."""
        for live in list(self._live.values()):
            if live.child and live.owner is run:
                live.stopped = True
                live.child.interrupt()

    async def _stop(self, live: Live) -> None:
        live.stopped = True
        if live.child:
            live.child.interrupt()
        if live.process:
            await live.process.stop()
        if live.work:
            _, late = await asyncio.wait({live.work}, timeout=PATIENCE)
            if late:
                live.work.cancel()
                await asyncio.wait({live.work}, timeout=PATIENCE)

    async def stop_all(self, owner: Run | None = None) -> None:
        """End everything, or what `owner` began."""
        doomed = [live for live in self._live.values() if owner in (None, live.owner)]
        await asyncio.gather(*(self._stop(live) for live in doomed))

    async def aclose(self) -> None:
        await self.stop_all()

    @property
    def pending(self) -> bool:
        """True while an agent in the background may still wake the session, or a wake-up was not taken yet. A command
        may go on for ever, and is not waited for."""
        waiting = any(live.started.what == "agent" for live in self._background())
        return waiting or bool(self._fresh())

    def _background(self) -> list[Live]:
        return [live for live in self._live.values() if live.started.background and live.owner is self.root]

    def _fresh(self) -> list[str]:
        return [task for task in self.root.state.news if task not in self._taken]

    async def woken(self) -> Wake:
        """Waits until the session is at rest and something ended that its model does not know of; takes that."""
        while not (fresh := self._fresh()) or self.root.busy:
            await self._changed.wait()
        self._taken.update(fresh)
        return Wake(WOKEN, {"kind": NOTIFICATION})

    async def next_wake(self, agents: float, commands: float) -> Wake | None:
        """As `woken`, for whoever will leave: waits `agents` seconds for agents, `commands` when only commands are
        alive. None when nothing came, or nothing can."""
        limit = asyncio.get_running_loop().time()
        while not self._fresh():
            background = self._background()
            if not background:
                return None
            patience = agents if any(live.started.what == "agent" for live in background) else commands
            try:
                async with asyncio.timeout_at(limit + patience):
                    await self._changed.wait()
            except TimeoutError:
                return None
        return await self.woken()

    async def stop(self, task: str) -> bool:
        """End a task; False when none of that id is under way."""
        live = self._live.get(task)
        if live:
            await self._stop(live)
        return live is not None

    def listing(self) -> list[dict[str, Json]]:
        """What is under way, as programs are told."""
        return [
            {
                "task_id": live.started.task,
                "task_type": task_type(live.started),
                "description": live.started.description,
                "status": "running",
                "is_backgrounded": live.started.background,
                "tool_use_id": live.started.call,
            }
            for live in self._live.values()
        ]

    def output(self, task: str) -> dict[str, Json] | None:
        """What a task has said so far and how it stands; None when there is none of that id."""
        if live := self._live.get(task):
            text = printed(live.started.output) if live.process else live.child.state.last_text if live.child else ""
            return {"output": text, "status": "running"}
        ended = self.root.state.ended.get(task)
        return {"output": ended[1].summary, "status": ended[1].status} if ended else None


class _Turnstile(Middleware):
    """Before a request: does the common budget have room for it?"""

    def __init__(self, tasks: Tasks, run: Run):
        self._tasks = tasks
        self._run = run

    async def before_step(self) -> Stop | Inject | None:
        await self._tasks.room(self._run)
        return None


class _News(Middleware):
    """Tells the model what ended in the background since it was asked last. Only between two steps: a model must not
    find something in its history that it did not know when it replied."""

    def __init__(self, run: Run):
        self._run = run

    async def before_step(self) -> Stop | Inject | None:
        for task in self._run.state.news[:]:
            started, ended = self._run.state.ended[task]
            self._run.record(ContextAdded("task", notice_of(told(started, ended)), task, ended.label))
        return None
