"""The parts of a long text that have to do with what is looked for."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w{3,}")
_COMMON = frozenset({
    "about", "all", "and", "any", "are", "content", "does", "find", "for", "from", "give", "has", "have", "how", "into",
    "its", "list", "page", "please", "show", "tell", "text", "that", "the", "there", "this", "use", "was", "what",
    "when", "where", "which", "who", "why", "will", "with",
})  # fmt: skip


def relevant(text: str, wanted: str, limit: int) -> str:
    """`text` if it has at most `limit` characters; else its start, and the paragraphs that hold most of the rare
    words of `wanted`, in their order, with `[…]` where something is left out."""
    if len(text) <= limit:
        return text
    parts = [piece for part in text.split("\n\n") for piece in _pieces(part, limit // 8)]
    lowered = [part.lower() for part in parts]
    words = set(_WORD.findall(wanted.lower())) - _COMMON
    spread = {word: sum(word in part for part in lowered) for word in words}
    score = [sum(1 / spread[word] for word in words if word in part) for part in lowered]
    room = limit - limit // 10
    chosen: set[int] = set()
    lead = 0
    while lead < len(parts) and sum(len(parts[index]) + 2 for index in chosen) < limit // 5:
        chosen.add(lead)
        lead += 1
    room -= sum(len(parts[index]) + 2 for index in chosen)
    for index in sorted(range(len(parts)), key=lambda index: (-score[index], index)):
        near = [at for at in (index, index + 1) if at < len(parts) and at not in chosen]
        for at in near if score[index] else near[:1]:
            if len(parts[at]) + 2 <= room:
                chosen.add(at)
                room -= len(parts[at]) + 2
    shown: list[str] = []
    last = -1
    for index in sorted(chosen):
        if index > last + 1:
            shown.append("[…]")
        shown.append(parts[index])
        last = index
    return "\n\n".join(shown if last == len(parts) - 1 else [*shown, "[…]"])


def _pieces(part: str, size: int) -> list[str]:
    return [part[at : at + size] for at in range(0, len(part), size)] or [""]
