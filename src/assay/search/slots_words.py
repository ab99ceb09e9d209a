"""The words of the strategy for tiny models: what it may spend and touch, and what it knows of a candidate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from assay.core.events import AttemptFinished
from assay.core.messages import AssistantMessage, Failure
from assay.core.model import ModelRequest
from assay.repair.locate import Location
from assay.repair.patch import Patch
from assay.search.candidate import Candidate
from assay.search.effort import Dial
from assay.search.slots_prompts import Case

Status = Literal["plausible", "red", "slow", "invalid"]


class Limits(Struct, frozen=True):
    """What one search may spend."""

    samples: int = 16
    """Rewrites asked for."""
    holes: int = 24
    """Single lines asked for, besides."""
    total: int = 1_000
    """All replies together."""
    output_tokens: int = 4_000
    batch: int = 4
    """Rewrites asked for at once, where the endpoint can."""
    hole_batch: int = 8
    locations: int = 4
    function_tokens: int = 1_200
    """A larger function is not shown at all."""
    whole_tokens: int = 450
    """A larger function is not asked for as a whole: a tiny model loses it on the way."""
    temperature: float = 0.8
    repairs: int = 3
    """Second turns, for candidates that crash."""
    mutate_seconds: float = 30.0
    """Processor seconds for repairs without a model, before anything is asked."""
    near: int = 3
    """Red candidates whose neighbourhood is searched without the model."""
    further: int = 2
    """Requests made for agreement when a candidate is green and the checks are thin."""


def limits_of(dial: Dial, attempts: int | None, batch: int = 1) -> Limits:
    """What the effort allows; `attempts` is the most that the user wants to be made, `batch` what the endpoint gives at
    once."""
    return Limits(
        dial.samples,
        dial.holes,
        1_000 if attempts is None else max(attempts, 1),
        dial.output_tokens,
        max(min(4, batch), 1),
        max(min(8, batch), 1),
        mutate_seconds=dial.mutate_seconds,
    )


class Failing(Struct, frozen=True):
    """The check that is red."""

    output: str
    tests: tuple[str, ...] = ()
    """Identities of the failing tests, where the runner tells them."""


class Fate(Struct, frozen=True):
    """How a candidate fared under the failing check. `plausible` is a filter's word: the done gate judges."""

    status: Status
    note: str = ""
    """One line on why not."""
    passed: tuple[str, ...] = ()
    """Tests that it passes."""
    failing: dict[str, str] = {}
    """Test -> why, in one line."""
    behaviour: dict[str, str] = {}
    """Input -> digest of what the changed callables answer; {} when nobody asked."""


class Judged(Struct, frozen=True):
    """The done gate's word on a candidate that was put before it."""

    kept: bool
    note: str = ""
    tree: str = ""


class Ports(Struct, frozen=True):
    """What the search may touch."""

    ask: Callable[[ModelRequest], Awaitable[AssistantMessage]]
    try_: Callable[[Sequence[Patch]], Awaitable[list[Fate]]]
    """The failing check with each of these alone; as many fates."""
    judge: Callable[[Patch], Awaitable[Judged]]
    """The done gate in a clean copy; what it accepts is in the files afterwards."""
    record: Callable[[AttemptFinished], None]
    spent: Callable[[], str]
    """Why nothing more may be spent; "" while it may."""
    doubts: Callable[[Sequence[Candidate]], list[str]] = lambda _: []
    """Why the green ones of a pool prove too little."""
    weigh: Callable[[Sequence[Candidate], int], float] = lambda _pool, _number: 0.0
    """How likely the candidate of that number is right, 0 to 1, given all green ones."""
    near: Callable[[Patch], Awaitable[Sequence[tuple[Candidate, Patch]]]] | None = None
    """Small changes of a red candidate that make it green, whole and with what is known of them; it costs no tokens."""
    prefill: bool = False
    """The endpoint goes on from a last assistant message."""
    infill: bool = False
    """It fills holes."""


class Slot(Struct, frozen=True):
    """A location with what is said about it."""

    location: Location
    case: Case
    original: str
    """The key of the function as it is."""
    lines: Mapping[int, float] = {}
    """Line of the file -> how suspicious it is, 0 to 1; {} when nothing tells."""

    @property
    def name(self) -> str:
        return f"{self.location.path}:{self.location.symbol}"


class Found(Struct, frozen=True):
    """How the search ended. `patch` is None when nothing was found."""

    patch: Patch | None = None
    location: str = ""
    attempts: int = 0
    selected: int = 0
    """The number of the attempt that was taken, 1-based."""
    first_passed: bool = False
    """The very first attempt was green."""
    why: str = ""
    belief: float = 0.0
    doubts: tuple[str, ...] = ()
    """Why what was found is less certain than its green checks."""
    hints: tuple[str, ...] = ()
    """For whoever goes on: the places looked at, and the tests that the best candidate left red."""
    failure: Failure | None = None
    """Why the model could not be asked any more."""
