"""An attempt: a run forked off a turn, on a copy of the files, with a log of its own.

Its history begins as that of the turn, record by record up to the first reply, so its requests begin with the same
bytes and a provider's cache serves them; what makes it another attempt comes behind that. It spends its own share of
the budget. The files of the session stay as they are: what it made is a tree, which somebody may adopt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from assay.core.budget import Budget, Spent
from assay.core.check import Criterion, OutcomeName, Verdict
from assay.core.errors import AssayError, StorageError
from assay.core.events import (
    AttemptFinished,
    CallDecided,
    ContextAdded,
    Event,
    Framed,
    InputReceived,
    ModelReplied,
)
from assay.core.messages import Json
from assay.core.model import Model, ToolSpec
from assay.core.policy import OPERATOR, Effect, Label
from assay.core.protected import protected_part
from assay.core.store import EventStore, Record
from assay.core.tool import Tool, ToolContext, ToolOutcome, failed
from assay.core.workspace import Change, Command, CommandResult, FileContent, Process, Stamp, Workspace
from assay.run.agents import ChildHooks
from assay.run.asked import Once
from assay.run.bus import Progress, Seen
from assay.run.run import Run, Strategy
from assay.run.toolset import Toolset

OWNER = "attempt"
"""Of what is put before the model for an attempt's sake."""
STRATEGY = "loop"
"""What attempts of this kind are called in the log."""
INSIDE = frozenset({
    "Bash", "Read", "Edit", "Write", "Glob", "Grep", "NotebookEdit", "TodoWrite", "ToolSearch", "StructuredOutput",
    "finish",
})  # fmt: skip
"""Tools that act on the workspace they are given and on nothing else."""

Result = Literal["green", "red", "invalid", "duplicate", "plausible"]
Prepare = Callable[[Run], None]


class Order(Struct, frozen=True):
    """What an attempt is to be."""

    number: int
    """1-based within its turn; 1 is the turn's own."""
    model: Model
    budget: Budget
    text: str = ""
    """Put before the model behind what all attempts share; "" for nothing."""
    origin: str = ""
    """What makes it different, in a few words."""
    label: Label = OPERATOR
    """Of `text`."""
    known: frozenset[str] = frozenset()
    """Trees that earlier attempts left."""


class Made(Struct, frozen=True):
    """What came of an attempt."""

    number: int
    result: Result
    note: str = ""
    origin: str = ""
    model: str = ""
    tree: str = ""
    verdict: Verdict | None = None
    words: str = ""
    """The last ones of its model."""
    criteria: tuple[Criterion, ...] = ()
    label: Label = OPERATOR
    """Of all that it read."""
    spent: Spent = Spent()
    dollars: float | None = 0.0
    log: str = ""
    ended: OutcomeName | None = None
    """How its own turn ended; None when it did not."""

    @property
    def event(self) -> AttemptFinished:
        return AttemptFinished(
            self.number,
            STRATEGY,
            self.origin,
            self.result,
            self.note,
            self.tree,
            self.model,
            self.spent.steps,
            self.spent.usage,
            self.dollars,
            round(self.spent.seconds, 3),
            self.log,
        )


class Opened(Struct, frozen=True):
    """The log of an attempt, which begins with records of the turn's."""

    store: EventStore
    where: str = ""
    """The file; "" where there is none."""


def shared_records(records: Iterable[Record], turn: str) -> int:
    """The number of the last record that attempts at `turn` share: the one before the first reply to it. 0 when there
    is nothing to fork: no reply, or one whose files were begun with in an earlier turn, so that the history tells of
    work that the start tree does not hold."""
    begun = framed = False
    last = 0
    for record in records:
        event = record.event
        begun = begun or (isinstance(event, InputReceived) and event.turn == turn)
        framed = framed or (isinstance(event, Framed) and event.turn == turn)
        if begun and not last and isinstance(event, ModelReplied):
            last = record.number - 1
    return last if framed else 0


