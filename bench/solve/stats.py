"""The statistics of the comparison (research protocol in docs/solving.md). Exact or by resampling with a fixed seed, so
that the same records give the same figures."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TypeVar

T = TypeVar("T")
BUDGETS = (2_000, 8_000, 32_000, 128_000)
"""Tokens for a task: the points of the effort curve."""


def mean(values: Sequence[float]) -> float:
    """0.0 for none."""
    return sum(values) / len(values) if values else 0.0


def bootstrap(
    clusters: Mapping[str, Sequence[T]], figure: Callable[[list[T]], float], rounds: int = 2_000, seed: int = 1
) -> tuple[float, float]:
    """The 95 % interval of a figure when whole clusters (all runs of a task) are drawn with replacement."""
    names = sorted(clusters)
    if not names:
        return (0.0, 0.0)
    chance = random.Random(seed)
    found = sorted(
        figure([run for name in chance.choices(names, k=len(names)) for run in clusters[name]]) for _ in range(rounds)
    )
    return found[int(0.025 * rounds)], found[min(rounds - 1, int(0.975 * rounds))]


def wilson(hits: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % score interval of a share; (0, 1) of nothing."""
    if not total:
        return (0.0, 1.0)
    share, square = hits / total, z * z / total
    middle = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / total + square / (4 * total)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(pairs: Sequence[tuple[bool, bool]]) -> float:
    """The exact two-sided p of as unequal a split of the discordant pairs."""
    first = sum(one and not other for one, other in pairs)
    second = sum(other and not one for one, other in pairs)
    count = first + second
    if not count:
        return 1.0
    tail = sum(math.comb(count, k) for k in range(min(first, second) + 1)) / 2**count
    return min(1.0, 2 * tail)


def wilcoxon(differences: Sequence[float]) -> float:
    """The two-sided p of the signed-rank test: exact up to 12 differences that aren't zero, else by the normal
    approximation with the correction for ties."""
    values = [value for value in differences if value]
    count = len(values)
    if not count:
        return 1.0
    ranks = _ranks([abs(value) for value in values])
    positive = sum(rank for rank, value in zip(ranks, values, strict=True) if value > 0)
    middle = sum(ranks) / 2
    if count <= 12:
        sums = [
            sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
            for signs in product((0, 1), repeat=count)
        ]
        far = abs(positive - middle) - 1e-9
        return sum(abs(one - middle) >= far for one in sums) / len(sums)
    variance = sum(rank * rank for rank in ranks) / 4
    return math.erfc(max(0.0, abs(positive - middle) - 0.5) / math.sqrt(variance) / math.sqrt(2))


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and values[order[end + 1]] == values[order[at]]:
            end += 1
        for place in range(at, end + 1):
            ranks[order[place]] = (at + end) / 2 + 1
        at = end + 1
    return ranks


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """The p values corrected for their number (Holm 1979)."""
    found: dict[str, float] = {}
    high = 0.0
    for place, (name, value) in enumerate(sorted(values.items(), key=lambda item: item[1])):
        high = max(high, min(1.0, (len(values) - place) * value))
        found[name] = high
    return found


def area(points: Sequence[tuple[float, bool]], low: float = 1_000, high: float = 128_000) -> float:
    """The area under the solve rate over the logarithm of the budget, from `low` to `high` tokens, as a share of 1.

    points: for each run the tokens it used, and whether it solved the task. With a budget below its tokens a run would
    not have solved it.
    """
    if not points:
        return 0.0
    width = math.log(high / low)
    solved = [math.log(high / min(max(tokens, low), high)) / width for tokens, right in points if right]
    return sum(solved) / len(points)


def at_budget(points: Sequence[tuple[float, bool]], budget: float) -> float:
    """The solve rate when no run may use more than `budget` tokens."""
    return mean([float(right and tokens <= budget) for tokens, right in points])


def grouped(rows: Sequence[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """The rows by key, in the order in which the keys come."""
    found: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return dict(found)
