"""Text as words that can be compared: names taken apart, and how well a function's words answer a query (BM25)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

_NAME = re.compile(r"[^\W\d_]+|\d+")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
CODE_LIKE = re.compile(r"`([^`\n]{1,200})`|([A-Za-z_][\w.]*)\s?\(|\b(\w*_\w+|[A-Z]?[a-z0-9]+[A-Z]\w*|[a-z]+\d\w*)\b")
"""What in a text can't be an ordinary word: in backquotes, called, or of several parts."""
STOP = frozenset(
    """
    a about after all also an and any are as at be because been before being but by can cannot could did do does
    doing done don each for from get gets give given had has have here how i if in into is isn it its just like
    make me more my no not now of on one only or other our out over own please same she should so some such than
    that the their them then there these they this those to too under up use used using very via was we were
    what when where which while who why will with without would you your self cls def return none true false
    import else elif try except raise lambda yield pass assert function const let var new null void int str
    string bool test tests fix fixes fixed bug issue error wrong nothing something file code
    """.split()  # noqa: SIM905 - read and kept as text
)
"""Words that say nothing about a place: of the language people write, and of every programming language."""
K1, B = 1.2, 0.75
"""The usual constants of BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009)."""


@lru_cache(100_000)
def parts(name: str) -> tuple[str, ...]:
    """The words of one name in lower case and without the ends of plurals and verbs: `parseHTTPDates` is `parse`,
    `http`, `date`."""
    pieces = _NAME.findall(name)
    found = [part.lower() for piece in pieces for part in (_PARTS.findall(piece) if piece.isascii() else [piece])]
    return tuple(_stem(part) for part in found if len(part) > 1 and part not in STOP)


def _stem(word: str) -> str:
    for ending in ("ations", "ation", "ings", "ing", "ies", "ied", "ers", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def words(text: str) -> list[str]:
    """The words of a text, names taken apart."""
    return [part for name in _IDENTIFIER.findall(text) for part in parts(name[:100])]


def names(text: str) -> tuple[set[str], set[str]]:
    """Names in a text that look like code, and all of its words as they stand."""
    code = {
        word
        for match in CODE_LIKE.finditer(text)
        for group in match.groups()
        if group
        for word in _IDENTIFIER.findall(group)
    }
    return code, set(_IDENTIFIER.findall(text))


def bm25(query: Sequence[str], documents: Mapping[int, Counter[str]]) -> dict[int, float]:
    """How well each document answers the query; only those that do at all."""
    wanted = Counter(query)
    if not wanted or not documents:
        return {}
    lengths = {key: sum(counted.values()) for key, counted in documents.items()}
    average = max(sum(lengths.values()) / len(documents), 1.0)
    holding = {word: [key for key, counted in documents.items() if word in counted] for word in wanted}
    found: dict[int, float] = {}
    for word, keys in holding.items():
        rarity = math.log(1 + (len(documents) - len(keys) + 0.5) / (len(keys) + 0.5))
        for key in keys:
            count = documents[key][word]
            weight = count * (K1 + 1) / (count + K1 * (1 - B + B * lengths[key] / average))
            # Said twice, a word is meant more, but not twice as much.
            found[key] = found.get(key, 0.0) + rarity * weight * (1 + math.log(wanted[word]))
    return found
