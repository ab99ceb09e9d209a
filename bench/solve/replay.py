"""`python -m bench.solve.replay POOL.jsonl...`: selectors judged again on stored pools, at no generation cost.

A pool is a file of JSON objects, a line for each task (`Task`):

    task        its name
    split       "odd", "even", "test", ...: what may be looked at while constants are chosen
    spec        what the changed callable should do, in words: its documentation or the issue
    signature   `name(parameters) -> type`, and `place`, its `path:symbol`, where one callable is at fault
    ground      `assay.search.candidate.Ground`: class and number of assertions of the targets
    candidates  `assay.search.candidate.Candidate`, each with `correct`: what the hidden tests said. No selector sees it
    replies     what a comparator replied: a digest of its request -> text (`python -m bench.solve.judged` stores them)

`solved` is the share of tasks whose chosen candidate is correct. Recovery is (selected - random) / (oracle - random).
Intervals are percentiles of a bootstrap over tasks.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from assay.core.messages import AssistantMessage, Text
from assay.core.model import ModelRequest
from assay.search.belief import belief, doubts
from assay.search.candidate import Candidate, Ground
from assay.search.compare import Ports, Question
from assay.search.priors import STRONG, TINY
from assay.search.rules import COMMON, EARLY, EVIDENCE, REGRESSIONS, SMALL, SOUND, TARGETS, Rule, sift
from assay.search.select import Selection, select
from bench.solve.stats import wilson

ROUNDS = 2_000


class Graded(Candidate, frozen=True):
    correct: bool = False
    """What the hidden tests said."""


class Task(Struct, frozen=True):
    task: str
    candidates: tuple[Graded, ...]
    split: str = ""
    spec: str = ""
    signature: str = ""
    place: str = ""
    ground: Ground = Ground()
    replies: dict[str, str] = {}


Ask = Callable[[ModelRequest], Awaitable[AssistantMessage]]
Selector = Callable[[Task], float]
"""The chance that what it takes is correct: 0 or 1, or a share where it throws dice."""


def read(paths: Sequence[Path]) -> list[Task]:
    """The tasks of these files. Raises `ValueError` that names the line."""
    found: list[Task] = []
    for path in paths:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if line.strip():
                try:
                    found.append(msgspec.json.decode(line, type=Task))
                except msgspec.DecodeError as error:
                    raise ValueError(f"{path}:{number} is no task of a pool: {error}") from error
    return found


def green_only(task: Task) -> Task:
    """The task with its green candidates alone: where choosing is hard."""
    return msgspec.structs.replace(task, candidates=tuple(one for one in task.candidates if one.vector.green))


def contested(task: Task) -> bool:
    """Some candidates are correct and some are not."""
    return len({one.correct for one in task.candidates}) == 2


def by_rules(*rules: Rule) -> Selector:
    def chosen(task: Task) -> float:
        left = sift(task.candidates, [*rules, EARLY], task.candidates).left
        return _correct(task, left[0].number)

    return chosen


def full(task: Task) -> float:
    """All rules, and the comparator's replies as they were when they were stored; what was not stored says nothing."""

    async def ask(request: ModelRequest) -> AssistantMessage:
        return AssistantMessage((Text(task.replies.get(key_of(request), "")),), "end")

    return _correct(task, asyncio.run(chosen_by(task, ask)).number)


async def chosen_by(task: Task, ask: Ask, brief: bool = True) -> Selection:
    question = Question(task.spec, task.signature, task.place, brief)
    return await select(task.candidates, Ports(ask), question)


def key_of(request: ModelRequest) -> str:
    """A request's name in `Task.replies`."""
    text = "".join(part.text for part in request.messages[-1].parts if isinstance(part, Text))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def majority(task: Task) -> float:
    """The text of a patch that most candidates have: what not to do."""
    texts = Counter("\n".join(line.strip() for line in one.patch.splitlines()) for one in task.candidates)
    best = max(texts.values())
    return next(
        float(one.correct)
        for one in sorted(task.candidates, key=lambda one: one.number)
        if texts["\n".join(line.strip() for line in one.patch.splitlines())] == best
    )


def _correct(task: Task, number: int) -> float:
    return float(next(one.correct for one in task.candidates if one.number == number))


SELECTORS: dict[str, Selector] = {
    "random": lambda task: sum(one.correct for one in task.candidates) / len(task.candidates),
    "majority of texts (what not to do)": majority,
    "first": lambda task: _correct(task, min(one.number for one in task.candidates)),
    "smallest change": by_rules(SMALL),
    "regressions": by_rules(SOUND, REGRESSIONS),
    "+ targets": by_rules(SOUND, REGRESSIONS, TARGETS),
    "+ written checks": by_rules(*EVIDENCE),
    "+ behaviour": by_rules(*EVIDENCE, COMMON),
    "+ size (all rules)": by_rules(*EVIDENCE, COMMON, SMALL),
    "+ comparator": full,
    "oracle": lambda task: float(any(one.correct for one in task.candidates)),
}


