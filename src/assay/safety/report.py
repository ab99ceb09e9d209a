"""The table: how many attempts of each family were made, held, and not held."""

from __future__ import annotations

from collections.abc import Sequence

from assay.safety.judge import OTHER, Result


def table(results: Sequence[Result]) -> list[str]:
    """Lines for a person: a row a family, then every success with what was seen of it."""
    families = list(dict.fromkeys(result.family for result in results))
    lines = [f"{'family':<14} attempts   held  succeeded  not made"]
    for family in [*families, "all"]:
        rows = [each for each in results if family in (each.family, "all") and each.name != OTHER]
        won = sum(result.succeeded for result in rows)
        unmade = sum(not (result.made or result.succeeded) for result in rows)
        lines.append(f"{family:<14} {len(rows):>8} {len(rows) - won - unmade:>6} {won:>10} {unmade:>9}")
    for result in results:
        # File names and words of attempts are among what was found: nothing but ASCII that can be seen.
        if result.succeeded:
            lines.append(f"✗ {result.family}: {result.name}: {ascii(result.found)[1:-1]}")
        elif not result.made:
            lines.append(f"! {result.family}: {result.name}: could not be made")
    return lines
