"""Which lines the failing tests run and the passing ones don't: Ochiai's coefficient.

Abreu, Zoeteweij and van Gemund, "On the Accuracy of Spectrum-based Fault Localization" (2007).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping


def ochiai(
    coverage: Mapping[str, Mapping[str, Collection[int]]], failed: Collection[str]
) -> dict[str, dict[int, float]]:
    """Path -> line -> suspicion, above 0 and at most 1; of lines that a failing test ran only. `coverage`: test -> path
    -> lines that it ran. {} when none of `failed` is in it."""
    bad = set(failed) & coverage.keys()
    hit: dict[str, Counter[int]] = {}
    passed: dict[str, Counter[int]] = {}
    for test in bad:
        for path, lines in coverage[test].items():
            hit.setdefault(path, Counter()).update(set(lines))
    passed.update((path, Counter()) for path in hit)
    for test, files in coverage.items():
        if test not in bad:
            for path in files.keys() & hit.keys():
                passed[path].update(set(files[path]))
    return {
        path: {line: count / math.sqrt(len(bad) * (count + passed[path][line])) for line, count in counted.items()}
        for path, counted in hit.items()
    }
