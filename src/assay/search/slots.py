"""The strategy for models too small to drive: the harness does everything and the model fills one slot at a time.

Failing check → functions at fault → for each a few wordings → samples, greedy ones first → the candidate is parsed with
good will and spliced in → the failing check decides, then everything else. A second independent sample is worth more
than a second turn below 7B parameters, so no reply is ever argued with; places and wordings are varied instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from assay.core.events import AttemptFinished
from assay.core.messages import AssistantMessage, Failure
from assay.core.model import ModelRequest, estimate_tokens
from assay.repair.excerpt import excerpt_of_test, show
from assay.repair.locate import Location, locate
from assay.repair.normal import normal_key
from assay.repair.parse import edit_from, function_from
from assay.repair.source import lines_of
from assay.repair.splice import Spliced, splice
from assay.repair.traceback import Failure as TestFailure
from assay.repair.traceback import failures, project_path
from assay.search.slots_prompts import Case, Variant, request, start_of

NAME = "slots"
WARM: tuple[Variant, ...] = ("line", "line-report", "whole", "whole-report")
"""The wordings of sampled rounds, in turn."""


LOST_SAMPLE = frozenset({"empty", "refused", "context_too_long", "cut"})
"""Failures that cost one sample; any other means that the model can't be asked."""


class Limits(Struct, frozen=True):
    samples: int = 24
    locations: int = 4
    function_tokens: int = 1_200
    """A larger function is not shown at all."""
    whole_tokens: int = 450
    """A larger function is not asked for as a whole: a tiny model loses it on the way."""
    temperature: float = 0.8
    zero: bool = True
    """Small changes are tried first, without the model."""


class Failing(Struct, frozen=True):
    """The check that is red."""

    output: str
    tests: tuple[str, ...] = ()
    """Identities of the failing tests, where the runner tells them."""


class Tried(Struct, frozen=True):
    passed: bool
    note: str = ""
    """One line on why not."""


class Found(Struct, frozen=True):
    """How the search ended. `path` is "" when nothing was found."""

    path: str = ""
    text: str = ""
    location: str = ""
    attempts: int = 0
    selected: int = 0
    """The number of the attempt that was taken, 1-based."""
    why: str = ""
    failure: Failure | None = None
    """Why the model could not be asked any more."""


class Ports(Struct, frozen=True):
    """What the search may touch."""

    ask: Callable[[ModelRequest], Awaitable[AssistantMessage]]
    check: Callable[[str, str], Awaitable[Tried]]
    """The failing check, with the file at this path having this text."""
    suite: Callable[[str, str], Awaitable[Tried]]
    """Everything else, the same way: did anything that passed break?"""
    record: Callable[[AttemptFinished], None]
    spent: Callable[[], str]
    """Why nothing more may be spent; "" while it may."""
    prefill: bool = False
    """The endpoint goes on from a last assistant message."""


class Slot(Struct, frozen=True):
    """A location with what is said about it."""

    location: Location
    case: Case
    original: str
    """The key of the function as it is."""

    @property
    def name(self) -> str:
        return f"{self.location.path}:{self.location.symbol}"


def slots_of(sources: Mapping[str, str], failing: Failing, task: str, limits: Limits) -> list[Slot]:
    """The places to try, likeliest first. `sources`: path -> text, tests included."""
    reports = failures(failing.output)
    first = next((report for report in reports if _about(report, failing.tests)), reports[0] if reports else None)
    test = _excerpt(sources, failing.tests, first)
    found: list[Slot] = []
    for location in locate(sources, failing.output, failing.tests, task, limit=limits.locations * 3):
        shown = show(sources[location.path], location.symbol, location.start)
        if shown is None or estimate_tokens(shown.text) > limits.function_tokens:
            continue
        seen = "\n".join(first.error) if first else ""
        raised = _raised(sources, location, reports)
        case = Case(task, location.path, shown, test, seen, raised)
        found.append(Slot(location, case, normal_key(shown.text)))
        if len(found) == limits.locations:
            break
    return found


