"""Single lines as holes: a model that was trained to fill gaps sees what comes before and after, and writes one line.

Where a line is wrong it is left out; where one is missing a gap is opened between two lines. Published repair by
infilling found the text after the gap decisive (research/test-time-compute.md, C.2).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from assay.core.model import Hole, ModelRequest
from assay.repair.excerpt import find_function
from assay.repair.patch import Edit, Patch
from assay.repair.source import first_line, inside_strings, lines_of, parsed, shares_line, span
from assay.search.slots_words import Slot

TOKENS = 24
"""Of one line at most."""
MOST = 6
"""Places in one function."""
CONTEXT = 2_400
"""Characters before and after a gap."""


class Gap(Struct, frozen=True):
    """A place for one line."""

    path: str
    line: int
    """1-based: the line that is left out, or before which the gap is."""
    inserted: bool
    """The gap is between two lines, and nothing is left out."""
    indent: str
    hole: Hole


def gaps(source: str, slot: Slot, most: int = MOST) -> list[Gap]:
    """Places in the function of `slot`, likeliest first: suspicious lines, then those that decide or answer; for each
    of the first ones the gap before it, too, since what is missing is often missing right there."""
    node = find_function(source, slot.location.symbol, slot.location.start)
    lines = lines_of(source)
    if node is None or shares_line(lines, node):
        return []
    frozen = inside_strings(node)
    weight = {line: value for line, value in _statements(node) if line not in frozen}
    for line, value in slot.lines.items():
        if line in weight:
            weight[line] += 2 * value
    if slot.case.raised:
        for line in weight:
            weight[line] += 2.0 * (lines[line - 1].strip() == slot.case.raised)
    ranked = sorted(weight, key=lambda line: (-weight[line], line))
    wanted = [pair for line in ranked for pair in ((line, False), (line, True))]
    start, end = span(node)
    return [_gap(slot.location.path, lines, (start, end), line, inserted) for line, inserted in wanted[:most]]


def _statements(node: ast.AST) -> Iterator[tuple[int, float]]:
    """Lines of simple statements and of the heads of compound ones, each on a line of its own."""
    weights: tuple[tuple[type[ast.stmt], float], ...] = (
        (ast.If, 0.6), (ast.While, 0.6), (ast.Return, 0.5), (ast.Assign, 0.4), (ast.AugAssign, 0.4), (ast.For, 0.4),
    )  # fmt: skip
    for item in ast.walk(node):
        if item is node or not isinstance(item, ast.stmt):
            continue
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
            continue
        yield first_line(item), next((weight for kind, weight in weights if isinstance(item, kind)), 0.2)


def _gap(path: str, lines: Sequence[str], bounds: tuple[int, int], line: int, inserted: bool) -> Gap:
    start, end = bounds
    indent = lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]
    before = "\n".join(lines[start - 1 : line - 1]) + "\n"
    after = "\n" + "".join(f"{text}\n" for text in lines[line - 1 if inserted else line : end])
    return Gap(path, line, inserted, indent, Hole(before[-CONTEXT:], after[:CONTEXT]))


def request_for(gap: Gap, samples: int, temperature: float, seed: int) -> ModelRequest:
    return ModelRequest(
        "",
        (),
        (),
        max_output=TOKENS,
        temperature=temperature,
        seed=seed,
        stop=("\n",),
        samples=samples,
        hole=gap.hole,
    )


def filled(source: str, gap: Gap, reply: str) -> tuple[Patch | None, str]:
    """The patch that a reply means, or None and why there is none. The reply's own indentation counts where the file
    parses with it; else that of the line that stood there."""
    text = next((line for line in reply.split("\n") if line.strip()), "").rstrip()
    if not text:
        return None, "the reply is an empty line"
    lines = lines_of(source)
    old = "" if gap.inserted else lines[gap.line - 1]
    if text.strip() == old.strip():
        return None, "the line as it was"
    ending = "\r\n" if "\r\n" in source else "\n"
    start = _offset(source, gap.line)
    stop = start if gap.inserted else start + len(old)
    for line in dict.fromkeys((text if text[0].isspace() else gap.indent + text, gap.indent + text.strip())):
        put = line + ending if gap.inserted else line
        if parsed(source[:start] + put + source[stop:]) is not None:
            return Patch((Edit(gap.path, start, stop, put),), "hole", gap.line), ""
    return None, "the file with the line is no Python"


def _offset(source: str, line: int) -> int:
    """Where line number `line` begins."""
    ends = [match.end() for match in re.finditer(r"\r\n|\r|\n", source)]
    return 0 if line == 1 else ends[line - 2]
