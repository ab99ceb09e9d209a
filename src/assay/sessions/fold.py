"""What a log means: folds that take one record at a time, so that the work of a turn does not grow with the session.

`History` is what the next request says, `Ledger` what was spent, `Status` everything else that a run goes by.
Each is pure: the same records give the same state. Records of unknown kinds never reach them (see `LogReader.records`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from msgspec import Struct

from assay.core.check import Criterion, Evidence, Verdict
from assay.core.events import (
    AttemptFinished,
    CallDecided,
    CallFinished,
    CheckFinished,
    Compacted,
    ContextAdded,
    CriteriaDeclared,
    EvidenceRecorded,
    Framed,
    InputReceived,
    ModelReplied,
    Rewound,
    SessionStarted,
    TaskEnded,
    TurnEnded,
)
from assay.core.messages import AssistantMessage, Message, Text, ToolCall, ToolResult, Usage, UserMessage, UserPart
from assay.core.store import Record

UNKNOWN_OUTCOME = (
    "Outcome unknown: the program stopped after this call was started and before its result was recorded. It may have "
    "taken effect wholly, partly or not at all. Look before you repeat it."
)
NOT_RUN = "Not run: the program stopped before this call was started."


SOLVER = "solver"
"""The role whose replies are the conversation."""


class Fold(Protocol):
    def apply(self, record: Record) -> None: ...


def fold(records: Iterable[Record], *folds: Fold) -> None:
    """Feed every record to every fold, in one pass."""
    for record in records:
        for each in folds:
            each.apply(record)


def taken_back(record: Record) -> bool:
    """True for a record that takes the conversation back."""
    return isinstance(record.event, Rewound) and record.event.keeps_to is not None


def standing(read: Callable[[], Iterable[Record]]) -> Iterator[Record]:
    """The records that the conversation still shows, of a log that is read twice: what a `Rewound` took back is left
    out, with it."""
    rewinds = [(each.event.keeps_to, each.number) for each in read() if isinstance(each.event, Rewound)]
    for record in read():
        if not any(keeps is not None and keeps < record.number <= at for keeps, at in rewinds):
            yield record


class _Entry(Struct, frozen=True):
    """A message, and the numbers of the records that its parts came from (0 for a summary)."""

    message: Message
    numbers: tuple[int, ...]


class History:
    """The messages of the next request.

    What the user's side says between two replies becomes one user message: results first, in the order of their
    calls, then the rest as logged. Failed and cancelled replies leave nothing behind. The list is well-formed whatever
    the log holds: every call of a reply is answered by the message behind it, and no result lacks its call. Between
    compactions messages are only added, and each stays the same object.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._parts: list[tuple[int, UserPart]] = []
        self._calls: dict[str, ToolCall] = {}
        self._started: set[str] = set()
        self._results: dict[str, tuple[int, ToolResult]] = {}

    def apply(self, record: Record) -> None:
        event = record.event
        if isinstance(event, InputReceived):
            self._parts += [(record.number, part) for part in event.parts]
        elif isinstance(event, ContextAdded):
            self._parts.append((record.number, Text(event.text)))
        elif isinstance(event, CallDecided):
            if event.decision.verdict == "allow" and event.call in self._calls:
                self._started.add(event.call)
        elif isinstance(event, CallFinished):
            call = event.result.call
            if call in self._calls and call not in self._results:
                self._results[call] = (record.number, event.result)
        elif isinstance(event, ModelReplied) and event.role == SOLVER:
            self._close()
            self._reply(record.number, event.message)
        elif isinstance(event, Compacted):
            self._compact(event)

    def messages(self) -> list[Message]:
        """What to send now. Ends the current user message: what is said after this opens a new one.

        A call that has no result yet is answered as unknown or not run; log the results of `unanswered_calls` before.
        """
        self._close()
        return [entry.message for entry in self._entries]

    def unanswered_calls(self) -> list[ToolCall]:
        """Calls of the last reply without a result, in order."""
        return [call for name, call in self._calls.items() if name not in self._results]

    def unknown_calls(self) -> list[ToolCall]:
        """Those of the unanswered calls that were allowed, and so may have had an effect. Never to be repeated
        without asking; answer them with `UNKNOWN_OUTCOME`, and the other unanswered ones with `NOT_RUN`."""
        return [call for call in self.unanswered_calls() if call.id in self._started]

    def _reply(self, number: int, message: AssistantMessage) -> None:
        if message.stop in ("failed", "cancelled") or not (message.parts or message.native):
            return
        self._entries.append(_Entry(message, (number,)))
        self._calls = {call.id: call for call in message.calls}

    def _close(self) -> None:
        """Turn what was said since the last message into one."""
        parts: list[tuple[int, UserPart]] = []
        for call in self._calls:
            text = UNKNOWN_OUTCOME if call in self._started else NOT_RUN
            # A made-up answer belongs to the reply: a compaction keeps or drops them together.
            missing = (self._entries[-1].numbers[0], ToolResult(call, (Text(text),), is_error=True))
            parts.append(self._results.get(call, missing))
        parts += self._parts
        if parts:
            message = UserMessage(tuple(part for _, part in parts))
            self._entries.append(_Entry(message, tuple(number for number, _ in parts)))
        self._parts = []
        self._forget_calls()

    def _forget_calls(self) -> None:
        self._calls, self._started, self._results = {}, set(), {}

    def _compact(self, event: Compacted) -> None:
        keeps = event.keeps_from
        first = next((i for i, entry in enumerate(self._entries) if max(entry.numbers) >= keeps), len(self._entries))
        kept = self._entries[first:]
        if kept and isinstance(kept[0].message, UserMessage):
            # Its calls are gone, so its results go too; and so does what was said before the cut.
            pairs = [
                (number, part)
                for number, part in zip(kept[0].numbers, kept[0].message.parts, strict=True)
                if number >= keeps and not isinstance(part, ToolResult)
            ]
            kept[0] = _Entry(UserMessage(tuple(part for _, part in pairs)), tuple(number for number, _ in pairs))
            if not pairs:
                del kept[0]
        if not any(isinstance(entry.message, AssistantMessage) for entry in kept):
            self._forget_calls()
        self._parts = [(number, part) for number, part in self._parts if number >= keeps]
        summary = UserMessage((Text(event.summary),))
        self._entries = [_Entry(summary, (0,)), *kept]


