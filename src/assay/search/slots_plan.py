"""Which places are tried, and how the model is asked for each: what costs little first, places and wordings before
temperature, because most bugs are solved by nearly every sample of the right question or by none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from assay.core.model import estimate_tokens
from assay.repair.excerpt import excerpt_of_test, show, spec_of
from assay.repair.locate import Location, locate
from assay.repair.normal import normal_key
from assay.repair.source import lines_of
from assay.repair.traceback import Failure as TestFailure
from assay.repair.traceback import failures, project_path
from assay.search.slots_holes import Gap, gaps
from assay.search.slots_prompts import Case, Variant
from assay.search.slots_words import Failing, Limits, Slot

FIRST: tuple[tuple[Variant, int], ...] = (("line", 3), ("spec", 1), ("minimal", 2))
"""The wordings of the greedy round, each with the number of places that it is used for."""
WARM: tuple[Variant, ...] = ("spec", "minimal", "whole", "line", "whole-report", "line-report")
"""The wordings of sampled rounds, in turn."""
TOLD = 120
"""Characters of a specification from which it comes first: what small changes of lines did not mend is mostly logic
that is missing, and a model that sees the body copies it."""


class Step(Struct, frozen=True):
    """One request: samples of a wording, or of a line."""

    slot: Slot
    variant: Variant = "line"
    temperature: float = 0.0
    samples: int = 1
    gap: Gap | None = None

    @property
    def origin(self) -> str:
        return "hole" if self.gap else self.variant


def slots_of(
    sources: Mapping[str, str],
    failing: Failing,
    task: str,
    limits: Limits,
    found: Sequence[Location] | None = None,
    suspicion: Mapping[tuple[str, str], Mapping[int, float]] = {},
) -> list[Slot]:
    """The places to try, likeliest first. `sources`: path -> text, tests included; `found`: the locations, where they
    are known already; `suspicion`: path and symbol -> that of its lines, 0 to 1."""
    reports = failures(failing.output)
    first = next((report for report in reports if _about(report, failing.tests)), reports[0] if reports else None)
    test = _excerpt(sources, failing.tests, first)
    if found is None:
        found = locate(sources, failing.output, failing.tests, task, limit=limits.locations * 3)
    slots: list[Slot] = []
    for location in found:
        source = sources.get(location.path, "")
        shown = show(source, location.symbol, location.start)
        if shown is None or estimate_tokens(shown.text) > limits.function_tokens:
            continue
        seen = "\n".join(first.error) if first else ""
        raised = _raised(sources, location, reports)
        lines = suspicion.get((location.path, location.symbol), {})
        case = Case(
            task, location.path, shown, test, seen, raised,
            spec_of(source, location.symbol, location.start), _suspect(source, location, lines) or raised,
        )  # fmt: skip
        slots.append(Slot(location, case, normal_key(shown.text), lines))
        if len(slots) == limits.locations:
            break
    return slots


def plan(slots: Sequence[Slot], sources: Mapping[str, str], limits: Limits, infill: bool) -> Iterator[Step]:
    """Every request in order, until the limits of samples are used up: greedy ones, then holes, then rounds of batches
    over all places, in which the likelier half comes twice as often."""

    def small(slot: Slot) -> bool:
        return estimate_tokens(slot.case.shown.text) <= limits.whole_tokens

    left = limits.samples
    told = bool(slots) and _told(slots[0])
    for variant, places in sorted(FIRST, key=lambda pair: pair[0] != "spec") if told else FIRST:
        for slot in slots[:places]:
            if left > 0 and _fits(slot, variant, small(slot)):
                left -= 1
                yield Step(slot, variant)
    if infill:
        yield from _holes(slots, sources, limits)
    for nth in range(limits.samples):
        variant = WARM[nth % len(WARM)]
        for slot in slots if nth % 2 == 0 else slots[: (len(slots) + 1) // 2]:
            if left > 0 and _fits(slot, variant, small(slot)):
                many = min(limits.batch, left)
                left -= many
                yield Step(slot, variant, limits.temperature, many)


def _told(slot: Slot) -> bool:
    """It is said at some length, or by examples, what the function is to do."""
    spec = slot.case.spec
    if spec is None:
        return False
    said = spec.head.removeprefix(slot.case.shown.head) + spec.words
    return len(said) >= TOLD or ">>>" in said


def _fits(slot: Slot, variant: Variant, small: bool) -> bool:
    if variant.startswith("line"):
        return True
    return small and (variant != "spec" or slot.case.spec is not None)


def _holes(slots: Sequence[Slot], sources: Mapping[str, str], limits: Limits) -> Iterator[Step]:
    """Gaps of the likeliest place first, two thirds of all; the rest for the second."""
    left = limits.holes
    for nth, slot in enumerate(slots[:2]):
        room = left if nth or len(slots) == 1 else max(limits.hole_batch, left * 2 // 3)
        for gap in gaps(sources[slot.location.path], slot):
            many = min(limits.hole_batch, room, left)
            if many <= 0:
                break
            left -= many
            room -= many
            yield Step(slot, "line", limits.temperature, many, gap)


def _suspect(source: str, location: Location, lines: Mapping[int, float]) -> str:
    inside = {line: weight for line, weight in lines.items() if location.start < line <= location.end}
    if not inside:
        return ""
    best = max(inside, key=lambda line: (inside[line], -line))
    text = lines_of(source)
    return text[best - 1].strip()[:200] if best <= len(text) else ""


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
