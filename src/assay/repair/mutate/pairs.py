"""A second change on top of a first one that helped: for bugs of two places."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from assay.repair.mutate.change import Place
from assay.repair.mutate.rank import mutations
from assay.repair.patch import Edit, Patch
from assay.repair.source import lines_of


def follow(
    sources: Mapping[str, str], places: Sequence[Place], first: Patch, limit: int, texts: Sequence[str] = ()
) -> Iterator[Patch]:
    """`first` with one further change each, likeliest first, at most `limit`; as changes of `sources`.

    `first` should have helped: tests that were red are green with it, or fail otherwise. What is changed next may also
    be what it wrote. `places` are those of `sources`, perhaps with other suspicions since. Nothing yielded is `first`
    alone or leads back to `sources`.
    """
    changed = {**sources, **first.apply(sources)}
    moved = [_moved(place, sources, changed) for place in places]
    for patch in itertools.islice(mutations(changed, moved, limit + 1, texts), limit + 1):
        final = {**changed, **patch.apply(changed)}
        edits = tuple(edit for path in sorted(final) for edit in _difference(path, sources[path], final[path]))
        if edits and limit > 0:
            limit -= 1
            yield Patch(edits, f"{first.operator}+{patch.operator}", min(first.line, patch.line))


def _moved(place: Place, before: Mapping[str, str], after: Mapping[str, str]) -> Place:
    """The place in the changed text: its suspicions follow the lines that the first change pushed down or up."""
    old, new = lines_of(before.get(place.path, "")), lines_of(after.get(place.path, ""))
    more = len(new) - len(old)
    same = next((at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), len(old))
    if not more:
        return place
    lines = {line if line <= same else max(same + 1, line + more): value for line, value in place.lines.items()}
    start = place.start if place.start <= same + 1 else place.start + more
    return Place(place.path, start, max(start, place.end + more), place.symbol, place.weight, lines)


def _difference(path: str, before: str, after: str) -> tuple[Edit, ...]:
    """One edit that makes `after` of `before`, as small as common beginnings and ends allow."""
    if before == after:
        return ()
    most = min(len(before), len(after))
    start = next((at for at in range(most) if before[at] != after[at]), most)
    stop = next((at for at in range(most - start) if before[-1 - at] != after[-1 - at]), most - start)
    return (Edit(path, start, len(before) - stop, after[start : len(after) - stop]),)
