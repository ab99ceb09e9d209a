"""Comparison, arithmetic and Boolean operators: another one, the operands swapped, one dropped, one negated."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from assay.repair.mutate.change import Change
from assay.repair.mutate.site import Site

_COMPARED: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<= > >= == !="), ast.LtE: ("<=", "< >= > == !="), ast.Gt: (">", ">= < <= == !="),
    ast.GtE: (">=", "> <= < == !="), ast.Eq: ("==", "!= <= >= < > in is"),
    ast.NotEq: ("!=", "== < > <= >= is_not not_in"), ast.Is: ("is", "is_not =="), ast.IsNot: (r"is\s+not", "is !="),
    ast.In: ("in", "not_in =="), ast.NotIn: (r"not\s+in", "in !="),
}  # fmt: skip
_BINARY: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: (r"\+", "- * | /"), ast.Sub: ("-", "+ * / // %"), ast.Mult: (r"\*", "+ ** / // -"),
    ast.Div: ("/", "// * % -"), ast.FloorDiv: ("//", "/ % * >>"), ast.Mod: ("%", "// / * -"),
    ast.Pow: (r"\*\*", "* ^ //"), ast.LShift: ("<<", ">> *"), ast.RShift: (">>", "<< //"),
    ast.BitAnd: ("&", "| ^ &~ -"), ast.BitOr: (r"\|", "& ^ +"), ast.BitXor: (r"\^", "& | **"), ast.MatMult: ("@", "*"),
}  # fmt: skip
_FALLING = (1.0, 0.8, 0.7, 0.5, 0.4, 0.3, 0.3)


def swapped(site: Site, left: ast.expr, right: ast.expr, pattern: str, new: str) -> tuple[int, int, str] | None:
    """The piece between two expressions with its operator replaced; None where a comment might hide it."""
    start, end = site.source.span(left)[1], site.source.span(right)[0]
    text = site.source.text[start:end]
    if "#" in text or start > end:
        return None
    found, count = re.subn(pattern, lambda _: new, text, count=1)
    if not count:
        return None
    if new[0].isalpha():
        found = found if found[:1].isspace() else " " + found
        found = found if found[-1:].isspace() else found + " "
    return start, end, found


def comparisons(site: Site) -> Iterator[Change]:
    """Another comparison."""
    for node in site.values:
        if not isinstance(node, ast.Compare):
            continue
        lefts = [node.left, *node.comparators]
        for number, op in enumerate(node.ops):
            pattern, others = _COMPARED[type(op)]
            ordered = site.kinds(lefts[number]) | site.kinds(lefts[number + 1])
            for other, weight in zip(others.split(), _FALLING, strict=False):
                piece = swapped(site, lefts[number], lefts[number + 1], pattern, other.replace("_", " "))
                if piece is not None:
                    rare = 0.3 if ordered & {"bool", "none"} and other in {"<", "<=", ">", ">="} else 1.0
                    rare *= 0.3 if other.startswith("is") and not ordered & {"none"} else 1.0
                    yield Change((piece,), node.lineno, weight * rare)


def arithmetic(site: Site) -> Iterator[Change]:
    """Another arithmetic operator, also in `+=` and the like; `=` for `+=` and `+=` for `=`."""
    for node in site.values:
        if isinstance(node, ast.BinOp):
            pattern, others = _BINARY[type(node.op)]
            text = site.kinds(node.left) | site.kinds(node.right)
            if isinstance(node.op, ast.Mod) and text & {"str"}:
                continue
            for other, weight in zip(others.split(), _FALLING, strict=False):
                piece = swapped(site, node.left, node.right, pattern, other)
                if piece is None:
                    continue
                weight *= 0.3 if text & {"str", "list"} else 1.0
                start, end = site.source.span(node)
                inner = site.source.text[start : piece[0]] + piece[2] + site.source.text[piece[1] : end]
                yield Change(((start, end, site.fitted(node, inner)),), node.lineno, weight)
    for statement in site.statements:
        if isinstance(statement, ast.AugAssign):
            pattern, others = _BINARY[type(statement.op)]
            for other, weight in zip((*others.split(), ""), (*_FALLING[: len(others.split())], 0.8), strict=False):
                new = other.removesuffix("~")
                piece = swapped(site, statement.target, statement.value, pattern + "=", new + "=")
                if piece is not None:
                    yield Change((piece,), statement.lineno, weight)
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if not isinstance(target, ast.Name | ast.Attribute | ast.Subscript):
                continue
            kinds = site.kinds(statement.value) | site.kinds(target)
            often = 0.6 if site.looped(statement) else 0.15
            for new, weight in (("+=", 1.0), ("-=", 0.5), ("*=", 0.3), ("|=", 0.1)):
                piece = swapped(site, target, statement.value, "=", new)
                if piece is not None:
                    yield Change(
                        (piece,), statement.lineno, often * weight * (0.3 if kinds & {"none", "bool", "dict"} else 1)
                    )


def negations(site: Site) -> Iterator[Change]:
    """A condition negated or no longer negated, a number with another sign, `True` for `False`."""
    for node in site.values:
        parent = site.parent(node)
        if isinstance(node, ast.UnaryOp):
            often = 1.0 if isinstance(node.op, ast.Not | ast.USub) else 0.5
            yield site.put(node, site.source.of(node.operand), often)
            continue
        tested = isinstance(parent, ast.If | ast.While | ast.IfExp | ast.Assert) and node is parent.test
        listed = isinstance(parent, ast.comprehension) and node in parent.ifs
        if (
            tested
            or listed
            or isinstance(parent, ast.BoolOp)
            or (isinstance(parent, ast.Return) and site.kinds(node) & {"bool"})
        ):
            if not isinstance(node, ast.Compare) or isinstance(parent, ast.BoolOp | ast.Return) or len(node.ops) > 1:
                yield site.put(node, f"not {site.tight(node, 4)}", 0.8)
            if isinstance(node, ast.BoolOp):
                yield site.put(node, f"not ({site.source.of(node)})", 0.6)
        elif isinstance(node, ast.Name | ast.Call | ast.BinOp | ast.Constant) and site.kinds(node) & {"num"}:
            weight = 0.6 if isinstance(parent, ast.Return | ast.Subscript) else 0.2
            yield site.put(node, f"-{site.tight(node, 12)}", weight)


def boolean(site: Site) -> Iterator[Change]:
    """`and` for `or`, one operand dropped, mixed operators grouped otherwise."""
    for node in site.values:
        if not isinstance(node, ast.BoolOp):
            continue
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        pieces = [
            swapped(site, one, two, rf"\b{word}\b", other)
            for one, two in zip(node.values, node.values[1:], strict=False)
        ]
        good = [piece for piece in pieces if piece is not None]
        if len(good) == len(pieces):
            start, end = site.source.span(node)
            text, at = "", start
            for first, last, new in good:
                text += site.source.text[at:first] + new
                at = last
            yield Change(((start, end, site.fitted(node, text + site.source.text[at:end])),), node.lineno, 1.0)
            if len(good) > 1:
                for piece in good:
                    yield Change((piece,), node.lineno, 0.5)
        for number, value in enumerate(node.values):
            rest = [item for at, item in enumerate(node.values) if at != number]
            if len(rest) == 1:
                yield site.put(node, site.source.of(rest[0]), 0.8)
            else:
                start, end = site.source.span(value)
                if number:
                    start = site.source.span(node.values[number - 1])[1]
                else:
                    end = site.source.span(node.values[1])[0]
                yield Change(((start, end, ""),), node.lineno, 0.8)


def operands(site: Site) -> Iterator[Change]:
    """Operands in the other order, one of them alone, another grouping of a chain."""
    for node in site.values:
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                kinds = site.kinds(left) | site.kinds(right)
                if (
                    not isinstance(op, ast.Add | ast.Mult | ast.BitAnd | ast.BitOr | ast.BitXor)
                    or kinds & {"str", "list", "tuple"}
                    or not kinds
                ):
                    yield exchanged(site, left, right, 1.0)
                yield site.put(node, site.source.of(left), 0.8)
                yield site.put(node, site.source.of(right), 0.5)
                yield from _regrouped(site, node)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                if isinstance(op, ast.In | ast.NotIn):
                    yield exchanged(site, left, right, 1.0)
            case _:
                pass


def exchanged(site: Site, one: ast.expr, other: ast.expr, weight: float) -> Change:
    """Two expressions in each other's place."""
    return Change(
        (
            (*site.source.span(one), site.fitted(one, site.source.of(other))),
            (*site.source.span(other), site.fitted(other, site.source.of(one))),
        ),
        one.lineno,
        weight,
    )


def _regrouped(site: Site, node: ast.BinOp) -> Iterator[Change]:
    left, right = node.left, node.right
    text = site.source.text
    begin, end = site.source.span(node)
    # In a tree, a + (b * c) is told from (a + b) * c by which side the inner operation is on.
    if isinstance(right, ast.BinOp):
        middle = site.source.span(right.left)
        if text[middle[0] - 1 : middle[0]] != "(":
            first = text[begin : middle[1]]
            yield Change(((begin, end, site.fitted(node, f"({first}){text[middle[1] : end]}")),), node.lineno, 0.6)
    if isinstance(left, ast.BinOp):
        middle = site.source.span(left.right)
        if text[middle[1] : middle[1] + 1] != ")":
            last = text[middle[0] : end]
            yield Change(((begin, end, site.fitted(node, f"{text[begin : middle[0]]}({last})")),), node.lineno, 0.5)
        between = text[site.source.span(left)[1] : site.source.span(right)[0]]
        if ")" in between and text[begin] == "(":
            yield Change(
                ((begin, end, site.fitted(node, text[begin + 1 : end].replace(")", "", 1))),), node.lineno, 0.4
            )
