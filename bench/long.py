"""A run of thirty hours, compressed: a clock that is moved on, a provider that fails, a process that is killed and
begun anew. Everything of a run is real but for model, files and time: loop, tools, compaction, log, resume.

The job is to do item 1 to N, one command each. A command counts how often it was run, so that an item which was left
out or done twice shows at the end; the model looks at the file of what is done whenever it is not sure.
"""

from __future__ import annotations

import asyncio
import gc
import random
import re
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from assay.core.clock import Clock
from assay.core.events import Compacted, Event
from assay.core.messages import Text, ToolCall, ToolResult, Usage, UserMessage
from assay.core.model import ModelRequest
from assay.core.policy import Decision, Effect, Label
from assay.core.store import Record
from assay.core.workspace import Command, CommandResult
from assay.run.run import Run, RunOptions, RunParts
from assay.sessions.log import SessionLog
from assay.testing import ChaosModel, FakeClock, FunctionModel, MemoryWorkspace, call, reply
from assay.testing.models import PROFILE, Reply
from assay.tools.toolbox import toolbox
from bench.report import Report, fifths, ratio

HOURS = 30.0
BATCH = 12
"""Items that one prompt asks for."""
CONTEXT = 12_000
KILLS = 60
"""How often the process of a long run is killed, about; a short one, once in forty steps."""
STATE = "done.txt"


class Killed(BaseException):
    """The process is gone: nothing after this is written or cleaned up."""


class Story(Struct):
    """What became of it. Bytes, seconds; lists have one value a request of the model."""

    steps: int = 0
    hours: float = 0.0
    kills: int = 0
    faults: int = 0
    compactions: int = 0
    prompts: int = 0
    items: int = 0
    wrong: list[int] = []
    """Items that were not done exactly once."""
    broken: list[str] = []
    """What the log says is wrong with it at the end."""
    messages: int = 0
    """Most messages that a request had."""
    objects: list[int] = []
    """Live objects after each fifth."""
    memory: list[int] = []
    """Live bytes after each fifth, when they were traced."""
    costs: list[float] = []
    """Processor seconds."""
    resumes: list[float] = []
    log: int = 0


class FragileLog:
    """A `SessionLog` whose process may be killed before a record, after it, or in the middle."""

    def __init__(self, log: SessionLog, fate: Fate) -> None:
        self._log = log
        self._fate = fate

    @property
    def session(self) -> str:
        return self._log.session

    @property
    def notices(self) -> list[str]:
        return self._log.notices

    def append(self, event: Event, *, durable: bool = False) -> Record:
        self._fate.may_kill()
        before = self._log.path.stat().st_size
        del durable  # it is the process that dies here, not the machine: waiting for the disk would only take long
        record = self._log.append(event)
        if self._fate.due():
            written = self._log.path.stat().st_size - before
            with self._log.path.open("r+b") as file:
                file.truncate(before + self._fate.chance.randrange(written + 1))
            self._fate.kill()
        return record

    def records(self) -> Iterator[Record]:
        return self._log.records()

    def close(self) -> None:
        self._log.close()