async def carry_out(parent: Run, order: Order, opened: Opened, strategy: Strategy, prepare: Prepare) -> Made:
    """Make the attempt that `order` describes, by `strategy`, and record in the log of `parent` how it ended. `prepare`
    equips its run like the session's. Only a log that can't be written (`StorageError`) and cancellation get out; the
    copy, its processes and its log are closed in any case, and what was spent is told."""
    clock, child = parent.parts.clock, None
    began = clock.monotonic()
    made = Made(order.number, "invalid", "stopped", order.origin, order.model.profile.name, log=opened.where)
    try:
        start = await parent.start_tree()
        async with parent.workspace.copy(start) as copy:
            child = fork(parent, order, opened, copy, start)
            prepare(child)
            if order.text:
                child.record(ContextAdded(OWNER, order.text, order.origin, order.label))
            ended = await child.turn((), strategy)
            words = ended.text if ended.text != ended.verdict.why else ""
            made = replace(made, words=words, ended=ended.verdict.outcome)
            tree = await _tree_of(child, copy, start)
            if tree == start:
                made = replace(made, note=f"changed nothing: {ended.verdict.why}"[:200])
            else:
                verdict = await _judged(parent, child, ended.verdict, start, tree)
                result = _result(verdict)
                result = "duplicate" if result == "red" and tree in order.known else result
                made = replace(made, result=result, note=verdict.why[:200], tree=tree, verdict=verdict)
    except StorageError:
        raise
    except AssayError as error:
        made = replace(made, note=str(error)[:200])
    except Exception as error:  # noqa: BLE001 - a defect in one attempt must not cost the turn
        made = replace(made, note=f"{type(error).__name__}: {error}"[:200])
    finally:
        made = _accounted(made, child, clock.monotonic() - began)
        opened.store.close()
        parent.record(made.event, durable=True)
    return made


def _accounted(made: Made, child: Run | None, seconds: float) -> Made:
    if child is None:
        return made
    state = child.state
    return replace(
        made,
        spent=replace(state.spent, seconds=seconds),
        dollars=state.dollars,
        label=state.label,
        words=made.words or state.last_text,
        criteria=state.criteria,
    )


def fork(parent: Run, order: Order, opened: Opened, copy: Workspace, start: str) -> Run:
    """A run over the log `opened`, on `copy`, with everything else as `parent` has it."""
    hooks = parent.parts.hooks
    parts = replace(
        parent.parts,
        store=_SameSession(opened.store, parent.parts.store.session),
        model=order.model,
        workspace=Placed(copy, parent.workspace.root),
        tools=_inside(parent.tools),
        approver=Once(),
        spill=opened.where.removesuffix(".jsonl"),
        hooks=ChildHooks(hooks, f"attempt-{order.number}", OWNER) if hooks else None,
    )
    child = Run(parts, replace(parent.options, budget=order.budget))
    # Evidence is about trees, and these are in one store: what was run once is known to all.
    child.proof = parent.proof
    if not child.state.frame:
        child.record(Framed(parent.state.turn, start))
        child.state.framed_at = parent.state.framed_at
    child.bus.subscribe(_relay(parent, order.number))
    return child


def _relay(parent: Run, number: int) -> Callable[[Seen], None]:
    def relay(seen: Seen) -> None:
        if isinstance(seen, Progress):
            parent.progress(OWNER, f"attempt {number}: {seen.text}")

    return relay


async def _tree_of(child: Run, copy: Workspace, start: str) -> str:
    """What the attempt left, but for protected names that a command changed: in the session's own files these would
    have been taken back."""
    tree = await copy.snapshot()
    changed = [change.path for change in await copy.changes(start, tree)] if tree != start else []
    written = {
        effect.target.removeprefix(f"{child.workspace.root}/")
        for record in child.parts.store.records()
        if isinstance(record.event, CallDecided) and record.event.decision.verdict == "allow"
        for effect in record.event.effects
        if effect.kind in ("write", "delete")
    }
    back = [path for path in changed if protected_part(path.split("/")) and path not in written]
    return await copy.compose(tree, back, start) if back else tree


