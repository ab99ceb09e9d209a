"""Small doubles for what stands around the loop: a gate, tools, and a log of what happened in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from assay.core.events import CallDecided, CallFinished
from assay.core.messages import Json, Text, ToolCall
from assay.core.model import ToolSpec
from assay.core.policy import OPERATOR, Approval, Decision, Effect, EffectKind, Label, Question
from assay.core.tool import ToolContext, ToolOutcome
from assay.loop.calls import CallPorts
from assay.testing import FakeClock, MemoryWorkspace

Body = Callable[[dict[str, Json], ToolContext], Awaitable[ToolOutcome]]


async def fine(arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
    return ToolOutcome((Text(f"ok {arguments.get('n', '')}".strip()),), "did it")


class SimpleTool:
    """A tool of one effect kind; `body` is what it does."""

    def __init__(self, name: str, kind: EffectKind, body: Body = fine) -> None:
        self.spec = ToolSpec(name, f"the {name} tool", {"type": "object"})
        self._kind: EffectKind = kind
        self._body = body

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        return (Effect(self._kind, str(arguments.get("path", ""))),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        return await self._body(arguments, context)


class NamedGate:
    """Speaks by the name of the tool; allows what it has no word on."""

    def __init__(self, **words: Decision) -> None:
        self._words = words
        self.asked: list[str] = []

    async def decide(self, tool: str, effects: tuple[Effect, ...], label: Label, arguments=None) -> Decision:
        self.asked.append(tool)
        await asyncio.sleep(0)
        return self._words.get(tool, Decision("allow"))


class Bench:
    """`CallPorts` over doubles. `order` tells what happened: `+tool` begun, `-tool` ended, records by their kind."""

    def __init__(self, *tools: SimpleTool, gate: NamedGate | None = None, approves: bool = False) -> None:
        self.order: list[str] = []
        self.events: list[CallDecided | CallFinished] = []
        self.durable: list[CallDecided | CallFinished] = []
        self.frames = 0
        self._approves = approves
        self.workspace = MemoryWorkspace()
        self.ports = CallPorts(
            {tool.spec.name: tool for tool in tools},
            gate or NamedGate(),
            lambda: OPERATOR,
            FakeClock(),
            lambda call: ToolContext(self.workspace, {}),
            self.record,
            self,
            self._before,
        )

    def record(self, event: CallDecided | CallFinished, durable: bool) -> None:
        self.events.append(event)
        if durable:
            self.durable.append(event)
        name = event.call if isinstance(event, CallDecided) else event.result.call
        self.order.append(f"{'intent' if isinstance(event, CallDecided) else 'result'} {name}")

    async def approve(self, question: Question) -> Approval:
        self.order.append(f"ask {question.call}")
        await asyncio.sleep(0)
        return Approval(self._approves)

    async def _before(self, call: ToolCall, decision: Decision) -> None:
        self.frames += 1
        self.order.append("frame")
        await asyncio.sleep(0)

    def body(self, name: str, waits: int = 1, outcome: ToolOutcome | None = None) -> Body:
        """What notes in `order` that it began and ended, `waits` turns of the event loop apart."""

        async def run(arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
            self.order.append(f"+{arguments.get('n', name)}")
            for _ in range(waits):
                await asyncio.sleep(0)
            self.order.append(f"-{arguments.get('n', name)}")
            return outcome or await fine(arguments, context)

        return run

    @property
    def results(self) -> list[CallFinished]:
        return [event for event in self.events if isinstance(event, CallFinished)]

    @property
    def intents(self) -> list[CallDecided]:
        return [event for event in self.events if isinstance(event, CallDecided)]


def text_of(finished: CallFinished) -> str:
    return "".join(part.text for part in finished.result.content if isinstance(part, Text))


def c(name: str, identity: str, **arguments: Json) -> ToolCall:
    return ToolCall(identity, name, arguments)
