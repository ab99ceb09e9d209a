"""What makes attempts at one task different: where they start, how they go about it, which model, and what they know of
attempts that failed. Each is a short text behind what all attempts share; temperature comes last and is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from assay.core.check import Verdict
from assay.core.model import estimate_tokens
from assay.core.policy import OPERATOR, WORKSPACE, Label
from assay.core.workspace import Change

DISTILLATE = 200
"""Tokens at most that one attempt learns of another."""
OPENING = "This is another attempt at the task above. The files are as they were at its start. "
ANEW = "Nothing of earlier attempts is in them."
FRESH = (
    ("smallest change", "Find the cause, and write the smallest change that removes it."),
    (
        "second hypothesis",
        "Before you change anything, write down two different hypotheses about the cause, a line each. The first that "
        "comes to mind has been tried; follow the second.",
    ),
    ("from the check", "Run the failing check first and follow what it reports back to the line that is wrong."),
    ("by contract", "Write down in a few lines what the code at fault has to do in every case; then make it do that."),
)
"""Ways to go about it: a name, and the words."""


class Plan(Struct, frozen=True):
    """One attempt to be made."""

    origin: str
    """What makes it different, in a few words."""
    text: str
    label: Label = OPERATOR
    model: int = 0
    """Which of the models of the turn, from 0; beyond the last they go round."""


class Failed(Struct, frozen=True):
    """An attempt that did not pass, as far as others may learn of it."""

    number: int
    words: str
    changes: tuple[Change, ...]
    verdict: Verdict
    label: Label


def plans(first: int, size: int, places: Sequence[str], best: Failed | None, *, anew: bool) -> list[Plan]:
    """`size` plans from attempt `first` (2 or more) on. One of them knows the distillate of `best`, the failed attempt
    that came furthest, and never all of a wave; a wave of one is a fresh one every other time. `anew`: none does,
    because what was tried leads nowhere."""
    found: list[Plan] = []
    for number in range(first, first + size):
        alone_turn = size == 1 and number % 2 == 1
        knows = best is not None and not anew and (alone_turn or (size > 1 and number == first + size - 1))
        plan = restart(best) if knows and best else fresh(number, places, anew=anew)
        found.append(Plan(plan.origin, plan.text, plan.label, number - 1))
    return found


def fresh(number: int, places: Sequence[str], *, anew: bool = False) -> Plan:
    """Attempt `number` (2 or more), which knows of no other: by places first where there are several, then by ways."""
    at = number - 2 + anew
    origin, way = FRESH[at % len(FRESH)]
    # The likeliest place is where an attempt without a word would look anyhow.
    others = places[1:]
    if others and at % 2 == 0:
        place = others[(at // 2) % len(others)]
        hint = f"Look at {place} before anything else; leave it if it is not at fault. "
        return Plan(f"{place.partition(' ')[0]}, {origin}", f"{OPENING}{ANEW} {hint}{way}", WORKSPACE)
    return Plan(origin, f"{OPENING}{ANEW} {way}")


def restart(failed: Failed) -> Plan:
    """An attempt that knows what another one tried in vain."""
    text = f"{OPENING}{distillate(failed)}\nDo better: find what that missed. Don't repeat it as it was."
    return Plan(f"restart of {failed.number}", text, failed.label)


def handed_on(failed: Failed | None, places: Sequence[str]) -> Plan:
    """What the next model of a cascade gets: the distillate, the places and the evidence, and nothing else."""
    lines = [OPENING.strip()]
    label = OPERATOR
    if failed:
        lines.append(distillate(failed))
        label = failed.label.join(WORKSPACE)
    if places:
        lines.append("Likely places:\n" + "\n".join(f"- {place}" for place in places[:5]))
        label = label.join(WORKSPACE)
    if failed and failed.verdict.missing:
        lines.append(failed.verdict.missing)
    return Plan("cascade", "\n".join(lines), label)


def distillate(failed: Failed) -> str:
    """What a failed attempt had in mind, what it changed and what the checks said, within `DISTILLATE` tokens; made by
    cutting, no model is asked."""
    idea = _line(failed.words, 280)
    changed = ", ".join(f"{each.path} +{max(each.added, 0)} -{max(each.removed, 0)}" for each in failed.changes[:6])
    evidence = _line(failed.verdict.missing.partition("\n")[2] or failed.verdict.why, 260)
    text = "An earlier attempt failed."
    for name, said in (("It changed", _line(changed, 140)), ("The checks then said", evidence), ("It thought", idea)):
        more = f"{text}\n{name}: {said}"
        if said and estimate_tokens(more) <= DISTILLATE:
            text = more
    return text


def _line(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line.encode("utf-8", "replace")) <= most else line[: most // (1 + (not line.isascii()))] + "…"
