"""The steps of a plan as requests to a model and readers of its replies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from assay.core.messages import AssistantMessage, Text, UserMessage
from assay.core.model import ModelRequest
from assay.repair.parse import edit_from, function_from
from assay.repair.patch import Patch, between
from assay.repair.splice import Spliced, splice
from assay.search.slots import Ask
from assay.search.slots_holes import filled, request_for
from assay.search.slots_plan import Step
from assay.search.slots_prompts import Variant, request, start_of
from assay.search.slots_words import Slot

AGAIN = "It fails with:\n```\n{note}\n```\nWrite it completely again, corrected, in one ```python block. Nothing else."


def asks(steps: Iterable[Step], sources: Mapping[str, str], prefill: bool) -> Iterator[Ask]:
    """`sources`: path -> text, of all files that slots lie in."""
    for step in steps:
        yield _hole(step, sources) if step.gap else _rewrite(step, sources, prefill)


def _hole(step: Step, sources: Mapping[str, str]) -> Ask:
    gap = step.gap
    assert gap is not None, "a step without a gap is a rewrite"
    return Ask(
        step.slot.name,
        step.origin,
        lambda seed: request_for(gap, step.samples, step.temperature, seed),
        lambda reply: filled(sources[gap.path], gap, reply),
    )


def _rewrite(step: Step, sources: Mapping[str, str], prefill: bool) -> Ask:
    slot = step.slot
    source = sources[slot.location.path]

    def wanted(seed: int) -> ModelRequest:
        return request(slot.case, step.variant, prefill, step.temperature, seed, step.samples)

    def read(reply: str) -> tuple[Patch | None, str]:
        spliced = candidate_of(source, slot, step.variant, reply, prefill)
        if not spliced.text:
            return None, spliced.reason
        return between(slot.location.path, source, spliced.text, step.origin), ""

    def again(reply: str, note: str) -> ModelRequest:
        return second_turn(wanted(1), reply, note)

    return Ask(slot.name, step.origin, wanted, read, None if step.variant.startswith("line") else again)


def second_turn(first: ModelRequest, reply: str, note: str) -> ModelRequest:
    """The conversation of `first` with the reply that crashed and why; without anything put into the model's mouth."""
    *before, last = first.messages
    said = before if isinstance(last, AssistantMessage) else [*before, last]
    start = last.text if isinstance(last, AssistantMessage) else ""
    text = whole(start, reply)
    closed = text if text.rstrip().endswith("```") else text.rstrip() + "\n```"
    turn = (*said, AssistantMessage((Text(closed),), "end"), UserMessage((Text(AGAIN.format(note=note[:400])),)))
    return replace(first, messages=turn, temperature=0.0, samples=1, stop=())


def whole(start: str, reply: str) -> str:
    """The reply with its beginning, which was put into the model's mouth: some servers repeat it, others don't."""
    return reply if reply.startswith(start.rstrip("\n")) else start + reply


def candidate_of(source: str, slot: Slot, variant: Variant, reply: str, prefilled: bool) -> Spliced:
    """The file with what the reply proposes, or why it proposes nothing."""
    text = whole(start_of(slot.case, variant), reply) if prefilled else reply
    shown = slot.case.shown
    parsed = edit_from(text, shown.text) if variant.startswith("line") else function_from(text, shown.name)
    if not parsed.code:
        return Spliced(reason=parsed.reason)
    return splice(source, slot.location.symbol, parsed.code, slot.location.start, parsed.imports)
