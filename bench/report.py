"""What a measurement found, as a markdown table for people and as JSON for later."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

RESULTS = Path(__file__).parent / "results"


class Report(msgspec.Struct):
    """One table. `data` is what it was made from; `notes` say what a reader must know."""

    name: str
    title: str
    columns: list[str]
    rows: list[list[str]]
    data: dict[str, object]
    notes: list[str] = []


def markdown(report: Report) -> str:
    """The report as markdown."""
    lines = [f"### {report.title}", "", _row(report.columns), _row(["---"] * len(report.columns))]
    lines += [_row(row) for row in report.rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in report.notes), ""])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def save(report: Report, folder: Path = RESULTS) -> Path:
    """Writes the report's JSON and returns where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode({**machine(), "report": report}), indent=1))
    return path


def machine() -> dict[str, object]:
    """Where and when: figures mean nothing without."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def middle(values: Sequence[float]) -> float:
    """The median; 0 for nothing."""
    return statistics.median(values) if values else 0.0


def spread(values: Sequence[float], scale: float = 1000.0) -> str:
    """Median and least, as `120 (98)`."""
    return f"{middle(values) * scale:.0f} ({min(values) * scale:.0f})" if values else "-"


def ratio(theirs: float, ours: float) -> str:
    """How many times ours theirs is."""
    return f"{theirs / ours:.1f}x" if ours > 0 and theirs > 0 else "-"


def fifths(values: Sequence[float]) -> tuple[float, float]:
    """Means of the first and the last fifth; zeros for nothing."""
    size = max(1, len(values) // 5)
    return (statistics.fmean(values[:size]), statistics.fmean(values[-size:])) if values else (0.0, 0.0)


def slope(short: float, long: float, steps: int) -> float:
    """What one step adds, from a short and a long run that are `steps` apart."""
    return (long - short) / steps if steps else 0.0
