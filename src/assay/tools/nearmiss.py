"""What a model may have meant by text that a file does not contain; bounded work, whatever the sizes."""

from __future__ import annotations

import re

from assay.tools.bound import visible

_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_CANDIDATES = 40
"""Words of `old` that are looked for, the longest first."""
_ANCHORS = 8
"""Of those, the rarest in the file, which point at places."""
_PLACES = 2_000
"""Occurrences of one word that are considered."""
_COMPARED = 600
"""Tokens of each side that are compared exactly."""
_ROWS = 12


def near_misses(view: str, old: str) -> str:
    """Why `old` is not in `view`, in a few lines: numbers copied along, white space, or the closest places."""
    lines = view.split("\n")
    wanted = old.strip("\n").split("\n")
    unnumbered = [re.sub(r"^\s*\d+\t", "", line, count=1) for line in wanted]
    if unnumbered != wanted and "\n".join(unnumbered) in view:
        return "old_string holds the line numbers of the Read view; leave them out."
    start = _same_but_space(lines, wanted)
    if start >= 0:
        return _space_difference(lines, wanted, start)
    ranked = _ranked(lines, wanted, view)
    if not ranked:
        return "Nothing in the file is like it; read the file."
    best, ratio = ranked[0]
    closest = ", ".join(f"{_range(at, len(wanted))} ({share:.0%} alike)" for at, share in ranked)
    return f"Closest: {closest}.\n" + _differences(lines, wanted, best) if ratio > 0.3 else f"Closest: {closest}."


def _range(start: int, count: int) -> str:
    return f"line {start + 1}" if count == 1 else f"lines {start + 1}-{start + count}"


def _same_but_space(lines: list[str], wanted: list[str]) -> int:
    """Index of the first line where `wanted` matches when white space within lines is ignored, or -1."""
    bare = ["".join(line.split()) for line in wanted]
    if not any(bare):
        return -1
    # The longest line is the rarest; only where it matches is the rest compared.
    key = max(range(len(bare)), key=lambda index: len(bare[index]))
    tries = _PLACES // len(bare) + 1
    for at, line in enumerate(lines):
        if len(line) >= len(bare[key]) and "".join(line.split()) == bare[key] and at >= key:
            tries -= 1
            if not tries:
                break
            window = lines[at - key : at - key + len(bare)]
            if ["".join(text.split()) for text in window] == bare:
                return at - key
    return -1


def _space_difference(lines: list[str], wanted: list[str], start: int) -> str:
    there = _range(start, len(wanted))
    for offset, line in enumerate(wanted):
        real = lines[start + offset]
        # An `old` that begins or ends within a line lacks that line's outer white space; that is no difference.
        inner = offset in (0, len(wanted) - 1) and line in real
        if line != real and not inner:
            return (
                f"It matches {there} but for white space. Line {start + offset + 1} of the file is "
                f"{_quoted(real)}, old_string has {_quoted(line)}."
            )
    return f"It matches {there} but for the empty lines or white space at its ends."


def _quoted(line: str) -> str:
    return '"' + visible(line[:200]).replace("\t", "\\t") + '"'


def _ranked(lines: list[str], wanted: list[str], view: str) -> list[tuple[int, float]]:
    """Up to three starts of windows, with how alike they are, best first. Windows are found by the rarest words."""
    from difflib import SequenceMatcher

    words = sorted(set(_WORD.findall("\n".join(wanted)[:20_000])), key=lambda word: (-len(word), word))
    counts = {word: view.count(word) for word in words[:_CANDIDATES]}
    anchors = sorted((word for word in counts if counts[word]), key=lambda word: (counts[word], word))[:_ANCHORS]
    if not anchors:
        return []
    at_line = {word: index for index, line in reversed(list(enumerate(wanted))) for word in _WORD.findall(line)}
    scores: dict[int, float] = {}
    for word in anchors:
        for number in _lines_with(view, word):
            start = min(max(number - at_line[word], 0), len(lines) - 1)
            scores[start] = scores.get(start, 0.0) + 1 / counts[word]
    likely = sorted(scores, key=lambda start: (-scores[start], start))[:5]
    matcher = SequenceMatcher(None, [], _tokens(wanted), autojunk=False)
    ranked: list[tuple[int, float]] = []
    for start in likely:
        matcher.set_seq1(_tokens(lines[start : start + len(wanted)]))
        ranked.append((start, matcher.ratio()))
    ranked.sort(key=lambda item: (-item[1], item[0]))
    return [item for item in ranked if item[1] >= ranked[0][1] * 0.7][:3]


def _tokens(lines: list[str]) -> list[str]:
    return _TOKEN.findall("\n".join(lines)[: _COMPARED * 10])[:_COMPARED]


def _lines_with(view: str, word: str) -> list[int]:
    """Indexes of lines that hold `word`, at most some thousands."""
    found: list[int] = []
    at = view.find(word)
    line = done = 0
    while at >= 0 and len(found) < _PLACES:
        line += view.count("\n", done, at)
        done = at
        found.append(line)
        at = view.find(word, at + len(word))
    return found


def _differences(lines: list[str], wanted: list[str], start: int) -> str:
    """The lines of the best window that differ, bounded."""
    from difflib import SequenceMatcher

    wanted = wanted[:100]
    real = lines[start : start + len(wanted)]
    rows: list[str] = []
    for kind, low, high, other_low, other_high in SequenceMatcher(None, wanted, real, autojunk=False).get_opcodes():
        if kind != "equal":
            rows += [f"old:  {visible(line[:200])}" for line in wanted[low:high][:6]]
            rows += [
                f"{start + number + 1}:\t{visible(real[number][:200])}" for number in range(other_low, other_high)[:6]
            ]
    return "\n".join(rows[:_ROWS])
