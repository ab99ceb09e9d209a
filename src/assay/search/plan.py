"""What makes attempts at one task different: where they start, how they go about it, which model, and what they know of
attempts that failed. Each is a short text behind what all attempts share; temperature comes last and is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from assay.core.policy import OPERATOR, WORKSPACE, Label

OPENING = "This is another attempt at the task above. The files are as they were at its start. "
ANEW = "Nothing of earlier attempts is in them."
KNOWN = "An earlier attempt, which is not in them, failed:"
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
    distillate: str
    """As `search.distill` has it."""
    missing: str
    """What the gate said to it."""
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
    text = f"{OPENING}{KNOWN}\n{failed.distillate}\nFind what that missed; don't repeat it as it was."
    return Plan(f"restart of {failed.number}", text, failed.label.join(WORKSPACE))


def handed_on(failed: Failed | None, places: Sequence[str]) -> Plan:
    """What the next model of a cascade gets: the distillate, the places and the evidence, and nothing else."""
    parts = [OPENING.strip()]
    if failed and failed.distillate:
        parts.append(f"{KNOWN}\n{failed.distillate}")
    if places:
        parts.append("Likely places:\n" + "\n".join(f"- {place}" for place in places[:5]))
    if failed and failed.missing:
        parts.append(failed.missing)
    label = failed.label.join(WORKSPACE) if failed else WORKSPACE
    return Plan("cascade", "\n".join(parts), label)
