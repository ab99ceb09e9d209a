"""Python, read by its own parser."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from assay.repair.outline.symbols import MOST_SYMBOLS, Symbol, one_line
from assay.repair.source import Function, first_line, lines_of, parsed, span, used_names


def symbols_of(text: str) -> tuple[Symbol, ...] | None:
    """Functions, methods and classes, also under `if`, `try` and `with`, but not those inside of functions; None when
    the text does not parse."""
    tree = parsed(text)
    if tree is None:
        return None
    lines = lines_of(text)
    found: list[Symbol] = []
    for container, node in _inside(tree.body, ""):
        head = " ".join(line.strip() for line in lines[node.lineno - 1 : max(node.lineno, node.body[0].lineno - 1)])
        end = node.end_lineno or node.lineno
        if isinstance(node, ast.ClassDef):
            symbol = Symbol(node.name, "type", container, first_line(node), end, one_line(head))
        else:
            kind = "method" if container else "function"
            symbol = Symbol(node.name, kind, container, *span(node), one_line(head), tuple(used_names(node)))
        found.append(symbol)
        if len(found) >= MOST_SYMBOLS:
            break
    return tuple(found)


def _inside(body: Iterable[ast.stmt], container: str) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield container, node
            case ast.ClassDef():
                yield container, node
                yield from _inside(node.body, f"{container}.{node.name}" if container else node.name)
            case ast.If() | ast.For() | ast.While():
                yield from _inside([*node.body, *node.orelse], container)
            case ast.With():
                yield from _inside(node.body, container)
            case ast.Try():
                handlers = [statement for handler in node.handlers for statement in handler.body]
                yield from _inside([*node.body, *handlers, *node.orelse, *node.finalbody], container)
            case _:
                pass
