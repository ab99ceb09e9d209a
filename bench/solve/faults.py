"""Faults that a person makes in working code, put in by rule: mostly a step that is missing or misplaced, which is
another kind than the wrong operators and constants that mutation repair undoes.

`faults` yields them for one source file, in the file's order; each is the new text of the file.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Fault(NamedTuple):
    """`kind` is the rule's name, `symbol` the function it is in, `line` where."""

    kind: str
    symbol: str
    line: int
    text: str


class Source:
    """A file as bytes with the places of its syntax tree."""

    def __init__(self, text: str) -> None:
        self.data = text.encode()
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def begin(self, node: ast.AST) -> int:
        return self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]  # nodes with a place

    def end(self, node: ast.AST) -> int:
        return self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]  # likewise

    def of(self, node: ast.AST) -> str:
        return self.data[self.begin(node) : self.end(node)].decode()

    def put(self, *changes: tuple[ast.AST, str]) -> str:
        """The text with some nodes replaced."""
        data = self.data
        for node, text in sorted(changes, key=lambda change: -self.begin(change[0])):
            data = data[: self.begin(node)] + text.encode() + data[self.end(node) :]
        return data.decode()

    def lines(self, first: int, last: int) -> str:
        return self.data[self.starts[first - 1] : self.starts[last]].decode()

    def cut(self, first: int, last: int, instead: str = "") -> str:
        """The text without the lines `first` to `last`."""
        return (self.data[: self.starts[first - 1]] + instead.encode() + self.data[self.starts[last] :]).decode()


Rule = Callable[[Source, Function], Iterator[tuple[ast.AST, str]]]


def _lost_guard(source: Source, function: Function) -> Iterator[tuple[ast.AST, str]]:
    """`if ...: return|raise|continue` is gone."""
    for body in _bodies(function):
        for node in body:
            plain = isinstance(node, ast.If) and not node.orelse and len(node.body) == 1 and len(body) > 1
            if plain and isinstance(node.body[0], ast.Return | ast.Raise | ast.Continue):
                yield node, source.cut(node.lineno, node.end_lineno or node.lineno)


def _swapped_branches(source: Source, function: Function) -> Iterator[tuple[ast.AST, str]]:
    """The two branches of an `if` have changed places."""
    for node in ast.walk(function):
        if isinstance(node, ast.If) and len(node.orelse) > 0 and not _is_elif(node):
            one = source.lines(node.body[0].lineno, node.body[-1].end_lineno or 0)
            other = source.lines(node.orelse[0].lineno, node.orelse[-1].end_lineno or 0)
            between = source.lines((node.body[-1].end_lineno or 0) + 1, node.orelse[0].lineno - 1)
            last = node.orelse[-1].end_lineno or 0
            if node.body[0].lineno > node.lineno and between.strip():
                yield node, source.cut(node.body[0].lineno, last, other + between + one)


def _forgotten_update(source: Source, function: Function) -> Iterator[tuple[ast.AST, str]]:
    """A statement that changes something in a loop or a method is gone."""
    for body in _bodies(function):
        for node in body:
            changed = isinstance(node, ast.AugAssign) or _is_method_call(node) or _is_attribute_set(node)
            if changed and len(body) > 1:
                yield node, source.cut(node.lineno, node.end_lineno or node.lineno)


def _wrong_variable(source: Source, function: Function) -> Iterator[tuple[ast.AST, str]]:
    """Another variable of the function is used in a call or an answer."""
    known = sorted({arg.arg for arg in ast.walk(function.args) if isinstance(arg, ast.arg)} - {"self", "cls"})
    for node in ast.walk(function):
        parts = node.args if isinstance(node, ast.Call) else [node.value] if isinstance(node, ast.Return) else []
        for part in parts:
            if isinstance(part, ast.Name) and part.id in known:
                for other in known:
                    if other != part.id:
                        yield part, source.put((part, other))
                        break


def _lost_except(source: Source, function: Function) -> Iterator[tuple[ast.AST, str]]:
    """A handler is gone: what it caught comes out."""
    for node in ast.walk(function):
        if isinstance(node, ast.Try) and len(node.handlers) > 1:
            handler = node.handlers[0]
            yield handler, source.cut(handler.lineno, handler.end_lineno or handler.lineno)
        elif isinstance(node, ast.Try) and not node.finalbody and not node.orelse:
            inner = source.lines(node.body[0].lineno, node.body[-1].end_lineno or 0)
            text = source.cut(node.lineno, node.end_lineno or 0, _dedented(inner))
            yield node, text


