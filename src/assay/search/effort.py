"""The effort dial: one word, and all that it allows.

`--effort` turns thinking and search together (docs/effort.md). The values are those of research on what compute buys,
not fitted to any set of tasks; where a set suggested a change, docs/solving.md says so.
"""

from __future__ import annotations

from msgspec import Struct

from assay.core.model import Effort


class Dial(Struct, frozen=True):
    """What one turn may spend on being right."""

    mutate_seconds: float
    """Processor seconds for repairs that need no model."""
    samples: int
    """Rewrites asked of a model that fills slots."""
    holes: int
    """Samples of single lines asked for besides, where an endpoint fills gaps."""
    output_tokens: int
    """Tokens such a model may write in a turn."""
    waves: tuple[int, ...]
    """Candidates started together, wave after wave, while evidence is missing."""
    turns: int
    """Steps of one attempt of a tool loop before it must have shown something new."""
    extension: int
    """Steps more when it has."""
    written_checks: int
    """Checks that may be written in a turn, where none is given."""
    belief: float
    """How likely a result must be right before no more is spent on it, 0 to 1."""
    tokens: int
    """Tokens of a turn with one file at fault; for work across a repository five times as many."""

    compares: bool = False
    """Ask a model which of several results that pass is right."""

    @property
    def candidates(self) -> int:
        return sum(self.waves)


DIALS: dict[Effort, Dial] = {
    "low": Dial(10.0, 4, 8, 1_000, (1,), 12, 6, 1, 0.80, 8_000),
    "medium": Dial(30.0, 16, 24, 4_000, (1, 1, 2), 20, 10, 2, 0.92, 32_000),
    "high": Dial(120.0, 64, 48, 16_000, (3, 1, 2, 2), 60, 30, 6, 0.97, 96_000, True),
    "max": Dial(300.0, 128, 96, 48_000, (4, 2, 2, 4, 4), 120, 60, 8, 0.98, 400_000, True),
}


def dial_of(effort: Effort | None, attempts: int | None = None) -> Dial:
    """The dial at `effort` (medium when nothing was said), with `attempts` candidates where the user named a number."""
    dial = DIALS[effort or "medium"]
    return dial if attempts is None else _within(dial, max(attempts, 1))


def _within(dial: Dial, attempts: int) -> Dial:
    """`dial` with exactly `attempts` candidates at most: the waves of the dial as far as they go, then ones of four."""
    from msgspec.structs import replace

    waves: list[int] = []
    for size in (*dial.waves, *[4] * attempts):
        if (left := attempts - sum(waves)) > 0:
            waves.append(min(size, left))
    return replace(dial, waves=tuple(waves))