class Line(Struct, frozen=True):
    name: str
    solved: float
    low: float
    high: float
    recovery: float | None = None
    recovery_low: float | None = None
    recovery_high: float | None = None


def table(tasks: Sequence[Task], rounds: int = ROUNDS, seed: int = 0) -> list[Line]:
    """Each selector on the same tasks, with 95 % intervals."""
    scores = {name: [selector(task) for task in tasks] for name, selector in SELECTORS.items()}
    dice = random.Random(seed)
    draws = [dice.choices(range(len(tasks)), k=len(tasks)) for _ in range(rounds)]
    return [_line(name, scores, draws) for name in SELECTORS]


def _line(name: str, scores: dict[str, list[float]], draws: Sequence[Sequence[int]]) -> Line:
    own, low, high = scores[name], scores["random"], scores["oracle"]

    def recovered(draw: Sequence[int]) -> float | None:
        gap = sum(high[n] - low[n] for n in draw)
        return sum(own[n] - low[n] for n in draw) / gap if gap > 1e-9 else None

    everything = range(len(own))
    means = sorted(sum(own[n] for n in draw) / len(draw) for draw in draws)
    shares = sorted(share for draw in draws if (share := recovered(draw)) is not None)
    if name in ("random", "oracle") or not shares:
        return Line(name, sum(own) / len(own), *_interval(means))
    return Line(name, sum(own) / len(own), *_interval(means), recovered(everything), *_interval(shares))


def _interval(values: Sequence[float]) -> tuple[float, float]:
    return values[int(0.025 * len(values))], values[min(int(0.975 * len(values)), len(values) - 1)]


class Believed(Struct, frozen=True):
    """How belief stood up."""

    tasks: int
    right: int
    verified: int
    """Without a doubt (`assay.search.belief.doubts`)."""
    verified_right: int
    brier: float
    ece: float
    """Expected calibration error over ten bins."""


def believed(tasks: Sequence[Task]) -> Believed:
    """Belief in what the rules choose, for tasks with a green candidate."""
    rows: list[tuple[float, bool, bool]] = []
    for task in tasks:
        chosen = asyncio.run(select(task.candidates)).number
        prior = TINY if all(one.strategy in ("zero", "slots") for one in task.candidates) else STRONG
        sure = belief(task.candidates, task.ground, prior, chosen)
        if sure:
            clear = not doubts(task.candidates, task.ground, prior, chosen)
            rows.append((sure, clear, _correct(task, chosen) == 1.0))
    bins = [[row for row in rows if int(min(row[0], 0.999) * 10) == nth] for nth in range(10)]
    off = sum(abs(sum(sure for sure, _, _ in part) - sum(right for _, _, right in part)) for part in bins)
    clear = [right for _, clear, right in rows if clear]
    return Believed(
        len(rows),
        sum(right for _, _, right in rows),
        len(clear),
        sum(clear),
        sum((sure - right) ** 2 for sure, _, right in rows) / max(len(rows), 1),
        off / max(len(rows), 1),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 for a file that is no pool."""
    parser = argparse.ArgumentParser(prog="python -m bench.solve.replay", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pool", nargs="+", type=Path)
    parser.add_argument("--split", help="only tasks of this split")
    parser.add_argument("--green", action="store_true", help="only among candidates whose checks are green")
    parser.add_argument("--contested", action="store_true", help="only tasks with a right and a wrong candidate")
    parser.add_argument("--belief", action="store_true", help="how far what is chosen can be believed, by split")
    asked = parser.parse_args(arguments)
    try:
        tasks = [task for task in read(asked.pool) if asked.split in (None, task.split) and task.candidates]
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if asked.belief:
        for split in sorted({task.split for task in tasks}):
            _print_belief(split, believed([task for task in tasks if task.split == split]))
        return 0
    tasks = [green_only(task) for task in tasks] if asked.green else tasks
    tasks = [task for task in tasks if task.candidates and (contested(task) or not asked.contested)]
    if not tasks:
        sys.stderr.write("error: no task is left to choose in\n")
        return 2
    print(f"{len(tasks)} tasks, {sum(len(task.candidates) for task in tasks)} candidates\n")
    print("| selector | solved | 95 % | recovery | 95 % |\n|---|---|---|---|---|")
    for line in table(tasks):
        shares = "| - | - |"
        if line.recovery is not None and line.recovery_low is not None and line.recovery_high is not None:
            shares = f"| {line.recovery:.0%} | {line.recovery_low:.0%} to {line.recovery_high:.0%} |"
        print(f"| {line.name} | {line.solved:.1%} | {line.low:.1%} to {line.high:.1%} {shares}")
    return 0


def _print_belief(split: str, found: Believed) -> None:
    low, high = wilson(found.verified_right, found.verified)
    print(
        f"{split}: {found.tasks} tasks with a green candidate, chosen right in {found.right}; without doubt "
        f"{found.verified}, right {found.verified_right} (95 % {low:.1%} to {high:.1%}); "
        f"Brier {found.brier:.3f}, calibration error {found.ece:.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
