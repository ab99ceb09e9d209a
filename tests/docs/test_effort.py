"""The dial as the page tells it is the dial of the code."""

from __future__ import annotations

from pathlib import Path

from assay.core.model import EFFORTS
from assay.search.effort import DIALS

PAGE = Path(__file__).parents[2] / "docs/effort.md"


def row(name: str) -> list[str]:
    line = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {name}"))
    return [cell.strip().replace(",", "") for cell in line.strip("|").split("|")][1:]


def test_the_table_is_that_of_the_code() -> None:
    dials = [DIALS[effort] for effort in EFFORTS]
    assert row("processor seconds") == [f"{dial.mutate_seconds:g}" for dial in dials]
    assert row("steps of an attempt") == [str(dial.turns) for dial in dials]
    assert row("samples of a small model") == [str(dial.samples) for dial in dials]
    assert row("single lines") == [str(dial.holes) for dial in dials]
    assert row("tokens such a model") == [str(dial.output_tokens) for dial in dials]
    assert row("belief") == [f"{dial.belief:.2f}" for dial in dials]
    assert row("checks written") == [str(dial.written_checks) for dial in dials]
    assert [[int(word) for word in cell.split() if word.isdigit()] for cell in row("attempts of a model")[2:]] == [
        [*dial.waves] for dial in dials[2:]
    ]
