"""Indices, slices, ranges, tuples, comprehensions: bounds, order, filters."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from assay.repair.mutate.change import Change
from assay.repair.mutate.operators import exchanged
from assay.repair.mutate.site import Site


def bounds(site: Site) -> Iterator[Change]:
    """One more or one less where counting goes wrong: indices, slices, ranges, comparisons, returned counts."""
    for node in site.values:
        weight = _counted(site, node)
        kinds = site.kinds(node)
        if not weight or isinstance(node, ast.Constant) or (kinds and not kinds & {"num"}):
            continue
        text = site.tight(node, 10)
        yield site.put(node, f"{text} + 1", weight)
        yield site.put(node, f"{text} - 1", weight)
        match node:
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=ast.Constant(value=1)):
                yield site.put(node, site.source.of(left), 2 * weight)
            case _:
                pass


def _counted(site: Site, node: ast.expr) -> float:
    match site.parent(node):
        case ast.Subscript() as parent if node is parent.slice:
            return 1.0
        case ast.Slice():
            return 1.2
        case ast.Call(func=ast.Name(id="range")):
            return 1.5
        case ast.Compare(ops=[op]):
            return 0.6 if isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE | ast.Eq | ast.NotEq) else 0.0
        case ast.Return() | ast.Assign():
            return 0.8
        case ast.Call():
            return 0.5
        case ast.BinOp():
            return 0.5
        case ast.Tuple() | ast.List() | ast.AugAssign():
            return 0.3
        case _:
            return 0.0


def slices(site: Site) -> Iterator[Change]:
    """A bound dropped, added or exchanged; an index for a slice and the other way round."""
    for node in [*site.values, *site.targets]:
        if not isinstance(node, ast.Subscript):
            continue
        base, index = site.source.of(node.value), node.slice
        if isinstance(index, ast.Slice):
            lower, upper, step = (
                site.source.of(part) if part else "" for part in (index.lower, index.upper, index.step)
            )
            more = f":{step}" if step else ""
            variants = [
                (f"{lower}:", bool(upper)), (f":{upper}", bool(lower)), (f"{upper}:{lower}", bool(lower and upper)),
                (f"{upper}:", bool(upper and not lower)), (f":{lower}", bool(lower and not upper)),
            ]  # fmt: skip
            for text, sensible in variants:
                if sensible:
                    yield site.put(node, f"{base}[{text}{more}]", 1.0)
            for text, sensible in (
                (f"{lower}:{upper}", step),
                (f"{lower}:{upper}:-1", step != "-1"),
                (f"{lower}:{upper}:2", not step),
            ):
                if sensible:
                    yield site.put(node, f"{base}[{text}]", 0.6)
            for bound in (lower, upper):
                if bound:
                    yield site.put(node, f"{base}[{bound}]", 0.4)
                    yield site.put(node, f"{base}[-{bound}:]" if bound.isalnum() else f"{base}[-({bound}):]", 0.3)
            for other in site.scope(node):
                if site.roles.name(other) & {"num"}:
                    if not lower:
                        yield site.put(node, f"{base}[{other}:{upper}{more}]", 0.4)
                    if not upper:
                        yield site.put(node, f"{base}[{lower}:{other}{more}]", 0.4)
            yield site.put(node, base, 0.5)
            continue
        text = site.source.of(index)
        if isinstance(index, ast.Tuple):
            continue
        yield site.put(index, f"-{site.tight(index, 12)}", 0.8)
        if isinstance(node.ctx, ast.Load):
            yield site.put(node, base, 0.6)
            if not site.kinds(index) & {"str"}:
                yield site.put(node, f"{base}[:{text}]", 0.3)
                yield site.put(node, f"{base}[{text}:]", 0.3)


def sliced(site: Site) -> Iterator[Change]:
    """A part of a sequence where all of it was: `x[k:]`, `x[:k]` with the numbers in scope."""
    for node in site.values:
        parent = site.parent(node)
        if not isinstance(node, ast.Name | ast.Attribute | ast.Call) or isinstance(
            parent, ast.Attribute | ast.Subscript
        ):
            continue
        if isinstance(parent, ast.Call) and node is parent.func:
            continue
        kinds = site.kinds(node)
        iterated = isinstance(parent, ast.For | ast.comprehension) and node is parent.iter
        if not iterated and not kinds & {"list", "str", "sized", "tuple"}:
            continue
        often = 1.0 if iterated else 0.6
        text = site.source.of(node)
        for other in site.scope(node):
            if other != text and (site.roles.name(other) & {"num"} or not site.roles.name(other)):
                weight = often * (1.0 if site.roles.name(other) else 0.3)
                yield site.put(node, f"{text}[{other}:]", weight)
                yield site.put(node, f"{text}[:{other}]", weight)
                yield site.put(node, f"{text}[{other}]", 0.5 * weight)


def orders(site: Site) -> Iterator[Change]:
    """Neighbours of a tuple, list or several indices exchanged; two indices one after the other exchanged."""
    for node in [*site.values, *site.targets]:
        match node:
            case ast.Tuple(elts=items) | ast.List(elts=items) if 2 <= len(items) <= 8:
                for one, other in itertools.pairwise(items):
                    if not isinstance(one, ast.Starred) and not isinstance(other, ast.Starred):
                        yield exchanged(
                            site, one, other, 1.0 if len(items) < 4 and isinstance(node, ast.Tuple) else 0.4
                        )
            case ast.Subscript(value=ast.Subscript(slice=first), slice=second):
                if not isinstance(first, ast.Slice) and not isinstance(second, ast.Slice):
                    yield exchanged(site, first, second, 1.0)
            case ast.Subscript(value=base, slice=ast.Tuple(elts=[one, other])):
                for item in (one, other):
                    yield site.put(node, f"{site.source.of(base)}[{site.source.of(item)}]", 0.6)
            case _:
                pass


def subscripts(site: Site) -> Iterator[Change]:
    """The whole of `a[i]` replaced by another subscript of the place, or its container, or its index, by another."""
    shapes: dict[str, tuple[str, str]] = {}
    for node in [*site.values, *site.targets]:
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice):
            shapes[site.source.of(node)] = site.source.of(node.value), site.source.of(node.slice)
    bases = list(dict.fromkeys(base for base, _ in shapes.values()))
    indices = list(dict.fromkeys(index for _, index in shapes.values()))
    for name in site.bound:
        if site.roles.name(name) & {"dict", "list"}:
            bases = list(dict.fromkeys([*bases, name]))
    for node in [*site.values, *site.targets]:
        if not isinstance(node, ast.Subscript) or isinstance(node.slice, ast.Slice):
            continue
        base, index = site.source.of(node.value), site.source.of(node.slice)
        items = indices
        if isinstance(node.slice, ast.Tuple):
            items = [*indices, *(site.source.of(item) for item in node.slice.elts)]
        for other_base in bases:
            for other in items:
                if (other_base, other) != (base, index):
                    same = (other_base == base) + (other == index)
                    yield site.put(node, f"{other_base}[{other}]", 0.2 + 0.6 * same)


def indexed(site: Site) -> Iterator[Change]:
    """`xs[i]` for another variable or subscript, from the sequences and numbers in scope."""
    for node in site.values:
        parent = site.parent(node)
        if isinstance(parent, ast.Attribute | ast.Subscript) or (isinstance(parent, ast.Call) and node is parent.func):
            continue
        if not isinstance(node, ast.Name | ast.Subscript):
            continue
        scope = site.scope(node)
        indices = [name for name in scope if site.roles.name(name) & {"num"}]
        for base in scope:
            kinds = site.roles.name(base)
            if base != site.source.of(node) and kinds & {"list", "str", "sized", "tuple"}:
                for index in indices:
                    yield site.put(node, f"{base}[{index}]", 1.0)
                    for more in ("- 1", "+ 1"):
                        yield site.put(node, f"{base}[{index} {more}]", 0.4)
                yield site.put(node, f"{base}[0]", 0.3)
                yield site.put(node, f"{base}[-1]", 0.3)
            if kinds & {"dict"} and isinstance(node, ast.Name) and base != node.id:
                yield site.put(node, f"{base}[{node.id}]", 0.6)


def ranges(site: Site) -> Iterator[Change]:
    """What a loop runs over: a start or end moved, reversed, with numbers, without."""
    for node in [*site.values]:
        match node:
            case ast.Call(func=ast.Name(id="range"), args=[stop], keywords=[]):
                text = site.source.of(stop)
                for new, weight in (
                    (f"range(1, {text})", 1.0), (f"range(1, {text} + 1)", 1.0), (f"range({text}, 0, -1)", 0.4),
                    (f"range({text} - 1, -1, -1)", 0.5), (f"range(2, {text})", 0.3), (f"range(0, {text}, 2)", 0.2),
                    (f"reversed(range({text}))", 0.3), (f"range(2, {text} + 1)", 0.2),
                ):  # fmt: skip
                    yield site.put(node, new, weight)
                for other in site.scope(node):
                    if site.roles.name(other) & {"num"}:
                        yield site.put(node, f"range({other}, {text})", 0.4)
                        yield site.put(node, f"range({other} + 1, {text})", 0.4)
            case ast.Call(func=ast.Name(id="range"), args=[start, stop], keywords=[]):
                first, last = site.source.of(start), site.source.of(stop)
                for new, weight in (
                    (f"range({last})", 0.8), (f"range({last}, {first}, -1)", 0.4),
                    (f"range({first} - 1, {last} - 1)", 0.3), (f"range({first} + 1, {last} + 1)", 0.6),
                    (f"range({last} - 1, {first} - 1, -1)", 0.4), (f"range({first}, {last}, {first})", 0.2),
                ):  # fmt: skip
                    yield site.put(node, new, weight)
            case ast.Call(func=ast.Name(id="range"), args=[start, stop, step], keywords=[]):
                first, last = site.source.of(start), site.source.of(stop)
                yield site.put(step, f"-{site.tight(step, 12)}", 1.0)
                yield site.put(node, f"range({first}, {last})", 0.8)
            case _:
                pass


def comprehensions(site: Site) -> Iterator[Change]:
    """Filters dropped, added or exchanged; the kind of comprehension; what is collected."""
    for node in site.values:
        if not isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
            continue
        start, end = site.source.span(node)
        text = site.source.text[start:end]
        if isinstance(node, ast.ListComp):
            yield Change(((start, end, "{" + text[1:-1] + "}"),), node.lineno, 0.4)
        elif isinstance(node, ast.SetComp):
            yield Change(((start, end, "[" + text[1:-1] + "]"),), node.lineno, 1.0)
        for generator in node.generators:
            previous: ast.expr = generator.iter
            for condition in generator.ifs:
                yield Change(
                    ((site.source.span(previous)[1], site.source.span(condition)[1], ""),), condition.lineno, 0.8
                )
                previous = condition
            at = site.source.span(previous)[1]
            if previous is generator.iter and isinstance(generator.target, ast.Name):
                name = generator.target.id
                for other in (
                    name,
                    f"not {name}",
                    f"{name} > 0",
                    f"{name} is not None",
                    f"{name} != 0",
                    f"{name} % 2 == 0",
                ):
                    yield Change(((at, at, f" if {other}"),), node.lineno, 0.4)
                for other in site.bound:
                    if other != name:
                        yield Change(((at, at, f" if {name} != {other}"),), node.lineno, 0.3)
                        yield Change(((at, at, f" if {name} in {other}"),), node.lineno, 0.2)
                        yield Change(((at, at, f" if {name} not in {other}"),), node.lineno, 0.2)
        for target in ast.walk(node.generators[0].target):
            if isinstance(target, ast.Name) and site.source.of(node.elt) != target.id:
                yield site.put(node.elt, target.id, 0.5)


def ternaries(site: Site) -> Iterator[Change]:
    """`a if c else b` the other way round, or one of them alone."""
    for node in site.values:
        if isinstance(node, ast.IfExp):
            yield exchanged(site, node.body, node.orelse, 1.5)
            yield site.put(node, site.source.of(node.body), 0.8)
            yield site.put(node, site.source.of(node.orelse), 0.8)
