"""The task sets by name, and a sample of them that anyone can draw again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.solve import exercism, fixes, humaneval, inject, mbpp, quixbugs
from bench.solve.clone import Clone, open_clone
from bench.solve.library import LIBRARIES
from bench.solve.task import Task


class Places(NamedTuple):
    """Where data is: `folders` hold clones that the user has, `cache` is for what is fetched or made."""

    folders: list[Path]
    cache: Path

    def clone(self, name: str) -> Clone:
        """The repository OWNER/NAME. Raises OSError."""
        return open_clone(name, self.folders, self.cache)

    def clones(self) -> dict[str, Clone]:
        """Those of all libraries, by the library's name."""
        return {library.name: self.clone(library.repository) for library in LIBRARIES}


class Set(NamedTuple):
    """`load` yields every task of it; `about` is a line for a reader."""

    name: str
    about: str
    load: Callable[[Places], Iterator[Task]]


def _public(name: str, module: object, mode: str, about: str) -> Set:
    repository, tasks = module.REPOSITORY, module.tasks  # type: ignore[attr-defined]  # a module, not an object
    return Set(f"{name}-{mode}", about, lambda places: tasks(places.clone(repository), mode))


SETS: tuple[Set, ...] = (
    _public("humaneval", humaneval, "tests", "HumanEvalFix, the official tests given"),
    _public("humaneval", humaneval, "docs", "HumanEvalFix, only the docstring's examples given"),
    _public("quixbugs", quixbugs, "tests", "QuixBugs, all cases given"),
    _public("quixbugs", quixbugs, "docs", "QuixBugs, only the examples in the program's text given"),
    _public("mbpp", mbpp, "tests", "MBPP, all assertions given"),
    _public("mbpp", mbpp, "one", "MBPP, one assertion given"),
    _public("exercism", exercism, "tests", "Exercism, all tests given"),
    _public("exercism", exercism, "third", "Exercism, a third of the tests given"),
    Set(
        "injected",
        "faults put into libraries, half of the failing tests given",
        lambda at: inject.tasks(at.clones(), at.cache),
    ),
    Set(
        "fixes-shown", "real fixes set back, their tests given", lambda at: fixes.tasks(at.clones(), at.cache, "shown")
    ),
    Set(
        "fixes-told",
        "real fixes set back, the commit's words given",
        lambda at: fixes.tasks(at.clones(), at.cache, "told"),
    ),
)
MADE = ("injected", "fixes-shown", "fixes-told")
"""Sets that `make` makes into the cache first."""


def make(places: Places, number: int, python: Mapping[str, str], libraries: Sequence[str] = ()) -> Iterator[str]:
    """Make `number` injections and as many fixes of each library, beside those that are there; yields a line each."""
    for library in LIBRARIES:
        if libraries and library.name not in libraries:
            continue
        clone = places.clone(library.repository)
        for store, made in (
            (inject.store(places.cache), inject.make(clone, library, number, python)),
            (fixes.store(places.cache), fixes.make(clone, library, number, python)),
        ):
            store.parent.mkdir(parents=True, exist_ok=True)
            rows = store.read_bytes().splitlines() if store.exists() else []
            for one in made:
                row = msgspec.json.encode(one)
                if row not in rows:
                    with store.open("ab") as file:
                        file.write(row + b"\n")
                    yield f"{store.stem} {library.name}: {one.path if hasattr(one, 'path') else one.code}"


def default_cache() -> Path:
    """Outside of every project: $BENCH_CACHE, else below the user's cache folder."""
    given = os.environ.get("BENCH_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "assay-bench"


def load(name: str, places: Places) -> list[Task]:
    """All tasks of a set. Raises KeyError for an unknown set, OSError when its data can't be had."""
    return list({one.name: one for one in SETS}[name].load(places))


def sample(tasks: Iterable[Task], size: int, seed: int) -> list[Task]:
    """`size` tasks, the same ones for the same seed whatever the order: those with the smallest digest."""
    return sorted(tasks, key=lambda task: hashlib.sha256(f"{seed} {task.id}".encode()).digest())[:size]


def in_turn(tasks: Sequence[Task]) -> list[Task]:
    """The first task of each set, then the second of each: a run that is stopped has seen all sets alike."""
    places: dict[str, int] = {}
    ordered: list[tuple[int, int, Task]] = []
    for number, task in enumerate(tasks):
        places[task.set] = places.get(task.set, -1) + 1
        ordered.append((places[task.set], number, task))
    return [task for _, _, task in sorted(ordered, key=lambda one: one[:2])]
