"""Sub-agents: a child is a run with its own log, tools and words, within what its parent may spend and do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from assay.core.agents import AgentDefinition
from assay.core.budget import Budget
from assay.core.check import OutcomeName
from assay.core.errors import AssayError, UsageError
from assay.core.events import ContextAdded, TaskStarted, TurnEnded
from assay.core.hooks import SILENT, HookAnswer, HookEvent, Hooks
from assay.core.messages import Json, Text
from assay.core.model import Model
from assay.core.policy import WORKSPACE, Gate
from assay.core.spawn import Errand, Report, Spawner, TaskStatus
from assay.core.store import EventStore
from assay.core.workspace import Process, Workspace
from assay.run.run import Run, RunOptions
from assay.run.tasks import Live, Tasks
from assay.run.toolset import Toolset

DEEPEST = 3
"""Agents that an agent sent out, that an agent sent out: these send out none."""
STOP_ROUNDS = 3
"""How often hooks may send an agent on that wants to end."""
MOST_TURNS = 200
"""Requests of one agent, when its kind does not say."""
_ENDED: dict[OutcomeName, TaskStatus] = {
    "answered": "completed", "needs_approval": "completed", "interrupted": "stopped",
}  # fmt: skip


class Outfit(Protocol):
    """What sub-agents are given; `app` knows the concrete parts. Methods raise `AssayError` for what can't be had."""

    @property
    def kinds(self) -> Mapping[str, AgentDefinition]: ...

    def model(self, wanted: str, kind: AgentDefinition, parent: Model) -> Model:
        """`wanted`: what the call asks for; empty when it asks for nothing."""
        ...

    def gate(self, kind: AgentDefinition, parent: Gate) -> Gate: ...

    def tools(self, kind: AgentDefinition, offered: Toolset, spawner: Spawner, *, deepest: bool) -> Toolset:
        """Of those `offered` to the parent, what this kind gets; tools that know whose they are, made anew."""
        ...

    def options(self, kind: AgentDefinition, parent: RunOptions) -> RunOptions: ...

    def log(self, task: str, parent: Run) -> tuple[EventStore, str]:
        """A new log, and where it lies."""
        ...

    async def prepare(self, kind: AgentDefinition, child: Run) -> None:
        """Before the first turn of `child`: put before it what its kind begins with, and have it watched."""
        ...


class Agents:
    """The `Spawner` of one run."""

    def __init__(self, run: Run, tasks: Tasks, outfit: Outfit, depth: int = 0):
        self._run = run
        self._tasks = tasks
        self._outfit = outfit
        self._depth = depth

    @property
    def kinds(self) -> Mapping[str, AgentDefinition]:
        return self._outfit.kinds

    async def spawn(self, errand: Errand, call: str) -> Report:
        """See `Spawner`. Only the session itself has agents in the background; those of an agent would outlive it."""
        kind = self._kind(errand.kind)
        self._tasks.admit()
        model = self._outfit.model(errand.model, kind, self._run.parts.model)
        background = (errand.background or kind.background) and self._depth == 0
        task = f"a{os.urandom(8).hex()}"
        stack = AsyncExitStack()
        try:
            tree, workspace = "", self._run.parts.workspace
            if kind.isolation or errand.isolated:
                tree = await workspace.snapshot()
                workspace = await stack.enter_async_context(workspace.copy(tree))
            child, where = self._child(task, kind, model, workspace)
            stack.callback(child.parts.store.close)
            started = TaskStarted(
                task, "agent", errand.description, call, where, kind.name, errand.prompt, background=background
            )
            live = self._tasks.begin(self._run, started, child)
        except BaseException:
            await stack.aclose()
            raise
        work = _Work(live, child, kind, errand, tree, stack)
        live.work = asyncio.create_task(self._carry_out(work))
        if background:
            return live.report("running", "", live.began)
        try:
            await asyncio.shield(live.work)
        except asyncio.CancelledError:
            await self._tasks.halt(task)
            raise
        return replace(await self._tasks.look(task), model=model.profile.name)

    async def adopt(self, process: Process, description: str, call: str) -> Report:
        return self._tasks.adopt(self._run, process, description, call)

    async def look(self, task: str, patience: float = 0.0) -> Report:
        return await self._tasks.look(task, patience)

    async def halt(self, task: str) -> Report:
        return await self._tasks.halt(task)

    def _kind(self, name: str) -> AgentDefinition:
        kinds = self._outfit.kinds
        found = kinds.get(name) or next((kind for each, kind in kinds.items() if each.lower() == name.lower()), None)
        if found is None:
            raise UsageError(f"there is no agent '{name[:80]}'; there are: {', '.join(kinds)[:1000]}")
        return found

    def _child(self, task: str, kind: AgentDefinition, model: Model, workspace: Workspace) -> tuple[Run, str]:
        parent = self._run
        store, where = self._outfit.log(task, parent)
        parts = replace(
            parent.parts,
            store=store,
            model=model,
            workspace=workspace,
            tools={},
            gate=self._outfit.gate(kind, parent.parts.gate),
            spill=where.removesuffix(".jsonl") if where else "",
            hooks=ChildHooks(parent.parts.hooks, task, kind.name) if parent.parts.hooks else None,
        )
        whole = self._tasks.root.options.budget
        budget = Budget(kind.max_turns or MOST_TURNS, whole.tokens, whole.dollars, whole.seconds)
        child = Run(parts, replace(self._outfit.options(kind, parent.options), budget=budget, checks=(), schema=None))
        if parts.hooks:
            child.use_hooks(parts.hooks, "startup", parent.hooked.update if parent.hooked else None)
        deepest = self._depth + 1 >= DEEPEST
        inner = Agents(child, self._tasks, self._outfit, self._depth + 1)
        child.tools = self._outfit.tools(kind, parent.tools, inner, deepest=deepest)
        return child, where

    async def _carry_out(self, work: _Work) -> None:
        """The child's work to its end, whatever that is."""
        status: TaskStatus = "failed"
        text = ""
        try:
            async with work.stack:
                try:
                    status, text = await self._work(work)
                finally:
                    await self._tasks.stop_all(work.child)
        except asyncio.CancelledError:
            status, text = "stopped", work.child.state.last_text
        except AssayError as error:
            text = str(error)
        except Exception as error:  # noqa: BLE001 - a defect in a child must not cost the session
            text = f"{type(error).__name__}: {error}"
        self._tasks.end(work.live, "stopped" if work.live.stopped else status, text)

    async def _work(self, work: _Work) -> tuple[TaskStatus, str]:
        child, kind, task = work.child, work.kind, work.live.started.task
        if (hooked := self._run.hooked) and (said := await hooked.agent_started(task, kind.name)):
            child.record(ContextAdded("hook", said, label=WORKSPACE))
        await self._outfit.prepare(kind, child)
        prompt = "\n\n".join(part for part in (kind.initial_prompt.strip(), work.errand.prompt) if part)
        ended = await child.turn((Text(prompt),), label=self._tasks.label)
        for number in range(STOP_ROUNDS):
            owed = await self._stops(work, ended, again=number > 0)
            if not owed or work.live.stopped:
                break
            ended = await child.turn((Text(owed),), label=WORKSPACE, origin={"kind": "subagent-stop"})
        text = _said(ended, child)
        if work.tree:
            text += await _diff(work)
        return _ENDED.get(ended.verdict.outcome, "failed"), text

    async def _stops(self, work: _Work, ended: TurnEnded, *, again: bool) -> str:
        """What a hook still wants of an agent that is about to end."""
        hooked, started = self._run.hooked, work.live.started
        if hooked is None or ended.verdict.outcome != "answered":
            return ""
        return await hooked.agent_stops(started.task, work.kind.name, started.output, ended.text, again=again)