def _off_by_one_twice(source: Source, function: Function) -> Iterator[tuple[ast.AST, str]]:
    """Two bounds of one function are off by one."""
    bounds = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Constant) and type(node.value) is int and 0 <= node.value <= 9
    ]
    for one, other in pairwise(bounds):
        yield one, source.put((one, str(one.value + 1)), (other, str(other.value + 1)))


def _swapped_arguments(source: Source, function: Function) -> Iterator[tuple[ast.AST, str]]:
    """The first two arguments of a call have changed places."""
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Call)
            and len(node.args) >= 2
            and not any(isinstance(a, ast.Starred) for a in node.args)
        ):
            one, other = node.args[:2]
            if source.of(one) != source.of(other):
                yield node, source.put((one, source.of(other)), (other, source.of(one)))


def _lost_keyword(source: Source, function: Function) -> Iterator[tuple[ast.AST, str]]:
    """A call has lost its last keyword argument, or a default is no longer asked for."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and node.keywords and node.keywords[-1].arg:
            keyword = node.keywords[-1]
            before = source.data[: source.begin(keyword)].rstrip().rstrip(b",")
            yield keyword, (before + source.data[source.end(keyword) :]).decode()
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.BoolOp) and isinstance(node.value.op, ast.Or):
            yield node, source.put((node.value, source.of(node.value.values[0])))


def _early_return(source: Source, function: Function) -> Iterator[tuple[ast.AST, str]]:
    """The answer is given in the first round of the loop before it."""
    for body in _bodies(function):
        for loop, node in pairwise(body):
            if isinstance(loop, ast.For | ast.While) and isinstance(node, ast.Return) and not loop.orelse:
                indent = " " * loop.body[0].col_offset
                line = f"{indent}{source.of(node)}\n"
                if node.lineno == node.end_lineno:
                    yield node, source.cut(node.lineno, node.lineno, line)


def _lost_case(source: Source, function: Function) -> Iterator[tuple[ast.AST, str]]:
    """An `elif` is gone."""
    for node in ast.walk(function):
        if isinstance(node, ast.If) and len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
            inner = node.orelse[0]
            if source.lines(inner.lineno, inner.lineno).lstrip().startswith("elif"):
                last = inner.body[-1].end_lineno or inner.lineno
                yield inner, source.cut(inner.lineno, last)


def _shared_copy(source: Source, function: Function) -> Iterator[tuple[ast.AST, str]]:
    """What was copied is shared, or what was gathered stays an iterator."""
    for node in ast.walk(function):
        match node:
            case ast.Call(ast.Name("list" | "dict" | "set" | "tuple"), [ast.Name() | ast.Attribute() as given], []):
                yield node, source.put((node, source.of(given)))
            case ast.Call(ast.Attribute(given, "copy"), [], []):
                yield node, source.put((node, source.of(given)))
            case _:
                pass


RULES: dict[str, Rule] = {
    "lost guard": _lost_guard,
    "swapped branches": _swapped_branches,
    "forgotten update": _forgotten_update,
    "wrong variable": _wrong_variable,
    "lost except": _lost_except,
    "off by one twice": _off_by_one_twice,
    "swapped arguments": _swapped_arguments,
    "lost keyword": _lost_keyword,
    "early return": _early_return,
    "lost case": _lost_case,
    "shared copy": _shared_copy,
}


def faults(text: str) -> Iterator[Fault]:
    """Every fault that the rules can put into a file and that leaves it Python."""
    tree, source = ast.parse(text), Source(text)
    for symbol, function in _functions(tree.body, ""):
        for kind, rule in RULES.items():
            for node, changed in rule(source, function):
                if changed != text and _parses(changed):
                    yield Fault(kind, symbol, node.lineno, changed)  # type: ignore[attr-defined]  # nodes with a place


def _functions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Function]]:
    for node in body:
        if isinstance(node, Function):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{prefix}{node.name}.")


def _bodies(function: Function) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(function):
        for field in ("body", "orelse", "finalbody"):
            found = getattr(node, field, None)
            if isinstance(found, list) and found and isinstance(found[0], ast.stmt):
                yield found


def _is_elif(node: ast.If) -> bool:
    return len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)


def _is_method_call(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute)
    )


def _is_attribute_set(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript)


def _dedented(text: str) -> str:
    return "".join(line.removeprefix("    ") for line in text.splitlines(keepends=True))


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True
