"""Faults put into libraries (after SWE-smith, arXiv 2504.21798, with rules of our own: faults.py). Some of the tests
that fail are given, the others are hidden. Made once into the cache, for making them takes many test runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from bench.solve.clone import Clone
from bench.solve.faults import RULES, Fault, faults
from bench.solve.library import LIBRARIES, PATIENCE, Library, failing, module_of, pairs, sources, without_tests
from bench.solve.task import Task


class Injection(msgspec.Struct, frozen=True):
    """A fault that was proved to be seen by tests. `failed` are all of those, `hidden` those that are not given."""

    library: str
    revision: str
    path: str
    kind: str
    symbol: str
    line: int
    text: str
    tests: tuple[str, ...]
    failed: tuple[str, ...]
    hidden: tuple[str, ...]


def make(
    clone: Clone, library: Library, number: int, python: Mapping[str, str], folder: Path | None = None
) -> Iterator[Injection]:
    """Up to `number` injections into one library, spread over its modules and over the rules."""
    revision = clone.git("rev-parse", clone.revision).strip()
    files = sources(clone, library)
    calm: dict[str, bool] = {}
    found = {
        hashlib.sha256(f"{path} {fault.kind} {fault.symbol} {fault.line}".encode()).digest(): (path, fault)
        for path in pairs(files, library)
        for fault in faults(files[path])
    }
    made: list[Fault] = []
    for digest in sorted(found):
        path, fault = found[digest]
        kinds = [one.kind for one in made]
        if len(made) >= number:
            return
        if any(one.symbol == fault.symbol for one in made) or kinds.count(fault.kind) > len(made) // len(RULES):
            continue
        tests = pairs(files, library)[path]
        line = library.check(" ".join(tests))
        if path not in calm:
            calm[path] = failing(_task(library, files, {}, line), line, python, folder) == set()
        after = failing(_task(library, files, {path: fault.text}, line), line, python, folder) if calm[path] else None
        if not after or len(after) > 12:
            continue  # nothing sees it, or everything does
        made.append(fault)
        ordered = tuple(sorted(after))
        yield Injection(
            library.name, revision, path, fault.kind, fault.symbol, fault.line, fault.text,
            tuple(tests), ordered, ordered[1::2],
        )  # fmt: skip


def task_of(clone: Clone, library: Library, one: Injection) -> Task:
    """The task of an injection: half of the failing tests are given (one at least)."""
    files = sources(clone.at(one.revision), library)
    given = {path: without_tests(files[path], module_of(path), set(one.hidden)) for path in one.tests}
    line = library.check(" ".join(one.tests))
    return Task(
        id=f"injected/{one.library}-{hashlib.sha256(one.text.encode()).hexdigest()[:8]}",
        set="injected",
        prompt=f"`{line}` fails. Fix the code in {library.package}; don't change the tests.",
        files={**files, one.path: one.text, **given},
        check=line,
        hidden={path: files[path] for path in one.tests},
        grade=line,
        subject=(one.path,),
        kind=one.kind,
        reference={one.path: files[one.path]},
        seconds=300.0,
    )


def store(cache: Path) -> Path:
    return cache / "injected.jsonl"


def tasks(clones: Mapping[str, Clone], cache: Path) -> Iterator[Task]:
    """What was made into the cache. Raises OSError when nothing was."""
    known = {library.name: library for library in LIBRARIES}
    for line in store(cache).read_bytes().splitlines():
        one = msgspec.json.decode(line, type=Injection)
        yield task_of(clones[one.library], known[one.library], one)


def _task(library: Library, files: Mapping[str, str], changed: Mapping[str, str], line: str) -> Task:
    return Task(f"x/{library.name}", "x", "", {**files, **changed}, line, {}, line, seconds=PATIENCE)
