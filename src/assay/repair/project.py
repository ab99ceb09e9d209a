"""The functions of a project as an index: by place, by name, by what they use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from assay.repair.outline.read import language_of, outline
from assay.repair.outline.symbols import Symbol
from assay.repair.source import lines_of
from assay.repair.traceback import Failure, Frame, project_frames

MOST_FILES = 3_000
MOST_CHARACTERS = 6_000_000
"""What is read of a project, the files nearest to the failure first: a second or two of parsing."""
COMMON = 6
"""A name that more functions than this bear says nothing."""

_TEST_FOLDERS = frozenset({"test", "tests", "testing", "__tests__", "spec", "docs", "doc", "examples", "benchmarks"})
_TEST_FILE = re.compile(
    r"(?:test_.*|.*_test|tests?|tests?_.*|conftest|setup)\.py$|.*_test\.(?:go|rb|cc|cpp|c)$|.*_spec\.rb$"
    r"|.*\.(?:test|spec)\.[cm]?[jt]sx?$|.*Tests?\.(?:java|php)$|test_.*\.(?:c|cc|cpp|rb)$"
)
_WORD = re.compile(r"[^\W\d]\w*")
NEAR = 12
"""Lines around a failing one that stand for the test where no function can be named."""


def is_test_path(path: str) -> bool:
    """Whether a file is a test or otherwise beside the product's code, going by its name."""
    *folders, name = path.split("/")
    return not _TEST_FOLDERS.isdisjoint(folders) or _TEST_FILE.match(name) is not None


class Project:
    """`first`: the files to read before the others, as there is a limit."""

    def __init__(self, sources: Mapping[str, str], first: Iterable[str] = ()):
        self.sources = sources
        self.units: list[tuple[str, Symbol]] = []
        """Functions and methods of the product with their paths."""
        self.types: set[str] = set()
        self.named: dict[str, list[int]] = {}
        """Last name -> which units bear it."""
        self.users: Counter[str] = Counter()
        """Name -> how many functions use it."""
        self._of_file: dict[str, list[int]] = {}
        self._of_type: dict[str, list[int]] = {}
        room = MOST_CHARACTERS
        product = [path for path in sources if language_of(path) and not is_test_path(path)]
        known = set(product)
        for path in list(dict.fromkeys([*(path for path in first if path in known), *product]))[:MOST_FILES]:
            room -= len(sources[path])
            if room < 0:
                break
            self._add(path)

    def _add(self, path: str) -> None:
        for symbol in outline(path, self.sources[path]).symbols:
            if symbol.kind == "type":
                self.types.add(symbol.name)
                continue
            number = len(self.units)
            self.units.append((path, symbol))
            self.named.setdefault(symbol.name, []).append(number)
            self._of_file.setdefault(path, []).append(number)
            self._of_type.setdefault(symbol.container.rpartition(".")[2], []).append(number)
            self.users.update(symbol.uses)

    @property
    def files(self) -> Iterable[str]:
        return self._of_file.keys()

    def of_file(self, path: str) -> list[int]:
        return self._of_file.get(path, [])

    def of_type(self, name: str) -> list[int]:
        """The methods of the types with that name."""
        return self._of_type.get(name, [])

    def at(self, path: str, line: int) -> int | None:
        """The innermost function that a line lies in."""
        holding = [n for n in self.of_file(path) if self.units[n][1].start <= line <= self.units[n][1].end]
        return min(holding, key=lambda n: self.units[n][1].end - self.units[n][1].start, default=None)

    def framed(self, trace: Sequence[Frame]) -> list[int]:
        """The functions that the frames of a traceback lie in, in its order."""
        inside = [self.at(frame.path, frame.line) for frame in trace]
        return list(dict.fromkeys(number for number in inside if number is not None))

    def called(self, number: int) -> list[list[int]]:
        """For each name that a function uses: the functions meant, the nearest only (own type, own file, any)."""
        found: list[list[int]] = []
        path, symbol = self.units[number]
        for name in symbol.uses:
            every = [other for other in self.named.get(name, []) if other != number]
            own_file = [other for other in every if self.units[other][0] == path]
            own_type = [
                other for other in own_file if symbol.container and self.units[other][1].container == symbol.container
            ]
            meant = own_type or own_file or every
            if 0 < len(meant) <= COMMON // 2:
                found.append(meant)
        return found

    def plain(self, word: str) -> bool:
        """A word of prose may mean a function, but not a method: those bear too ordinary names."""
        return all(not self.units[number][1].container for number in self.named.get(word, []))

    def used_by_tests(self, tests: Sequence[str], reports: Sequence[Failure]) -> set[str]:
        """Names that the failing tests use, by their bodies; or by the lines around the failing ones."""
        names = [*tests, *(report.name for report in reports)]
        wanted = {re.split(r"\[", name, maxsplit=1)[0].replace("::", ".").rsplit(".", 1)[-1] for name in names if name}
        files = {name.split("::")[0] for name in tests if "::" in name} & self.sources.keys()
        places = sorted(files) or [path for path in self.sources if is_test_path(path)][:200]
        used: set[str] = set()
        for path in places:
            for symbol in outline(path, self.sources[path]).symbols:
                if symbol.name in wanted:
                    used.update(symbol.uses)
        if used:
            return used
        beside = [path for path in self.sources if is_test_path(path)]
        for report in reports:
            for frame in project_frames(report.frames, beside)[:1]:
                lines = lines_of(self.sources[frame.path])[max(0, frame.line - NEAR) : frame.line + NEAR // 3]
                used.update(_WORD.findall("\n".join(lines)))
        return used