async def _judged(parent: Run, child: Run, verdict: Verdict, start: str, tree: str) -> Verdict:
    """The gate's word on `tree`, which the attempt's own turn may have ended without."""
    if verdict.tree == tree and verdict.evidence:
        return verdict
    return await parent.proof.judge(start, tree, child.state.criteria, child.state.prompt)


def _result(verdict: Verdict) -> Result:
    fine = verdict.outcome in ("verified", "partial", "answered")
    return "green" if fine and not verdict.diff.protected else "red"


class _SameSession:
    """A log of its own that answers to the session's name: caches of providers and hooks go by that."""

    def __init__(self, store: EventStore, session: str) -> None:
        self._store = store
        self._session = session

    @property
    def session(self) -> str:
        return self._session

    @property
    def notices(self) -> list[str]:
        return []

    def append(self, event: Event, *, durable: bool = False) -> Record:
        return self._store.append(event, durable=durable)

    def records(self) -> Iterator[Record]:
        return self._store.records()

    def close(self) -> None:
        self._store.close()


def _inside(tools: Toolset) -> Toolset:
    """All tools as the model knows them; those that act elsewhere than on the copy refuse."""
    late = {tool.spec.name for tool in tools.deferred}
    found = Toolset()
    for name, tool in tools.items():
        found.add(_Inside(tool), deferred=name in late)
    return found


class _Inside:
    """A tool within an attempt."""

    def __init__(self, tool: Tool) -> None:
        self._tool = tool

    @property
    def spec(self) -> ToolSpec:
        return self._tool.spec

    def _refuses(self, arguments: dict[str, Json]) -> bool:
        return self.spec.name not in INSIDE or arguments.get("run_in_background") is True

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        """Of a call that will be refused, none: nobody is to be asked about it."""
        return (Effect("none"),) if self._refuses(arguments) else self._tool.effects(arguments)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        if not self._refuses(arguments):
            return await self._tool.run(arguments, context)
        what = "a command in the background" if self.spec.name in INSIDE else self.spec.name
        return failed(f"{what} can't be had here: this attempt works on a copy of the files; do it by other tools")


class Placed:
    """A copy by the path of what it is a copy of: a `Workspace` whose model reads the same paths in every attempt."""

    def __init__(self, copy: Workspace, root: str) -> None:
        self._copy = copy
        self._root = root

    @property
    def root(self) -> str:
        return self._root

    @property
    def confined(self) -> bool:
        return self._copy.confined

    def _here(self, path: str) -> str:
        return path.removeprefix(f"{self._root}/") if path != self._root else ""

    async def run(self, command: Command) -> CommandResult:
        return await self._copy.run(replace(command, cwd=self._here(command.cwd)))

    def start(self, command: Command) -> Process:
        return self._copy.start(replace(command, cwd=self._here(command.cwd)))

    def read_file(self, path: str, limit: int | None = None) -> FileContent:
        return self._copy.read_file(self._here(path), limit)

    def write_file(self, path: str, data: bytes, expect: Stamp | None) -> Stamp:
        return self._copy.write_file(self._here(path), data, expect)

    def delete_file(self, path: str, expect: Stamp) -> None:
        self._copy.delete_file(self._here(path), expect)

    async def list_files(self, limit: int = 20_000) -> list[str]:
        return await self._copy.list_files(limit)

    async def snapshot(self) -> str:
        return await self._copy.snapshot()

    async def changes(self, before: str, after: str) -> list[Change]:
        return await self._copy.changes(before, after)

    async def patch(self, before: str, after: str) -> str:
        return await self._copy.patch(before, after)

    async def read_at(self, tree: str, path: str) -> bytes | None:
        return await self._copy.read_at(tree, path)

    async def compose(self, tree: str, paths: list[str], source: str) -> str:
        return await self._copy.compose(tree, paths, source)

    async def restore(self, tree: str) -> list[Change]:
        return await self._copy.restore(tree)

    def copy(self, tree: str) -> AbstractAsyncContextManager[Workspace]:
        return self._copy.copy(tree)

    def kill(self) -> None:
        self._copy.kill()

    async def aclose(self) -> None:
        await self._copy.aclose()
