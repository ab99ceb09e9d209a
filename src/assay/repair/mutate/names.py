"""Another variable, attribute, method or function of like kind."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from assay.repair.mutate.change import Change
from assay.repair.mutate.kinds import fit
from assay.repair.mutate.site import Site

_LIKE = (
    "append extend insert add update appendleft", "min max", "any all", "find index rfind rindex", "keys values items",
    "sorted reversed list set", "lower upper swapcase capitalize title casefold", "strip lstrip rstrip",
    "split rsplit splitlines partition", "startswith endswith",
    "isalpha isdigit isalnum isnumeric isdecimal isspace isupper islower", "isupper islower istitle",
    "floor ceil trunc round int", "append remove pop discard", "pop popleft popitem",
    "union intersection difference symmetric_difference", "issubset issuperset isdisjoint", "get setdefault pop",
    "len sum max min", "str repr", "int float round abs", "ord chr", "heappush heappop heapify", "encode decode",
    "search match fullmatch findall finditer", "dumps loads dump load", "zip enumerate", "map filter",
    "list tuple set frozenset", "join split", "bin hex oct", "sin cos tan", "log log2 log10 exp", "remove discard pop",
    "read readline readlines", "write writelines", "getattr hasattr", "isinstance issubclass",
    "ljust rjust center zfill", "dict defaultdict OrderedDict Counter", "product permutations combinations",
    "sort reverse", "replace translate", "count index find", "removeprefix removesuffix", "popleft pop",
    "add discard remove", "sqrt pow", "children descendants parents", "first last", "start end stop", "left right",
    "head tail", "next prev previous", "row col column", "width height", "x y", "low high", "begin end", "key value",
    "parent child", "min_value max_value", "before after",
)  # fmt: skip
"""Names that are taken for each other, in the standard library and by custom."""


def alike(name: str) -> dict[str, float]:
    """Names of the same kind -> weight, nearer ones first."""
    found: dict[str, float] = {}
    for group in _LIKE:
        words = group.split()
        if name in words:
            for other in words:
                if other != name:
                    found[other] = max(found.get(other, 0.0), 1.0 if len(words) <= 3 else 0.6)
    return found


def variables(site: Site) -> Iterator[Change]:
    """Another variable that is in scope, likelier when its uses tell of the same kind or when nothing reads it yet."""
    for node in site.values:
        if not isinstance(node, ast.Name) or node.id in site.clues.functions:
            continue
        parent = site.parent(node)
        called = isinstance(parent, ast.Call) and node is parent.func
        kinds = site.roles.name(node.id)
        known = node.id in site.bound or bool(kinds)
        if called and node.id not in site.bound:
            continue
        for other in site.scope(node):
            if other == node.id or other in {"self", "cls", "_"}:
                continue
            weight = fit(site.roles.name(other), kinds) if known else 0.3
            weight *= 2.0 if other in site.unread else 1.0
            yield site.put(node, other, weight * _similar(node.id, other))


def _similar(one: str, other: str) -> float:
    """Names that share much of their spelling are confused oftener."""
    shared = _common(one, other) + _common(one[::-1], other[::-1])
    return 1.0 + min(1.0, shared / max(len(one), len(other)))


def _common(one: str, other: str) -> int:
    """Letters that both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def functions(site: Site) -> Iterator[Change]:
    """Another method or function of like kind, of the standard library or of the file."""
    for node in site.values:
        if isinstance(node, ast.Attribute):
            end = site.source.span(node)[1]
            start = end - len(node.attr)
            if site.source.text[start:end] != node.attr:
                continue
            parent = site.parent(node)
            called = isinstance(parent, ast.Call) and node is parent.func
            for other, weight in alike(node.attr).items():
                yield Change(((start, end, other),), node.lineno, weight)
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if called and own:
                for other in site.clues.methods:
                    if other != node.attr and not other.startswith("__"):
                        yield Change(((start, end, other),), node.lineno, 0.4 * _similar(node.attr, other))
        elif isinstance(node, ast.Name) and not isinstance(site.parent(node), ast.Attribute):
            parent = site.parent(node)
            if node.id not in site.bound:
                for other, weight in alike(node.id).items():
                    yield site.put(node, other, weight)
            if isinstance(parent, ast.Call) and node is parent.func and node.id in site.clues.functions:
                for other, needed in site.clues.functions.items():
                    if other != node.id:
                        yield site.put(node, other, 0.5 if needed == len(parent.args) else 0.2)


def attributes(site: Site) -> Iterator[Change]:
    """Another attribute of the same object, as seen elsewhere in the place; `self.name` for `name`; one link more."""
    seen: dict[str, dict[str, None]] = {}
    for node in [*site.values, *site.targets]:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            parent = site.parent(node)
            if not (isinstance(parent, ast.Call) and node is parent.func):
                seen.setdefault(node.value.id, {})[node.attr] = None
    everything = list(dict.fromkeys(name for names in seen.values() for name in names))
    for node in [*site.values, *site.targets]:
        parent = site.parent(node)
        called = isinstance(parent, ast.Call) and node is parent.func
        if isinstance(node, ast.Attribute) and not called:
            end = site.source.span(node)[1]
            base = site.source.of(node.value)
            own = seen.get(base, {})
            for other in everything:
                if other != node.attr:
                    weight = (1.0 if other in own else 0.5) * _similar(node.attr, other)
                    yield Change(((end - len(node.attr), end, other),), node.lineno, weight)
            if isinstance(node.ctx, ast.Load):
                yield site.put(node, base, 0.5)
                yield site.put(node, f"{site.source.of(node)}.{node.attr}", 0.5)
        elif isinstance(node, ast.Name) and not called:
            if node.id in seen and isinstance(node.ctx, ast.Load) and not isinstance(parent, ast.Attribute):
                for other in seen[node.id]:
                    yield site.put(node, f"{node.id}.{other}", 0.6)
            for holder in ("self", "cls"):
                if node.id in seen.get(holder, {}):
                    yield site.put(node, f"{holder}.{node.id}", 1.5)


def targets(site: Site) -> Iterator[Change]:
    """What is assigned goes to another variable."""
    for node in site.targets:
        parent = site.parent(node)
        if isinstance(node, ast.Name) and isinstance(parent, ast.Assign | ast.AugAssign | ast.Tuple):
            for other in site.bound:
                if other not in {node.id, "self", "cls"}:
                    weight = fit(site.roles.name(other), site.roles.name(node.id))
                    yield site.put(node, other, weight * _similar(node.id, other))
