"""`python -m bench.solve.critic POOL.jsonl...`: would a critic of features choose better than the rules do?

A critic is a weighted sum of zero-token features (`features`). It is fitted on one half of the tasks as a conditional
logit: within a task, correct candidates should score above wrong ones. Then it chooses among the green candidates of
the other half that the rules of evidence leave, and its choice is set beside that of the rules. The program has a
critic built in only once this shows that one chooses better on tasks it was not fitted on.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from assay.search.candidate import Candidate
from assay.search.clusters import clusters, refused
from assay.search.rules import EVIDENCE, TIES, share, sift
from bench.solve.replay import Graded, Task, contested, green_only, read

STEPS, RATE, DECAY = 300, 0.3, 0.02


def features(one: Candidate, pool: Sequence[Candidate]) -> dict[str, float]:
    """Numbers between about -1 and 1 that cost no tokens, by name; what a strategy noted (`signs`) among them."""
    group = next(group for group in clusters(pool) if one.number in group)
    lines = sorted(other.lines for other in pool)
    answers = list(one.behaviour.values())
    return {
        "share": share(one, pool),
        "crowd": len(group) / len(pool),
        "first": float(one.number == min(other.number for other in pool)),
        "order": -math.log(one.number),
        "lines": -math.log1p(one.lines) + math.log1p(lines[len(lines) // 2]),
        "files": -math.log1p(one.files),
        "refusals": -sum(map(refused, answers)) / max(len(answers), 1),
        "made by a model": float(bool(one.model)),
        **one.signs,
    }


Row = tuple[Graded, dict[str, float]]


def fit(tasks: Sequence[Sequence[Row]]) -> dict[str, float]:
    """Weights by gradient ascent on the chance, within each task, that the one drawn by its score is correct."""
    names = sorted({name for rows in tasks for _, values in rows for name in values})
    weights = dict.fromkeys(names, 0.0)
    for _ in range(STEPS):
        slope = dict.fromkeys(names, 0.0)
        for rows in tasks:
            drawn = _softmax([_score(weights, values) for _, values in rows])
            right = [weight if one.correct else 0.0 for weight, (one, _) in zip(drawn, rows, strict=True)]
            hit = sum(right)
            for weight, good, (_, values) in zip(drawn, right, rows, strict=True):
                for name, value in values.items():
                    slope[name] += (good / hit - weight) * value
        for name in names:
            weights[name] += RATE * (slope[name] / len(tasks) - DECAY * weights[name])
    return weights


def _score(weights: dict[str, float], values: dict[str, float]) -> float:
    return sum(weights.get(name, 0.0) * value for name, value in values.items())


def _softmax(scores: Sequence[float]) -> list[float]:
    raised = [math.exp(score - max(scores)) for score in scores]
    return [value / sum(raised) for value in raised]


def rows_of(task: Task) -> list[Row]:
    """The candidates that the rules of evidence leave, with their features."""
    left = sift(green_only(task).candidates, EVIDENCE, task.candidates).left
    return [(one, features(one, left)) for one in left if isinstance(one, Graded)]


def compared(train: Sequence[Task], test: Sequence[Task]) -> tuple[int, int, dict[str, float]]:
    """Of `test`, how many the critic and the rules choose right; and the weights that `train` gave."""
    weights = fit([rows_of(task) for task in train])
    critic = rules = 0
    for task in test:
        rows = rows_of(task)
        best = max(rows, key=lambda row: (_score(weights, row[1]), -row[0].number))[0]
        critic += best.correct
        chosen = sift([one for one, _ in rows], TIES, task.candidates).left[0]
        rules += any(one.correct for one, _ in rows if one.number == chosen.number)
    return critic, rules, weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 for a file that is no pool or too small a one."""
    parser = argparse.ArgumentParser(prog="python -m bench.solve.critic", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pool", nargs="+", type=Path)
    asked = parser.parse_args(arguments)
    try:
        tasks = [task for task in read(asked.pool) if contested(green_only(task))]
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    tasks = [task for task in tasks if len({one.correct for one, _ in rows_of(task)}) == 2]
    halves = [[task for task in tasks if (task.split == "odd") == odd] for odd in (True, False)]
    if not all(halves):
        sys.stderr.write("error: both an odd and another split need tasks with a right and a wrong green candidate\n")
        return 2
    for name, train, test in (("odd", *halves), ("the others", *halves[::-1])):
        critic, rules, weights = compared(train, test)
        print(f"fitted on {name} ({len(train)}): right of {len(test)} by the critic {critic}, by the rules {rules}")
        print("  " + ", ".join(f"{name} {weight:+.2f}" for name, weight in weights.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
