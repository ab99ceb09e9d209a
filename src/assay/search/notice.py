"""What would the checks not have noticed? A green candidate is changed a little further, many times, and the checks
are run on each. Where they let changes pass that alter what the code does, they are loose there, and their word about
the candidate itself is worth less. It costs no tokens, and says more than the number of assertions.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from assay.repair.patch import Edit, Patch

MOST = 100
"""Changes that are tried."""
DRAWN_FROM = 8
"""How many times as many they are drawn from: the likeliest come first, and are the likeliest to be noticed."""

Passing = Callable[[Sequence[Patch]], Awaitable[int]]
"""With how many of these patches to the unchanged files the checks are green (`repair.trial.Bench.try_` knows)."""


async def unnoticed(
    sources: Mapping[str, str], patch: Patch, further: Iterable[Patch], passing: Passing, most: int = MOST
) -> float | None:
    """The part of small changes to `patch` that the checks let pass (the sign `belief.LOOSENESS`); None when there was
    nothing to try. Changes that mean the same count like others: telling them apart takes inputs that nobody has, and
    did not make belief better on stored pools.

    `sources`: path -> unchanged text. `further`: patches to the files as `patch` leaves them, in any order."""
    found = list(itertools.islice(further, most * DRAWN_FROM))
    if not found:
        return None
    drawn = random.Random(0).sample(found, min(most, len(found)))  # noqa: S311 - the same each time, and no secret
    tried = [stacked(sources, patch, one) for one in drawn]
    return looseness(await passing(tried), len(tried))


def looseness(passed: int, tried: int) -> float:
    """The part that passed, with one more taken as noticed, so that few changes don't look like proof."""
    return passed / (tried + 1)


def stacked(sources: Mapping[str, str], patch: Patch, further: Patch) -> Patch:
    """Both patches as one to the unchanged files. Raises `KeyError` for a file that is not in `sources`."""
    changed = {**sources, **patch.apply(sources)}
    final = {**changed, **further.apply(changed)}
    edits = [Edit(path, 0, len(sources[path]), text) for path, text in final.items() if text != sources[path]]
    return Patch(tuple(edits), f"{patch.operator}+{further.operator}", further.line)
