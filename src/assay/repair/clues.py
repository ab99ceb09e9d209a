"""The words of localisation: what is known of a failure, and where it may come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct


class Clues(Struct, frozen=True):
    """What is known of a failure. Everything may be missing."""

    output: str = ""
    """What the failing check printed."""
    tests: tuple[str, ...] = ()
    """Identities of failing tests, `path::Class::name[id]` or dotted."""
    task: str = ""
    lines: Mapping[str, Mapping[int, float]] = {}
    """Path -> line -> suspicion, 0 to 1, of what failing tests ran (`repair.spectrum`); {} when none were watched."""
    recent: Sequence[str] = ()
    """Files changed lately, the last one first."""


class Location(Struct, frozen=True):
    """A function that may be at fault. `str` of it is `path:start-end symbol`."""

    path: str
    start: int
    """First line, decorators included; 1-based."""
    end: int
    symbol: str
    """Dotted, within its file: `Class.method`."""
    signature: str
    """From its first word to its body, on one line."""
    score: float
    share: float = 0.0
    """Of all that was found, how much speaks for this one: 0 to 1."""
    lines: dict[int, float] = {}
    """Suspicion of its lines, 0 to 1; {} when nothing tells them apart."""

    def __str__(self) -> str:
        return f"{self.path}:{self.start}-{self.end} {self.symbol}"
