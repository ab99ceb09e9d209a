"""The clues of a failure, each as points for functions. How many points is of no matter, only their order is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property

from assay.repair.clues import Clues, Location
from assay.repair.imports import distances
from assay.repair.project import COMMON, Project, is_test_path
from assay.repair.source import lines_of
from assay.repair.traceback import failures, frames, project_frames
from assay.repair.words import bm25, names, words

MOST_REPORTS = 20
CALLED = 0.6
"""Share of a function's points that what it calls gets, over `STEPS` steps."""
POPULAR = 0.15
"""What many functions use is worth less: a helper of everything is seldom the one that is wrong."""
IN_TEST, IN_TASK, IN_PROSE, CLASS = 3.0, 2.0, 0.5, 1.0
UNSAID = 0.4
"""Share of the points of a type's constructor that its other methods get."""
MAKING = frozenset(
    {"__init__", "__new__", "__post_init__", "__call__", "__enter__", "__iter__", "constructor", "initialize"}
)
"""Methods that whoever names a type calls without naming them."""
STEPS = 2
CALLER = 0.7
"""Suspicion of a line through which a traceback passes; 1 where it ends."""

Points = dict[int, float]
"""By the number of a function in the project."""


class Scene:
    """A failure in a project."""

    def __init__(self, sources: Mapping[str, str], clues: Clues):
        self._sources = sources
        self._clues = clues
        self._reports = failures(clues.output)[:MOST_REPORTS]
        traces = [report.frames for report in self._reports] or [tuple(frames(clues.output))]
        self._traces = [project_frames(trace, sources) for trace in traces]
        self._steps = distances(sources, self._test_files())
        self._code, self._prose = names(clues.task)
        self._project = Project(sources, self._nearest_first())
        tests = self._project.used_by_tests(clues.tests, self._reports)
        self._tested = tests | {part for test in clues.tests for part in re.findall(r"[A-Za-z_]\w*", test)}

    def signal(self, name: str) -> Points:
        """The points that the clue `name` gives; {} when it says nothing."""
        match name:
            case "frames":
                return self._frames()
            case "spectrum":
                return self._spectrum()
            case "tests":
                return self._named(self._tested, IN_TEST)
            case "names":
                return self._names()
            case "words":
                return self._answers(re.sub(r"\w+", lambda match: self._unnamed(match[0]), self._clues.task))
            case "message":
                return self._answers("\n".join(line for report in self._reports for line in report.error))
            case "imports":
                return self._by_file({path: 1 / step for path, step in self._steps.items() if step})
            case _:
                return self._by_file({path: 1 / (1 + nth) for nth, path in enumerate(self._clues.recent)})

    def location(self, number: int, score: float, share: float) -> Location:
        path, symbol = self._project.units[number]
        lines = {
            line: round(weight, 3)
            for line, weight in sorted(self._clues.lines.get(path, {}).items())
            if symbol.start <= line <= symbol.end
        }
        for trace in self._traces:
            for nth, frame in enumerate(trace):
                if frame.path == path and symbol.start <= frame.line <= symbol.end:
                    lines[frame.line] = max(lines.get(frame.line, 0.0), CALLER if nth else 1.0)
        return Location(path, symbol.start, symbol.end, symbol.full, symbol.signature, score, share, lines)

    def order(self, number: int) -> tuple[str, int]:
        """What decides between equal scores."""
        path, symbol = self._project.units[number]
        return path, symbol.start

    def _test_files(self) -> list[str]:
        named = [test.split("::")[0] for test in self._clues.tests if "::" in test]
        passed = [frame.path for trace in self._traces for frame in trace if is_test_path(frame.path)]
        return list(dict.fromkeys([*named, *passed]))

    def _nearest_first(self) -> list[str]:
        framed = [frame.path for trace in self._traces for frame in trace]
        near = sorted(self._steps, key=self._steps.__getitem__)
        told = [path for path, text in self._sources.items() if any(name in text for name in self._code)]
        return [*framed, *self._clues.lines, *near, *told, *self._clues.recent]

    # --- one clue each --------------------------------------------------------------------------------------------

    def _frames(self) -> Points:
        found: Points = {}
        for trace in self._traces:
            for nth, number in enumerate(self._project.framed(trace)):
                found[number] = found.get(number, 0.0) + 1 / (1 + nth)
        return found

    def _spectrum(self) -> Points:
        found: Points = {}
        for path, lines in self._clues.lines.items():
            for number in self._project.of_file(path):
                symbol = self._project.units[number][1]
                own = [weight for line, weight in lines.items() if symbol.start <= line <= symbol.end]
                if own:
                    # Among equals the one more of which is suspect.
                    found[number] = round(max(own) + sum(own) / len(own) / 1_000, 6)
        return found

    def _names(self) -> Points:
        """Functions that the task names, and what those call."""
        found = self._named(self._code, IN_TASK)
        prose = {word for word in self._prose - self._code if self._project.plain(word)}
        for number, points in self._named(prose, IN_PROSE).items():
            found[number] = found.get(number, 0.0) + points
        return found

    def _unnamed(self, word: str) -> str:
        """Nothing for a name that means a function: what else has that word in it, is not meant."""
        return "" if word in self._code and 0 < len(self._project.named.get(word, [])) <= COMMON else word

    def _answers(self, text: str) -> Points:
        query = words(text[:20_000])
        return bm25(query, self._documents) if query else {}

    @cached_property
    def _documents(self) -> dict[int, Counter[str]]:
        found: dict[int, Counter[str]] = {}
        for path in self._project.files:
            lines = lines_of(self._sources[path])
            above = words(path)
            for number in self._project.of_file(path):
                symbol = self._project.units[number][1]
                body = words("\n".join(lines[symbol.start - 1 : symbol.end])[:20_000])
                found[number] = Counter([*above, *words(symbol.full) * 2, *body])
        return found

    def _by_file(self, weights: Mapping[str, float]) -> Points:
        return {number: weight for path, weight in weights.items() for number in self._project.of_file(path)}

    # --- names, and who calls whom --------------------------------------------------------------------------------

    def _named(self, said: set[str], points: float) -> Points:
        """Points for the functions that are named, for the methods of types that are named, and for what those call."""
        found: Points = {}
        for name in sorted(said):
            bearers = self._project.named.get(name, [])
            if name.startswith("__"):
                # `a == b` in a test means `__eq__`, of a class that the test or the task names.
                bearers = [number for number in bearers if self._owner(number) in said | self._code | self._prose]
            elif len(bearers) > COMMON:
                continue
            for number in bearers:
                found[number] = found.get(number, 0.0) + points / (1 if name.startswith("__") else len(bearers))
        for name in said & self._project.types:
            for number in self._project.of_type(name):
                made = self._project.units[number][1].name in MAKING
                found[number] = found.get(number, 0.0) + CLASS * (1.0 if made else UNSAID)
        self._spread(found)
        for number in found:
            users = self._project.users[self._project.units[number][1].name]
            found[number] /= 1 + POPULAR * max(0, users - 2)
        return {number: round(weight, 6) for number, weight in found.items()}

    def _owner(self, number: int) -> str:
        return self._project.units[number][1].container.rpartition(".")[2]

    def _spread(self, points: Points) -> None:
        """Hand points on to what is called; each takes the best that it is offered in a step."""
        wave: Iterable[tuple[int, float]] = list(points.items())
        for _ in range(STEPS):
            offered: Points = {}
            for number, weight in wave:
                for meant in self._project.called(number):
                    for other in meant:
                        offered[other] = max(offered.get(other, 0.0), weight * CALLED / len(meant))
            for number, weight in offered.items():
                points[number] = points.get(number, 0.0) + weight
            wave = list(offered.items())
