"""Arguments of calls, and calls put around expressions or taken off them."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from assay.repair.mutate.change import Change
from assay.repair.mutate.kinds import Kinds, fit
from assay.repair.mutate.operators import exchanged
from assay.repair.mutate.site import Site

_WRAPPERS: tuple[tuple[str, str, float], ...] = (
    ("abs({})", "num", 1.0), ("int({})", "num str", 0.8), ("str({})", "num", 0.7),
    ("len({})", "str list dict set tuple", 0.8), ("list({})", "list tuple set dict iter", 0.8),
    ("set({})", "list tuple iter", 0.6), ("sorted({})", "list set tuple iter", 1.0), ("tuple({})", "list iter", 0.5),
    ("float({})", "num", 0.3), ("round({})", "num", 0.4), ("bool({})", "", 0.2),
    ("sorted({}, reverse=True)", "list set tuple iter", 0.6), ("sorted({}, key=len)", "list set tuple", 0.4),
    ("list(reversed({}))", "list", 0.4), ("sum({})", "list tuple iter", 0.5), ("max({})", "list tuple iter", 0.4),
    ("min({})", "list tuple iter", 0.4), ("dict({})", "dict", 0.3), ("enumerate({})", "list iter", 0.2),
    ("range({})", "num", 0.3), ("range(len({}))", "list str", 0.3), ("not {}", "bool", 0.3), ("[{}]", "", 0.4),
    ("({},)", "", 0.2), ("ord({})", "str", 0.1), ("max({}, 0)", "num", 0.4), ("any({})", "list iter", 0.2),
    ("all({})", "list iter", 0.2), ("repr({})", "str", 0.2), ("reversed({})", "list str", 0.3),
    ("iter({})", "list", 0.1), ("max(0, {})", "num", 0.2),
)  # fmt: skip
_TAILS: tuple[tuple[str, str, float], ...] = (
    (".lower()", "str", 0.8), (".upper()", "str", 0.6), (".strip()", "str", 0.8), (".swapcase()", "str", 0.3),
    ("[::-1]", "str list", 0.8), (".split()", "str", 0.6), (".copy()", "list dict set", 0.8), ("[:]", "list", 0.8),
    (".items()", "dict", 0.8), (".keys()", "dict", 0.3), (".values()", "dict", 0.6), (".rstrip()", "str", 0.4),
    (".lstrip()", "str", 0.3), ("[0]", "list tuple str", 0.6), ("[-1]", "list tuple str", 0.6),
    ("[1:]", "list str", 0.8), ("[:-1]", "list str", 0.8), (".capitalize()", "str", 0.3), ("[1]", "tuple list", 0.3),
    (".title()", "str", 0.1), (".replace(' ', '')", "str", 0.1), (".isdigit()", "str", 0.1),
)  # fmt: skip
_KEYS = ("len", "abs", "str", "lambda x: x[0]", "lambda x: x[1]", "lambda x: (x[1], x[0])", "lambda x: -x", "str.lower")


def arguments(site: Site) -> Iterator[Change]:
    """Arguments swapped, dropped, added; keywords flipped, dropped or added."""
    for node in site.values:
        if not isinstance(node, ast.Call):
            continue
        args = node.args
        for one, other in itertools.pairwise(args):
            if not isinstance(one, ast.Starred) and not isinstance(other, ast.Starred):
                commutes = isinstance(node.func, ast.Name) and node.func.id in {"min", "max", "gcd"}
                yield exchanged(site, one, other, 0.1 if commutes else 1.0)
        if len(args) == 3:
            yield exchanged(site, args[0], args[2], 0.6)
        parts = [*args, *node.keywords]
        for number, part in enumerate(parts):
            yield _less(site, node, parts, number, part)
        if (
            isinstance(node.func, ast.Name)
            and len(args) == 1
            and not node.keywords
            and isinstance(args[0], ast.GeneratorExp)
        ):
            continue
        yield from _added(site, node)


def _less(
    site: Site, node: ast.Call, parts: list[ast.expr | ast.keyword], number: int, part: ast.expr | ast.keyword
) -> Change:
    start, end = site.source.span(part)
    if len(parts) > 1:
        if number:
            start = site.source.span(parts[number - 1])[1]
        else:
            end = site.source.span(parts[1])[0]
    elif isinstance(part, ast.GeneratorExp):
        start, end = start + 1, end - 1
    return Change(((start, end, ""),), node.lineno, 0.8 if len(parts) > 1 else 0.4)


def _added(site: Site, node: ast.Call) -> Iterator[Change]:
    _, end = site.source.span(node)
    at = end - 1
    head = site.source.text[site.source.span(node.func)[1] : at].rstrip()
    comma = "" if head.endswith(("(", ",")) else ", "
    name = _called(node)
    for text, weight in _options(site, node, name):
        yield Change(((at, at, comma + text),), node.lineno, weight)
    for item in node.keywords:
        value = item.value
        if item.arg is not None and isinstance(value, ast.Constant) and isinstance(value.value, bool):
            yield site.put(value, str(not value.value), 2.0)
    if name in {"min", "max"} and not node.keywords and len(node.args) in {1, 2}:
        yield from _extremes(site, node, name)
    kinds = site.kinds(node.args[-1]) if node.args else frozenset[str]()
    for other in site.scope(node):
        if other not in {"self", "cls"}:
            weight = fit(site.roles.name(other), kinds) * (1.5 if other in site.unread else 0.6)
            yield Change(((at, at, comma + other),), node.lineno, weight * (0.3 if comma else 1.0))


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _options(site: Site, node: ast.Call, name: str) -> Iterator[tuple[str, float]]:
    """Arguments that the well-known functions also take."""
    given = {item.arg for item in node.keywords}
    count = len(node.args)
    if name in {"sorted", "sort"}:
        if "reverse" not in given:
            yield "reverse=True", 2.5
        if "key" not in given:
            for key in _KEYS:
                yield f"key={key}", 0.5
            for other in site.bound:
                if site.roles.name(other) & {"dict", "list"}:
                    yield f"key=lambda x: {other}[x]", 0.5
            for other in site.clues.functions:
                yield f"key={other}", 0.3
    elif name in {"min", "max"} and "key" not in given:
        for text in ("key=len", "key=abs", "default=0", "default=None", "key=lambda x: x[1]"):
            yield text, 0.4
    elif name in {"enumerate", "sum"} and count == 1:
        yield "1", 1.0
    elif name == "range" and count == 2:
        yield "-1", 1.0
        yield "2", 0.6
    elif name in {"get", "pop", "getattr", "next", "setdefault"} and count in {1, 2}:
        for text in ("None", "0", "[]", '""', "False", "{}"):
            yield text, 0.5


def _extremes(site: Site, node: ast.Call, name: str) -> Iterator[Change]:
    """The smaller or larger of other variables: of two that hold numbers."""
    known = [other for other in site.scope(node) if site.roles.name(other) & {"num"}]
    loose = [other for other in site.scope(node) if not site.roles.name(other) and other not in {"self", "cls"}]
    for one, other in itertools.combinations([*known, *loose], 2):
        yield site.put(node, f"{name}({one}, {other})", 0.4 if {one, other} <= {*known} else 0.2)


def wrapped(site: Site) -> Iterator[Change]:
    """`f(x)` for `x`: the usual functions and those of the file."""
    for node in site.values:
        if isinstance(node, ast.Constant) or _function(site, node):
            continue
        kinds, text = site.kinds(node), site.source.of(node)
        if "\n" in text and len(text) > 200:
            continue
        parent = site.parent(node)
        whole = (
            1.0 if isinstance(parent, ast.Return | ast.Assign | ast.For | ast.Call | ast.BinOp | ast.Compare) else 0.6
        )
        for form, wanted, weight in _WRAPPERS:
            fits = _fits(kinds, wanted)
            if fits:
                inner = site.tight(node, 4) if form.startswith("not") else text
                yield site.put(node, form.format(inner), weight * fits * whole)
        if kinds & {"list", "set", "tuple", "sized"}:
            for name in site.bound:
                if site.roles.name(name) & {"dict"}:
                    yield site.put(node, f"sorted({text}, key=lambda x: {name}[x])", 0.3)
        for name, needed in (site.clues.functions | site.helpers).items():
            if needed == 1 and name != getattr(site.owner, "name", ""):
                yield site.put(node, f"{name}({text})", 0.5 * whole)


def tailed(site: Site) -> Iterator[Change]:
    """`x.strip()`, `x[::-1]`, `x[1:]`, `x.copy()` and the like for `x`."""
    for node in site.values:
        parent = site.parent(node)
        if isinstance(node, ast.Constant) or _function(site, node):
            continue
        kinds, text = site.kinds(node), site.tight(node, 15)
        often = 1.0 if isinstance(parent, ast.Call | ast.For | ast.comprehension | ast.Return | ast.Assign) else 0.5
        for tail, wanted, weight in _TAILS:
            fits = _fits(kinds, wanted)
            if fits:
                yield site.put(node, text + tail, weight * fits * often)


def unwrapped(site: Site) -> Iterator[Change]:
    """`x` for `f(x)`, `x` for `x.method()`."""
    for node in site.values:
        if not isinstance(node, ast.Call):
            continue
        for argument in node.args[:3]:
            if not isinstance(argument, ast.Starred):
                yield site.put(node, site.source.of(argument), 1.0 if len(node.args) == 1 else 0.6)
        if isinstance(node.func, ast.Attribute):
            yield site.put(node, site.source.of(node.func.value), 1.0)
        if not node.args and not node.keywords:
            yield site.put(node, site.source.of(node.func), 0.3)


def clamped(site: Site) -> Iterator[Change]:
    """`min(x, y)` and `max(x, y)` for `x`, with variables of the scope."""
    for node in site.values:
        parent = site.parent(node)
        if isinstance(node, ast.Constant) or _function(site, node) or isinstance(parent, ast.Attribute):
            continue
        if not _fits(site.kinds(node), "num"):
            continue
        if not isinstance(parent, ast.Return | ast.Assign | ast.AugAssign | ast.Call | ast.Slice | ast.Subscript):
            continue
        text = site.source.of(node)
        for other in site.scope(node):
            if other != text and site.roles.name(other) & {"num"}:
                yield site.put(node, f"min({text}, {other})", 0.5)
                yield site.put(node, f"max({text}, {other})", 0.5)


def _function(site: Site, node: ast.expr) -> bool:
    parent = site.parent(node)
    return isinstance(parent, ast.Call) and node is parent.func


def _fits(kinds: Kinds, wanted: str) -> float:
    if not kinds or not wanted:
        return 0.4
    if kinds & frozenset(wanted.split()):
        return 1.0
    return 0.7 if "sized" in kinds and {"list", "str"} & set(wanted.split()) else 0.0
