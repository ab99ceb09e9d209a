"""Output of test runners without what passed: failures and summaries are what a model has to pay for."""

from __future__ import annotations

import re

_FROM = 1_500
"""Shorter output is left as it is."""

_PASSED = re.compile(
    r"\S+::\S.* PASSED(?: +\[ *\d+%\])?"  # pytest -v
    r"|\[gw\d+\] \[ *\d+%\] PASSED .*"  # pytest -n -v
    r"|\S+\.py [.sxX]+ *(?:\[ *\d+%\])?"  # pytest
    r"|[.sxX]{10,} *(?:\[ *\d+%\])?"  # pytest -q
    r"|\w+ \(.*\)(?: \.\.\. |\.\.\.)ok"  # unittest -v
    r"|test .* \.\.\. (?:ok|ignored)"  # cargo
    r"|=== (?:RUN|PAUSE|CONT|NAME) .*|\s*--- PASS: .*|ok  \t.*|\?   \t.*\[no test files\]"  # go
    r"|\s*[✓✔√] .*"  # mocha, jest, vitest
    r"|ok \d+\b.*"  # TAP
    r"|\s*\d+/\d+ Test +#\d+: .* Passed .*|\s*Start +\d+: .*"  # ctest
)
_WARNINGS = re.compile(r"={3,} warnings summary .*={3,}")
_SECTION = re.compile(r"={3,}.*={3,}")


def condense(text: str) -> str:
    """`text` without lines that tell of passed tests, and without pytest's section of warnings; says how many went."""
    if len(text) < _FROM:
        return text
    rows: list[str] = []
    passed = 0
    warned = False
    for line in text.split("\n"):
        if _PASSED.fullmatch(line.rstrip()):
            passed += 1
            continue
        if passed:
            rows.append(_left_out(passed))
            passed = 0
        if _WARNINGS.fullmatch(line):
            warned = True
            rows.append("[warnings left out]")
        elif warned and _SECTION.fullmatch(line):
            warned = False
        if not warned:
            rows.append(line)
    if passed:
        rows.append(_left_out(passed))
    return "\n".join(_folded(rows))


def _left_out(passed: int) -> str:
    return f"[{passed} line{'s' if passed > 1 else ''} of passed tests left out]"


def _folded(rows: list[str]) -> list[str]:
    """Runs of more than three equal lines as one, with their number."""
    out: list[str] = []
    at = 0
    while at < len(rows):
        end = at + 1
        while end < len(rows) and rows[end] == rows[at]:
            end += 1
        out += [rows[at], f"[the line above, {end - at - 1} more times]"] if end - at > 3 else rows[at:end]
        at = end
    return out
