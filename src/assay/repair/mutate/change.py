"""The words of the engine: where to look, one change, one family of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from assay.repair.mutate.site import Site


class Place(Struct, frozen=True):
    """A function that may be at fault."""

    path: str
    start: int
    """First line, decorators included; 1-based."""
    end: int
    symbol: str = ""
    """Dotted, within its file; `""` for statements outside of functions between `start` and `end`."""
    weight: float = 1.0
    """Suspicion, in whatever unit: only the relation to the other places counts."""
    lines: Mapping[int, float] = {}
    """Suspicion of single lines, 0 to 1; {} when nothing is known of them."""


class Change(NamedTuple):
    """Pieces of one file's text, (start, end, new text), and how likely it is among those of its family."""

    edits: tuple[tuple[int, int, str], ...]
    line: int
    weight: float = 1.0


class Family(NamedTuple):
    """Changes of one kind."""

    name: str
    mass: float
    """How often a bug is of this kind; divided among all changes of the family that a place offers."""
    changes: Callable[[Site], Iterator[Change]]
