"""Suspicion of single lines from watched tests, by what whole tests ran and by what their statements did.

A test with many assertions is many observations: what ran under the statement that failed is suspect, what ran under
those before it is less so, though it may have left the trouble behind.
"""

from __future__ import annotations

from collections.abc import Mapping

from assay.repair.locate import is_test_path
from assay.repair.spectrum import ochiai
from assay.repair.traceback import failures, frames, project_frames
from assay.repair.trial.words import Traced

STEPS = 0.6
"""The share of the statements; the rest is that of whole tests."""
RAISED = 0.3
"""For the innermost line of a traceback."""


def suspicion(traced: Traced, output: str, sources: Mapping[str, str]) -> dict[str, dict[int, float]]:
    """Path -> line -> 0 to 1, for lines that failing tests ran in files that are no tests (in any, when there are no
    others), the most suspect file first."""
    whole = ochiai((seen, test in traced.failed) for test, seen in traced.coverage.items())
    single = ochiai(
        (step.lines, step.failed) for steps in traced.steps.values() for step in steps if step.lines or step.failed
    )
    found = {
        path: {
            line: (1 - STEPS) * value + STEPS * single.get(path, {}).get(line, 0.0) for line, value in marked.items()
        }
        for path, marked in whole.items()
    }
    for path, line in _raised(output, sources):
        if line in found.get(path, {}):
            found[path][line] = min(1.0, found[path][line] + RAISED)
    product = {path: lines for path, lines in found.items() if not is_test_path(path)}
    chosen = product or found
    return dict(sorted(chosen.items(), key=lambda item: -max(item[1].values(), default=0.0)))


def hit_files(traced: Traced) -> list[str]:
    """Files whose lines failing tests ran."""
    return sorted({path for test in traced.failed for path, lines in traced.coverage.get(test, {}).items() if lines})


def _raised(output: str, sources: Mapping[str, str]) -> list[tuple[str, int]]:
    """The innermost line in the project's code of each traceback."""
    product = [path for path in sources if not is_test_path(path)]
    groups = [failure.frames for failure in failures(output)[:20]] or [tuple(frames(output))]
    found = [project_frames(group, product)[:1] for group in groups]
    return [(frame.path, frame.line) for group in found for frame in group]
