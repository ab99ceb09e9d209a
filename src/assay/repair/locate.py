"""Which function is at fault, from what a failing check printed: `repair.fuse.rank` for whoever knows no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.repair.clues import Clues, Location
from assay.repair.fuse import rank
from assay.repair.project import is_test_path

__all__ = ["Location", "is_test_path", "locate"]


def locate(sources: Mapping[str, str], output: str, tests: Sequence[str], task: str, limit: int = 8) -> list[Location]:
    """Functions of `sources` (path -> text, tests included) in the order of suspicion, at most `limit`.

    `output` is what the failing check printed, `tests` are identities of failing tests (`path::Class::name[id]` or
    dotted), `task` is what was asked for. Never raises; [] when there is no clue or nothing can be parsed.
    """
    return rank(sources, Clues(output, tuple(tests), task), limit)
