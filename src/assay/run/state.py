"""What a run knows: folds of its log and nothing else, so that a resumed run knows the same."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import json

from assay.core.budget import Spent
from assay.core.check import Criterion, OutcomeName
from assay.core.events import (
    AttemptFinished,
    AttemptSelected,
    CallDecided,
    CallFinished,
    Checkpointed,
    Compacted,
    ContextAdded,
    CriteriaDeclared,
    Framed,
    InputReceived,
    ModeChanged,
    ModelReplied,
    TaskEnded,
    TaskStarted,
    TurnEnded,
)
from assay.core.messages import AssistantMessage, Image, Json, Message, Text, ToolCall, Usage
from assay.core.model import estimate_tokens
from assay.core.policy import OPERATOR, Label, Question
from assay.core.store import Record
from assay.loop.calls import APPROVED
from assay.run.answer import TOOL
from assay.run.asked import Asked
from assay.sessions.fold import SOLVER, History

_FINAL: frozenset[OutcomeName] = frozenset({"answered", "verified", "partial", "unverified", "failed", "usage"})
"""Outcomes after which a turn is over; after any other it can be gone on with."""
_QUIET = frozenset({"read", "none"})
_IMAGE_TOKENS = 1_500
NOTIFICATION = "task-notification"
"""The kind of origin of a turn that began because something in the background has ended."""
SENT_ON = "subagent-stop"
"""That of a sub-agent's turn that began because a hook would not let it end."""