class Account(Struct, frozen=True):
    """What some requests took."""

    steps: int = 0
    usage: Usage = Usage()
    dollars: float | None = None
    """The sum of the known prices; None when none is known."""
    unpriced: int = 0
    """How many of the steps had no known price, and are not in `dollars`."""
    seconds: float = 0.0
    """Waiting for models."""

    def plus(self, reply: ModelReplied) -> Account:
        price = reply.dollars
        return Account(
            self.steps + 1,
            self.usage + reply.message.usage,
            self.dollars if price is None else (self.dollars or 0.0) + price,
            self.unpriced + (price is None),
            self.seconds + reply.seconds,
        )

    def joined(self, ended: TaskEnded) -> Account:
        """With what a sub-agent took, whose replies are in a log of its own."""
        dollars = self.dollars if ended.dollars is None else (self.dollars or 0.0) + ended.dollars
        return Account(self.steps, self.usage + ended.usage, dollars, self.unpriced, self.seconds)


class Ledger:
    """What was spent: in the whole session, in its latest turn, by role and by model. Failed replies count too, and so
    do sub-agents, under the role `agent`."""

    def __init__(self) -> None:
        self.total = Account()
        self.turn = Account()
        self.by_role: dict[str, Account] = {}
        self.by_model: dict[str, Account] = {}

    def apply(self, record: Record) -> None:
        event = record.event
        if isinstance(event, InputReceived):
            self.turn = Account()
        elif isinstance(event, ModelReplied):
            self.total = self.total.plus(event)
            self.turn = self.turn.plus(event)
            for accounts, key in ((self.by_role, event.role), (self.by_model, event.message.model)):
                accounts[key] = accounts.get(key, Account()).plus(event)
        elif isinstance(event, TaskEnded) and event.usage.total:
            self.total, self.turn = self.total.joined(event), self.turn.joined(event)
            self.by_role["agent"] = self.by_role.get("agent", Account()).joined(event)


class Status:
    """Where a session stands. Criteria, evidence, checks and attempts are those of its latest turn."""

    def __init__(self) -> None:
        self.session = ""
        self.cwd = ""
        self.version = ""
        self.forked_from = ""
        self.title = ""
        """The first words of the first prompt, on one line."""
        self.started = 0.0
        self.updated = 0.0
        self.records = 0
        """Number of the last record."""
        self.turns = 0
        self.turn = ""
        """The turn that is open; empty between turns."""
        self.model = ""
        """As chosen for the latest turn."""
        self.tree = ""
        """At the start of the latest turn."""
        self.verdict: Verdict | None = None
        """Of the last turn that ended."""
        self.text = ""
        """The last words of that turn."""
        self.seen: dict[str, str] = {}
        """Path -> SHA-256 of what the model has seen or written of it last."""
        self.criteria: tuple[Criterion, ...] = ()
        self.evidence: list[Evidence] = []
        self.checks: list[CheckFinished] = []
        self.attempts: list[AttemptFinished] = []

    def apply(self, record: Record) -> None:
        self.started = self.started or record.time
        self.updated = record.time
        self.records = record.number
        match record.event:
            case SessionStarted() as event:
                self.session, self.cwd, self.version = event.session, event.cwd, event.version
                self.forked_from = event.forked_from
            case InputReceived() as event:
                self._open_turn(event)
            case Framed() as event:
                self.tree = event.tree
            case CallFinished() as event:
                self.seen.update(event.seen)
            case CriteriaDeclared() as event:
                self.criteria = event.criteria
            case CheckFinished() as event:
                self.checks.append(event)
            case EvidenceRecorded() as event:
                self.evidence.append(event.evidence)
            case AttemptFinished() as event:
                self.attempts.append(event)
            case TurnEnded() as event:
                self.turn, self.verdict, self.text = "", event.verdict, event.text
            case _:
                pass

    def _open_turn(self, event: InputReceived) -> None:
        self.turn, self.tree = event.turn, ""
        self.turns += 1
        self.model = event.model or self.model
        self.title = self.title or title_of(event)
        self.criteria, self.evidence, self.checks, self.attempts = (), [], [], []


def title_of(event: InputReceived, length: int = 80) -> str:
    """The first words of a prompt on one line, without control characters."""
    text = " ".join(part.text[: length * 4] for part in event.parts if isinstance(part, Text))
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= length else line[: length - 1] + "…"
