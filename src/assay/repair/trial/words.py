"""What is said to the driver and what it says: the data of trying repairs."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Status = Literal["plausible", "red", "slow", "invalid"]


class Want(Struct, frozen=True):
    """When trying ends, whichever comes first."""

    seconds: float = 30.0
    """Processor seconds of all that runs, the driver's start included."""
    plausible: int = 8
    """So many plausible ones."""
    each_seconds: float = 1.0
    """Processor seconds of one test, added to five times what it took before any change."""
    further: int | None = None
    """Candidates that are tried after the first plausible one; None for all."""
    calls: tuple[Call, ...] = ()
    """What plausible candidates are asked in addition, for `Tried.behaviour`."""


class Tried(Struct, frozen=True):
    """How one candidate fared. `plausible` is a filter's word and no evidence: the done gate judges in a clean copy."""

    index: int
    """Its place among those given."""
    status: Status
    passed: tuple[str, ...] = ()
    """Tests that it passed, of those that were run: failing ones first, and only as far as the first that stays red.
    A check without identities is one test by the name of ""."""
    failing: dict[str, str] = {}
    """Test -> why, in one line."""
    seconds: float = 0.0
    """Processor seconds."""
    behaviour: dict[str, str] = {}
    """Call -> digest of what came of it; see `Bench.observe`."""


class Call(Struct, frozen=True):
    """A function with recorded arguments."""

    path: str
    symbol: str
    """Dotted, within its file."""
    arguments: str
    """A Python literal of the positional and the named ones, `((1, "a"), {"key": None})`, or `pickle:` and base64."""

    @property
    def key(self) -> str:
        return f"{self.path}:{self.symbol}{self.arguments}"


class Answer(Struct, frozen=True):
    """What came of a call."""

    digest: str
    """`value`, `raised`, `late` or `absent` (there is no such function), and a digest of all that can be seen of it."""
    text: str = ""
    """The same for people and models, cut short: equal texts don't make equal answers."""


class Step(Struct, frozen=True):
    """What ran while one line of a test was at work."""

    line: int
    """Of the test's file."""
    failed: bool
    lines: dict[str, tuple[int, ...]]
    """Path -> lines that ran."""


class Traced(Struct, frozen=True):
    """What the tests do before any change."""

    coverage: dict[str, dict[str, tuple[int, ...]]] = {}
    """Test -> path -> lines that ran in it; paths of the project, relative."""
    steps: dict[str, tuple[Step, ...]] = {}
    """Test -> its lines in the order in which they ran, so that one test with many assertions is many observations."""
    failed: dict[str, str] = {}
    """Test -> why, in one line."""
    calls: dict[str, tuple[Call, ...]] = {}
    """`path:symbol` -> calls that were made, each once."""
    took: dict[str, float] = {}
    """Test -> processor seconds."""
    seconds: float = 0.0
    """Processor seconds of all that ran."""
    trouble: str = ""
    """Why the check can't be driven from within, so that there is no more to say; "" when it can."""
