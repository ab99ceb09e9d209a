"""Compaction: when the window fills, history becomes a distillate and the last steps; the log keeps everything.

The distillate is made by folding the whole log, not by a model and not from an earlier distillate: it costs no tokens,
always fits, cannot invent, and cannot lose the task, the instructions, the criteria, the evidence or the list of what
was touched. A model that needs a detail again reads the file again.
"""

from __future__ import annotations

from collections.abc import Sequence

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
)
from assay.core.messages import AssistantMessage, Image, Text, ToolCall
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
_STANDING = frozenset({"environment", "instructions", "schema"})


def compact(records: Sequence[Record], keep_tokens: int) -> Compacted | None:
    """A `Compacted` event that keeps about `keep_tokens` of the newest steps verbatim and distils what is before them.

    None when there is nothing to gain: fewer than two steps lie before the kept part, or nothing that an earlier
    compaction had kept.
    """
    kept = max((record.event.keeps_from for record in records if isinstance(record.event, Compacted)), default=0)
    starts = [index for index, record in enumerate(records) if _opens_step(record)]
    keep_from = _keep_from(records, starts, keep_tokens)
    if keep_from is None or sum(start < keep_from for start in starts) < 2 or records[keep_from].number <= kept:
        return None
    return Compacted(_distil(records[:keep_from]), records[keep_from].number)


def _opens_step(record: Record) -> bool:
    return isinstance(record.event, ModelReplied) and record.event.message.failure is None


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
        case ModelReplied(message=AssistantMessage(parts=parts)):
            return sum(estimate_tokens(str(part)) for part in parts)
        case CallFinished(result=result):
            return sum(
                estimate_tokens(part.text) if isinstance(part, Text) else _IMAGE_TOKENS for part in result.content
            )
        case ContextAdded(text=text):
            return estimate_tokens(text)
        case _:
            return 0


def _distil(records: Sequence[Record]) -> str:
    asked: list[str] = []
    standing: dict[tuple[str, str], str] = {}
    said: list[str] = []
    done: list[str] = []
    changed: dict[str, None] = {}
    proved: list[str] = []
    calls: dict[str, ToolCall] = {}
    for record in records:
        match record.event:
            case InputReceived(parts=parts):
                asked.append(_wish(parts))
            case ContextAdded(owner=owner, text=text, source=source) if owner in _STANDING:
                standing[owner, source] = text
            case ModelReplied(message=message) if message.failure is None:
                calls.update((call.id, call) for call in message.calls)
                if message.text.strip():
                    said.append(_cut(message.text.strip(), _SAID_CAP))
            case CallDecided(effects=effects, decision=decision) if decision.verdict == "allow":
                changed.update((effect.target, None) for effect in effects if effect.kind in ("write", "delete"))
            case CallFinished(result=result, display=display):
                done.append(_deed(calls.get(result.call), display, failed=result.is_error))
            case CriteriaDeclared(criteria=criteria):
                proved = [*proved, *(f"criterion: {item.text}" for item in criteria)]
            case CheckFinished(run=run):
                proved.append(f"check `{run.check}`: {'passed' if run.passed else 'failed'}")
            case EvidenceRecorded(evidence=row):
                proved.append(f"evidence {row.cls}: {row.criterion}: {row.before} -> {row.after}")
            case _:
                pass
    sections = [
        *asked[:1],
        *_newest(asked[1:], _ASKED_CAP),
        *standing.values(),
        _section("What was done so far, oldest first", _newest(done, _DONE_CAP)),
        _section("Files changed so far", _newest([path[:_LINE] for path in changed], _CHANGED_CAP)),
        _section("Checks and criteria so far", _newest(_latest(proved), _PROVED_CAP)),
        _section("What you said about it", _newest(said, _SAID_CAP)),
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


def _latest(lines: list[str]) -> list[str]:
    """Each line once, where it was said last, and not too long."""
    return list(dict.fromkeys(line[: 2 * _LINE] for line in reversed(lines)))[::-1]


def _deed(call: ToolCall | None, display: str, *, failed: bool) -> str:
    what = f"{call.name} " if call else ""
    target = next((str(value) for value in call.arguments.values() if isinstance(value, str)), "") if call else ""
    line = f"{what}{target}".replace("\n", " ")[:_LINE]
    return f"- {line}{': ' + display[:_LINE] if display else ''}{' (failed)' if failed else ''}"


def _newest(lines: list[str], cap: int) -> list[str]:
    """The newest of `lines` that fit into `cap` characters, the last one in any case, with a note about the rest."""
    kept: list[str] = []
    for line in reversed(lines):
        cap -= len(line)
        if cap < 0 and kept:
            kept.append(f"[{len(lines) - len(kept)} earlier left out]")
            break
        kept.append(line)
    return kept[::-1]


def _section(title: str, lines: list[str]) -> str:
    return f"{title}:\n" + "\n".join(lines) if lines else ""
