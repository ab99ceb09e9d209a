"""Statements deleted, exchanged, moved, taken out of their condition; branches exchanged."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from assay.repair.mutate.change import Change
from assay.repair.mutate.site import Site
from assay.repair.source import first_line, inside_strings, shifted

_BLOCKS = ast.If | ast.For | ast.While | ast.With | ast.Try | ast.AsyncFor | ast.AsyncWith


def deletions(site: Site) -> Iterator[Change]:
    """A statement gone, a condition gone but for its body, an `else` gone."""
    for statement in site.statements:
        if isinstance(
            statement,
            ast.Pass | ast.Global | ast.Nonlocal | ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom,
        ):
            continue
        size = (statement.end_lineno or 0) - first_line(statement) + 1
        plain = isinstance(statement, ast.Expr | ast.AugAssign | ast.Continue | ast.Break)
        yield site.without(statement, (1.0 if plain else 0.8 if size <= 2 else 0.4) / (1 if size < 6 else 2))
        if isinstance(statement, ast.If | ast.For | ast.While | ast.With):
            yield from _opened(site, statement)
        if isinstance(statement, ast.If | ast.For | ast.While) and statement.orelse:
            yield from _otherwise(site, statement)


def _opened(site: Site, statement: ast.If | ast.For | ast.While | ast.With) -> Iterator[Change]:
    """The body without what stands above it."""
    if getattr(statement, "orelse", None) or site.is_elif(statement):
        return
    text = moved_text(site, statement.body, site.source.indent(statement))
    if text is not None and site.source.alone(statement):
        yield Change(((*site.whole(statement), text),), statement.lineno, 0.5 if isinstance(statement, ast.If) else 0.2)


def _otherwise(site: Site, statement: ast.If | ast.For | ast.While) -> Iterator[Change]:
    last, first = statement.body[-1], statement.orelse[0]
    start, end = site.source.span(last)[1], site.source.span(statement.orelse[-1])[1]
    if isinstance(first, ast.If) and site.is_elif(first):
        branch = first.lineno
        yield Change(((site.source.span(first)[0], site.source.span(first)[0] + 4, "if"),), branch, 0.8)
        return
    yield Change(((start, end, ""),), first.lineno, 0.4)
    text = moved_text(site, statement.orelse, site.source.indent(statement))
    begin, stop = site.whole(last)[1], site.whole(statement)[1]
    if text is not None and site.source.alone(statement) and not site.is_elif(statement) and site.source.alone(last):
        yield Change(((begin, stop, text),), first.lineno, 0.6)


def moved_text(site: Site, block: list[ast.stmt], margin: str) -> str | None:
    """Whole lines of consecutive statements with another indentation; None where they share lines with others."""
    if not all(site.source.alone(item) for item in block):
        return None
    first, last = first_line(block[0]), block[-1].end_lineno or block[-1].lineno
    frozen = {line for item in block for line in inside_strings(item)}
    old = site.source.indent(block[0])
    lines = shifted(site.source.lines[first - 1 : last], margin, len(old), frozen, first)
    return "".join(line + site.source.newline for line in lines)


def exchanges(site: Site) -> Iterator[Change]:
    """Neighbours in each other's place; the branches of an `if`; a statement further up or down."""
    for statement in site.statements:
        block, number = site.block(statement)
        if number + 1 < len(block):
            other = block[number + 1]
            if site.source.alone(statement) and site.source.alone(other):
                size = (other.end_lineno or 0) - statement.lineno
                first, last = site.whole(statement), site.whole(other)
                text = site.source.text
                middle = text[first[1] : last[0]]
                moved, rest = text[last[0] : last[1]], text[first[0] : first[1]]
                if not moved.endswith(("\n", "\r")):
                    moved, rest = moved + site.source.newline, rest.rstrip("\r\n")
                yield Change(
                    ((first[0], last[1], moved + middle + rest),), first_line(statement), 1.0 if size < 4 else 0.5
                )
        if isinstance(statement, ast.If) and statement.orelse and not site.is_elif(statement.orelse[0]):
            yield from _branches(site, statement)


def _branches(site: Site, statement: ast.If) -> Iterator[Change]:
    source = site.source
    one = source.span(statement.body[0])[0], source.span(statement.body[-1])[1]
    other = source.span(statement.orelse[0])[0], source.span(statement.orelse[-1])[1]
    same = source.indent(statement.body[0]) == source.indent(statement.orelse[0])
    short = (
        len(statement.body) == len(statement.orelse) == 1 and statement.body[0].lineno == statement.body[0].end_lineno
    )
    if same or short:
        pieces = (*one, source.text[slice(*other)]), (*other, source.text[slice(*one)])
        yield Change(pieces, statement.lineno, 1.0)


