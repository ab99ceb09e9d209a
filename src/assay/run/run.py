"""A run: a session alive in this process.

The order of a turn: the input is on disk before any work; the frame (a snapshot of the files) is taken while the model
already reads; nothing that changes the world starts before the frame exists; the done gate has the last word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from assay.core.budget import Budget, Spent
from assay.core.check import Criterion, OutcomeName, Verdict
from assay.core.clock import Clock
from assay.core.context import Fragment
from assay.core.errors import AssayError, StorageError, WorkspaceError
from assay.core.events import (
    CallFinished,
    CheckFinished,
    Checkpointed,
    ContextAdded,
    CriteriaDeclared,
    Event,
    EvidenceRecorded,
    Framed,
    InputReceived,
    ModelReplied,
    Noticed,
    TurnEnded,
)
from assay.core.hooks import Hooks
from assay.core.ids import new_id
from assay.core.messages import AssistantMessage, Image, Json, Text, ToolCall, ToolResult
from assay.core.model import Model, ModelEvent, ModelRequest, Reasoning
from assay.core.policy import Approver, Effect, Gate, Label, Mask
from assay.core.store import EventStore, Record
from assay.core.tool import Tool
from assay.core.workspace import Workspace
from assay.loop.limits import request_tokens
from assay.loop.turn import AskPorts, Middleware, Stop, ask
from assay.run.answer import StructuredAnswer
from assay.run.bus import Bus, Progress
from assay.run.hooked import Halting, Hooked, Updates
from assay.run.inputs import label_of
from assay.run.masked import heard, masked
from assay.run.proof import Proof
from assay.run.state import NOTIFICATION, State
from assay.run.steps import Steps
from assay.run.toolset import Toolset
from assay.run.window import Compaction, Window
from assay.sessions.fold import SOLVER, standing, taken_back

if TYPE_CHECKING:
    from assay.run.tasks import Tasks

"""How often missing evidence goes back to the model before the turn ends as it is."""

Strategy = Callable[["Run"], Awaitable[Stop]]


async def tool_loop(run: Run) -> Stop:
    """The default strategy: the model drives, through tools."""
    return await Steps(run).take()


class RunParts(Struct, frozen=True):
    """What a run is made of; `app` assembles it."""

    store: EventStore
    model: Model
    workspace: Workspace
    tools: Mapping[str, Tool]
    gate: Gate
    clock: Clock
    approver: Approver
    spill: str = ""
    """A directory for output too long to show."""
    mask: Mask | None = None
    """Keeps known secrets from the model and the log; None when there are none."""
    hooks: Hooks | None = None
    """What users have run at points of a session; None when there is nothing."""


class RunOptions(Struct, frozen=True):
    """What was asked for this turn."""

    system: str = ""
    instructions: tuple[Fragment, ...] = ()
    budget: Budget = Budget()
    reasoning: Reasoning = Reasoning()
    schema: dict[str, Json] | None = None
    checks: tuple[str, ...] = ()
    """The user's acceptance checks, shell lines."""
    grants: tuple[str, ...] = ()
    """Patterns of protected paths that settings release."""
    guarded: tuple[str, ...] = ()
    """Patterns of further paths that settings protect."""
    max_output: int | None = None
    """Most tokens of one reply, where that is less than the model can write."""
    compaction: Compaction = "auto"
    attempts: int | None = None
    """Candidates of the turn at most; None leaves it to the effort."""


