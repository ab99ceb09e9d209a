"""One wrong expression in one function: what `bench.solve.locate` puts into libraries.

The operators are common slips, few and plain, and were written apart from those of the repair that is measured.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator

from assay.repair.source import functions
from bench.solve.clone import code_lines

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_BINARY: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


def injuries(source: str, chance: random.Random) -> Iterator[tuple[str, str, int, int, int]]:
    """(text, symbol, first line, last line, line of the change), each with one slip, functions in a chance order."""
    tree = ast.parse(source)
    places = [(symbol, node) for symbol, node in functions(tree) if (node.end_lineno or 0) - node.lineno >= 2]
    chance.shuffle(places)
    for symbol, node in places:
        slips = [slip for item in ast.walk(node) if item is not node for slip in _slips(item, source)]
        if slips:
            line, start, end, text = chance.choice(slips)
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            changed = source[:start] + text + source[end:]
            try:
                ast.parse(changed)
            except SyntaxError:
                continue
            yield changed, symbol, first, node.end_lineno or node.lineno, line


def _slips(node: ast.AST, source: str) -> list[tuple[int, int, int, str]]:
    """(line, start, end, text) of what may go wrong with this node."""
    changed: list[ast.expr | ast.stmt] = []
    match node:
        case ast.Compare(left=left, ops=[op], comparators=rest) if type(op) in _COMPARE:
            changed.append(ast.Compare(left, [_COMPARE[type(op)]()], rest))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            changed.append(ast.BinOp(left, _BINARY[type(op)](), right))
        case ast.BoolOp(op=op, values=values):
            changed.append(ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values))
            changed.append(values[0])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            changed.append(operand)
        case ast.Constant(value=bool(value)):
            changed.append(ast.Constant(not value))
        case ast.Constant(value=int(value)):
            changed.append(ast.Constant(value + 1))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            changed.append(ast.IfExp(test, orelse, body))
        case ast.Call(func=func, args=[first, second, *rest], keywords=keywords) if not isinstance(first, ast.Starred):
            changed.append(ast.Call(func, [second, first, *rest], keywords))
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            changed.append(ast.Return(ast.Constant(None)))
        case ast.AugAssign(target=target, value=value):
            changed.append(ast.Assign([target], value))
        case ast.Continue():
            changed.append(ast.Break())
        case _:
            pass
    place = _place(node, source) if changed else None
    if place is None or "\n" in source[slice(*place)]:
        return []
    return [(node.lineno, *place, _text(item)) for item in changed]


def _text(node: ast.expr | ast.stmt) -> str:
    text = ast.unparse(ast.fix_missing_locations(node))
    return f"({text})" if isinstance(node, ast.expr) and not isinstance(node, ast.Constant | ast.Call) else text


def _place(node: ast.AST, source: str) -> tuple[int, int] | None:
    if not isinstance(node, ast.expr | ast.stmt):
        return None
    lines = code_lines(source)

    def offset(line: int, column: int) -> int:
        return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())

    return offset(node.lineno, node.col_offset), offset(node.end_lineno or 0, node.end_col_offset or 0)
