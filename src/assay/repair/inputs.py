"""More inputs like those that tests use: neighbours of recorded calls, by the type of each argument."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from typing import cast

from assay.repair.trial.words import Call

MOST_TEXT = 600
PER_CALL = 12


def around(calls: Sequence[Call], most: int) -> list[Call]:
    """`calls`, and neighbours of those with plain arguments, in turn, at most `most`; each once."""
    found = {call.key: call for call in calls[:most]}
    streams = [itertools.islice(_neighbours(call), PER_CALL) for call in calls]
    for row in itertools.zip_longest(*streams):
        for call in row:
            if call is not None and len(found) < most:
                found.setdefault(call.key, call)
    return [*found.values()]


def _neighbours(call: Call) -> Iterator[Call]:
    if call.arguments.startswith("pickle:"):
        return
    try:
        args, named = cast("tuple[tuple[object, ...], dict[str, object]]", ast.literal_eval(call.arguments))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return
    places: list[str | int] = [*range(len(args)), *named]
    # One argument at a time, the arguments in turn, so that a few neighbours touch all of them.
    streams = [iter(list(_others(args[place] if isinstance(place, int) else named[place]))) for place in places]
    for values in itertools.zip_longest(*streams, fillvalue=_NONE):
        for place, value in zip(places, values, strict=True):
            if value is _NONE:
                continue
            if isinstance(place, int):
                text = repr(((*args[:place], value, *args[place + 1 :]), named))
            else:
                text = repr((args, {**named, place: value}))
            if len(text) <= MOST_TEXT:
                yield Call(call.path, call.symbol, text)


_NONE = object()


def _others(value: object) -> Iterator[object]:
    """Values of the same type near it: what an off-by-one, a swapped order or a forgotten empty case shows."""
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1, 0, -value, value * 2, 1)
        case float():
            yield from (value + 0.5, 0.0, -value, value * 2)
        case str():
            yield from (
                value[1:],
                value + value,
                value[::-1],
                value[:-1],
                "",
                value.swapcase(),
                f" {value} ",
                value + "a",
            )
        case list() | tuple():
            items = cast("list[object] | tuple[object, ...]", value)
            kind = type(items)
            yield from (items[1:], items[::-1], items[:-1], kind([*items, *items]), kind())
            if items:
                yield kind([items[0], *items])
                for at, other in zip(
                    range(len(items)), itertools.chain.from_iterable(map(_first, items)), strict=False
                ):
                    yield kind([*items[:at], other, *items[at + 1 :]])
        case dict():
            pairs = [*cast("dict[object, object]", value).items()]
            yield dict(pairs[1:])
            yield dict(reversed(pairs))
            for key, inner in pairs[:2]:
                for other in _first(inner):
                    yield {**dict(pairs), key: other}
        case _:
            return


def _first(value: object) -> list[object]:
    return list(itertools.islice(_others(value), 1))
