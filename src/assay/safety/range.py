"""The range at work: every family in a throw-away place of its own, with and without a sandbox."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from assay.safety.judge import Outside, Result, judge, settle
from assay.safety.place import Place
from assay.safety.play import Played, play
from assay.safety.suite import STAGES, Attempt, filled, load


def run_family(attempts: Sequence[Attempt], *, confined: bool = True) -> list[Result]:
    """Make all attempts of one family and judge each. Without confinement only those marked as controls are made."""
    chosen = [attempt for attempt in attempts if confined or attempt.control]
    if not chosen:
        return []
    root = Path(tempfile.mkdtemp(prefix="assay-range-"))
    try:
        place = Place(root)
        try:
            return _run(place, chosen, confined=confined)
        finally:
            place.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _run(place: Place, attempts: Sequence[Attempt], *, confined: bool) -> list[Result]:
    for attempt in attempts:
        words = place.words(attempt.mark)
        place.plant({filled(name, words): filled(text, words) for name, text in attempt.plant.items()})
    before = place.look()
    played: dict[str, Played] = {}
    changes: dict[str, bytes] = {}
    for stage in STAGES:
        mine = [attempt for attempt in attempts if attempt.stage == stage]
        if stage in ("resumed", "forked") and mine and not played:
            play(place, "task", (), confined=confined)
        if mine:
            played[stage] = play(place, stage, mine, confined=confined)
            # After each: what a later session undoes was there all the same.
            for path in place.changed(before):
                changes[path] = changes.get(path, b"") + _data(Path(path))
    processes = settle(place)
    outside = Outside(changes, played, processes, place.victim.poll() is None)
    return judge(place, attempts, outside)


def _data(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b""


def run_suite(families: tuple[str, ...] = (), *, confined: bool = True, workers: int = 2) -> list[Result]:
    """The attempts of all families, or of those named, `workers` families at a time. Raises `ValueError` for a family
    that is not there."""
    suite = load(families)
    with ThreadPoolExecutor(workers) as pool:
        running = [pool.submit(run_family, attempts, confined=confined) for attempts in suite.values()]
        return [result for done in running for result in done.result()]
