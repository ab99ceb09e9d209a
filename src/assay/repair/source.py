"""Python source as functions with positions: what the other parts of the room read it with."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
LARGEST = 1_000_000
"""Characters of a file that is still parsed."""

_SPECIAL: dict[type[ast.AST], str] = {
    ast.Eq: "__eq__",
    ast.NotEq: "__ne__",
    ast.Lt: "__lt__",
    ast.Gt: "__gt__",
    ast.LtE: "__le__",
    ast.GtE: "__ge__",
    ast.In: "__contains__",
    ast.NotIn: "__contains__",
    ast.Add: "__add__",
    ast.Sub: "__sub__",
    ast.Mult: "__mul__",
    ast.Div: "__truediv__",
    ast.FloorDiv: "__floordiv__",
    ast.Mod: "__mod__",
    ast.BitOr: "__or__",
    ast.BitAnd: "__and__",
    ast.BitXor: "__xor__",
    ast.Load: "__getitem__",
    ast.Store: "__setitem__",
    ast.Del: "__delitem__",
}
"""The method behind an operator; behind a subscript, by what is done with it."""


def parsed(text: str) -> ast.Module | None:
    """The tree of `text`, or None when it is no Python, too large or too deep."""
    if len(text) > LARGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the text is somebody's: its doubtful escapes are not our business
            return ast.parse(text.removeprefix("\ufeff"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def lines_of(text: str) -> list[str]:
    """The lines of Python source as its parser counts them; `str.splitlines` knows more line ends than Python does."""
    return re.split(r"\r\n|\r|\n", text)


def with_ends(before: str, after: str) -> str:
    """`after`, whose lines end in "\n", with the line ends of `before`: a line that was there keeps its own, others get
    the commonest."""
    ends = [*re.findall(r"\r?\n", before), ""]
    usual = "\r\n" if ends.count("\r\n") > ends.count("\n") else "\n"
    if not {"\r\n", "\n"} <= {*ends}:
        return after.replace("\n", usual)
    import difflib

    lines = after.split("\n")
    found = [usual] * (len(lines) - 1)
    matcher = difflib.SequenceMatcher(None, re.split(r"\r?\n", before), lines, autojunk=False)
    for old, new, size in matcher.get_matching_blocks():
        for nth in range(min(size, len(found) - new)):
            found[new + nth] = ends[old + nth] or usual
    return "".join(line + end for line, end in zip(lines, [*found, ""], strict=True))


def definitions(tree: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Functions, methods and classes with the dotted names of what they lie in, "" at the top, also under `if`, `try`
    and `with`; nothing that lies inside of a function."""

    def inside(body: Iterable[ast.stmt], container: str) -> Iterator[tuple[str, Function | ast.ClassDef]]:
        for node in body:
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    yield container, node
                case ast.ClassDef():
                    yield container, node
                    yield from inside(node.body, f"{container}.{node.name}" if container else node.name)
                case ast.If() | ast.For() | ast.While():
                    yield from inside([*node.body, *node.orelse], container)
                case ast.With():
                    yield from inside(node.body, container)
                case ast.Try():
                    handlers = [statement for handler in node.handlers for statement in handler.body]
                    yield from inside([*node.body, *handlers, *node.orelse, *node.finalbody], container)
                case _:
                    pass

    return inside(tree.body, "")


def functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """The functions and methods among `definitions` with their dotted names."""
    for container, node in definitions(tree):
        if not isinstance(node, ast.ClassDef):
            yield f"{container}.{node.name}" if container else node.name, node


def span(node: Function) -> tuple[int, int]:
    """First line, decorators included, and last line; 1-based."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]), node.end_lineno or node.lineno


def first_line(statement: ast.stmt) -> int:
    """Its first line, decorators included; 1-based."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return min([statement.lineno, *(decorator.lineno for decorator in statement.decorator_list)])
    return statement.lineno


def inside_strings(node: ast.AST) -> set[int]:
    """Numbers of the lines that begin inside of a string: their indentation is content. 1-based."""
    found: set[int] = set()
    for item in ast.walk(node):
        if isinstance(item, ast.JoinedStr) or (isinstance(item, ast.Constant) and isinstance(item.value, str | bytes)):
            found.update(range(item.lineno + 1, (item.end_lineno or item.lineno) + 1))
    return found


def shifted(lines: Sequence[str], by: str, margin: int, frozen: set[int], first: int = 1) -> list[str]:
    """`lines` with up to `margin` columns of indentation replaced by `by`; lines whose number (counted from `first`) is
    in `frozen` are left alone, blank ones become empty."""
    done: list[str] = []
    for number, line in enumerate(lines, first):
        if number in frozen:
            done.append(line)
        elif not line.strip():
            done.append("")
        else:
            own = len(line) - len(line.lstrip())
            done.append(by + line[min(margin, own) :])
    return done


def shares_line(lines: Sequence[str], node: Function) -> bool:
    """The body begins on the line on which the signature ends."""
    first = node.body[0]
    # The parser counts columns in bytes of UTF-8.
    return first_line(first) == first.lineno and bool(lines[first.lineno - 1].encode()[: first.col_offset].strip())


def docstring(node: Function) -> ast.Expr | None:
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first
    return None


def used_names(node: Function) -> list[str]:
    """Names that the body reads, calls or reaches through attributes, and the special methods behind its operators, in
    order of appearance; decorators and annotations do not count."""
    found: list[tuple[int, int, str]] = []
    for statement in node.body:
        for item in ast.walk(statement):
            found += [(getattr(item, "lineno", 0), getattr(item, "col_offset", 0), name) for name in _names(item)]
    return list(dict.fromkeys(name for _, _, name in sorted(found, key=lambda entry: entry[:2])))


def _names(item: ast.AST) -> list[str]:
    match item:
        case ast.Name():
            return [item.id]
        case ast.Attribute():
            return [item.attr]
        case ast.Compare():
            return [_SPECIAL[type(operator)] for operator in item.ops if type(operator) in _SPECIAL]
        case ast.BinOp():
            return [_SPECIAL[type(item.op)]] if type(item.op) in _SPECIAL else []
        case ast.Subscript():
            return [_SPECIAL[type(item.ctx)]]
        case _:
            return []
