"""A run that can send out agents, over doubles: one model that answers whoever asks by what was said there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from assay.core.agents import AgentDefinition
from assay.core.events import ContextAdded, Event, SessionStarted
from assay.core.hooks import Hooks
from assay.core.messages import Text, ToolCall, ToolResult, UserMessage
from assay.core.model import Model, ModelRequest, Profile
from assay.core.policy import Gate
from assay.core.spawn import Spawner
from assay.core.store import EventStore
from assay.policy.meet import Meet
from assay.run.agents import Agents
from assay.run.run import Run, RunOptions
from assay.run.tasks import Tasks
from assay.run.toolset import Toolset
from assay.testing import FunctionModel, MemoryStore, call
from assay.testing.models import PROFILE, Reply
from assay.tools.agent import AgentTool
from assay.tools.tasks import Background, TaskOutputTool, TaskStopTool
from assay.tools.toolbox import toolbox

from .house import House

GENERAL = AgentDefinition("general-purpose", "anything")
READER = AgentDefinition("reader", "reads only", tools=("Read",))
NIGHT = AgentDefinition("night", "works in the background", background=True)
APART = AgentDefinition("apart", "works on a copy", isolation="worktree")
Answer = Callable[[list[str]], Reply | Awaitable[Reply]]
"""What a model says, by the lines of its conversation so far (see `said`)."""


def said(request: ModelRequest) -> list[str]:
    """What stands before a model, a line each: `= …` its own replies, `< …` results, the rest as it is."""
    lines: list[str] = []
    for message in request.messages:
        if not isinstance(message, UserMessage):
            lines.append(f"= {message.text}")
            continue
        for part in message.parts:
            match part:
                case Text(text):
                    lines.append(text)
                case ToolResult(content=content):
                    lines += [f"< {each.text}" for each in content if isinstance(each, Text)]
                case _:
                    pass
    return lines


def parts(**script: list[Reply | Callable[[list[str]], Awaitable[Reply]]]) -> Answer:
    """Each conversation is played by the part whose name is a word of its prompt; its replies in order, the last one
    again and again."""

    def answer(lines: list[str]) -> Reply | Awaitable[Reply]:
        own = next(name for line in lines for name in script if name in line.split())
        done = sum(line.startswith("= ") for line in lines)
        reply = script[own][min(done, len(script[own]) - 1)]
        return reply(lines) if callable(reply) else reply

    return answer


def agent(prompt: str, kind: str = "general-purpose", **more: object) -> ToolCall:
    return call("Agent", {"description": "an errand", "prompt": prompt, "subagent_type": kind, **more})


class Family(House):
    """A `House` whose run can send out agents. `logs` are theirs, by task, in the order of their beginning."""

    def __init__(self, answer: Answer, folder: Path, profile: Profile = PROFILE, gate: Gate | None = None) -> None:
        super().__init__(model=FunctionModel(lambda request: answer(said(request)), profile), gate=gate)
        self.folder = folder
        self.logs: dict[str, MemoryStore] = {}
        self.hooks: Hooks | None = None
        self.outfit = Wardrobe(self)

    def run(self, **options: object) -> Run:
        run = super().run(**options)
        run.parts = replace(run.parts, spill=str(self.folder), hooks=self.hooks)
        if self.hooks:
            run.use_hooks(self.hooks, "startup")
        background = Background()
        for tool in toolbox(background=background).tools:
            run.tools.add(tool)
        self.tasks = Tasks(run)
        spawner = self.spawner = background.spawner = Agents(run, self.tasks, self.outfit)
        run.tools.add(AgentTool(spawner))
        run.tools.add(TaskOutputTool(spawner), deferred=True)
        run.tools.add(TaskStopTool(spawner), deferred=True)
        return run

    def child(self, number: int = 0) -> list[Event]:
        return [record.event for record in list(self.logs.values())[number].log]

    def lines(self, number: int = -1) -> list[str]:
        """What the model was shown with one request."""
        assert isinstance(self.model, FunctionModel)
        return said(self.model.requests[number])


class Wardrobe:
    """A `run.agents.Outfit` without settings."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self.kinds: Mapping[str, AgentDefinition] = {each.name: each for each in (GENERAL, READER, NIGHT, APART)}
        self.stricter: Gate | None = None

    def model(self, wanted: str, kind: AgentDefinition, parent: Model) -> Model:
        return parent

    def gate(self, kind: AgentDefinition, parent: Gate) -> Gate:
        return Meet(parent, self.stricter) if self.stricter else parent

    def tools(self, kind: AgentDefinition, offered: Toolset, spawner: Spawner, *, deepest: bool) -> Toolset:
        fresh = {tool.spec.name: tool for tool in toolbox(background=Background(spawner)).tools}
        names = [name for name in offered if name in fresh and name != "finish"]
        found = Toolset(fresh[name] for name in names if kind.tools is None or name in kind.tools)
        if not deepest and kind.tools is None:
            found.add(AgentTool(spawner, background=False))
        return found

    def options(self, kind: AgentDefinition, parent: RunOptions) -> RunOptions:
        return replace(parent, system=f"agent {kind.name}")

    def log(self, task: str, parent: Run) -> tuple[EventStore, str]:
        store = self._family.logs[task] = MemoryStore(task, clock=self._family.clock)
        store.append(SessionStarted(task, "/project", "test"))
        return store, str(self._family.folder / "agents" / f"agent-{task}.jsonl")

    async def prepare(self, kind: AgentDefinition, child: Run) -> None:
        for skill in kind.skills:
            child.record(ContextAdded("skill", f"how to {skill}", skill))


async def until(test: Callable[[], object], seconds: float = 20.0) -> None:
    """Let others work until `test` is true."""
    async with asyncio.timeout(seconds):
        while not test():
            await asyncio.sleep(0.005)
