"""A change that is asked for while nothing is red: best effort, called no more than it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from assay.core.events import AttemptFinished
from assay.repair.normal import normal_key
from assay.repair.patch import Patch
from assay.search.slots import LOST_SAMPLE, NAME
from assay.search.slots_asks import asks
from assay.search.slots_plan import Step, slots_of
from assay.search.slots_words import Failing, Found, Limits, Ports, Slot

UNPROVEN = "nothing failed before the change, so no check shows that it does what was asked"
_VERBS = (
    "fix|repair|mend|correct|implement|add|change|make|write|rename|remove|replace|handle|support|refactor|solve|complete"
    "|create|update|extend|rewrite"
)
_ORDER = re.compile(
    r"(?:(?:please|then|and|also|now|but|so|just|can you|could you|would you|will you|kindly)[\s,]+)*"
    rf"(?:{_VERBS})\b",
    re.IGNORECASE,
)
_WISH = re.compile(
    rf"\b(?:{_VERBS}|bug|wrong|broken|fails?|crash(?:es)?|should|must|instead of|incorrect(?:ly)?)\b",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"(?:(?:please|can you|could you|would you|will you)[\s,]+)*"
    r"(?:(?:explain|describe|summari[sz]e|tell me|show me)\b"
    r"|(?:what|why|how|where|when|who|which)\s+(?:is|are|was|were|does|do|did|can|could|should|would|has|have)\b)",
    re.IGNORECASE,
)
_NEW = re.compile(
    r"\b(?:add|write|create|implement|define|make)\s+(?:(?:me|a|an|another|the|new)\s+)*(?:\w+\s+){0,2}?"
    r"(?:functions?|methods?|class(?:es)?|modules?|files?|scripts?|programs?)\b(?:\s+(?:called|named)\b)?\s*`?\w*",
    re.IGNORECASE,
)


def _sentences(task: str) -> list[str]:
    return [part for part in (each.strip() for each in re.split(r"(?<=[.!?;])\s+|\n+", task)) if part]


def is_question(task: str) -> bool:
    """Whether a task asks for words alone: something is asked or to be explained, and nothing to be done or wrong."""
    parts = _sentences(task)
    rest = [part for part in parts if not (part.endswith("?") or _QUESTION.match(part))]
    return len(rest) < len(parts) and not any(map(_ORDER.match, parts)) and not any(map(_WISH.search, rest))


def wants_change(task: str) -> bool:
    """Whether a task asks for a change to code rather than for words."""
    return not is_question(task) and bool(_WISH.search(task))


def place_named(task: str, sources: Mapping[str, str], limits: Limits) -> Slot | None:
    """The one function that the task is about by its words: it names it, or its file, which has no other. None, too,
    when what is asked for is nothing that is there."""
    words = set(re.findall(r"\w+", task))
    slots = slots_of(sources, Failing(""), task, limits)
    named = [slot for slot in slots if slot.location.symbol.rpartition(".")[2] in words]
    known = {slot.case.shown.name for slot in named}
    if any(known.isdisjoint(re.findall(r"\w+", new[0])) for new in _NEW.finditer(task)):
        return None
    if not named:
        files = [slot for slot in slots if slot.location.path.rpartition("/")[2] in task]
        named = files if len(files) == 1 else []
    return named[0] if named else None


async def by_words(slot: Slot, sources: Mapping[str, str], ports: Ports, limits: Limits) -> Found:
    """A few candidates for `slot`; the one that most of them agree on is put before the gate first, which refuses what
    breaks anything."""
    steps = [Step(slot, "whole-report"), Step(slot, "line-report")]
    steps.append(Step(slot, "whole-report", limits.temperature, limits.batch))
    votes: Counter[str] = Counter()
    firsts: dict[str, tuple[int, Patch]] = {}
    number = 0
    for ask in asks(steps, sources, ports.prefill):
        if number >= limits.total or ports.spent():
            break
        message = await ports.ask(ask.request(number + 1))
        if message.failure is not None and message.failure.kind not in LOST_SAMPLE:
            return Found(attempts=number, why=message.failure.message, failure=message.failure)
        for text in (message.text, *message.others):
            number += 1
            patch, reason = ask.read(text)
            key = _key(patch, sources) if patch else ""
            if patch is None or not key:
                ports.record(AttemptFinished(number, NAME, ask.where, "invalid", reason or "it changes nothing"))
                continue
            if key in votes:
                ports.record(AttemptFinished(number, NAME, ask.where, "duplicate"))
            votes[key] += 1
            firsts.setdefault(key, (number, patch))
    return await _judged(slot.name, [(*firsts[key], many) for key, many in votes.most_common()], number, ports)


async def _judged(where: str, drafts: Sequence[tuple[int, Patch, int]], made: int, ports: Ports) -> Found:
    """`drafts`: number of the first sample, what it proposes, and how many propose that."""
    found: Found | None = None
    for number, patch, votes in drafts:
        if found is not None:
            ports.record(AttemptFinished(number, NAME, where, "plausible", "another was taken"))
            continue
        judged = await ports.judge(patch)
        result = "green" if judged.kept else "red"
        ports.record(AttemptFinished(number, NAME, where, result, judged.note, judged.tree))
        if judged.kept:
            why = f"it breaks nothing, and {votes} of {made} samples propose it"
            found = Found(patch, where, made, number, number == 1, why, doubts=(UNPROVEN,))
    return found or Found(attempts=made, why=f"none of {made} candidates left everything else as it was")


def _key(patch: Patch, sources: Mapping[str, str]) -> str:
    """Equal for patches that come to the same; "" for one that changes nothing."""
    changed = {path: normal_key(text) for path, text in patch.apply(sources).items()}
    same = all(normal_key(sources[path]) == key for path, key in changed.items())
    return "" if same else repr(sorted(changed.items()))