class State:
    def __init__(self) -> None:
        self._history = History()
        self._open_calls: dict[str, ToolCall] = {}
        self._begun: set[str] = set()
        self.seen: dict[str, str] = {}
        self.label: Label = OPERATOR
        """The join of all that was ever put before the model in this session; compaction takes nothing from it."""
        self.loaded: list[str] = []
        """Deferred tools that requests carry from now on, in the order they were loaded."""
        self.has_context = False
        self.sources: set[tuple[str, str]] = set()
        """Owner and source of what the harness put before the model in this session."""
        self._last_reply: AssistantMessage | None = None
        self.unjudged: AssistantMessage | None = None
        """The last reply, when it ends the work and nothing was said about it since."""
        self.asked = Asked()
        self.mode = ""
        """The permission mode that was changed to last."""
        self.schema = ""
        """What the model was last told about the form of its answer."""
        self.tasks: dict[str, TaskStarted] = {}
        """What began and has not ended, as far as this log tells."""
        self.ended: dict[str, tuple[TaskStarted, TaskEnded]] = {}
        self.news: list[str] = []
        """Tasks of the background that ended and of which the model was not told yet."""
        self._idle = False
        self._changed: tuple[str, float] = ("", 0.0)
        """The tree before a sub-agent's first change between two turns, and when it was recorded."""
        self.last_usage: Usage | None = None
        self.added_tokens = 0
        """Tokens put into the history since the last reply, estimated."""
        self._reset("", "")

    def _reset(self, turn: str, prompt: str) -> None:
        self.turn = turn
        self.prompt = prompt
        self.frame = ""
        self.framed_at: float = 0.0
        """When the frame was recorded, in seconds since the epoch."""
        self.open = bool(turn)
        self.spent = Spent()
        self.dollars: float | None = 0.0
        self.criteria: tuple[Criterion, ...] = ()
        self.checks: tuple[str, ...] = ()
        """The user's own checks, given with the input of this turn."""
        self.touched = False
        """A call that may have changed something was allowed in this turn."""
        self.asked_now: dict[str, str] = {}
        """What needed an approval in this turn that nobody gave, by digest."""
        self.denials: list[ToolCall] = []
        self._digests: dict[str, str] = {}
        self.last_text = ""
        self.structured: Json = None
        """The answer of this turn that was given by a call, in the shape that the user asked for."""
        self.selected = 0

    def messages(self) -> Sequence[Message]:
        return self._history.messages()

    @property
    def awaits_change(self) -> bool:
        """Between two turns, of which the last is over, nothing was changed yet that the next one will be judged by."""
        return self._idle and not self.open and not self._changed[0]

    @property
    def asked_in_vain(self) -> str:
        """The first call of this turn that needed an approval nobody gave, and why; empty when there is none."""
        return next(iter(self.asked_now.values()), "")

    @property
    def questions(self) -> list[Question]:
        """What this turn asked and nobody answered."""
        return [self.asked.open[digest][1] for digest in self.asked_now if digest in self.asked.open]

    @property
    def pending(self) -> list[ToolCall]:
        """Calls of the last reply that never began, or that only read: they may be run now."""
        return [call for call in self._open_calls.values() if call.id not in self._begun]

    @property
    def unknown(self) -> list[ToolCall]:
        """Calls whose effect had been let loose when the log ends: never repeated by themselves."""
        return [call for call in self._open_calls.values() if call.id in self._begun]

    def apply(self, record: Record) -> None:
        self._history.apply(record)
        self.asked.apply(record)
        if isinstance(record.event, InputReceived | ContextAdded | CallFinished | TaskEnded):
            self.label = self.label.join(record.event.label)
        match record.event:
            case InputReceived() as event:
                self._input(event)
            case ContextAdded(owner=owner, text=text, source=source):
                self.news = [task for task in self.news if owner != "task" or task != source]
                self.has_context = self.has_context or owner == "environment"
                self.sources.add((owner, source))
                self.unjudged = None
                self.schema = text if owner == "schema" else self.schema
                self.added_tokens += estimate_tokens(text)
            case Framed(tree=tree):
                self.frame, self.framed_at = tree, record.time
            case ModelReplied() as event:
                self._reply(event)
            case CallDecided() as event:
                self._decided(event)
            case CallFinished() as event:
                self._finished(event)
            case CriteriaDeclared(criteria=criteria):
                if any(criterion.owner == "user" for criterion in criteria):
                    self.checks = tuple(criterion.check for criterion in criteria)
                else:
                    self.criteria = criteria
            case Compacted():
                self.last_usage = None
                self.added_tokens = sum(_weigh(message) for message in self._history.messages())
            case AttemptFinished() as event:
                self._attempted(event)
            case AttemptSelected(number=number):
                self.selected = number
                self.touched = True
            case Checkpointed(call=call, tree=tree) if call:
                self.touched = True
                if self._idle and not self._changed[0]:
                    self._changed = tree, record.time
            case ModeChanged(mode=mode):
                self.mode = mode
            case TaskStarted() as event:
                self.tasks[event.task] = event
                self._begun.add(event.call)
            case TaskEnded() as event:
                self._task_ended(event)
            case TurnEnded(verdict=verdict, turn=turn):
                self._idle = True
                # One that a hook refused was never opened, and closes nothing.
                if turn == self.turn:
                    self.open = verdict.outcome not in _FINAL
                    self.unjudged = self.unjudged if self.open else None
            case _:
                pass

    def _input(self, event: InputReceived) -> None:
        changed, self._changed, self._idle = self._changed, ("", 0.0), False
        # The first part is the person's own words; what is attached behind it grants nothing.
        words = next((part.text for part in event.parts if isinstance(part, Text)), "")
        self.unjudged = None
        if event.origin.get("kind") in (NOTIFICATION, SENT_ON):
            # Nobody asked for anything new: it is all one piece of work, with one budget, judged as a whole.
            self.turn, self.open, self.touched = event.turn, True, self.touched or bool(changed[0])
            if not self.frame:
                self.frame, self.framed_at = changed
        else:
            # A turn that was cut short keeps its frame: evidence compares with the files before anything was changed.
            was = (self.frame, self.framed_at) if self.open and self.frame else changed
            touched = self.touched if self.open else bool(changed[0])
            spoken = self.prompt if self.open or changed[0] else ""
            self._reset(event.turn, f"{spoken}\n{words}".strip())
            self.touched, (self.frame, self.framed_at) = touched, was
        self.added_tokens += sum(
            estimate_tokens(part.text) if isinstance(part, Text) else _IMAGE_TOKENS for part in event.parts
        )

    def _task_ended(self, event: TaskEnded) -> None:
        started = self.tasks.pop(event.task, None)
        if started is None:
            return
        spent = self.spent
        self.spent = Spent(spent.steps, spent.usage + event.usage, spent.dollars + (event.dollars or 0.0))
        if started.what == "agent":
            self.dollars = None if event.dollars is None or self.dollars is None else self.dollars + event.dollars
        self.ended[event.task] = (started, event)
        if started.background:
            self.news.append(event.task)

    def _attempted(self, event: AttemptFinished) -> None:
        spent, more = self.spent, event.dollars or 0.0
        self.spent = Spent(spent.steps + event.steps, spent.usage + event.usage, spent.dollars + more)
        if event.steps:
            self.dollars = None if event.dollars is None or self.dollars is None else self.dollars + more
        if event.result == "green":
            self.selected = event.number
            self.touched = True

    def _reply(self, event: ModelReplied) -> None:
        message, spent = event.message, self.spent
        dollars = spent.dollars + (event.dollars or 0.0)
        self.spent = Spent(spent.steps + 1, spent.usage + message.usage, dollars)
        self.dollars = None if event.dollars is None or self.dollars is None else self.dollars + event.dollars
        if message.failure is None and event.role == SOLVER:
            self.last_usage = message.usage
            self.added_tokens = 0
            self.last_text = message.text.strip() or self.last_text
            self._open_calls = {call.id: call for call in message.calls}
            self._begun = set()
            self._last_reply = message
            self.unjudged = None if message.calls else message

    def _decided(self, event: CallDecided) -> None:
        call = self._open_calls.get(event.call)
        if event.decision.rule == APPROVED:
            self.asked_now.pop(event.digest, None)
            self.denials = [each for each in self.denials if self._digests.get(each.id) != event.digest]
        if event.decision.verdict == "allow":
            if any(effect.kind not in _QUIET for effect in event.effects):
                self._begun.add(event.call)
                self.touched = True
            return
        if call:
            self.denials.append(call)
            self._digests[call.id] = event.digest
        if event.decision.verdict == "ask":
            said = f"{event.tool} needs the user's approval: {event.decision.reason}"
            self.asked_now.setdefault(event.digest, said)

    def _finished(self, event: CallFinished) -> None:
        call = self._open_calls.pop(event.result.call, None)
        self._begun.discard(event.result.call)
        self.seen.update(event.seen)
        self.loaded += [name for name in event.loads if name not in self.loaded]
        if event.finish:
            self.unjudged = self._last_reply
        if event.finish and isinstance(summary := event.debug.get("summary"), str) and summary:
            self.last_text = summary
        if call and call.name == TOOL and not event.result.is_error:
            self.structured = call.arguments
            self.last_text = json.encode(call.arguments).decode()
        self.added_tokens += sum(
            estimate_tokens(part.text) if isinstance(part, Text) else _IMAGE_TOKENS for part in event.result.content
        )


def _weigh(message: Message) -> int:
    weight = 0
    for part in message.parts:
        match part:
            case Image():
                weight += _IMAGE_TOKENS
            case Text(text):
                weight += estimate_tokens(text)
            case _:
                weight += estimate_tokens(str(part))
    return weight