def moves(site: Site) -> Iterator[Change]:
    """A statement into the block in front of it or behind it, or out of the block that it begins or ends."""
    for statement in site.statements:
        if (
            not site.source.alone(statement)
            or isinstance(statement, ast.FunctionDef | ast.ClassDef)
            or site.is_elif(statement)
        ):
            continue
        block, number = site.block(statement)
        weight = 1.0 if not isinstance(statement, _BLOCKS) else 0.4
        if number and isinstance(block[number - 1], _BLOCKS):
            for inner in _last_of(site, block[number - 1]):
                yield from _carried(site, statement, inner, "after", weight)
        following = block[number + 1] if number + 1 < len(block) else None
        if isinstance(following, _BLOCKS):
            yield from _carried(site, statement, following.body[0], "before", 0.6 * weight)
        above = site.parent(statement)
        if isinstance(above, _BLOCKS) and len(block) > 1 and not site.is_elif(above):
            if number == len(block) - 1:
                yield from _carried(site, statement, above, "after", weight)
            if number == 0 or not isinstance(statement, ast.Return | ast.Break | ast.Continue):
                yield from _carried(site, statement, above, "before", 0.6 * weight)
        if len(block) > 2:
            for at in {0, len(block) - 1} - {number, number - 1, number + 1}:
                yield from _carried(site, statement, block[at], "before" if at == 0 else "after", 0.3)


def _last_of(site: Site, statement: ast.stmt) -> Iterator[ast.stmt]:
    """Where a statement behind a block would go to be in it: the ends of its bodies, also of blocks at those ends."""
    for field in ("body", "orelse"):
        inner: list[ast.stmt] = getattr(statement, field, [])
        if inner and not (field == "orelse" and site.is_elif(inner[0])):
            yield inner[-1]
            if isinstance(inner[-1], _BLOCKS):
                yield from _last_of(site, inner[-1])
        elif inner:
            yield from _last_of(site, inner[0])


def _carried(site: Site, statement: ast.stmt, anchor: ast.stmt, side: str, weight: float) -> Iterator[Change]:
    text = moved_text(site, [statement], site.source.indent(anchor))
    if text is None or not site.source.alone(anchor):
        return
    first, last = site.whole(anchor)
    at = first if side == "before" else last
    if side == "after" and at == len(site.source.text) and not site.source.text.endswith(("\n", "\r")):
        text = site.source.newline + text.removesuffix(site.source.newline)
    gone = site.without(statement).edits[0]
    if gone[0] < at < gone[1]:
        return
    if gone[1] == at or gone[0] == at:
        gone = (gone[0], gone[1], text) if at == gone[1] else (gone[0], gone[1], text + gone[2])
        yield Change((gone,), first_line(statement), weight)
    else:
        yield Change((gone, (at, at, text)), first_line(statement), weight)


def words(site: Site) -> Iterator[Change]:
    """`break` for `continue`, `while` for `if`, `if` for `elif`, `return` for `yield` and the like."""
    for statement in site.statements:
        start, end = site.source.span(statement)
        line = statement.lineno
        match statement:
            case ast.Break():
                yield Change(((start, end, "continue"),), line, 0.6)
                yield Change(((start, end, "return"),), line, 0.2)
            case ast.Continue():
                yield Change(((start, end, "break"),), line, 0.8)
            case ast.If() if site.source.text.startswith("if", start):
                if not statement.orelse:
                    yield Change(((start, start + 2, "while"),), line, 0.6)
                block, number = site.block(statement)
                if number and isinstance(block[number - 1], ast.If) and site.source.alone(statement):
                    yield Change(((start, start + 2, "elif"),), line, 1.0)
            case ast.While() if not statement.orelse:
                yield Change(((start, start + 5, "if"),), line, 0.5)
                yield site.put(statement.test, "True", 0.4)
            case ast.Return(value=value) if value is not None:
                yield Change(((start, start + 6, "yield"),), line, 0.2)
                inner = site.source.span(value)[0]
                yield Change(((start, inner, ""),), line, 0.1)
            case ast.Expr(value=ast.Yield(value=value)) if value is not None:
                text = site.source.text[start:end]
                yield Change(((start, end, re.sub(r"^yield", "yield from", text)),), line, 1.0)
                yield Change(((start, end, re.sub(r"^yield", "return", text)),), line, 0.5)
            case ast.Expr(value=ast.YieldFrom()):
                text = site.source.text[start:end]
                yield Change(((start, end, re.sub(r"^yield\s+from", "yield", text)),), line, 1.0)
            case ast.Expr(value=ast.Call() as call):
                yield Change(((start, start, "return "),), line, 0.8)
                yield Change(((start, start, "yield "),), line, 0.2)
                yield Change(((start, start, "yield from "),), line, 0.4)
                if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
                    yield Change(((start, start, f"{call.func.value.id} = "),), line, 0.4)
                for argument in call.args[:2]:
                    if isinstance(argument, ast.Name):
                        yield Change(((start, start, f"{argument.id} = "),), line, 0.4)
            case _:
                pass
