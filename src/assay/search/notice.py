"""What would the checks not have noticed? A green candidate is changed a little further, many times, and the checks
are run on each. Where they let changes pass that alter what the code does, they are loose there, and their word about
the candidate itself is worth less. It costs no tokens, and says more than the number of assertions.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from assay.repair.patch import Edit, Patch

MOST = 100
"""Changes that are tried."""
LOOKED_AT = 20
"""Of those that pass, how many are observed; the rest is taken to be like them."""
SAME = 0.5
"""What a change counts that passes and was seen to behave the same. Half of a whole one: the inputs are few, and many a
change that looks harmless on them is not."""


class Trials(Struct, frozen=True):
    """What it needs; `repair.trial.Bench` has both. Patches are to the unchanged files."""

    passing: Callable[[Sequence[Patch]], Awaitable[Sequence[int]]]
    """The places of those with which the checks are green."""
    observe: Callable[[Sequence[Patch]], Awaitable[Sequence[Mapping[str, str]]]]
    """For each patch: input -> what comes of it."""


async def unnoticed(
    sources: Mapping[str, str], patch: Patch, further: Iterable[Patch], trials: Trials, most: int = MOST
) -> float | None:
    """The part of small changes to `patch` that the checks let pass (the sign `belief.LOOSENESS`); None when there was
    nothing to try.

    `sources`: path -> unchanged text. `further`: patches to the files as `patch` leaves them, in any order."""
    tried = [stacked(sources, patch, one) for one in itertools.islice(further, most)]
    if not tried:
        return None
    passed = list(await trials.passing(tried))
    own, *answers = await trials.observe([patch, *(tried[place] for place in passed[:LOOKED_AT])])
    altered = sum(any(answer.get(call, said) != said for call, said in own.items()) for answer in answers)
    seen = altered + SAME * (len(answers) - altered)
    return looseness(len(tried) - len(passed), seen * len(passed) / max(len(answers), 1))


def looseness(noticed: float, passed: float) -> float:
    """The part that passed, with one more counted as noticed, so that few changes don't look like proof."""
    return passed / (noticed + passed + 1)


def stacked(sources: Mapping[str, str], patch: Patch, further: Patch) -> Patch:
    """Both patches as one to the unchanged files. Raises `KeyError` for a file that is not in `sources`."""
    changed = {**sources, **patch.apply(sources)}
    final = {**changed, **further.apply(changed)}
    edits = [Edit(path, 0, len(sources[path]), text) for path, text in final.items() if text != sources[path]]
    return Patch(tuple(edits), f"{patch.operator}+{further.operator}", further.line)
