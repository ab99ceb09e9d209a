"""Which function is at fault: many weak clues, each an order of its own, fused by reciprocal ranks. No model is asked.

Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods", 2009:
a clue adds weight / (K + place). Functions that a clue can't tell apart share the middle of their places, so that one
which points at everything says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from assay.repair.clues import Clues, Location
from assay.repair.signals import Scene

WEIGHTS: dict[str, float] = {
    "frames": 2.0,
    "spectrum": 4.0,
    "tests": 1.0,
    "names": 1.0,
    "words": 1.0,
    "message": 0.5,
    "imports": 0.5,
    "recency": 0.25,
}
OF_FILES = frozenset({"imports", "recency"})
"""Clues that speak for whole files."""
K = 1.0
"""How little the first places are preferred. The usual 60 is for lists of thousands; here the first few count."""
NOT_RUN = 0.3
"""What is left of the score of a function that no failing test ran, where coverage is known."""
GUESSED = 0.6
"""What is left of a share where no coverage tells what the failing tests ran."""
FAINT = 0.2
"""What has less than this part of the first one's score is left out: trying it costs more than it brings."""
SHARPNESS = 2.0
"""Shares are taken of scores to this power."""


def rank(
    sources: Mapping[str, str], clues: Clues, limit: int = 8, weights: Mapping[str, float] = WEIGHTS
) -> list[Location]:
    """Functions of `sources` (path -> text, tests included) in the order of suspicion, at most `limit`. Never raises;
    [] when there is no clue or nothing can be read."""
    scene = Scene(sources, clues)
    return ranked(scene, {name: scene.signal(name) for name, weight in weights.items() if weight}, limit, weights)


def ranked(
    scene: Scene, signals: Mapping[str, Mapping[int, float]], limit: int, weights: Mapping[str, float]
) -> list[Location]:
    """`rank` for signals that are known already."""
    fused = fuse(signals, weights)
    pointed = {number for name, values in signals.items() if name not in OF_FILES for number in values}
    if pointed:
        # That its file is near, or was changed lately, makes no function a suspect.
        fused = {number: score for number, score in fused.items() if number in pointed}
    run = signals.get("spectrum")
    if run:
        fused = {number: score * (1.0 if number in run else NOT_RUN) for number, score in fused.items()}
    whole = sum(score**SHARPNESS for score in fused.values()) / (1.0 if run else GUESSED)
    least = FAINT * max(fused.values(), default=0.0)
    likely = [number for number, score in fused.items() if score >= least]
    first = sorted(likely, key=lambda number: (-fused[number], *scene.order(number)))[:limit]
    return [
        scene.location(number, round(fused[number], 4), round(fused[number] ** SHARPNESS / whole, 4))
        for number in first
    ]


def fuse(signals: Mapping[str, Mapping[int, float]], weights: Mapping[str, float]) -> dict[int, float]:
    """Score of everything that any signal speaks for."""
    found: dict[int, float] = {}
    for name, values in signals.items():
        for number, place in places(values).items():
            found[number] = found.get(number, 0.0) + weights[name] / (K + place)
    return found


def places(values: Mapping[int, float]) -> dict[int, float]:
    """Place of each, from 1, by falling value; equal ones share the middle of the places that they take together."""
    found: dict[int, float] = {}
    ordered = sorted(values, key=lambda number: -values[number])
    at = 0
    while at < len(ordered):
        until = at
        while until < len(ordered) and values[ordered[until]] == values[ordered[at]]:
            until += 1
        for number in ordered[at:until]:
            found[number] = (at + 1 + until) / 2
        at = until
    return found
