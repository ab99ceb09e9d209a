"""A change that is asked for while nothing is red: best effort, called no more than it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from assay.core.events import AttemptFinished
from assay.repair.normal import normal_key
from assay.repair.patch import Patch
from assay.search.slots import LOST_SAMPLE, NAME
from assay.search.slots_asks import asks
from assay.search.slots_plan import Step, slots_of
from assay.search.slots_words import Failing, Found, Limits, Ports

UNPROVEN = "nothing failed before the change, so no check shows that it does what was asked"
_WISH = re.compile(
    r"\b(?:fix|repair|mend|correct|implement|add|change|make|write|rename|remove|replace|handle|support|refactor"
    r"|bug|wrong|broken|fails?|crash(?:es)?|should|must|instead of|incorrect(?:ly)?)\b",
    re.IGNORECASE,
)


def wants_change(task: str) -> bool:
    """Whether a task asks for a change to code rather than for words."""
    text = task.strip()
    return bool(_WISH.search(text)) and not text.endswith("?")


async def by_words(task: str, sources: Mapping[str, str], ports: Ports, limits: Limits) -> Found | None:
    """A few candidates for the place that the task names; the one that most of them agree on is put before the gate
    first, which refuses what breaks anything. None when the task names no place."""
    slots = slots_of(sources, Failing(""), task, replace(limits, locations=1))
    if not slots:
        return None
    steps = [Step(slots[0], "whole-report"), Step(slots[0], "line-report")]
    steps.append(Step(slots[0], "whole-report", limits.temperature, limits.batch))
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
    return await _judged(slots[0].name, [firsts[key] for key, _ in votes.most_common()], number, ports)


async def _judged(where: str, drafts: Sequence[tuple[int, Patch]], made: int, ports: Ports) -> Found:
    found: Found | None = None
    for number, patch in drafts:
        if found is not None:
            ports.record(AttemptFinished(number, NAME, where, "red", "another was taken"))
            continue
        judged = await ports.judge(patch)
        result = "green" if judged.kept else "red"
        ports.record(AttemptFinished(number, NAME, where, result, judged.note, judged.tree))
        if judged.kept:
            why = "it breaks nothing, and more samples agree on it than on any other"
            found = Found(patch, where, made, number, number == 1, why, doubts=(UNPROVEN,))
    return found or Found(attempts=made, why=f"none of {made} candidates left everything else as it was")


def _key(patch: Patch, sources: Mapping[str, str]) -> str:
    """Equal for patches that come to the same; "" for one that changes nothing."""
    changed = {path: normal_key(text) for path, text in patch.apply(sources).items()}
    same = all(normal_key(sources[path]) == key for path, key in changed.items())
    return "" if same else repr(sorted(changed.items()))
