"""New code put into a file: what was missing is added, stubs are replaced, and what is written already stays."""

from __future__ import annotations

import ast
import itertools
import re
import textwrap
from collections.abc import Collection, Sequence

from assay.repair.missing import usual
from assay.repair.parse import LONGEST
from assay.repair.source import Function, first_line, inside_strings, lines_of, parsed, shifted, with_ends
from assay.repair.splice import Spliced, unbound
from assay.repair.unwritten import is_stub

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE)
TRIMS = 60
"""Lines at the end of a reply that may be dropped until it parses."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def module_from(reply: str, names: Collection[str]) -> tuple[str, str]:
    """The Python in a model's reply that defines `names` (all of them where possible), and "" or why there is none. Of
    several fenced blocks, the fullest that parses; a tail that breaks off is dropped. Never raises."""
    best, most = "", 0
    for block in _blocks(reply[:LONGEST]):
        code = _mended(block)
        tree = parsed(code) if code else None
        if tree is None:
            continue
        held = len({item.name for item in tree.body if isinstance(item, Definition)} & set(names))
        held += sum(name in _assigned(tree) for name in names)
        if held > most:
            best, most = code, held
    return (best, "") if best else ("", f"no definition of {', '.join(names)} in the reply")


def _blocks(reply: str) -> list[str]:
    marks = [(match.start(), match.end()) for match in _FENCE.finditer(reply)]
    if not marks:
        return [reply]
    edges = [*marks, (len(reply), len(reply))]
    inside = [reply[end:start].strip("\n") for (_, end), (start, _) in itertools.pairwise(edges)]
    return [block for block in [reply[: marks[0][0]], *inside] if block.strip()]


def _mended(text: str) -> str:
    text = textwrap.dedent(text.expandtabs(4)).strip("\n")
    if parsed(text) is not None:
        return text
    lines = text.rstrip().split("\n")
    for cut in range(1, min(TRIMS, len(lines))):
        shorter = "\n".join(lines[:-cut])
        if parsed(shorter) is not None:
            return shorter
    return ""


def _assigned(tree: ast.Module) -> set[str]:
    targets = [target for item in tree.body if isinstance(item, ast.Assign) for target in item.targets]
    targets += [item.target for item in tree.body if isinstance(item, ast.AnnAssign) and item.value is not None]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def merge(source: str, code: str, wanted: Sequence[str] = ()) -> Spliced:
    """`source` with the definitions of `code`: those that it lacks are added at its end, its stubs replaced, and
    classes given the methods that they lack. Imports that it lacks go to its top. What it has written already stays,
    unless it is named in `wanted`. Statements that only run something (prints, tests, a main guard) are left out."""
    before = source
    source, code = source.replace("\r\n", "\n"), code.replace("\r\n", "\n")
    old, new = parsed(source), parsed(code)
    if old is None or new is None:
        return Spliced(reason="the file or the new text is no Python")
    text = source
    fresh = lines_of(code)
    added: list[str] = []
    values: list[str] = []
    known, made = _assigned(old), {item.name for item in new.body if isinstance(item, Definition)}
    for item in new.body:
        if isinstance(item, ast.Import | ast.ImportFrom):
            text = _imported(text, item)
        elif isinstance(item, Definition):
            if item.name.startswith("test_") and item.name not in wanted:
                continue
            placed = _placed(text, item, fresh, wanted)
            if placed is None:
                added.append(_text(fresh, item))
            else:
                text = placed
        elif (names := _assigned(ast.Module([item], []))) and not names & known:
            # What is made of a definition stands behind it.
            (added if made & _read(item) else values).append(_text(fresh, item))
    if values:
        text = _after_imports(text, "\n".join(values))
    if added:
        text = _appended(text, added)
    if text == source:
        return Spliced(reason="the new text defines nothing that the file lacks")
    tree = parsed(text)
    if tree is None:
        return Spliced(reason="the file with the new text is no Python")
    for name in unbound(tree, new):
        # What a small model forgets most often.
        for statement in usual(name)[:1]:
            text = _after_imports(text, statement)
    return Spliced(with_ends(before, text))


def _read(item: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(item) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _text(lines: list[str], item: ast.stmt) -> str:
    return "\n".join(lines[first_line(item) - 1 : item.end_lineno])


def _placed(text: str, item: Definition, fresh: list[str], wanted: Sequence[str]) -> str | None:
    """`text` with `item` in the place of its namesake where that may be replaced; None when it has none."""
    tree = parsed(text)
    old = (
        next((node for node in tree.body if isinstance(node, Definition) and node.name == item.name), None)
        if tree
        else None
    )
    if old is None:
        return None
    if item.name in wanted or _idle(old):
        return _replaced(text, old, _text(fresh, item).split("\n"), item)
    if isinstance(old, ast.ClassDef) and isinstance(item, ast.ClassDef):
        return _completed(text, item, fresh, wanted)
    return text


def _idle(node: Definition) -> bool:
    if not isinstance(node, ast.ClassDef):
        return is_stub(node)
    methods = [item for item in node.body if isinstance(item, Function)]
    return not node.bases and all(is_stub(item) for item in methods)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _replaced(text: str, old: Definition, lines: list[str], new: Definition) -> str:
    """The docstring of the old definition stays where the new one has none."""
    whole = lines_of(text)
    body = first_line(new.body[0]) - first_line(new)
    if ast.get_docstring(old) and not ast.get_docstring(new) and body:
        note = old.body[0]
        written = whole[note.lineno - 1 : note.end_lineno]
        margin = _indent(lines[body])
        kept = shifted(written, margin, note.col_offset, inside_strings(note), note.lineno)
        lines = [*lines[:body], *kept, *lines[body:]]
    start = first_line(old)
    return "\n".join([*whole[: start - 1], *lines, *whole[old.end_lineno or start :]])


def _completed(text: str, item: ast.ClassDef, fresh: list[str], wanted: Sequence[str]) -> str:
    """The class of `text` with the methods of `item` that it lacks or has as stubs."""
    for method in [node for node in item.body if isinstance(node, Function)]:
        tree = parsed(text)
        owner = (
            next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == item.name), None)
            if tree
            else None
        )
        if owner is None or not owner.body:
            return text
        indent = _indent(lines_of(text)[first_line(owner.body[0]) - 1])
        lines = shifted(
            _text(fresh, method).split("\n"), indent, method.col_offset, inside_strings(method), first_line(method)
        )
        old = next((node for node in owner.body if isinstance(node, Function) and node.name == method.name), None)
        whole = lines_of(text)
        if old is None:
            end = owner.end_lineno or owner.lineno
            text = "\n".join([*whole[:end], "", *lines, *whole[end:]])
        elif is_stub(old) or f"{item.name}.{method.name}" in wanted:
            start = first_line(old)
            text = "\n".join([*whole[: start - 1], *lines, *whole[old.end_lineno or start :]])
    return text


def _imported(text: str, item: ast.Import | ast.ImportFrom) -> str:
    tree = parsed(text)
    statement = ast.unparse(item)
    if tree is None or any(ast.unparse(node) == statement for node in tree.body):
        return text
    if isinstance(item, ast.ImportFrom) and item.module == "__future__":
        return text
    return _after_imports(text, statement)


def _after_imports(text: str, statement: str) -> str:
    tree = parsed(text)
    line = 0
    for nth, node in enumerate(tree.body if tree is not None else []):
        note = nth == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if note or isinstance(node, ast.Import | ast.ImportFrom):
            line = node.end_lineno or line
    lines = lines_of(text)
    return "\n".join([*lines[:line], statement, *lines[line:]])


def _appended(text: str, added: Sequence[str]) -> str:
    """At the end, but before the guard that runs the file as a program."""
    tree = parsed(text)
    last = tree.body[-1] if tree is not None and tree.body else None
    block = "\n\n\n".join(part.strip("\n") for part in added) + "\n"
    if isinstance(last, ast.If) and "__name__" in ast.unparse(last.test):
        lines = lines_of(text)
        head = "\n".join(lines[: last.lineno - 1]).rstrip("\n")
        return f"{head}\n\n\n{block}\n\n" + "\n".join(lines[last.lineno - 1 :])
    head = text.rstrip("\n")
    return f"{head}\n\n\n{block}" if head.strip() else block
