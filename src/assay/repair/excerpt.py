"""What a small model is shown: a function without its long documentation, and a failing test cut to the point."""

from __future__ import annotations

import ast
import re
import textwrap

from msgspec import Struct

from assay.repair.source import (
    Function,
    docstring,
    first_line,
    functions,
    inside_strings,
    lines_of,
    parsed,
    shares_line,
    shifted,
    span,
)
from assay.repair.traceback import Failure

TEST_LINES = 14
SUMMARY = 200


class Shown(Struct, frozen=True):
    """A function as it is put before a model."""

    text: str
    """Dedented; the docstring cut to its first paragraph. Ends with a line end."""
    head: str
    """Its lines up to the body, without a final line end: decorators and signature."""
    name: str


def find_function(source: str, symbol: str, near: int = 0) -> Function | None:
    """The function `symbol` of `source`; of several with that name, the one nearest to line `near`."""
    tree = parsed(source)
    if tree is None:
        return None
    found = [node for name, node in functions(tree) if name == symbol]
    return min(found, key=lambda node: abs(span(node)[0] - near), default=None)


def show(source: str, symbol: str, near: int = 0) -> Shown | None:
    """The function `symbol` of `source` as a model should see it, or None when it isn't there."""
    node = find_function(source, symbol, near)
    if node is None:
        return None
    lines = lines_of(source)
    start, end = span(node)
    body = [(number, lines[number - 1]) for number in range(start, end + 1)]
    text = docstring(node)
    if text is not None and text.end_lineno and text.end_lineno > text.lineno and len(node.body) > 1:
        summary = f'{" " * text.col_offset}"""{_summary(text)}"""'
        body = [pair for pair in body if not text.lineno < pair[0] <= text.end_lineno]
        body = [(number, summary if number == text.lineno else line) for number, line in body]
    frozen = inside_strings(node)
    margin = len(lines[start - 1]) - len(lines[start - 1].lstrip())
    shown = [(number, shifted([line], "", margin, frozen, number)[0]) for number, line in body]
    head = [line for number, line in shown if number < body_line(node, lines)]
    return Shown("\n".join(line for _, line in shown).rstrip() + "\n", "\n".join(head), node.name)


SPEC_CHARACTERS = 1_200
"""Of a specification, at most."""


class Spec(Struct, frozen=True):
    """What a function is to do, without how it does it now."""

    head: str
    """Decorators, signature and whole docstring, dedented, without a final line end: how a good answer begins."""
    words: str = ""
    """What the file says beside it: strings on the level of the module, for a function without a docstring."""
    owner: str = ""
    """For a method: the head of its class and its `__init__`, dedented."""


def spec_of(source: str, symbol: str, near: int = 0) -> Spec | None:
    """The specification of the function `symbol` of `source`, or None when it isn't there."""
    node, tree = find_function(source, symbol, near), parsed(source)
    if node is None or tree is None:
        return None
    lines = lines_of(source)
    start = span(node)[0]
    text = docstring(node)
    last = text.end_lineno if text is not None and text.end_lineno else body_line(node, lines) - 1
    if shares_line(lines, node) or last < start:
        head = [*lines[start - 1 : node.lineno - 1], ast.unparse(node).split("\n")[len(node.decorator_list)]]
        return Spec(textwrap.dedent("\n".join(head)), _beside(tree), "")
    margin = len(lines[start - 1]) - len(lines[start - 1].lstrip())
    head = shifted(lines[start - 1 : last], "", margin, set())
    written = "\n".join(head).rstrip()
    if len(written) > SPEC_CHARACTERS and text is not None:
        shown = show(source, symbol, near)
        written = f'{shown.head}\n    """{_summary(text)}"""' if shown else written[:SPEC_CHARACTERS]
    return Spec(written, "" if text is not None else _beside(tree), _owner(tree, symbol, lines))


def _beside(tree: ast.Module) -> str:
    """Strings on the level of the module: its docstring, and notes that some put after their code."""
    found = [
        item.value.value.strip()
        for item in tree.body
        if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant) and isinstance(item.value.value, str)
    ]
    return "\n\n".join(found)[:SPEC_CHARACTERS]


def _owner(tree: ast.Module, symbol: str, lines: list[str]) -> str:
    """What a method needs to know of its class."""
    name = symbol.rpartition(".")[0]
    if not name:
        return ""
    node = next((item for item in ast.walk(tree) if isinstance(item, ast.ClassDef) and item.name == name), None)
    made = (
        next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
        if node
        else None
    )
    if node is None:
        return ""
    body = (
        lines[span(made)[0] - 1 : made.end_lineno][:16] if made is not None and not symbol.endswith(".__init__") else []
    )
    return textwrap.dedent("\n".join([lines[node.lineno - 1], *body]))


def body_line(node: Function, lines: list[str]) -> int:
    """The first line under the signature, comments included; the first line of all for a body on the line of `def`."""
    number = first_line(node.body[0])
    if shares_line(lines, node):
        return span(node)[0]
    while number - 2 >= node.lineno and lines[number - 2].strip()[:1] in ("", "#"):
        number -= 1
    return number


def _summary(text: ast.Expr) -> str:
    """The first paragraph of a docstring, safe between triple quotes."""
    value = text.value.value if isinstance(text.value, ast.Constant) else ""
    words = " ".join(re.split(r"\n\s*\n|^\s*>>>", str(value).strip(), maxsplit=1, flags=re.MULTILINE)[0].split())[
        :SUMMARY
    ]
    return words.replace("\\", "/").replace('"', "'")


def excerpt_of_test(source: str, test: str, failure: Failure | None) -> str:
    """The failing test `test` (an identity) as text: parameters, head, and the lines around the one that failed."""
    name = re.split(r"\[", test, maxsplit=1)[0].replace("::", ".").rsplit(".", 1)[-1]
    tree = parsed(source)
    node = next((node for symbol, node in functions(tree) if symbol.rsplit(".", 1)[-1] == name), None) if tree else None
    # An object shown by its address tells nothing.
    arguments = [item for item in failure.arguments if " at 0x" not in item] if failure else []
    if node is None:
        return "\n".join([*arguments, failure.statement if failure else ""]).strip()
    lines = textwrap.dedent("\n".join(lines_of(source)[node.lineno - 1 : node.end_lineno])).splitlines()
    text = docstring(node)
    if text is not None and text.end_lineno:
        del lines[text.lineno - node.lineno : text.end_lineno - node.lineno + 1]
    lines = [line for line in lines if line.strip() and not line.strip().startswith("#")]
    if len(lines) > TEST_LINES:
        wanted = failure.statement if failure else ""
        at = next((n for n, line in enumerate(lines) if wanted and line.strip() == wanted), 1)
        first = max(1, at - TEST_LINES // 2)
        lines = [lines[0], *lines[first : max(at + 2, first + TEST_LINES - 4)]]
    return "\n".join([*arguments, *(line[:200] for line in lines)])
