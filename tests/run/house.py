"""A run over doubles: a scripted model, files and a log in memory, the real tools, a check that greps."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from assay.core.check import OutcomeName
from assay.core.events import Event, TurnEnded
from assay.core.messages import Text, ToolCall
from assay.core.model import Model, Profile
from assay.core.policy import Approver, Gate
from assay.core.store import EventStore, Record
from assay.core.tool import Tool
from assay.core.workspace import Command, CommandResult
from assay.run.asked import Once
from assay.run.bus import Seen
from assay.run.run import Run, RunOptions, RunParts
from assay.testing import FakeClock, MemoryStore, MemoryWorkspace, ScriptedModel, call, reply
from assay.testing.models import PROFILE, Reply
from assay.tools.toolbox import toolbox
from loop.kit import NamedGate

CHECK = "grep good a.txt"
"""A check that is green when `a.txt` says good."""


async def shell(command: Command, workspace: MemoryWorkspace) -> CommandResult:
    good = CHECK in command.argv and b"good" in workspace.files.get("a.txt", b"")
    return CommandResult(0 if good else 1, "good\n" if good else "", 5 * good, 0.1)


class House:
    """Everything around a `Run`. Open several over one `log` to resume it."""

    def __init__(
        self,
        *script: Reply,
        model: Model | None = None,
        gate: Gate | None = None,
        files: dict[str, bytes] | None = None,
    ) -> None:
        self.scripted = ScriptedModel(script)
        self.model: Model = model or self.scripted
        self.workspace = MemoryWorkspace({"a.txt": b"bad\n"} if files is None else files, shell)
        self.log: list[Record] = []
        self.clock = FakeClock()
        self.gate = gate or NamedGate()
        self.approver: Approver = Once()
        self.tools: dict[str, Tool] = {tool.spec.name: tool for tool in toolbox().tools}
        self.seen: list[Seen] = []
        self.store: EventStore = MemoryStore(log=self.log, clock=self.clock)

    def run(self, **options: object) -> Run:
        parts = RunParts(self.store, self.model, self.workspace, self.tools, self.gate, self.clock, self.approver)
        run = Run(parts, replace(RunOptions(), **options))
        run.bus.subscribe(self.seen.append)
        return run

    async def turn(self, prompt: str = "go", **options: object) -> TurnEnded:
        return await self.run(**options).turn(words(prompt))

    @property
    def events(self) -> list[Event]:
        return [record.event for record in self.log]

    def of(self, *kinds: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]


def words(prompt: str) -> tuple[Text, ...]:
    return (Text(prompt),) if prompt else ()


def write(content: str = "good\n", path: str = "b.txt", identity: str = "") -> ToolCall:
    return call("Write", {"file_path": path, "content": content}, id=identity)


def read(path: str = "a.txt") -> ToolCall:
    return call("Read", {"file_path": path})


def mend() -> list[Reply]:
    """Read a.txt, then make it good."""
    return [reply("", [read()]), reply("", [write("good\n", "a.txt")])]


def with_context(context: int, **facts: object) -> Profile:
    return replace(PROFILE, context=context, **facts)


def outcomes(ended: Iterable[TurnEnded]) -> list[OutcomeName]:
    return [each.verdict.outcome for each in ended]


def first(events: Iterable[Event], test: Callable[[Event], bool]) -> int:
    return next(index for index, event in enumerate(events) if test(event))
