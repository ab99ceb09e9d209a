"""Python, read by its own parser."""

from __future__ import annotations

import ast

from assay.repair.outline.symbols import MOST_SYMBOLS, Symbol, one_line
from assay.repair.source import definitions, first_line, lines_of, parsed, span, used_names


def symbols_of(text: str) -> tuple[Symbol, ...] | None:
    """Functions, methods and classes, also under `if`, `try` and `with`, but not those inside of functions; None when
    the text does not parse."""
    tree = parsed(text)
    if tree is None:
        return None
    lines = lines_of(text)
    found: list[Symbol] = []
    for container, node in definitions(tree):
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