def plan(slots: Sequence[Slot], limits: Limits) -> Iterator[tuple[Slot, Variant, float]]:
    """Which slot is asked how, and at what temperature: the cheap greedy ones first, then rounds over all places, in
    which the likelier half is asked twice as often."""

    def small(slot: Slot) -> bool:
        return estimate_tokens(slot.case.shown.text) <= limits.whole_tokens

    first: tuple[tuple[Variant, int], ...] = (("line", 3), ("whole", 2), ("line-report", 2))
    for variant, places in first:
        for slot in slots[:places]:
            if small(slot) or variant != "whole":
                yield slot, variant, 0.0
    for nth in range(limits.samples):
        variant = WARM[nth % len(WARM)]
        chosen = slots if nth % 2 == 0 else slots[: (len(slots) + 1) // 2]
        for slot in chosen:
            if small(slot) or variant.startswith("line"):
                yield slot, variant, limits.temperature


async def search(
    sources: Mapping[str, str],
    failing: Failing,
    task: str,
    ports: Ports,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Found:
    """Sample until a candidate turns the check green and breaks nothing, or a limit is reached."""
    slots = slots_of(sources, failing, task, limits)
    if not slots:
        return Found(why="no function could be connected with the failing check; name one in the task")
    seen: set[str] = set()
    attempts = 0
    for slot, variant, temperature in plan(slots, limits):
        if attempts >= limits.samples:
            break
        if why := ports.spent():
            return Found(attempts=attempts, why=why)
        attempts += 1
        message = await ports.ask(request(slot.case, variant, ports.prefill, temperature, seed=attempts))
        if message.failure is not None and message.failure.kind not in LOST_SAMPLE:
            return Found(attempts=attempts, why=message.failure.message, failure=message.failure)
        candidate = candidate_of(sources[slot.location.path], slot, variant, message.text, ports.prefill)
        reason = message.failure.message if message.failure else candidate.reason
        event = AttemptFinished(attempts, NAME, slot.name, "invalid", reason)
        if candidate.text:
            key = slot.location.path + normal_key(candidate.text)
            if key in seen or candidate.text == sources[slot.location.path] or _unchanged(candidate, slot):
                event = AttemptFinished(attempts, NAME, slot.name, "duplicate")
            else:
                seen.add(key)
                event = await _verified(ports, slot, candidate.text, attempts)
        ports.record(event)
        if event.result == "green":
            return Found(slot.location.path, candidate.text, slot.name, attempts, attempts, "the check is green")
    return Found(attempts=attempts, why=f"none of {attempts} candidates turned the check green")


async def _verified(ports: Ports, slot: Slot, text: str, number: int) -> AttemptFinished:
    """The failing check first: it is quick and refuses nearly all; then everything else."""
    tried = await ports.check(slot.location.path, text)
    if tried.passed:
        tried = await ports.suite(slot.location.path, text)
    return AttemptFinished(number, NAME, slot.name, "green" if tried.passed else "red", tried.note)


def candidate_of(source: str, slot: Slot, variant: Variant, reply: str, prefilled: bool) -> Spliced:
    """The file with what the reply proposes, or why it proposes nothing."""
    start = start_of(slot.case, variant)
    # Some servers repeat the beginning that was put into the model's mouth, others send only what follows.
    text = start + reply if prefilled and not reply.startswith(start.rstrip("\n")) else reply
    shown = slot.case.shown
    parsed = edit_from(text, shown.text) if variant.startswith("line") else function_from(text, shown.name)
    if not parsed.code:
        return Spliced(reason=parsed.reason)
    return splice(source, slot.location.symbol, parsed.code, slot.location.start, parsed.imports)


def _unchanged(candidate: Spliced, slot: Slot) -> bool:
    shown = show(candidate.text, slot.location.symbol, slot.location.start)
    return shown is not None and normal_key(shown.text) == slot.original


def _about(report: TestFailure, tests: Sequence[str]) -> bool:
    """A section's heading `Class.test_a[x]` against an identity `path::Class::test_a[x]`."""
    return bool(report.name) and any(test.replace("::", ".").endswith(report.name) for test in tests)


def _excerpt(sources: Mapping[str, str], tests: Sequence[str], report: TestFailure | None) -> str:
    name = next((test for test in tests if report and _about(report, [test])), tests[0] if tests else "")
    path = name.split("::")[0] if "::" in name else ""
    if report and path not in sources and report.frames:
        path = project_path(report.frames[0].path, sources)
    return excerpt_of_test(sources.get(path, ""), name or (report.name if report else ""), report)


def _raised(sources: Mapping[str, str], location: Location, reports: Sequence[TestFailure]) -> str:
    """The line of a function at which a traceback ends or passes through it."""
    for report in reports:
        for frame in reversed(report.frames):
            inside = location.start <= frame.line <= location.end
            if inside and project_path(frame.path, sources) == location.path:
                return lines_of(sources[location.path])[frame.line - 1].strip()[:200]
    return ""
