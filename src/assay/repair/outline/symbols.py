"""The words of an outline."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Kind = Literal["function", "method", "type"]
How = Literal["tree", "grammar", "patterns", "none"]
"""Who read the file: Python's parser; a tree-sitter grammar; patterns, which see only what is laid out as usual, take
ends from the indentation and miss functions that are values; nobody, as it is in no language known here, is broken
Python, larger than `LARGEST`, or minified."""
LARGEST = 1_000_000
"""Characters of a file that is still read."""
MOST_SYMBOLS = 5_000
SIGNATURE = 300
"""Characters of a signature."""
NO_OWNER = frozenset({"exports", "module", "this", "prototype"})
"""Words before the dot of a name in JavaScript that are no type."""


class Symbol(Struct, frozen=True):
    name: str
    kind: Kind
    container: str
    """The dotted name of what it lies in: a type, a namespace, a function; "" at the top of the file."""
    start: int
    """First line, decorators included; 1-based."""
    end: int
    signature: str
    """From its first word to the beginning of its body, on one line, at most `SIGNATURE` characters."""
    uses: tuple[str, ...] = ()
    """Names in its body in order of appearance, once each."""

    @property
    def full(self) -> str:
        """Dotted, within the file: `Class.method`."""
        return f"{self.container}.{self.name}" if self.container else self.name


class Outline(Struct, frozen=True):
    symbols: tuple[Symbol, ...] = ()
    """In the order of their first lines; what lies inside another comes after it."""
    how: How = "none"


def one_line(text: str) -> str:
    """A signature for people: on one line and bounded."""
    return " ".join(text[: SIGNATURE * 4].split())[:SIGNATURE]
