"""Compaction: when the window fills, history becomes a distillate and the last steps; the log keeps everything.

The distillate is made by folding the log, not by a model: it costs no tokens, always fits, cannot invent, and cannot
lose the task, the instructions, the criteria, the evidence or the list of what was changed. A model that needs a detail
again reads the file again. The fold goes along with the log, so that neither its memory nor the work of a compaction
grows with the session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import cast

from assay.core.events import (
    CallDecided,
    CallFinished,
    CheckFinished,
    Compacted,
    ContextAdded,
    CriteriaDeclared,
    EvidenceRecorded,
    InputReceived,
    ModelReplied,
    TaskEnded,
    TaskStarted,
)
from assay.core.messages import AssistantMessage, Image, Json, Text, ToolCall, ToolResult
from assay.core.model import estimate_tokens
from assay.core.store import Record

_LINE = 160
_IMAGE_TOKENS = 1_500
_ASKED_CAP = 24_000
_ATTACHED_CAP = 8_000
_DONE_CAP = 6_000
_CHANGED_CAP = 3_000
_SAID_CAP = 4_000
_PROVED_CAP = 2_000
_TOLD_CAP = 6_000
_PLAN_CAP = 12_000
_SKILL_CAP = 16_000
_SKILLS = 4
"""How many skills that were called for stay, the newest."""
_STANDING = frozenset({"environment", "instructions", "schema", "rules", "style"})
_TOLD = frozenset({"hook", "task", "approval", "memory"})
"""Owners of context that stays in short."""


class Compactor:
    """A fold of the log: the records that are still verbatim in history, and a distillate of those before them."""

    def __init__(self) -> None:
        self._recent: list[Record] = []
        self._before = _Distillate()
        self._compacted = False

    def apply(self, record: Record) -> None:
        self._recent.append(record)
        if isinstance(record.event, Compacted):
            keeps = record.event.keeps_from
            self._distil(next((i for i, each in enumerate(self._recent) if each.number >= keeps), 0))

    def compact(self, keep_tokens: int, focus: str = "") -> Compacted | None:
        """An event, to be recorded, that keeps about `keep_tokens` of the newest steps verbatim and distils what is
        before them. `focus`: words of the user about what matters.

        None when there is nothing to gain: fewer than two steps lie before the kept part, or, later on, no step that an
        earlier compaction had kept.
        """
        starts = [index for index, record in enumerate(self._recent) if _opens_step(record)]
        keep_from = _keep_from(self._recent, starts, keep_tokens)
        if keep_from is None or sum(start < keep_from for start in starts) < (1 if self._compacted else 2):
            return None
        number = self._recent[keep_from].number
        self._distil(keep_from)
        if focus.strip():
            self._before.focus = _cut(focus.strip(), _SAID_CAP)
        return Compacted(self._before.text(), number)

    def _distil(self, count: int) -> None:
        """Move the oldest `count` records into the distillate."""
        for record in self._recent[:count]:
            self._before.apply(record)
        del self._recent[:count]
        self._compacted = True


def _opens_step(record: Record) -> bool:
    """A reply that history shows; one without a word or a call leaves nothing there."""
    if not isinstance(record.event, ModelReplied) or record.event.role != "solver":
        return False
    message = record.event.message
    return message.failure is None and bool(message.parts or message.native)


def _keep_from(records: Sequence[Record], starts: Sequence[int], keep_tokens: int) -> int | None:
    """Index of the reply where the verbatim part begins; always on a reply, so that every call keeps its result."""
    best: int | None = None
    weight, end = 0, len(records)
    for start in reversed(starts):
        weight += sum(_weight(record) for record in records[start:end])
        if best is not None and weight > keep_tokens:
            break
        best, end = start, start
    return best


def _weight(record: Record) -> int:
    match record.event:
        case ModelReplied(message=AssistantMessage(parts=parts), role="solver"):
            return sum(estimate_tokens(str(part)) for part in parts)
        case CallFinished(result=result):
            return sum(
                estimate_tokens(part.text) if isinstance(part, Text) else _IMAGE_TOKENS for part in result.content
            )
        case ContextAdded(text=text):
            return estimate_tokens(text)
        case _:
            return 0


class _Lines:
    """The newest lines that fit into `cap` characters, the last one in any case; each once when they are `unique`."""

    def __init__(self, cap: int, *, unique: bool = False) -> None:
        self._cap = cap
        self._unique = unique
        self._lines: deque[str] = deque()
        self._size = 0
        self._left_out = 0

    def add(self, line: str) -> None:
        if self._unique and line in self._lines:
            self._lines.remove(line)
            self._size -= len(line)
        self._lines.append(line)
        self._size += len(line)
        while len(self._lines) > 1 and self._size > self._cap:
            self._size -= len(self._lines.popleft())
            self._left_out += 1

    def all(self) -> list[str]:
        return [f"[{self._left_out} earlier left out]", *self._lines] if self._left_out else list(self._lines)


class _Distillate:
    """What is worth knowing about records that are no longer shown; as bounded as its text."""

    def __init__(self) -> None:
        self._task: str | None = None
        self._asked = _Lines(_ASKED_CAP)
        self._standing: dict[tuple[str, str], str] = {}
        self._calls: dict[str, ToolCall] = {}
        self._done = _Lines(_DONE_CAP)
        self._changed = _Lines(_CHANGED_CAP, unique=True)
        self._proved = _Lines(_PROVED_CAP, unique=True)
        self._said = _Lines(_SAID_CAP)
        self._told = _Lines(_TOLD_CAP, unique=True)
        self._skills: dict[str, str] = {}
        self._todos: list[str] = []
        self._plan = ""
        self._running: dict[str, str] = {}
        self.focus = ""

    def apply(self, record: Record) -> None:
        match record.event:
            case InputReceived(parts=parts):
                self._ask(_wish(parts))
            case ContextAdded(owner=owner, text=text, source=source) if owner in _STANDING:
                self._standing[owner, source] = text
            case ContextAdded(owner=owner, text=text) if owner in _TOLD:
                self._told.add(_cut(text, _TOLD_CAP // 2))
            case ContextAdded(owner="skill", text=text, source=source):
                self._learn(source, text)
            case TaskStarted(task=task, what=what, description=description):
                self._running[task] = f"{what} {task}: {description}"[:_LINE]
            case TaskEnded(task=task):
                self._running.pop(task, None)
            case ModelReplied(message=message, role="solver") if message.failure is None:
                self._calls = {call.id: call for call in message.calls}
                if text := message.text.strip():
                    self._said.add(_cut(text, _SAID_CAP))
            case CallDecided(effects=effects, decision=decision) if decision.verdict == "allow":
                for effect in effects:
                    if effect.kind in ("write", "delete"):
                        self._changed.add(effect.target[:_LINE])
            case CallFinished(result=result, display=display):
                call = self._calls.pop(result.call, None)
                self._done.add(_deed(call, display, failed=result.is_error))
                if call and not result.is_error:
                    self._resolve(call, result)
            case CriteriaDeclared(criteria=criteria):
                for item in criteria:
                    self._prove(f"criterion: {item.text}")
            case CheckFinished(run=run):
                self._prove(f"check `{run.check}`: {'passed' if run.passed else 'failed'}")
            case EvidenceRecorded(evidence=row):
                self._prove(f"evidence {row.cls}: {row.criterion}: {row.before} -> {row.after}")
            case _:
                pass

    def _ask(self, wish: str) -> None:
        if self._task is None:
            self._task = wish
        else:
            self._asked.add(wish)

    def _resolve(self, call: ToolCall, result: ToolResult) -> None:
        """Calls whose point is what they leave in mind."""
        match call.name:
            case "TodoWrite":
                self._todos = _todo_lines(call.arguments.get("todos"))
            case "ExitPlanMode":
                self._plan = _cut(str(call.arguments.get("plan") or ""), _PLAN_CAP) or self._plan
            case "Skill":
                text = "\n".join(part.text for part in result.content if isinstance(part, Text))
                self._learn(str(call.arguments.get("skill") or ""), text)
            case _:
                pass

    def _learn(self, name: str, text: str) -> None:
        self._skills.pop(name, None)
        self._skills[name] = _cut(text, _SKILL_CAP)
        while len(self._skills) > _SKILLS:
            del self._skills[next(iter(self._skills))]

    def _prove(self, line: str) -> None:
        self._proved.add(line[: 2 * _LINE])

    def text(self) -> str:
        sections = [
            self._task or "",
            *self._asked.all(),
            *self._standing.values(),
            *self._skills.values(),
            _section("What the user wants kept in mind", [self.focus] if self.focus else []),
            _section("The plan, approved by the user", [self._plan] if self._plan else []),
            _section("The todo list", self._todos),
            _section("Still running in the background", list(self._running.values())),
            _section("What was done so far, oldest first", self._done.all()),
            _section("Files changed so far", self._changed.all()),
            _section("Checks and criteria so far", self._proved.all()),
            _section("What you were told meanwhile", self._told.all()),
            _section("What you said about it", self._said.all()),
            "[Earlier steps were distilled by the harness. Files may be read again; nothing needs to be redone.]",
        ]
        return "\n\n".join(section for section in sections if section)


def _wish(parts: Sequence[Text | Image]) -> str:
    """What the user asked for: their own words, and the beginning of what was attached to them."""
    words = [part.text for part in parts if isinstance(part, Text)]
    return "\n\n".join(
        [_cut(text, _ASKED_CAP) for text in words[:1]] + [_cut(text, _ATTACHED_CAP) for text in words[1:]]
    )


def _cut(text: str, cap: int) -> str:
    return text if len(text) <= cap else f"{text[:cap]}\n[... cut at {cap} of {len(text)} characters]"


def _deed(call: ToolCall | None, display: str, *, failed: bool) -> str:
    what = f"{call.name} " if call else ""
    target = next((str(value) for value in call.arguments.values() if isinstance(value, str)), "") if call else ""
    line = f"{what}{target}".replace("\n", " ")[:_LINE]
    return f"- {line}{': ' + display[:_LINE] if display else ''}{' (failed)' if failed else ''}"


def _todo_lines(todos: Json) -> list[str]:
    if not isinstance(todos, list):
        return []
    rows = [cast("dict[str, Json]", row) for row in cast("list[Json]", todos) if isinstance(row, dict)]
    return [f"- [{row.get('status')}] {str(row.get('content') or '')[:_LINE]}" for row in rows[:100]]


def _section(title: str, lines: list[str]) -> str:
    return f"{title}:\n" + "\n".join(lines) if lines else ""
