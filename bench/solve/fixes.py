"""Real fixes: commits of libraries that changed a little code and its tests. The code is set back; the tests of the fix
are hidden, and given as well in the mode `shown`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from bench.solve.clone import Clone
from bench.solve.library import LIBRARIES, PATIENCE, Library, diff_lines, failing, sources
from bench.solve.task import Task

LINES = 20
"""Lines of code that a fix may add and remove."""
WORDS = re.compile(r"\b(fix(e[sd])?|bug|wrong|incorrect|crash|regression|error|broken)\b", re.I)


class Fix(msgspec.Struct, frozen=True):
    """A commit that was proved: its tests fail on the code before it and pass on its own."""

    library: str
    revision: str
    parent: str
    said: str
    code: tuple[str, ...]
    tests: tuple[str, ...]
    failed: tuple[str, ...]


def make(
    clone: Clone, library: Library, number: int, python: Mapping[str, str], folder: Path | None = None
) -> Iterator[Fix]:
    """Up to `number` fixes of one library, the newest first."""
    made = 0
    log = clone.git("log", "--no-merges", "-n", "1500", "--format=%x01%H%x00%P%x00%B%x00", "--name-only")
    for entry in log.split("\x01")[1:]:
        if made >= number:
            return
        revision, parent, said, listed = entry.split("\0", 3)
        changed = [path for path in listed.split("\n") if path]
        code = [path for path in changed if path.startswith(library.package + "/") and path.endswith(".py")]
        tests = [path for path in changed if PurePosixPath(path).name.startswith("test_") and path.startswith("tests/")]
        if not WORDS.search(said) or not 1 <= len(code) <= 2 or not tests or " " in parent:
            continue
        if sum(diff_lines(clone, parent, revision, path) for path in code) > LINES:
            continue
        fix = Fix(library.name, revision, parent, said.strip(), tuple(code), tuple(tests), ())
        line = library.check(" ".join(tests))
        fixed = sources(clone.at(revision), library)
        try:
            broken = {**fixed, **{path: clone.at(parent).read(path) for path in code}}
        except KeyError:
            continue
        after = failing(Task("x/x", "x", "", fixed, line, {}, line, seconds=PATIENCE), line, python, folder)
        before = (
            failing(Task("x/x", "x", "", broken, line, {}, line, seconds=PATIENCE), line, python, folder)
            if after == set()
            else None
        )
        if before and len(before) <= 12:
            made += 1
            yield msgspec.structs.replace(fix, failed=tuple(sorted(before)))


def task_of(clone: Clone, library: Library, fix: Fix, mode: str) -> Task:
    """`shown`: the fix's tests are there and fail. `told`: the tests are those before it; the prompt has the commit's
    own words."""
    fixed, before = sources(clone.at(fix.revision), library), sources(clone.at(fix.parent), library)
    code = {path: before[path] for path in fix.code}
    line = library.check(" ".join(fix.tests))
    shown = mode == "shown"
    files = {**fixed, **code} if shown else before
    words = f"`{line}` fails. Fix the code in {library.package}; don't change the tests."
    told = f"In {library.package}: {_plain(fix.said)}\n\nThe tests run with `{line}`. Don't change them."
    return Task(
        id=f"fixes-{mode}/{fix.library}-{fix.revision[:8]}",
        set=f"fixes-{mode}",
        prompt=words if shown else told,
        files=files,
        check=line,
        hidden={path: fixed[path] for path in fix.tests},
        grade=line,
        subject=fix.code,
        kind="fix",
        reference={path: fixed[path] for path in fix.code},
        seconds=300.0,
    )


def store(cache: Path) -> Path:
    return cache / "fixes.jsonl"


def tasks(clones: Mapping[str, Clone], cache: Path, mode: str) -> Iterator[Task]:
    """What was made into the cache. Raises OSError when nothing was."""
    known = {library.name: library for library in LIBRARIES}
    for line in store(cache).read_bytes().splitlines():
        fix = msgspec.json.decode(line, type=Fix)
        yield task_of(clones[fix.library], known[fix.library], fix, mode)


def _plain(said: str) -> str:
    """A commit's message without its trailers and its numbers of issues."""
    lines = [line for line in said.splitlines() if not re.match(r"[A-Z][\w-]+(-by|-authored-by): ", line)]
    return re.sub(r"\s*\(?#\d+\)?", "", "\n".join(lines)).strip()
