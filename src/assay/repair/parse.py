"""What a small model wrote, read with good will: a right answer in a wrong wrapping is still a right answer.

Fences that are missing or never closed, prose around, a class around a method, everything indented, one line indented
wrongly, a tail that breaks off: each is mended when the text as it stands is no Python. Nothing here raises.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator

from msgspec import Struct

from assay.repair.source import Function, first_line, functions, inside_strings, lines_of, parsed, shifted, span

LONGEST = 60_000
"""Characters of a reply that are looked at."""
TRIMS = 40
"""Lines at the end of a reply that may be dropped until it parses."""
ALIKE = 0.8
"""How alike a line must be to count as the one that was copied."""

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE)


class Parsed(Struct, frozen=True):
    code: str = ""
    """The wanted function, dedented, with its decorators if it had any; "" when there is none."""
    imports: tuple[str, ...] = ()
    """Import statements that stood beside it."""
    reason: str = ""
    """Why there is no code, in one line."""


def function_from(reply: str, name: str) -> Parsed:
    """The function `name` in a model's reply; of several, the last complete one."""
    if not name.isidentifier():
        return Parsed(reason=f"{name!r} is no name of a function")
    best = Parsed(reason=f"no function {name} in the reply")
    for text in _pieces(reply[:LONGEST], name):
        for attempt in _mended(text, name):
            tree = parsed(attempt)
            node = _wanted(tree, name) if tree is not None else None
            if tree is None or node is None:
                continue
            return Parsed(_cut(attempt, node), _imports(tree))
        best = Parsed(reason=f"{name} in the reply is no Python")
    return best


def edit_from(reply: str, text: str) -> Parsed:
    """`text` (a function) with the `-` and `+` lines of a reply applied; lines are found by content, not by number.

    Indentation of what is put in follows the line that it replaces. `code` is the whole function.
    """
    lines = text.rstrip("\n").split("\n")
    changed = 0
    for old, new in _hunks(reply[:LONGEST])[:6]:
        at = _find(lines, old)
        if at is None or not new:
            continue
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        margin = min((len(line) - len(line.lstrip()) for line in new if line.strip()), default=0)
        lines[at : at + len(old)] = shifted(new, indent, margin, set())
        changed += 1
    if not changed:
        return Parsed(reason="no line of the reply is a line of the function")
    return Parsed("\n".join(lines) + "\n")


def _pieces(reply: str, name: str) -> Iterator[str]:
    """Texts that may hold the function, likeliest first."""
    marks = [(match.start(), match.end()) for match in _FENCE.finditer(reply)]
    blocks = [
        reply[end:start].strip("\n") for (_, end), (start, _) in zip(marks, [*marks[1:], (len(reply), 0)], strict=False)
    ]
    head = reply[: marks[0][0]] if marks else reply
    mention = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{name}\b", re.MULTILINE)
    for text in [*reversed(blocks), head]:
        if mention.search(text):
            yield text
    if (match := mention.search(reply)) is not None:
        yield _FENCE.sub("", reply[match.start() :])


def _mended(text: str, name: str) -> Iterator[str]:
    """`text` and rescues of it, mildest first."""
    from textwrap import dedent

    text = text.expandtabs(4)
    dedented = dedent(text)
    start = re.search(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{name}\b", text, re.MULTILINE)
    only = dedent(text[start.start() :]) if start else dedented
    tried = list(dict.fromkeys((dedented, only, _relevelled(only))))
    yield from tried
    for whole in tried:
        lines = whole.rstrip().split("\n")
        for cut in range(1, min(TRIMS, len(lines) - 1) + 1):
            yield "\n".join(lines[:-cut])


def _relevelled(text: str) -> str:
    """Indentation made regular: what follows a colon goes one level in, other lines to the nearest level they meant."""
    done: list[str] = []
    levels = [0]
    opened = False
    depth = 0
    for line in text.split("\n"):
        bare = line.strip()
        if not bare or depth > 0:
            done.append(line.rstrip())
            depth = max(0, depth + _balance(bare))
            continue
        own = len(line) - len(line.lstrip())
        if opened:
            levels.append(max(own, levels[-1] + 1))
        else:
            while len(levels) > 1 and own < levels[-1]:
                levels.pop()
        if not done and bare.startswith(("def ", "async def ", "@")):
            levels = [own]
        elif (
            len(levels) == 1
            and own <= levels[0]
            and done
            and not bare.startswith(("def ", "async def ", "@", "class "))
        ):
            levels.append(own + 1)  # the body of a function that was not indented at all
        done.append("    " * (len(levels) - 1) + bare)
        depth = max(0, _balance(bare))
        opened = depth == 0 and bare.split("#")[0].rstrip().endswith(":")
    return "\n".join(done)


def _balance(line: str) -> int:
    """Brackets that a line leaves open, strings roughly left out."""
    plain = re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", "", line).split("#")[0]
    return sum(plain.count(mark) for mark in "([{") - sum(plain.count(mark) for mark in ")]}")


def _wanted(tree: ast.Module, name: str) -> Function | None:
    return next((node for symbol, node in reversed([*functions(tree)]) if symbol.rsplit(".", 1)[-1] == name), None)


def _cut(text: str, node: Function) -> str:
    start, end = span(node)
    lines = lines_of(text)
    margin = len(lines[start - 1]) - len(lines[start - 1].lstrip())
    return "\n".join(shifted(lines[start - 1 : end], "", margin, inside_strings(node), start)) + "\n"


def _imports(tree: ast.Module) -> tuple[str, ...]:
    found = [statement for statement in tree.body if isinstance(statement, ast.Import | ast.ImportFrom)]
    return tuple(ast.unparse(statement) for statement in sorted(found, key=first_line))[:20]


def _hunks(reply: str) -> list[tuple[list[str], list[str]]]:
    """Pairs of removed and added lines, markers taken off."""
    found: list[tuple[list[str], list[str]]] = []
    old: list[str] = []
    new: list[str] = []
    for line in [*reply.replace("\r\n", "\n").split("\n"), "```"]:
        if line.startswith("-") and not line.startswith("---"):
            if new:
                found.append((old, new))
                old, new = [], []
            old.append(line[1:])
        elif line.startswith("+") and not line.startswith("+++"):
            new.append(line[1:])
        elif old and new:
            found.append((old, new))
            old, new = [], []
        elif line.startswith("```"):
            old, new = [], []
    return [(old, new) for old, new in found if any(line.strip() for line in old)]


def _find(lines: list[str], old: list[str]) -> int | None:
    """Where `old` stands among `lines`, indentation aside; else the place most like it."""
    wanted = [line.strip() for line in old]
    bare = [line.strip() for line in lines]
    places = range(len(bare) - len(wanted) + 1)
    for at in places:
        if bare[at : at + len(wanted)] == wanted:
            return at
    text = "\n".join(wanted)[:2_000]
    ratios = [
        (difflib.SequenceMatcher(None, "\n".join(bare[at : at + len(wanted)])[:2_000], text).ratio(), -at)
        for at in places[:400]
    ]
    best = max(ratios, default=(0.0, 0))
    return -best[1] if best[0] >= ALIKE else None
