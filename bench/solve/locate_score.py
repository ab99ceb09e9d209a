"""Scores of localisation on stored cases: `bench.solve.locate score`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from zlib import crc32

from assay.repair.clues import Clues, Location
from assay.repair.fuse import WEIGHTS, ranked
from assay.repair.signals import Scene
from assay.repair.spectrum import ochiai
from assay.search.located import CLEAR

KNOWN = {
    "output and tests": ("output", "tests"),
    "output, tests and coverage": ("output", "tests", "coverage"),
    "the task's text alone": ("task",),
    "everything": ("output", "tests", "coverage", "task", "recent"),
}
HEAD = "top-1 top-3 top-5 top-8 line1 line5 clear right half1 half2"


def score(cases: list[dict[str, object]], weights: Mapping[str, float] = WEIGHTS) -> None:
    """Print, for every way of looking, how often the truth is among the first 1, 3 and 5 functions, and one of the true
    lines among the first 1 and 5."""
    ways: dict[str, dict[str, float]] = {"all": dict(weights)}
    for name in weights:
        ways[f"without {name}"] = {**weights, name: 0.0}
    for name in weights:
        ways[f"only {name}"] = {other: weight if other == name else 0.0 for other, weight in weights.items()}
    for known, fields in KNOWN.items():
        told = [case for case in cases if any(case[field] for field in fields)]
        if not told:
            continue
        print(f"\n{known}, {len(told)} cases\n{'':20} {HEAD}")
        scenes = [_scene(case, fields) for case in told]
        for way, used in ways.items():
            found = [
                ranked(scene, {name: signals[name] for name in used if used[name]}, 10, used)
                for scene, signals in scenes
            ]
            print(f"{way:20} {_row(list(zip(told, found, strict=True)))}", flush=True)


def _scene(case: Mapping[str, object], fields: Iterable[str]) -> tuple[Scene, dict[str, dict[int, float]]]:
    given = {field: case[field] for field in fields if field != "coverage"}
    given["tests"] = tuple(given.get("tests", ()))
    if "coverage" in fields:
        failed = set(case["tests"])
        given["lines"] = ochiai((files, test in failed) for test, files in case["coverage"].items())
    scene = Scene(case["sources"], Clues(**given))
    return scene, {name: scene.signal(name) for name in WEIGHTS}


def _row(found: list[tuple[dict[str, object], list[Location]]]) -> str:
    def percent(hits: Iterable[bool]) -> str:
        each = list(hits)
        return f"{100 * sum(each) / len(each):5.0f}" if each else "    -"

    places = [_place(case, locations) for case, locations in found]
    lines = [_line_place(case, locations) for case, locations in found]
    clear = [
        place for place, (_, locations) in zip(places, found, strict=True) if locations and locations[0].share >= CLEAR
    ]
    halves: tuple[list[int], list[int]] = ([], [])
    for place, (case, _) in zip(places, found, strict=True):
        halves[crc32(str(case["name"]).encode()) % 2].append(place)
    cells = [percent(0 < place <= most for place in places) for most in (1, 3, 5, 8)]
    cells += [percent(0 < line <= most for line in lines) for most in (1, 5)]
    cells += [f"{len(clear):5}", percent(place == 1 for place in clear)]
    return " ".join(cells + [percent(place == 1 for place in half) for half in halves])


def _place(case: Mapping[str, object], ranked: list[Location]) -> int:
    truth = {tuple(pair) for pair in case["truth"]}
    return next((nth for nth, place in enumerate(ranked, 1) if (place.path, place.symbol) in truth), 0)


def _line_place(case: Mapping[str, object], ranked: list[Location]) -> int:
    truth = {tuple(pair) for pair in case["lines"]}
    lines = [
        (-place.score * weight, nth, place.path, line)
        for nth, place in enumerate(ranked)
        for line, weight in place.lines.items()
    ]
    return next((nth for nth, (_, _, path, line) in enumerate(sorted(lines), 1) if (path, line) in truth), 0)
