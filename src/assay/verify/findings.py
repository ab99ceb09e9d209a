"""What a detector looks at and what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from msgspec import Struct

ENTRY_FILES = re.compile(
    r"__main__\.py|cli\.\w+|main\.\w+|manage\.py|setup\.py|noxfile\.py|.*[_-]cli\.\w+|app\.\w+|tasks\.py"
)
ENTRY_DIRS = frozenset((
    "scripts", "script", "bin", "tools", "examples", "bench", "benchmarks", "benchmark", "docs", "doc", "misc", "ci",
))  # fmt: skip
TESTING_PARTS = re.compile(
    r"(?:^|/)_?(?:testing|test_?utils?|test_?helpers?|\w*pytest_?\w*|fixtures|typing-examples)(?:\.\w+|/)"
)


class Finding(Struct, frozen=True):
    path: str
    line: int
    """1-based; 0 for the file as such."""
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}" if self.line else f"{self.path}: {self.text}"


class Added(Struct, frozen=True):
    """A changed file of the final tree with the numbers of the lines that the change added."""

    path: str
    text: str
    lines: frozenset[int]
    new: bool
    package: bool
    """It lies in a Python package, so that its name hides nothing at top level."""
    before: str = ""
    """What stood in a Python file before the change."""

    def new_lines(self) -> Iterator[tuple[int, str]]:
        for number, line in enumerate(self.text.splitlines(), 1):
            if number in self.lines:
                yield number, line


def entry_file(path: str) -> bool:
    """A program's own entry, or a tool beside the product: it may end its process."""
    pure = PurePosixPath(path)
    return bool(ENTRY_FILES.fullmatch(pure.name)) or bool(ENTRY_DIRS.intersection(pure.parts[:-1]))


def tooling(path: str) -> bool:
    """Made for tests, or a tool beside the product: it may know test runners (never change them)."""
    pure = PurePosixPath(path)
    beside = pure.name in ("setup.py", "noxfile.py", "tasks.py", "manage.py") or ENTRY_DIRS.intersection(
        pure.parts[:-1]
    )
    return bool(beside) or ".bench." in pure.name or bool(TESTING_PARTS.search(path))
