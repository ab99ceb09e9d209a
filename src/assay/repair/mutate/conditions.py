"""Conditions that a place could test, from its own and from what its variables hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from assay.repair.mutate.site import Site

MOST = 100


def conditions(site: Site, node: ast.AST) -> list[tuple[str, float]]:
    """Texts and weights of conditions over variables in scope at `node`, likeliest first; each once."""
    key = tuple(site.scope(node))
    if key not in site.conditions:
        found: dict[str, float] = {}
        for text, weight in _all(site, node):
            found[text] = max(weight, found.get(text, 0.0))
        site.conditions[key] = sorted(found.items(), key=lambda entry: -entry[1])[:MOST]
    return site.conditions[key]


def _all(site: Site, node: ast.AST) -> Iterator[tuple[str, float]]:
    for value in site.values:
        if isinstance(value, ast.Compare) or (isinstance(value, ast.Call) and site.kinds(value) & {"bool"}):
            text = site.source.of(value)
            if "\n" not in text and len(text) <= 60:
                yield text, 1.0
                if isinstance(value, ast.Compare) and len(value.ops) == 1:
                    yield from _nearby(site, value)
    names = [name for name in site.scope(node) if name not in {"self", "cls", "_"}]
    for name in names:
        kinds = site.roles.name(name)
        often = 2.0 if name in site.unread else 1.0
        if not kinds or kinds & {"str", "list", "dict", "set", "tuple", "sized"}:
            yield f"not {name}", often
            yield name, 0.6 * often
        if not kinds or kinds & {"num"}:
            for text in (
                "== 0",
                "< 0",
                "> 0",
                "<= 0",
                "== 1",
                "< 1",
                "< 2",
                "<= 1",
                "% 2 == 0",
                "% 2 == 1",
                "!= 0",
                "> 1",
            ):
                yield f"{name} {text}", (0.6 if kinds else 0.3) * often
        if not kinds or not kinds & {"num", "bool"}:
            yield f"{name} is None", 0.8 * often
            yield f"{name} is not None", 0.5 * often
        if kinds & {"str", "list", "sized", "dict"}:
            yield f"len({name}) == 1", 0.4
            yield f"len({name}) == 0", 0.3
            yield f"len({name}) < 2", 0.3
        if kinds & {"bool"}:
            yield name, 1.0
            yield f"not {name}", 1.0
    yield from _between(site, names)
    for function, needed in (site.clues.functions | site.helpers).items():
        if needed == 1 and function != getattr(site.owner, "name", ""):
            for name in names:
                yield f"{function}({name})", 0.4
                yield f"not {function}({name})", 0.3


def _between(site: Site, names: list[str]) -> Iterator[tuple[str, float]]:
    """Conditions over two variables."""
    for one in names:
        for other in names:
            if one == other:
                continue
            left, right = site.roles.name(one), site.roles.name(other)
            often = 1.5 if {one, other} & site.unread else 1.0
            if left & {"num"} and right & {"num"}:
                for sign in ("<", "<=", "=="):
                    yield f"{one} {sign} {other}", 0.4 * often
                if one < other:
                    yield f"{one} != {other}", 0.4 * often
            elif right & {"list", "set", "dict", "str"} and not left & {"list", "dict", "set"}:
                yield f"{one} in {other}", 0.5 * often
                yield f"{one} not in {other}", 0.6 * often
            elif one < other:
                yield f"{one} == {other}", 0.3 * often


def _nearby(site: Site, node: ast.Compare) -> Iterator[tuple[str, float]]:
    """The same comparison of a part, of the whole, with another element."""
    left, right = node.left, node.comparators[0]
    sign = site.source.text[site.source.span(left)[1] : site.source.span(right)[0]]
    one, other = site.source.of(left), site.source.of(right)
    for item in site.scope(node):
        if item not in {one, "self", "cls"} and isinstance(left, ast.Name) and site.roles.name(item) & site.kinds(left):
            yield f"{item}{sign}{other}", 0.5
    if isinstance(left, ast.Attribute):
        yield f"{site.source.of(left.value)}{sign}{other}", 1.0
    if isinstance(right, ast.Constant) and right.value is None and isinstance(left, ast.Name):
        attributes = {item.attr for item in site.values if isinstance(item, ast.Attribute)}
        for attribute in sorted(attributes):
            yield f"{one}.{attribute}{sign}{other}", 0.5
