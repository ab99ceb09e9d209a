"""How far changes of the code alone go, without a model: `python -m bench.solve.zero --humaneval REPO --quixbugs REPO`.

REPO are git clones: bigcode-project/octopack (HumanEvalFix, Python) and jkoppel/QuixBugs. The tests given are the
oracle; with --docstring only the examples of the documentation are seen, and the hidden tests grade every survivor.
"""

from __future__ import annotations

import argparse
import ast
import json
import resource
import statistics
import time
from pathlib import Path
from typing import NamedTuple

from assay.repair.mutate import Place, mutations
from bench.solve.forked import Build, Outcome, coverage, ochiai, outcomes
from bench.solve.functions import FILE, Task, humaneval, quixbugs

LONGEST = 3.0
BATCH = 40


class Found(NamedTuple):
    task: Task
    ranks: tuple[int, ...]
    operators: tuple[str, ...]
    codes: tuple[str, ...]
    tried: int
    cpu: float
    asserts: int
    red: int


def spent() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def repair(task: Task, build: Build, most: int, wanted: int, budget: float) -> Found:
    begun = spent()
    base = outcomes(build, [task.text], (), 0.5, False)[0]
    red = [name for name, _ in base.failing]
    names = list(base.seconds)
    if not red or not names:
        return Found(task, (), (), (), 0, spent() - begun, len(names), len(red))
    fine = [base.seconds[name] for name in names if name not in red]
    limit = min(LONGEST, 0.1 + 3 * max(fine, default=0.0))
    covered = coverage(build, task.text, names, FILE, 0.2)
    start = spent()
    tree = ast.parse(task.text)
    node = next(item for item in tree.body if isinstance(item, ast.FunctionDef) and item.name == task.symbol)
    places = [Place(FILE, node.lineno, node.end_lineno or 0, task.symbol, 1.0, ochiai(covered, set(red)))]
    order = [*red, *(name for name in names if name not in red)]
    stream = mutations({FILE: task.text}, places, most, task.clues)
    ranks: list[int] = []
    operators: list[str] = []
    codes: list[str] = []
    late: list[tuple[int, str, str]] = []
    tried = 0
    while len(ranks) < wanted and spent() - start < budget:
        batch = [
            (patch.operator, patch.apply({FILE: task.text})[FILE])
            for patch, _ in zip(stream, range(BATCH), strict=False)
        ]
        if not batch:
            break
        for (operator, text), outcome in zip(
            batch, outcomes(build, [text for _, text in batch], order, limit, True), strict=True
        ):
            tried += 1
            if outcome.green:
                ranks.append(tried)
                operators.append(operator)
                codes.append(text)
            elif outcome.slow:
                late.append((tried, operator, text))
    for rank, operator, text in late if not ranks and limit < LONGEST else ():
        if spent() - start > 1.5 * budget:
            break
        if outcomes(build, [text], order, LONGEST, True)[0].green:
            ranks, operators, codes = [rank], [operator], [text]
            break
    return Found(
        task,
        tuple(ranks[:wanted]),
        tuple(operators[:wanted]),
        tuple(codes[:wanted]),
        tried,
        spent() - begun,
        len(names),
        len(red),
    )


def summary(found: list[Found], label: str) -> str:
    fixed = [item for item in found if item.ranks]
    ranks = sorted(item.ranks[0] for item in fixed)
    cpu = sorted(item.cpu for item in found)
    if not fixed:
        return f"{label}: 0 of {len(found)}"
    kinds = {item.task.kind for item in found}
    detail = ", ".join(
        f"{kind} {sum(item.task.kind == kind for item in fixed)}/{sum(item.task.kind == kind for item in found)}"
        for kind in sorted(kinds)
    )
    within = ", ".join(f"<={most} {sum(rank <= most for rank in ranks)}" for most in (10, 50, 200))
    return (
        f"{label}: {len(fixed)}/{len(found)} = {len(fixed) / len(found):.1%}; "
        f"rank median {statistics.median(ranks):.0f}, {within}; "
        f"CPU s median {statistics.median(cpu):.2f}, p90 {cpu[int(0.9 * len(cpu))]:.2f}, fixed median "
        f"{statistics.median(item.cpu for item in fixed):.2f}; {detail}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--humaneval", default="")
    parser.add_argument("--quixbugs", default="")
    parser.add_argument("--half", choices=("odd", "even", "all"), default="all")
    parser.add_argument("--docstring", action="store_true", help="see only the examples of the documentation")
    parser.add_argument("--most", type=int, default=4000, help="candidates of a task")
    parser.add_argument("--budget", type=float, default=12.0, help="seconds of processor time of a task")
    parser.add_argument(
        "--pool",
        default="",
        help="with --docstring: add all survivors to this file, one task a line; tasks that it has are left out",
    )
    parser.add_argument("--only", default="", help="names of tasks, with commas")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    begun = time.monotonic()
    for label, tasks in (
        ("HumanEvalFix", humaneval(options.humaneval) if options.humaneval else ()),
        ("QuixBugs", quixbugs(options.quixbugs) if options.quixbugs else ()),
    ):
        found = [one for task in tasks if wanted(task, options) and (one := measured(task, options)) is not None]
        for half in ("odd", "even") if options.half == "all" else (options.half,):
            part = [item for item in found if item.task.number % 2 == (half == "odd")]
            if part:
                print(summary(part, f"{label} {half}"))
    print(f"{time.monotonic() - begun:.0f} s")


def wanted(task: Task, options: argparse.Namespace) -> bool:
    if options.only:
        return task.name in options.only.split(",") or str(task.number) in options.only.split(",")
    return options.half == "all" or task.number % 2 == (options.half == "odd")


def measured(task: Task, options: argparse.Namespace) -> Found | None:
    if not options.docstring:
        found = repair(task, task.build, options.most, 1, options.budget)
        if not options.quiet:
            print(
                f"{task.name} [{task.kind}] {found.ranks} {found.operators} tried {found.tried} cpu {found.cpu:.2f}",
                flush=True,
            )
        return found
    pool = Path(options.pool) if options.pool else None
    if task.visible is None or (pool and pool.exists() and f'"task": "{task.name}"' in pool.read_text()):
        return None
    clues = task._replace(clues=())
    found = repair(clues, task.visible, min(options.most, 1500), 8, options.budget)
    graded: list[Outcome] = outcomes(task.build, found.codes, (), 1.0, True) if found.codes else []
    survivors = [
        {"code": code, "operator": operator, "rank": rank, "correct": outcome.green}
        for code, operator, rank, outcome in zip(found.codes, found.operators, found.ranks, graded, strict=True)
    ]
    if pool is not None:
        with pool.open("a") as file:
            row = {
                "task": task.name,
                "kind": task.kind,
                "visible_asserts": found.asserts,
                "visible_red": found.red,
                "survivors": survivors,
            }
            file.write(json.dumps(row) + "\n")
    if not options.quiet:
        right = "".join("+" if one["correct"] else "-" for one in survivors)
        print(
            f"{task.name} asserts {found.asserts} red {found.red} {right} tried {found.tried} cpu {found.cpu:.2f}",
            flush=True,
        )
    good = bool(survivors) and bool(survivors[0]["correct"])
    return found if good else found._replace(ranks=())


if __name__ == "__main__":
    main()
