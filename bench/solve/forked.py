"""Programs tried in forked children of this process: seconds of processor time bound each test, nothing is isolated.

For measurements of the mutation engine alone; the product tries its candidates in the sandbox.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

MEMORY = 1 << 30
T = TypeVar("T")

Test = Callable[[], object]
Build = Callable[[str], Mapping[str, Test]]
"""A program's text -> its tests by name, made anew each time; raises when the program can't be loaded."""


class Outcome(NamedTuple):
    green: bool
    slow: bool
    failing: tuple[tuple[str, str], ...]
    seconds: Mapping[str, float]


class TimeUp(BaseException):
    """A test ran longer than it may. Not an `Exception`: programs catch those."""


def run(build: Build, text: str, order: Sequence[str], limit: float, stop: bool) -> Outcome:
    """Runs the tests named in `order`, up to the first failure with `stop`."""
    failing: list[tuple[str, str]] = []
    slow, seconds = False, dict[str, float]()
    tests: Mapping[str, Test] = {}
    try:
        tests = bounded(lambda: build(text), max(limit, 0.5))
    except BaseException as error:
        return Outcome(False, False, tuple((name, type(error).__name__) for name in order or ("load",)), {})
    for name in order or list(tests):
        begun = time.process_time()
        try:
            bounded(tests[name], limit)
        except TimeUp:
            slow = True
            failing.append((name, "slow"))
        except BaseException as error:
            failing.append((name, f"{type(error).__name__}: {str(error)[:80]}"))
        seconds[name] = time.process_time() - begun
        if failing and stop:
            break
    return Outcome(not failing, slow, tuple(failing), seconds)


def bounded(call: Callable[[], T], limit: float) -> T:
    def up(_number: int, _frame: object) -> None:
        raise TimeUp

    signal.signal(signal.SIGVTALRM, up)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit, 0.05)
    try:
        return call()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def in_child(work: Callable[[Callable[[T], None]], None], wall: float) -> list[T]:
    """What `work` gave to its argument, in a child that may die or hang: then what it gave before."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (int(wall) + 1, int(wall) + 2))
            sink = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(sink, number)
            sys.setrecursionlimit(1000)
            with os.fdopen(writer, "wb") as pipe:

                def give(item: T) -> None:
                    pickle.dump(item, pipe)
                    pipe.flush()

                work(give)
        finally:
            os._exit(0)
    os.close(writer)
    found: list[T] = []
    with os.fdopen(reader, "rb") as pipe:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, 4 * wall)
        try:
            while True:
                found.append(pickle.load(pipe))
        except (EOFError, pickle.UnpicklingError):
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    os.waitpid(child, 0)
    return found


def outcomes(build: Build, texts: Sequence[str], order: Sequence[str], limit: float, stop: bool) -> list[Outcome]:
    """One for each text; a program that kills its process has failed."""
    found: list[Outcome] = []
    while len(found) < len(texts):
        rest = texts[len(found) :]

        def work(give: Callable[[Outcome], None], rest: Sequence[str] = rest) -> None:
            for text in rest:
                give(run(build, text, order, limit, stop))

        found += in_child(work, 5 + len(rest) * limit * (len(order) or 60))
        if len(found) < len(texts):
            found.append(Outcome(False, True, (("process", "died"),), {}))
    return found


def coverage(build: Build, text: str, order: Sequence[str], file: str, limit: float) -> dict[str, frozenset[int]]:
    """Test -> lines of the code compiled under the name `file` that it runs."""

    def work(give: Callable[[tuple[str, frozenset[int]]], None]) -> None:
        lines: set[int] = set()

        def trace(frame: object, event: str, _argument: object) -> object:
            code = frame.f_code  # type: ignore[attr-defined]
            if code.co_filename != file:
                return None
            if event == "line":
                lines.add(frame.f_lineno)  # type: ignore[attr-defined]
            return trace

        tests = build(text)
        for name in order or list(tests):
            lines.clear()
            sys.settrace(trace)  # type: ignore[arg-type]
            try:
                bounded(tests[name], limit)
            except BaseException:
                pass
            finally:
                sys.settrace(None)
            give((name, frozenset(lines)))

    return dict(in_child(work, 5 + 2 * limit * (len(order) or 40)))


def ochiai(covered: Mapping[str, frozenset[int]], failing: set[str]) -> dict[int, float]:
    """Suspicion of each line that a failing test runs: Ochiai's measure, 0 to 1."""
    total = sum(1 for name in covered if name in failing)
    found: dict[int, float] = {}
    for line in sorted({line for name in covered if name in failing for line in covered[name]}):
        bad = sum(1 for name, lines in covered.items() if line in lines and name in failing)
        all_ = sum(1 for lines in covered.values() if line in lines)
        found[line] = bad / (total * all_) ** 0.5 if total and all_ else 0.0
    return found