class Fate:
    """When the process is killed: the same moments for the same seed."""

    def __init__(self, seed: int, steps: int) -> None:
        self.chance = random.Random(seed)
        self._apart = max(40, steps // KILLS) * 10  # a step has about five places to die, and half of that is the mean
        self.kills = 0
        self.gone = False
        self._left = self._next()

    def _next(self) -> int:
        return self.chance.randrange(1, self._apart)

    def due(self) -> bool:
        self._left -= 1
        return self._left <= 0

    def kill(self) -> None:
        self.gone = True
        self.kills += 1
        self._left = self._next()
        raise Killed

    def may_kill(self) -> None:
        if self.gone:
            raise Killed  # what is still under way in a dead process does nothing any more
        if self.due():
            self.kill()


class OpenGate:
    async def decide(self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: object = None) -> Decision:
        del tool, effects, label, arguments
        return Decision("allow")


class Marathon:
    """The simulation: `await Marathon(steps, seed, folder).run()`."""

    def __init__(self, steps: int, seed: int, folder: Path, *, trace: bool = False) -> None:
        self.story = Story()
        self._steps = steps
        self._trace = trace
        self._fate = Fate(seed, steps)
        self._path = folder / "long.jsonl"
        self._clock = FakeClock()
        self._done: Counter[int] = Counter()
        self._files = MemoryWorkspace({STATE: b"0\n", "notes.txt": b"line\n" * 60}, self._shell)
        self._inner = FunctionModel(self._reply, replace(PROFILE, context=CONTEXT))
        self._model = ChaosModel(self._inner, seed, failures=0.02, cuts=0.03, malformed=0.03)
        self._began = 0.0

    async def run(self) -> Story:
        if self._trace:
            tracemalloc.start()
        log = SessionLog.create(self._path, clock=self._clock)
        run = self._opened(log)
        prompt = True
        while self.story.steps < self._steps or not prompt:
            try:
                ended = await run.turn((Text(f"Do the next {BATCH} items."),) if prompt else ())
                prompt = ended.verdict.outcome not in ("unavailable", "stuck", "failed")
                self.story.prompts += prompt
            except Killed:
                log.close()
                await asyncio.sleep(0)
                self._fate.gone, self._began = False, 0.0
                began = time.process_time()
                log = SessionLog.open(self._path, clock=self._clock)
                run = self._opened(log)
                self.story.resumes.append(time.process_time() - began)
                prompt = not run.state.open
            self._tidy(run)
        log.close()
        if self._trace:
            tracemalloc.stop()
        return self._told()

    def _opened(self, log: SessionLog) -> Run:
        clock: Clock = self._clock
        tools = {tool.spec.name: tool for tool in toolbox().tools}
        store = FragileLog(log, self._fate)
        parts = RunParts(store, self._model, self._files, tools, OpenGate(), clock, _nobody)
        run = Run(parts, RunOptions(system="Do what is asked."))
        run.bus.subscribe(self._watch)
        return run

    def _watch(self, seen: object) -> None:
        self.story.compactions += isinstance(getattr(seen, "event", None), Compacted)

    def _tidy(self, run: Run) -> None:
        """Forget what only the doubles keep."""
        self._inner.requests.clear()
        self._model.faults[:-1] = []
        self._files.commands.clear()
        for tree in [tree for tree in self._files.trees if tree != run.state.frame]:
            del self._files.trees[tree]
        fifth = self._steps // 5
        if self.story.steps >= fifth * (len(self.story.objects) + 1):
            gc.collect()
            self.story.objects.append(len(gc.get_objects()))
            if self._trace:
                self.story.memory.append(tracemalloc.get_traced_memory()[0])

    async def _shell(self, command: Command, workspace: MemoryWorkspace) -> CommandResult:
        """`do N`: the effect, and what it says; the process may die before and after."""
        self._fate.may_kill()
        found = re.fullmatch(r"do (\d+)", command.argv[-1])
        if found:
            self._done[int(found[1])] += 1
            workspace.files[STATE] = f"{found[1]}\n".encode()
        self._fate.may_kill()
        text = f"last done: {found[1]}\n" + "detail\n" * 40 if found else "unknown\n"
        return CommandResult(0 if found else 1, text, len(text), 0.1)

    def _reply(self, request: ModelRequest) -> Reply:
        """The next step, from what the last results say; a look at the file when they say nothing certain."""
        self._fate.may_kill()
        story = self.story
        now = time.process_time()
        if self._began:  # neither before the first request nor in the middle of a resume
            story.costs.append(now - self._began)
        self._began = now
        story.steps += 1
        story.messages = max(story.messages, len(request.messages))
        self._clock.advance(HOURS * 3600 / self._steps)
        usage = Usage(input=sum(len(str(message)) for message in request.messages) // 4, output=20)
        last = _last_done(request)
        if last is None:
            return reply("I look.", [call("Read", {"file_path": STATE})], usage=usage)
        if last and last % BATCH == 0 and not _just_asked(request):
            return reply(f"Done up to item {last}.", usage=usage)
        return reply(f"Item {last + 1}.", [call("Bash", {"command": f"do {last + 1}"})], usage=usage)

    def _told(self) -> Story:
        story = self.story
        log = SessionLog.open(self._path)
        story.broken = [note for note in log.notices if "missing" in note and "no record is known" not in note]
        story.broken += [note for note in log.notices if "chain is broken" in note]
        log.close()
        story.items = max(self._done, default=0)
        story.wrong = [item for item in range(1, story.items + 1) if self._done[item] != 1]
        story.hours = self._clock.monotonic() / 3600
        story.kills, story.log = self._fate.kills, self._path.stat().st_size
        return story


async def _nobody(call: ToolCall, effects: object, decision: object) -> bool:
    del call, effects, decision
    return False


def _last_done(request: ModelRequest) -> int | None:
    """The item that the last result names as done; None when it says nothing certain."""
    for message in reversed(request.messages):
        if isinstance(message, UserMessage):
            results = [part for part in message.parts if isinstance(part, ToolResult)]
            if not results:
                return None
            said = " ".join(part.text for part in results[-1].content if isinstance(part, Text))
            found = re.search(r"last done: (\d+)|^\W*(?:1\W+)?(\d+)\s*$", said, re.M)
            return int(found[1] or found[2]) if found else None
    return None


def _just_asked(request: ModelRequest) -> bool:
    """Whether the last item was read from the file for a new prompt, which asks for more."""
    last = request.messages[-1]
    results = [part for part in last.parts if isinstance(part, ToolResult)]
    said = " ".join(part.text for part in results[-1].content if isinstance(part, Text)) if results else ""
    return "last done" not in said


def measure(steps: int, seed: int = 1) -> Report:
    """One simulated run of `steps` requests; time a request early and late."""
    with tempfile.TemporaryDirectory() as folder:
        story = asyncio.run(Marathon(steps, seed, Path(folder)).run())
    first, last = fifths(story.costs)
    row = [
        str(story.steps), f"{story.hours:.1f}", str(story.kills), str(story.compactions), str(story.items),
        str(len(story.wrong)), f"{first * 1000:.1f} → {last * 1000:.1f}", ratio(last, first),
        f"{max(story.resumes, default=0.0) * 1000:.0f}", f"{story.log / 1e6:.1f}",
    ]  # fmt: skip
    columns = ["requests", "hours simulated", "kills", "compactions", "items", "items wrong"]
    columns += ["CPU ms/request, first → last fifth", "ratio", "longest resume ms", "log MB"]
    data: dict[str, object] = {"story": story}
    return Report(
        "long", "A long run", columns, [row], data, ["Ratio: processor time of a late request by an early one's."]
    )