class Run:
    """Contract: one turn at a time; `turn` always ends with a `TurnEnded` in the log, unless the log cannot be written
    (`StorageError`) or the process is killed, and then the next `turn` goes on where the log ends."""

    def __init__(self, parts: RunParts, options: RunOptions):
        self.parts = parts
        self.tools = parts.tools if isinstance(parts.tools, Toolset) else Toolset(parts.tools.values())
        self.options = options
        self.bus = Bus()
        self.middleware: list[Middleware] = []
        """What others want done between the steps of each turn."""
        self.state = State()
        self.window = self._window()
        rewound = False
        for record in parts.store.records():
            self.state.apply(record)
            self.window.apply(record)
            rewound = rewound or taken_back(record)
        if rewound:
            self._refold()
        self.schema = StructuredAnswer(options.schema)
        self.receipt = ""
        """Where the receipt of the last turn lies."""
        self.proof = Proof(
            parts.workspace,
            # Whoever goes on with a turn that was cut short need not remember what it was to be judged by.
            tuple(dict.fromkeys((*(self.state.checks if self.state.open else ()), *options.checks))),
            (options.grants, options.guarded),
            "\n".join(fragment.text for fragment in options.instructions),
            lambda run, phase: self.record(CheckFinished(run, phase)),
            self._permits,
        )
        self._task: asyncio.Task[object] | None = None
        self._frame: asyncio.Task[str] | None = None
        self._interrupted = False
        self.may_send = False
        """The call that runs has leave to send, by a person or a rule."""
        self.tasks: Tasks | None = None
        """What goes on beside the turns of this session; None where nothing can."""
        self.watchers: list[Middleware] = []
        """What else is asked around steps."""
        self.guards = Halting()
        """Who has a say in calls besides the gate."""
        if parts.hooks:
            self.use_hooks(parts.hooks, "resume" if self.state.turn else "startup")
        self._began = 0.0
        self._verdict: Verdict | None = None

    # --- what surfaces and strategies use -------------------------------------------------------------------------

    def record(self, event: Event, durable: bool = False) -> None:
        """Append to the log, fold, tell whoever watches. Raises `StorageError`."""
        if self.parts.mask:
            event = heard(self.parts.mask, event)
        record = self.parts.store.append(event, durable=durable)
        self._fold(record)
        self.bus.emit(record)

    def _fold(self, record: Record) -> None:
        self.state.apply(record)
        self.window.apply(record)
        if taken_back(record):
            self._refold()

    def _refold(self) -> None:
        """Know only what the conversation still shows; but whoever once read something has read it."""
        label = self.state.label
        self.state = State()
        self.window = self._window()
        for record in standing(self.parts.store.records):
            self.state.apply(record)
            self.window.apply(record)
        self.state.label = self.state.label.join(label)

    def _window(self) -> Window:
        context = self.parts.model.profile.context
        return Window(context, self.next_input, self.record, lambda: self.hooked, self.options.compaction)

    def progress(self, phase: str, text: str) -> None:
        self.bus.emit(Progress(phase, text))

    def interrupt(self) -> None:
        """End the turn now, as `interrupted`; processes are killed and the log is sealed before `turn` returns. Without
        a turn under way, the next one ends as it begins."""
        self._interrupted = True
        if self._task:
            self._task.cancel()
        if self.tasks:
            self.tasks.interrupt(self)

    @property
    def store(self) -> EventStore:
        return self.parts.store

    @property
    def workspace(self) -> Workspace:
        return self.parts.workspace

    def renew(self, store: EventStore) -> None:
        """Go on in another session, with nothing of this one before the model. The label stays: what this process has
        read, its files may hold."""
        label = self.state.label
        self.parts.store.close()
        self.parts = replace(self.parts, store=store)
        self._refold()
        self.state.label = self.state.label.join(label)

    @property
    def busy(self) -> bool:
        """A turn is under way."""
        return self._task is not None

    async def compact(self, focus: str = "") -> bool:
        """Compact now rather than when the window is full; `focus` is kept word for word. False when there is nothing
        to gain, or a hook is against it."""
        return await self.window.compact(0, "manual", focus)

    def use_model(self, model: Model) -> None:
        """The next request goes to `model`."""
        self.parts = replace(self.parts, model=model)
        self.window.context = model.profile.context

    def use_hooks(self, hooks: Hooks, source: str, update: Updates | None = None) -> None:
        """Let `hooks` speak from now on; see `Hooked`."""
        self.guards = Hooked(self, hooks, source, update)

    @property
    def hooked(self) -> Hooked | None:
        """The hooks of this session, if it has any."""
        return self.guards if isinstance(self.guards, Hooked) else None

    @property
    def used(self) -> Spent:
        """What this turn has used so far, with the sub-agents that ended in it."""
        return replace(self.state.spent, seconds=self.parts.clock.monotonic() - self._began)

    @property
    def spent(self) -> Spent:
        """What counts against the budget: `used`, and what all that share it have used."""
        return self.tasks.spent(self) if self.tasks else self.used

    @property
    def child(self) -> bool:
        """This is a sub-agent: what it changed is judged with the session that it belongs to."""
        return self.tasks is not None and self.tasks.root is not self

    @property
    def label(self) -> Label:
        """Of what was put before the model of this session, and of what those know who work on the same files now."""
        return self.tasks.label if self.tasks else self.state.label

    @property
    def outgoing(self) -> Label:
        """The label by which a proxy judges what the running command sends: the session's, but while a call runs that a
        person or a rule gave leave to send, nobody else has had a say in it."""
        if self.tasks:
            return self.tasks.outgoing
        return replace(self.state.label, integrity="workspace") if self.may_send else self.state.label

    def next_input(self) -> int:
        """Tokens that the next request sends at least, as far as the last reply tells."""
        last = self.state.last_usage
        return last.sent + last.output + self.state.added_tokens if last else self._first_tokens()

    async def start_tree(self) -> str:
        """The tree at the start of the turn; waits for the snapshot the first time."""
        if self.state.frame:
            self.proof.framed(self.state.framed_at)
            return self.state.frame
        tree = await asyncio.shield(self.framing())
        if not self.state.frame:
            self.record(Framed(self.state.turn, tree), durable=True)
        self.proof.framed(self.state.framed_at)
        return tree

    async def turn(
        self,
        parts: tuple[Text | Image, ...],
        strategy: Strategy | None = None,
        label: Label | None = None,
        *,
        uuid: str = "",
        origin: dict[str, Json] | None = None,
    ) -> TurnEnded:
        """Carry out one input to its outcome. Empty `parts` go on with a turn that was cut short. `label`: of `parts`,
        when whoever hands them over knows more than they show (`label_of`). `uuid`, `origin`: see `InputReceived`."""
        task = self._task = asyncio.current_task()
        if not self._began or (origin or {}).get("kind") != NOTIFICATION:
            self._began = self.parts.clock.monotonic()
        self._verdict = None
        resumed = self.state.open and self.state.touched
        received = InputReceived(new_id(), parts, "", label or label_of(parts), uuid, origin or {})
        said: str | None = None
        self.guards.halted = ""
        try:
            refused, said = await self._submitted(received)
            if refused:
                return self._refuse(refused)
            self._open(received)
            if self.hooked:
                self.hooked.tell("UserPromptSubmit", said)
            if resumed and parts:
                # The frame stays that of the turn that was cut short; going back needs to know this moment, too.
                self.record(Checkpointed("", await self.parts.workspace.snapshot()))
            stop = _INTERRUPTED if self._interrupted else await self._stop_of(strategy or tool_loop)
            return await self._settle(stop)
        except asyncio.CancelledError:
            if not self._interrupted:
                raise
            if task:
                task.uncancel()
            if said is None:
                self._open(received)
            return await self._close(_INTERRUPTED)
        finally:
            self._task = None
            self._interrupted = False
            if self._frame:
                self._frame.cancel()
                self._frame = None
            if self.tasks:
                self.tasks.turned(self)

    async def _stop_of(self, strategy: Strategy) -> Stop:
        try:
            return await self.within_time(strategy(self))
        except StorageError:
            raise
        except AssayError as error:
            return Stop(error.outcome, str(error))

    def framing(self) -> asyncio.Task[str]:
        """The snapshot of the start of this turn, begun once."""
        if self._frame is None:
            self._frame = asyncio.create_task(self.parts.workspace.snapshot())
            # A turn that changes nothing never asks for it, and then its failure is nobody's business.
            self._frame.add_done_callback(lambda frame: frame.cancelled() or frame.exception())
        return self._frame

    async def ask(self, request: ModelRequest, role: str = SOLVER) -> AssistantMessage:
        """One request of a strategy's own making, logged and counted like any other. What another role than the solver
        says is no part of the conversation, and nobody who watches sees it stream by."""

        def record(event: ModelReplied | ContextAdded) -> None:
            self.record(replace(event, role=role) if isinstance(event, ModelReplied) else event)

        def show(event: ModelEvent) -> None:
            if role == SOLVER:
                self.bus.emit(event)

        ports = AskPorts(clock=self.parts.clock, record=record, show=show)
        return await ask(self.parts.model, request, self.spent.steps + 1, ports)

    def owed_answer(self, text: str) -> str:
        """What the model still owes of the shape that its answer must have; "" when there is none, or it was met by a
        call or by `text`."""
        return "" if self.state.structured is not None else self.schema.owed(text)

    async def conclude(self, doubts: Sequence[str] = ()) -> Verdict:
        """What the done gate says about the files as they are. The turn ends with it when a strategy stops without an
        outcome of its own. `doubts` are a strategy's own reasons, a line each, why green checks prove too little: with
        any, nothing is called verified."""
        verdict = await self._prove()
        if doubts and verdict.outcome == "verified":
            verdict = replace(verdict, outcome="partial", why=doubts[0])
        self._verdict = replace(verdict, unchecked=(*verdict.unchecked, *doubts))
        return self._verdict

    async def within_time(self, work: Awaitable[Stop]) -> Stop:
        limit = self.options.budget.seconds
        try:
            async with asyncio.timeout(None if limit is None else max(limit - self.spent.seconds, 0.01)):
                return await work
        except TimeoutError:
            if limit is None:
                raise
            return Stop("budget", f"{self.spent.seconds:.0f} s used, the limit is {limit:g} s (--max-seconds)")

    async def _permits(self, command: str) -> bool:
        """The gate's word on a command that a model named as the check of a criterion."""
        decision = await self.parts.gate.decide("Bash", (Effect("execute", command),), self.label)
        return decision.verdict == "allow"

    async def _prove(self) -> Verdict:
        if self.child:
            return Verdict("answered", "judged with the session that sent it out")
        if not self.state.touched:
            if self.proof.user_checks:
                tree = await self.start_tree()
                return await self.proof.judge(tree, tree, self.state.criteria, self.state.prompt)
            return Verdict("answered", "nothing was changed")
        self.progress("judge", "checking the result in a clean copy")
        start = await self.start_tree()
        final = await self.parts.workspace.snapshot()
        return await self.proof.judge(start, final, self.state.criteria, self.state.prompt)

    # --- opening and closing a turn -------------------------------------------------------------------------------

    async def _submitted(self, received: InputReceived) -> tuple[str, str]:
        """Why hooks refuse an input, and what they say to it. What wakes the session by itself is no prompt."""
        typed = received.origin.get("kind") != NOTIFICATION
        words = "\n".join(part.text for part in received.parts if isinstance(part, Text) and typed)
        return await self.hooked.submit(words) if self.hooked else ("", "")

    def _refuse(self, reason: str) -> TurnEnded:
        """A turn that a hook did not let begin: nothing of its input is kept."""
        self.record(Noticed(f"a hook refused the prompt: {reason}"))
        ended = TurnEnded(new_id(), Verdict("failed", reason), reason, 0, round(self.spent.seconds, 3), 0.0)
        self.record(ended, durable=True)
        return ended

    def _open(self, said: InputReceived) -> None:
        if self.tasks:
            self.tasks.miss(self)
        for notice in self.parts.store.notices:
            self.record(Noticed(notice))
        for call in self.state.unknown:
            self.record(_unanswered(call, _UNKNOWN))
        if said.parts:
            # Whoever says something new may not want any more what was asked for before.
            for call in self.state.pending:
                self.record(_unanswered(call, _NOT_RUN))
            self.record(replace(said, model=self.parts.model.profile.name), durable=True)
            if self.proof.user_checks:
                own = (Criterion(line, line, owner="user") for line in self.proof.user_checks)
                self.record(CriteriaDeclared(tuple(own)))

    async def _settle(self, stop: Stop) -> TurnEnded:
        """`_close`, which an interruption no longer changes: the work is judged, only its record is written."""
        work = asyncio.ensure_future(self._close(stop))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if not self._interrupted or work.cancelled():
                work.cancel()
                await asyncio.wait([work])
                raise
            if self._task:
                self._task.uncancel()
            return await work

    async def _close(self, stop: Stop) -> TurnEnded:
        verdict = (
            self._verdict if stop.outcome is None and self._verdict else Verdict(stop.outcome or "failed", stop.why)
        )
        if not verdict.tree and self.state.touched and stop.outcome != "interrupted" and not self.child:
            # Without the figures the outcome is still what it is.
            with suppress(WorkspaceError):
                verdict = await self.proof.with_diff(verdict, await self.start_tree())
        if self.state.asked_in_vain and verdict.outcome in _BLOCKED:
            verdict = replace(verdict, outcome="needs_approval", why=self.state.asked_in_vain)
        if verdict.outcome == "answered" and self.owed_answer(self.state.last_text):
            verdict = replace(verdict, outcome="failed", why="the answer does not meet the JSON schema")
        if self.parts.mask:
            verdict = masked(self.parts.mask, verdict)
        for row in verdict.evidence:
            self.record(EvidenceRecorded(row))
        if verdict.evidence and self.state.frame:
            self.receipt = await self.proof.write_receipt(verdict, self.state.frame, self.parts.spill)
        spent = self.used
        ended = TurnEnded(
            self.state.turn,
            verdict,
            self.state.last_text or verdict.why,
            spent.steps,
            round(spent.seconds, 3),
            self.state.dollars,
            self.state.selected,
        )
        self.record(ended, durable=True)
        return ended

    def _first_tokens(self) -> int:
        request = ModelRequest(self.options.system, self.tools.specs(self.state.loaded), ())
        return request_tokens(request) + self.state.added_tokens


_INTERRUPTED = Stop("interrupted", "stopped by the user")
_BLOCKED: frozenset[OutcomeName] = frozenset({"answered", "unverified", "failed"})


_UNKNOWN = (
    "The program was stopped while {} ran; whether it had its effect is unknown. "
    "Look at the state of things before doing it again."
)
_NOT_RUN = "The program was stopped before {} began; it was not run."


def _unanswered(call: ToolCall, text: str) -> CallFinished:
    said = "outcome unknown" if text is _UNKNOWN else "not run"
    return CallFinished(ToolResult(call.id, (Text(text.format(call.name)),), is_error=True), said)
