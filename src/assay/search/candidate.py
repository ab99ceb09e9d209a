"""What a search knows about its candidates: enough to choose among them again later, at no cost."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from assay.core.check import EvidenceClass
from assay.core.messages import Usage

Word = Literal["pass", "fail", "error", "skip"]


class Vector(Struct, frozen=True):
    """What was run on a candidate. Names are identities of tests, or shell lines of checks."""

    applies: bool = True
    """It parses, and what it changed can be imported."""
    kept: dict[str, bool] = {}
    """Tests that passed before any change -> do they still."""
    targets: dict[str, bool] = {}
    """Tests and checks that were red and are to be green (class A and B) -> are they."""
    written: dict[str, bool] = {}
    """Checks written during the run that earned a vote (class C) -> are they green."""
    signature: str = ""
    """A digest of which tests fail and why: equal for candidates that fail in the same way."""

    @property
    def green(self) -> bool:
        """Everything that was run and speaks for or against it is as wanted, and something was. Written checks only
        count for it: whether they are right is another question."""
        shown = bool(self.targets) or any(self.written.values())
        return self.applies and shown and all((*self.kept.values(), *self.targets.values()))


class Candidate(Struct, frozen=True):
    """One attempt at a task."""

    number: int
    """1-based, in the order of their making."""
    strategy: str
    """`zero`, `slots`, `single`, `loop`."""
    origin: str = ""
    """What makes it different by design: operator, wording, plan, location, restart."""
    model: str = ""
    """PROVIDER/NAME; empty when no model made it."""
    tree: str = ""
    """The snapshot, where there is one."""
    patch: str = ""
    """A unified diff against the start."""
    files: int = 0
    lines: int = 0
    """Added and removed together."""
    protected: bool = False
    """It changed protected paths without leave."""
    vector: Vector = Vector()
    behaviour: dict[str, str] = {}
    """Input -> digest of what the changed callables answer to it (`repair.observe`); {} when nobody asked."""
    usage: Usage = Usage()
    steps: int = 0
    seconds: float = 0.0
    signs: dict[str, float] = {}
    """Further features for a critic, by name (edited after the last test, loops, turns against the median, ...)."""


class Ground(Struct, frozen=True):
    """What is known of the task itself."""

    cls: EvidenceClass | None = None
    """The best class among the targets; None when nothing was red."""
    assertions: int = 0
    """Of the targets, as far as they can be counted."""
