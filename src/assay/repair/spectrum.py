"""Which lines failing tests run and passing ones don't: Ochiai's coefficient.

Abreu, Zoeteweij and van Gemund, "On the Accuracy of Spectrum-based Fault Localization" (2007).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping


def ochiai(observed: Iterable[tuple[Mapping[str, Collection[int]], bool]]) -> dict[str, dict[int, float]]:
    """Path -> line -> suspicion, above 0 and at most 1, of the lines that ran in a failure. `observed`: for each test,
    or each statement of one, path -> lines that it ran, and whether it failed."""
    bad: dict[str, Counter[int]] = {}
    good: dict[str, Counter[int]] = {}
    total = 0
    for files, failed in observed:
        total += failed
        for path, lines in files.items():
            (bad if failed else good).setdefault(path, Counter()).update(set(lines))
    none = Counter[int]()
    return {
        path: {line: hits / math.sqrt(total * (hits + good.get(path, none)[line])) for line, hits in counted.items()}
        for path, counted in bad.items()
    }
