"""Expressions that grow by an operand, and expressions replaced by others of the same function."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from assay.repair.mutate.change import Change
from assay.repair.mutate.conditions import conditions
from assay.repair.mutate.kinds import fit
from assay.repair.mutate.site import Site

_SIMPLE = (
    "+ 1",
    "- 1",
    "* 2",
    "/ 2",
    "// 2",
    "% 2",
    "** 2",
    "** 3",
    "% 10",
    "// 10",
    "* -1",
    "+ 2",
    "- 2",
    "% 3",
    "* 100",
    "/ 100",
)

_SEPARATORS = (" ", ",", ".", "-", "_", ", ", ":", "/", "\n")


def terms(site: Site) -> Iterator[Change]:
    """`x + 1`, `x - y`, `x + "."` for `x`."""
    for node in site.values:
        if not _grows(site, node):
            continue
        kinds = site.kinds(node)
        numeric = fit(kinds, frozenset({"num"}))
        if numeric > 0.2 and not isinstance(node, ast.Constant):
            for text in _SIMPLE:
                sign = text.split()[0]
                level = {"+": 10, "-": 10, "**": 14}.get(sign, 11)
                yield site.put(
                    node,
                    f"{site.tight(node, level)} {text}",
                    numeric * (1.0 if level == 10 or text.endswith(" 2") else 0.6),
                )
            for other in site.scope(node):
                fits = fit(site.roles.name(other), frozenset({"num"}))
                if fits > 0.2 and other not in {"self", "cls"}:
                    fits *= numeric * (2.0 if other in site.unread else 1.0)
                    for sign, weight in (
                        ("+", 0.8),
                        ("-", 0.8),
                        ("*", 0.5),
                        ("//", 0.2),
                        ("%", 0.2),
                        ("/", 0.2),
                        ("**", 0.1),
                    ):
                        level = {"+": 10, "-": 10, "**": 14}.get(sign, 11)
                        yield site.put(node, f"{site.tight(node, level)} {sign} {other}", weight * fits)
                    yield site.put(node, f"{other} - {site.tight(node, 11)}", 0.4 * fits)
                    yield site.put(node, f"{other} * {site.tight(node, 12)}", 0.1 * fits)
        if kinds & {"str"}:
            for word in dict.fromkeys((*site.clues.words, *_SEPARATORS)):
                if word and len(word) <= 3:
                    yield site.put(node, f"{site.tight(node, 10)} + {word!r}", 0.4)
                    yield site.put(node, f"{word!r} + {site.tight(node, 11)}", 0.3)
        if kinds & {"str", "list"} and not isinstance(node, ast.Constant):
            for other in site.scope(node):
                unknown = not site.roles.name(other) - {"sized"} and other not in {"self", "cls"}
                if site.roles.name(other) & kinds & {"str", "list"} or unknown:
                    often = 0.5 if unknown else 1.0
                    yield site.put(node, f"{site.tight(node, 10)} + {other}", 0.4 * often)
                    yield site.put(node, f"{other} + {site.tight(node, 11)}", 0.3 * often)
                if unknown and "list" in kinds:
                    yield site.put(node, f"{site.tight(node, 10)} + [{other}]", 0.2)
                elif "list" in kinds and not site.roles.name(other) & {"dict", "num"}:
                    yield site.put(node, f"{site.tight(node, 10)} + [{other}]", 0.3)
                    yield site.put(node, f"[{other}] + {site.tight(node, 11)}", 0.3)


def _grows(site: Site, node: ast.expr) -> bool:
    parent = site.parent(node)
    if isinstance(
        node, ast.JoinedStr | ast.Lambda | ast.ListComp | ast.GeneratorExp | ast.Compare | ast.BoolOp | ast.Tuple
    ):
        return isinstance(node, ast.ListComp)
    if isinstance(parent, ast.Call) and node is parent.func:
        return False
    return not isinstance(parent, ast.Attribute | ast.Expr | ast.BoolOp | ast.FormattedValue)


def guarded(site: Site) -> Iterator[Change]:
    """A condition with one more: `a or b`, `a and b`, from what the place tests and what its variables invite."""
    for node in site.values:
        parent = site.parent(node)
        tested = isinstance(parent, ast.If | ast.While | ast.IfExp) and node is parent.test
        filtered = isinstance(parent, ast.comprehension) and node in parent.ifs
        answer = isinstance(parent, ast.Return) and site.kinds(node) & {"bool"}
        if not (tested or filtered or answer):
            continue
        for text, weight in conditions(site, node):
            if text == site.source.of(node):
                continue
            strict = site.level(text) < 4
            yield site.put(node, f"{site.tight(node, 4)} and {f'({text})' if strict else text}", weight)
            yield site.put(node, f"{site.tight(node, 3)} or {text}", weight)
            if " is None" in text or text.startswith("not ") or site.level(text) == 15:
                # What must hold before the rest can be asked for stands in front.
                yield site.put(node, f"{text} or {site.tight(node, 3)}", weight)
                yield site.put(node, f"{text} and {site.tight(node, 4)}", weight)
            if tested:
                yield site.put(node, text, 0.4 * weight)
    for node in site.values:
        parent = site.parent(node)
        if (
            isinstance(parent, ast.Return | ast.Assign)
            and node is parent.value
            and not isinstance(node, ast.Constant | ast.BoolOp)
        ):
            if not site.kinds(node) & {"bool", "num"}:
                for other in ("[]", "{}", "0", '""', "None"):
                    yield site.put(node, f"{site.tight(node, 3)} or {other}", 0.2)
            for other in site.scope(node):
                if other != site.source.of(node) and fit(site.roles.name(other), site.kinds(node)) > 0.4:
                    yield site.put(node, f"{site.tight(node, 3)} or {other}", 0.2)


def ingredients(site: Site) -> Iterator[Change]:
    """An expression replaced by another one that the function has elsewhere."""
    pool: dict[str, ast.expr] = {}
    for node in site.values:
        if isinstance(
            node,
            ast.Call | ast.Subscript | ast.BinOp | ast.Compare | ast.Attribute | ast.BoolOp | ast.UnaryOp | ast.IfExp,
        ):
            parent = site.parent(node)
            if not (isinstance(parent, ast.Call) and node is parent.func):
                text = site.source.of(node)
                if "\n" not in text and len(text) <= 80:
                    pool.setdefault(text, node)
    for node in site.values:
        parent = site.parent(node)
        if isinstance(node, ast.JoinedStr | ast.Lambda) or (isinstance(parent, ast.Call) and node is parent.func):
            continue
        own, kinds = site.source.of(node), site.kinds(node)
        for text, other in pool.items():
            if text != own:
                same = 1.5 if type(other) is type(node) else 1.0
                near = 1.5 if text in own or own in text else 1.0
                yield site.put(node, text, fit(site.kinds(other), kinds) * same * near)
        if not isinstance(node, ast.Name | ast.Constant):
            for name in site.scope(node):
                inside = 2.0 if name in own else 1.0
                yield site.put(node, name, 0.6 * inside * fit(site.roles.name(name), kinds))
            for text in ("0", "1", "True", "False", "None", "[]", '""', "{}"):
                yield site.put(node, text, 0.3)
        elif isinstance(node, ast.Name) and not isinstance(parent, ast.Attribute):
            for text in ("0", "1", "None", "-1"):
                yield site.put(node, text, 0.4)