class _Work:
    """One errand under way. `tree`: what its own copy of the files began with; empty when it works on the session's."""

    def __init__(
        self, live: Live, child: Run, kind: AgentDefinition, errand: Errand, tree: str, stack: AsyncExitStack
    ) -> None:
        self.live, self.child, self.kind, self.errand, self.tree, self.stack = live, child, kind, errand, tree, stack


class ChildHooks:
    """The hooks of a session as a sub-agent has them: told whose call it is, deaf to what is about sessions."""

    _ABOUT_SESSIONS = frozenset({"SessionStart", "SessionEnd", "UserPromptSubmit", "Stop", "StopFailure"})

    def __init__(self, hooks: Hooks, task: str, kind: str):
        self._hooks = hooks
        self._fields: dict[str, Json] = {"agent_id": task, "agent_type": kind}

    def listens(self, event: HookEvent) -> bool:
        return event not in self._ABOUT_SESSIONS and self._hooks.listens(event)

    async def fire(self, event: HookEvent, subject: str, data: dict[str, Json]) -> HookAnswer:
        return await self._hooks.fire(event, subject, self._fields | data) if self.listens(event) else SILENT


def _said(ended: TurnEnded, child: Run) -> str:
    """For the parent: the child's last words, and why there are no better ones."""
    verdict = ended.verdict
    head = ""
    if verdict.outcome == "needs_approval":
        head = f"[it could not do everything: {verdict.why}]"
    elif verdict.outcome != "answered":
        head = f"[it ended early: {verdict.outcome}: {verdict.why}]"
    last = child.state.last_text
    return "\n".join(line for line in (head, last if last != verdict.why else "") if line)


async def _diff(work: _Work) -> str:
    """What an agent in a copy of its own changed there, as a file beside its log."""
    copy, folder = work.child.parts.workspace, work.child.parts.spill
    final = await copy.snapshot()
    changes = await copy.changes(work.tree, final)
    if not changes or not folder:
        return "\n[it worked on a copy of the files, and changed nothing]"
    path = Path(f"{folder}.patch")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((await copy.patch(work.tree, final)).encode("utf-8", "surrogateescape"))
    names = ", ".join(change.path for change in changes[:20]) + (", …" if len(changes) > 20 else "")
    return f"\n[it worked on a copy of the files; not here yet: {names}. Take it over with: git apply {path}]"
