"""Which skill a prompt is about, told without a model: so that a skill that fits is there when it is needed.

A skill counts as meant when the prompt names it (`use the changelog skill`, `release-notes`), or shares most of the
telling words of its description. Telling is what few of the skills say. In doubt nothing is loaded: the model has the
list, and can ask.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from assay.context.library.skills import Skill

_WORD = re.compile(r"[^\W_]{3,}")
_PLAIN_WORDS = """
the and for with this that from into when use used using user users skill skills want wants asks ask about what
how any are can its your you our not all has have will should must need needs please make makes made add new one
two get file files code project work task tasks help run runs running also such each then than them they there
write writes writing create creates creating do does doing don out per via etc like them
"""
_PLAIN = frozenset(_PLAIN_WORDS.split())
STRONG = 0.5
"""Share of the weight of a description's telling words that a prompt must have."""
LEAST = 3
"""Telling words that it must have at least."""
MOST = 2
"""Skills that are loaded for one prompt."""
_PROMPT = 4_000


def meant(prompt: str, skills: Iterable[Skill]) -> list[Skill]:
    """The skills that `prompt` is about, the likeliest first; at most two, mostly none."""
    asked = [skill for skill in skills if skill.for_model and not skill.fork]
    if not asked or not prompt.strip():
        return []
    prompt = prompt[:_PROMPT]
    said = _stems(prompt)
    texts = {skill.name: _stems(f"{skill.name} {skill.description} {skill.when}") for skill in asked}
    spread = {word: sum(word in text for text in texts.values()) for text in texts.values() for word in text}
    scored: list[tuple[float, Skill]] = []
    for skill in asked:
        if _named(skill.name, prompt):
            scored.append((2.0, skill))
            continue
        weights = {word: 1.0 / math.sqrt(spread[word]) for word in texts[skill.name]}
        common = said & weights.keys()
        share = sum(weights[word] for word in common) / (sum(sorted(weights.values())[-8:]) or 1.0)
        if len(common) >= LEAST and share >= STRONG:
            scored.append((share, skill))
    return [skill for _, skill in sorted(scored, key=lambda pair: (-pair[0], pair[1].name))[:MOST]]


def _named(name: str, prompt: str) -> bool:
    """The prompt says the name as such: one of several words anywhere, a plain word only next to `skill`."""
    plain = name.rpartition(":")[2].lower()
    spoken = r"[-_ ]".join(re.escape(part) for part in re.split(r"[-_]", plain) if part)
    if not spoken:
        return False
    text = prompt.lower()
    if re.search(r"[-_]", plain) and re.search(rf"(?<![\w/.-]){re.escape(plain)}(?![\w/-]|\.\w)", text):
        return True
    return bool(re.search(rf"(?<!\w){spoken}[`'\"]? skill\b|\bskill (?:called |named )?[`'\"]?{spoken}(?!\w)", text))


def _stems(text: str) -> frozenset[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(_stem(word) for word in words if word not in _PLAIN)


def _stem(word: str) -> str:
    """A rough stem of an English word: good enough to see `migrations` in `migrate`."""
    for ending in ("ations", "ation", "ating", "ings", "ing", "ions", "ion", "ies", "ied", "ers", "ates", "ate", "ed",
                   "es", "er", "s", "e", "y"):  # fmt: skip
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word
