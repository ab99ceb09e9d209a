"""Behaviour: inputs made out of those that are known, and the candidates that answer all of them alike.

Arguments are written as in `repair.trial`, a literal of the positional and the named ones: `(([1, 2],), {'sep': ','})`;
an input is `path:symbol` with arguments behind it. They come from calls in tests, documentation and traces; more are
made by small steps from each value to a neighbour of its own type. Nothing here knows what the right answer is, so the
size of a cluster is a tie-break and never an argument against a test.
"""

from __future__ import annotations

import ast
import itertools
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from assay.repair.source import parsed
from assay.search.candidate import Candidate

INPUTS = 80
LONGEST = 400
"""Characters of an input; longer ones are not made."""
MOST_CALLS = 200
"""Calls that are read out of one text."""
LARGEST = 10**6
"""Numbers beyond this are not stepped to: they cost time and separate nothing."""


def calls_in(text: str, name: str) -> list[str]:
    """The arguments with which `text` (tests, documentation, prose with examples) calls `name`; literals only."""
    found: dict[str, None] = {}
    for match in itertools.islice(re.finditer(rf"(?<!\w)(?<!def ){re.escape(name)}\(", text), MOST_CALLS):
        end = _closing(text, match.end())
        values = _spelled(text[match.end() : end]) if end else None
        if values:
            found.setdefault(_text(values))
    return list(found)


def inputs_of(known: Sequence[str], text: str = "", limit: int = INPUTS) -> list[str]:
    """At most `limit` arguments: `known` first, then neighbours of them, and values of their types that stand in
    `text`. The same call gives the same ones. What of `known` is no literal is left out."""
    rows = [values for values in map(_read, known) if values]
    found = dict.fromkeys(_text(values) for values in rows)
    mined = _constants(text)
    near = _interleaved([_steps(values, mined) for values in rows])
    apart = _interleaved([_mirrored(values) for values in rows])
    for values in _interleaved([near, _walks(rows, mined, limit), apart, _crossed(rows)]):
        if len(found) >= limit:
            break
        if len(line := _text(values)) <= LONGEST:
            found[line] = None
    return list(found)[:limit]


def clusters(pool: Sequence[Candidate]) -> list[tuple[int, ...]]:
    """Numbers of candidates that answer every input alike: largest first, then by the earliest member. One that nobody
    observed stands alone. Inputs that only a few were asked, because time ran out, are left aside."""
    counts = Counter(call for candidate in pool for call in candidate.behaviour)
    observed = sum(1 for candidate in pool if candidate.behaviour)
    asked = sorted(call for call, times in counts.items() if 2 * times > observed)
    found: dict[object, list[int]] = {}
    for candidate in sorted(pool, key=lambda candidate: candidate.number):
        answers = tuple(candidate.behaviour.get(call, "") for call in asked)
        found.setdefault(answers if any(answers) else candidate.number, []).append(candidate.number)
    return sorted((tuple(numbers) for numbers in found.values()), key=lambda numbers: (-len(numbers), numbers[0]))


def shown(given: str) -> str:
    """An input, or arguments alone, as a call that a person or a model can read: `name([1, 2], sep=',')`."""
    place = given[: given.index("(")] if "(" in given else ""
    values = _read(given[len(place) :])
    return given if values is None else f"{place.rpartition(':')[2]}({_call(values)})"


def refused(answer: str) -> bool:
    """It is an exception: `!Kind`, or `raised` and a digest."""
    return answer.startswith(("!", "raised"))


def differing(left: Mapping[str, str], right: Mapping[str, str]) -> list[str]:
    """The shared inputs that two candidates answer differently, simplest first."""
    found = [call for call, answer in left.items() if call in right and right[call] != answer]
    return sorted(found, key=lambda call: (len(call), call))


_Values = tuple[tuple[str, object], ...]
"""Arguments with their keywords; "" for one by position."""


def _closing(text: str, start: int) -> int:
    """Where the bracket that was opened before `start` closes; 0 when it does not within reach."""
    depth, quote, index = 1, "", start
    for index in range(start, min(len(text), start + 4 * LONGEST)):
        char = text[index]
        if quote:
            quote = "" if char == quote and text[index - 1] != "\\" else quote
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if not depth:
                return index
    return 0


def _read(arguments: str) -> _Values | None:
    """What `_text` wrote."""
    try:
        placed, named = cast(tuple[tuple[object, ...], dict[str, object]], ast.literal_eval(arguments))
        return (*(("", value) for value in placed), *named.items())
    except (ValueError, TypeError, AttributeError, SyntaxError, MemoryError, RecursionError):
        return None


def _spelled(arguments: str) -> _Values | None:
    """What stands between the parentheses of a call."""
    tree = parsed(f"f({arguments}\n)")
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        return None
    call = tree.body[0].value
    if not isinstance(call, ast.Call):
        return None
    try:
        placed = [("", _literal(node)) for node in call.args]
        named = [(keyword.arg or "**", _literal(keyword.value)) for keyword in call.keywords]
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return None if any(name == "**" for name, _ in named) else (*placed, *named)


def _literal(node: ast.expr) -> object:
    value: object = ast.literal_eval(node)
    return value


def _text(values: _Values) -> str:
    placed = tuple(value for name, value in values if not name)
    return f"({placed!r}, { {name: value for name, value in values if name}!r})"


def _call(values: _Values) -> str:
    return ", ".join(f"{name}={value!r}" if name else repr(value) for name, value in values)


