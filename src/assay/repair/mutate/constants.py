"""Other literals: numbers nearby, numbers and words that the file, the documentation and the tests speak of."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from assay.repair.mutate.change import Change
from assay.repair.mutate.site import Site


def numbers(site: Site) -> Iterator[Change]:
    """Another number: one more, one less, the usual ones, its negative, and those mined."""
    for node in site.values:
        if (
            not isinstance(node, ast.Constant)
            or isinstance(node.value, bool)
            or not isinstance(node.value, int | float)
        ):
            continue
        value, own = node.value, site.source.of(node)
        offered: dict[str, float] = {}
        if isinstance(value, int):
            offered = {str(value + 1): 1.0, str(value - 1): 1.0}
            for other, weight in (
                ("0", 0.7),
                ("1", 0.7),
                ("2", 0.5),
                ("-1", 0.5),
                (str(value * 2), 0.25),
                (str(-value), 0.4),
            ):
                offered.setdefault(other, weight)
            for other in (str(value + 2), str(value - 2), str(value * 10), str(value // 2), "10", "3"):
                offered.setdefault(other, 0.2)
            offered.setdefault(f"{value}.0", 0.15)
            offered.setdefault("None", 0.1)
        else:
            more = (
                0.5,
                1.0,
                2.0,
                0.0,
                value + 1,
                value - 1,
                -value,
                value * 10,
                value / 10,
                1 / value if value else 0.0,
            )
            for other in more:
                offered.setdefault(repr(float(other)), 0.5)
        for other in site.clues.numbers:
            offered.setdefault(other, 0.3)
        for other, weight in offered.items():
            if other != own:
                yield site.put(node, other, weight)


def words(site: Site) -> Iterator[Change]:
    """Another text: mined ones, other letter case, one character less, its neighbours in the same expression."""
    for node in site.values:
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield site.put(node, str(not node.value), 3.0)
            yield site.put(node, "None", 0.3)
        elif isinstance(node, ast.Constant) and node.value is None:
            for other, weight in (
                ("0", 0.6),
                ("False", 0.6),
                ("True", 0.4),
                ("[]", 0.6),
                ('""', 0.5),
                ("{}", 0.4),
                ("-1", 0.4),
            ):
                yield site.put(node, other, weight)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) <= 60:
            if "\\" in site.source.of(node) or "\n" in site.source.of(node):
                continue
            yield from _texts(site, node, node.value)


def _texts(site: Site, node: ast.Constant, value: str) -> Iterator[Change]:
    offered: dict[str, float] = {}
    both = value.lower() + value.upper()
    for other, weight in (
        (value.lower(), 1.0), (value.upper(), 0.6), (value.capitalize(), 1.0), (value.title(), 0.4),
        (value.swapcase(), 0.2), (value.strip(), 0.6), (value + " ", 0.3), (" " + value, 0.3), (value[1:], 0.4),
        (value[:-1], 0.6), (value[::-1], 0.5), (both if value.isalpha() and len(value) > 1 else value, 0.5), ("", 0.5),
        (" ", 0.5), ("0" if value.isdigit() else value, 0.5), ("1" if value.isdigit() else value, 0.5), ("\\n", 0.1),
        (",", 0.1), (value + "s", 0.1), (value + ".", 0.1),
    ):  # fmt: skip
        offered.setdefault(other, weight)
    for other in site.clues.words:
        shared = (value[:1].lower() == other[:1].lower() and bool(value)) or other.strip() == value.strip()
        offered.setdefault(other, 0.8 if shared else 0.3)
    quote = _quote(site.source.of(node))
    for number, letter in enumerate(value if 2 <= len(value) <= 30 else ""):
        if letter not in value[:number] or len(value) <= 8:
            offered.setdefault(value[:number] + value[number + 1 :], 0.15)
    prefix = site.source.of(node).split(quote, 1)[0]
    for other, weight in offered.items():
        if other != value and quote not in other and not (other.endswith("\\") or ("\\" in other and other != "\\n")):
            yield site.put(node, f"{prefix}{quote}{other}{quote}", weight)


def _quote(text: str) -> str:
    return next((letter for letter in text if letter in "'\""), '"')


def elements(site: Site) -> Iterator[Change]:
    """One element less in a literal list, tuple, set or dict; one more of those mined."""
    for node in site.values:
        if not isinstance(node, ast.List | ast.Tuple | ast.Set) or not 0 < len(node.elts) <= 30:
            continue
        for number, item in enumerate(node.elts):
            if len(node.elts) > 1:
                start, end = site.source.span(item)
                if number:
                    start = site.source.span(node.elts[number - 1])[1]
                else:
                    end = site.source.span(node.elts[1])[0]
                yield Change(((start, end, ""),), item.lineno, 1.0 / (1 + 0.1 * len(node.elts)))
        last = node.elts[-1]
        stand = site.source.span(last)[1]
        if not isinstance(last, ast.Constant):
            continue
        for word in site.clues.words if isinstance(last.value, str) else site.clues.numbers:
            text = repr(word) if isinstance(last.value, str) else word
            yield Change(((stand, stand, ", " + text),), last.lineno, 0.1)
