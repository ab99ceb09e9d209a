"""Where belief in a candidate starts, by who made it."""

from __future__ import annotations

from msgspec import Struct


class Prior(Struct, frozen=True):
    """A Beta distribution: how many were right and wrong, start values included."""

    right: float
    wrong: float

    @property
    def mean(self) -> float:
        return self.right / (self.right + self.wrong)


STRONG = Prior(3.0, 2.0)
"""Where a model that can drive tools starts."""
TINY = Prior(1.5, 3.5)
"""Where a model that fills slots starts."""
FOUND = Prior(8.5, 1.5)
"""Where a green change starts that trying changes has found, of those that come first: fitted (see `belief`)."""