def _constants(text: str) -> list[object]:
    """Numbers and short strings that `text` spells out."""
    words = re.findall(r"(?<![\w.])-?\d{1,6}(?:\.\d+)?(?![\w.])|'[^'\n]{1,40}'|\"[^\"\n]{1,40}\"", text)
    found: list[object] = []
    for word in dict.fromkeys(words[:MOST_CALLS]):
        try:
            found.append(ast.literal_eval(word))
        except (ValueError, SyntaxError):
            continue
    return found


def _steps(values: _Values, mined: Sequence[object]) -> Iterator[_Values]:
    """`values` with one of them a step away."""

    def changed(place: int) -> Iterator[_Values]:
        name, value = values[place]
        fitting = [other for other in mined if type(other) is type(value)]
        for other in (*neighbours(value), *fitting):
            yield (*values[:place], (name, other), *values[place + 1 :])

    yield from _interleaved([changed(place) for place in range(len(values))])


def _crossed(rows: Sequence[_Values]) -> Iterator[_Values]:
    """The first argument of one call with the others of another."""
    for left, right in itertools.permutations(rows[:12], 2):
        if len(left) == len(right) > 1 and [name for name, _ in left] == [name for name, _ in right]:
            yield (left[0], *right[1:])


def _mirrored(values: _Values) -> Iterator[_Values]:
    """One argument as another of its type is, or nearly so: where they are compared, this is the boundary."""
    for source, place in itertools.permutations(range(len(values)), 2):
        if type(values[source][1]) is type(values[place][1]):
            for other in itertools.islice(itertools.chain([values[source][1]], neighbours(values[source][1])), 6):
                yield (*values[:place], (values[place][0], other), *values[place + 1 :])


def _walks(rows: Sequence[_Values], mined: Sequence[object], count: int) -> Iterator[_Values]:
    """Two to four steps from a call, by dice that fall the same each time."""
    dice = random.Random(0)  # noqa: S311 - no secret
    for _ in range(count if rows else 0):
        values = dice.choice(rows)
        for _ in range(dice.randint(2, 4)):
            place = dice.randrange(len(values))
            name, value = values[place]
            others = [*neighbours(value), *(other for other in mined if type(other) is type(value))]
            if others:
                values = (*values[:place], (name, dice.choice(others)), *values[place + 1 :])
        yield values


def _interleaved(streams: Sequence[Iterator[_Values]]) -> Iterator[_Values]:
    for round_ in itertools.zip_longest(*streams):
        yield from (values for values in round_ if values is not None)


def neighbours(value: object) -> Iterator[object]:
    """Values of the same type a small step away, the boundaries of the type among them."""
    match value:
        case bool():
            yield not value
        case int():
            near = (value + 1, value - 1, 0, 1, -value, value * 2, 10, value + 7, value * 3 + 5, value // 2, 100)
            yield from (number for number in near if abs(number) <= LARGEST)
        case float():
            yield from (value + 0.5, 0.0, -value, value / 2, float(int(value)) if abs(value) < LARGEST else 0.0)
        case str():
            yield from _strings(value)
        case bytes():
            yield from (b"", value[1:], value[:-1], value * 2, value[::-1])
        case list():
            yield from _lists([*value], list)
        case tuple():
            yield from _lists([*value], tuple)
        case set():
            yield from _lists(sorted(cast(set[object], value), key=repr), set)
        case dict():
            yield from _dicts({**value})
        case _:
            return


def _strings(value: str) -> Iterator[str]:
    """First those of the same form, a digit for a digit and a letter for a letter: strings often have a grammar."""
    for place, char in list(enumerate(value))[:8]:
        if char.isdigit():
            yield from (f"{value[:place]}{digit}{value[place + 1 :]}" for digit in "0193" if digit != char)
        elif char.isalpha():
            other = chr(ord(char) + 1) if char not in "zZ" else chr(ord(char) - 25)
            yield f"{value[:place]}{other}{value[place + 1 :]}"
            yield f"{value[:place]}{char.swapcase()}{value[place + 1 :]}"
    yield from ("", value[1:], value[:-1], value + value, value[::-1], value.swapcase(), value.upper())
    half = len(value) // 2
    yield from (value[half:] + value[:half], value[:half] + " " + value[half:], value[:1] * 3, f" {value}")
    yield from (value.replace(" ", ""), value[:half] + "1" + value[half:], "".join(sorted(value)), value[:1])


def _lists(value: list[object], made: Callable[[list[object]], object]) -> Iterator[object]:
    yield from (made([]), made(value[1:]), made(value[:-1]), made(value[::-1]), made(value + value[:1]))
    for place in sorted({0, len(value) // 2, len(value) - 1}) if value else ():
        for near in itertools.islice(neighbours(value[place]), 4):
            yield made([*value[:place], near, *value[place + 1 :]])
    yield from (made(value + value), made(value[:1]), made(value[:1] * 3), made(value[len(value) // 2 :]))


def _dicts(value: dict[object, object]) -> Iterator[dict[object, object]]:
    yield {}
    for key, held in itertools.islice(value.items(), 3):
        yield {other: kept for other, kept in value.items() if other != key}
        for near in itertools.islice(neighbours(held), 3):
            yield {**value, key: near}
    for key, held in itertools.islice(value.items(), 2):
        for near in itertools.islice(neighbours(key), 2):
            yield {**value, near: held}
