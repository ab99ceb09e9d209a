"""The stream of mutants: families by mass, changes by their share, lines by suspicion; each mutant once."""

from __future__ import annotations

import ast
import heapq
import itertools
from collections.abc import Iterator, Mapping, Sequence

from assay.repair.mutate import (
    calls,
    constants,
    definitions,
    growth,
    insertions,
    names,
    operators,
    sequences,
    statements,
)
from assay.repair.mutate.change import Change, Family, Place
from assay.repair.mutate.clues import Clues
from assay.repair.mutate.compiled import Compiled
from assay.repair.mutate.site import Owner, Site, body_of
from assay.repair.mutate.text import Source
from assay.repair.patch import Edit, Patch
from assay.repair.source import functions, parsed, span

SHARE = 0.7
"""How strongly a family with many changes is held back, as an exponent: 0 not at all, 1 by their whole number."""
ROOM = 1_500_000
"""Characters of all changes of a family at one place; of a very long function its end is not reached."""
EACH = 30
"""Characters that a change counts for in addition."""
FLOOR = 0.04
"""Suspicion of a line that nothing speaks against, where other lines are suspected."""

FAMILIES: tuple[Family, ...] = (
    Family("compare", 1.0, operators.comparisons),
    Family("arithmetic", 0.7, operators.arithmetic),
    Family("negate", 0.5, operators.negations),
    Family("boolean", 0.6, operators.boolean),
    Family("operands", 1.0, operators.operands),
    Family("number", 1.0, constants.numbers),
    Family("word", 0.7, constants.words),
    Family("element", 0.2, constants.elements),
    Family("variable", 1.0, names.variables),
    Family("function", 0.6, names.functions),
    Family("attribute", 0.5, names.attributes),
    Family("target", 0.3, names.targets),
    Family("argument", 0.7, calls.arguments),
    Family("wrap", 0.6, calls.wrapped),
    Family("tail", 0.4, calls.tailed),
    Family("unwrap", 0.5, calls.unwrapped),
    Family("clamp", 0.1, calls.clamped),
    Family("bound", 1.0, sequences.bounds),
    Family("slice", 0.5, sequences.slices),
    Family("part", 0.2, sequences.sliced),
    Family("order", 0.5, sequences.orders),
    Family("subscript", 0.3, sequences.subscripts),
    Family("index", 0.3, sequences.indexed),
    Family("range", 0.4, sequences.ranges),
    Family("comprehension", 0.2, sequences.comprehensions),
    Family("ternary", 0.3, sequences.ternaries),
    Family("grow", 0.7, growth.terms),
    Family("condition", 0.7, growth.guarded),
    Family("ingredient", 0.6, growth.ingredients),
    Family("delete", 0.8, statements.deletions),
    Family("exchange", 0.4, statements.exchanges),
    Family("move", 0.4, statements.moves),
    Family("keyword", 0.4, statements.words),
    Family("guard", 0.8, insertions.guards),
    Family("update", 0.6, insertions.updates),
    Family("copy", 0.4, insertions.copies),
    Family("else", 0.3, insertions.branches),
    Family("handler", 0.3, definitions.handlers),
    Family("default", 0.3, definitions.defaults),
    Family("await", 0.4, definitions.coroutines),
    Family("scope", 0.3, definitions.scopes),
    Family("member", 0.3, definitions.members),
)


def mutations(
    sources: Mapping[str, str], places: Sequence[Place], limit: int, texts: Sequence[str] = ()
) -> Iterator[Patch]:
    """Changes of `places` in `sources` (path -> text), likeliest first, at most `limit`.

    Each is valid Python, differs from the source and from the others in what it compiles to, and keeps the layout of
    what it does not change. `texts` are where else values may be mined: failing tests, what they printed, the task.
    A place that is not found or not Python yields nothing. The same input yields the same patches in the same order.
    """
    return itertools.islice(_patches(sources, places, texts), max(0, limit))


def _patches(sources: Mapping[str, str], places: Sequence[Place], texts: Sequence[str]) -> Iterator[Patch]:
    sites = [found for place in places if (found := site_of(sources, place, texts)) is not None]
    most = max((place.weight for place, _ in sites), default=0.0) or 1.0
    # A family is asked for its changes only when nothing that is known already is likelier than its best could be.
    waiting = [
        (-family.mass * place.weight / most, at, number)
        for at, (place, _) in enumerate(sites)
        for number, family in enumerate(FAMILIES)
    ]
    heapq.heapify(waiting)
    ready: list[tuple[float, int, Change, int, str]] = []
    count = itertools.count()
    checks = [Compiled(site) for _, site in sites]
    while ready or waiting:
        if waiting and (not ready or waiting[0][0] <= ready[0][0]):
            score, at, number = heapq.heappop(waiting)
            place, site = sites[at]
            for value, change in _scored(FAMILIES[number], site, place):
                heapq.heappush(ready, (score * value, next(count), change, at, FAMILIES[number].name))
            continue
        _, _, change, at, name = heapq.heappop(ready)
        if checks[at].fresh(change):
            path = sites[at][0].path
            yield Patch(tuple(Edit(path, start, end, text) for start, end, text in change.edits), name, change.line)


def _scored(family: Family, site: Site, place: Place) -> Iterator[tuple[float, Change]]:
    """Changes with their share of the family's mass, at most 1."""
    changes = [
        (change.weight * _suspicion(change, place), change) for change in _bounded(family, site) if change.weight > 0
    ]
    total = sum(value for value, _ in changes)
    if total > 0:
        best = max(value for value, _ in changes)
        scale = 1 / best / max(1.0, (total / best)) ** SHARE
        for value, change in changes:
            yield value * scale, change


def _bounded(family: Family, site: Site) -> Iterator[Change]:
    """As many changes as there is room for; none behind an expression that is too deep."""
    room = ROOM
    try:
        for change in family.changes(site):
            yield change
            room -= EACH + sum(len(text) for _, _, text in change.edits)
            if room < 0:
                return
    except RecursionError:
        return


def _suspicion(change: Change, place: Place) -> float:
    if not place.lines:
        return 1.0
    near = max(place.lines.get(change.line, 0.0), 0.5 * place.lines.get(change.line + 1, 0.0))
    return FLOOR + near


def site_of(sources: Mapping[str, str], place: Place, texts: Sequence[str] = ()) -> tuple[Place, Site] | None:
    """The function of a place, or the statements outside of functions that it spans; None when there are none, or they
    are nested too deeply."""
    text = sources.get(place.path)
    tree = None if text is None else parsed(text)
    if text is None or tree is None:
        return None
    owner: Owner = tree
    body = [
        item
        for item in tree.body
        if place.start <= item.lineno <= place.end and not isinstance(item, ast.ClassDef | ast.FunctionDef)
    ]
    found = [node for symbol, node in functions(tree) if symbol == place.symbol or not place.symbol]
    if place.symbol and found:
        owner = min(found, key=lambda node: abs(span(node)[0] - place.start))
        body = body_of(owner)
    elif found and not body:
        inside = [node for node in found if span(node)[0] <= place.start and place.end <= span(node)[1]]
        if inside:
            owner = inside[-1]
            body = body_of(owner)
    documents = [
        item.value.value
        for item in ast.walk(tree)
        if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant) and isinstance(item.value.value, str)
    ]
    if not body:
        return None
    source = Source(place.path, text, tree)
    try:
        return place, Site(source, owner, body, Clues(tree, owner, [*documents[:20], *texts]))
    except RecursionError:
        return None
