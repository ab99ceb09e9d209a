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
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

from assay.repair.mutate.rank import Place, mutations
from bench.solve.forked import Build, Outcome, Test, coverage, ochiai, outcomes

PACK = "evaluation/create/humaneval-x/data/python/data/humanevalpack.jsonl"
FILE = "program.py"
LONGEST = 1.5
BATCH = 40


class Task(NamedTuple):
    name: str
    number: int
    kind: str
    text: str
    symbol: str
    build: Build
    visible: Build | None = None
    clues: tuple[str, ...] = ()


class Found(NamedTuple):
    task: Task
    ranks: tuple[int, ...]
    operators: tuple[str, ...]
    codes: tuple[str, ...]
    tried: int
    cpu: float
    asserts: int
    red: int


def show(repo: str, path: str) -> str:
    return subprocess.run(
        ["git", "-C", repo, "show", f"HEAD:{path}"], check=True, capture_output=True, text=True, timeout=60
    ).stdout


# HumanEvalFix


def humaneval(repo: str) -> Iterator[Task]:
    for line in show(repo, PACK).splitlines():
        item = json.loads(line)
        number = int(item["task_id"].split("/")[1])
        text = item["prompt"] + item["buggy_solution"]
        hidden = checks(item["test"], item["entry_point"])
        assert hidden is not None
        yield Task(
            item["task_id"], number, item["bug_type"], text, item["entry_point"],
            hidden, checks(item["example_test"], item["entry_point"]), (item["test"],),
        )  # fmt: skip


def checks(text: str, entry: str) -> Build | None:
    """Each statement of `check` that asserts is a test; the others are done before it."""
    tree = ast.parse(text.strip())
    check = next((item for item in tree.body if isinstance(item, ast.FunctionDef) and item.name == "check"), None)
    if check is None:
        return None
    before = [item for item in tree.body if item is not check and "check(" not in ast.unparse(item)]
    bound = check.args.args[0].arg
    made: list[tuple[str, object]] = []
    setup: list[ast.stmt] = []
    for item in check.body:
        if any(isinstance(node, ast.Assert) for node in ast.walk(item)):
            module = ast.Module([*before, *setup, item], [])
            made.append((f"{len(made)}", compile(module, "test", "exec")))
        else:
            setup.append(item)

    def build(program: str) -> Mapping[str, Test]:
        space: dict[str, object] = {"__name__": "program"}
        exec(compile(program, FILE, "exec"), space)
        space[bound] = space[entry]
        return {name: (lambda code=code: exec(code, dict(space))) for name, code in made}  # type: ignore[misc]

    return build


# QuixBugs


def quixbugs(repo: str) -> Iterator[Task]:
    listed = subprocess.run(
        ["git", "-C", repo, "ls-tree", "-r", "--name-only", "HEAD", "python_testcases"],
        check=True, capture_output=True, text=True, timeout=60,
    ).stdout.split()  # fmt: skip
    names = sorted(path.split("/test_")[1][:-3] for path in listed if "/test_" in path)
    node = show(repo, "python_testcases/node.py")
    for number, name in enumerate(names, 1):
        test = show(repo, f"python_testcases/test_{name}.py")
        cases = show(repo, f"json_testcases/{name}.json") if "load_json" in test else ""
        yield Task(
            name,
            number,
            "quixbugs",
            show(repo, f"python_programs/{name}.py"),
            name,
            quix(name, test, cases, node),
            None,
            (test, cases),
        )


def quix(name: str, test: str, cases: str, node: str) -> Build:
    import sys

    import pytest

    code = compile(test, "test", "exec")

    def parametrize(_names: str, rows: list[tuple[object, ...]]) -> object:
        def decorate(function: object) -> object:
            function.rows = rows  # type: ignore[attr-defined]
            return function

        return decorate

    class Skip(Exception):  # noqa: N818
        pass

    def skip(_why: str) -> None:
        raise Skip

    fake = SimpleNamespace(
        use_correct=False,
        run_slow=False,
        mark=SimpleNamespace(parametrize=parametrize),
        skip=skip,
        approx=pytest.approx,
    )

    def build(program: str) -> Mapping[str, Test]:
        nodes, module = ModuleType("node"), ModuleType(f"python_programs.{name}")
        exec(node, nodes.__dict__)
        load = SimpleNamespace(load_json_testcases=lambda _: [json.loads(row) for row in cases.splitlines() if row])
        sys.modules |= {
            "pytest": fake, "node": nodes, "python_programs": ModuleType("python_programs"), f"python_programs.{name}": module,
            "load_testdata": load, "python_programs.node": nodes,
        }  # type: ignore[dict-item] # fmt: skip
        exec(compile(program, FILE, "exec"), module.__dict__)
        space: dict[str, object] = {"__name__": "test"}
        exec(code, space)
        found: dict[str, Test] = {}
        for key, function in space.items():
            if key.startswith("test"):
                rows = getattr(function, "rows", None)
                if rows is None:
                    found[key] = function  # type: ignore[assignment]
                for at, row in enumerate(rows or ()):
                    found[f"{key}[{at}]"] = skipped(function, tuple(row), Skip)
        return found

    return build


def skipped(function: object, row: tuple[object, ...], skip: type[Exception]) -> Test:
    def test() -> None:
        try:
            function(*row)  # type: ignore[operator]
        except skip:
            pass

    return test


# Repair


def spent() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def repair(task: Task, build: Build, most: int, wanted: int, budget: float) -> Found:
    begun = spent()
    base = outcomes(build, [task.text], (), 1.0, False)[0]
    red = [name for name, _ in base.failing]
    names = list(base.seconds)
    if not red or not names:
        return Found(task, (), (), (), 0, spent() - begun, len(names), len(red))
    fine = [base.seconds[name] for name in names if name not in red]
    limit = min(LONGEST, max(0.1, 10 * max(fine, default=0.0)))
    covered = coverage(build, task.text, names, FILE, 1.0)
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
    while len(ranks) < wanted and spent() - begun < budget:
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
        if spent() - begun > 1.5 * budget:
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
    return (
        f"{label}: {len(fixed)}/{len(found)} = {len(fixed) / len(found):.1%}; rank median {statistics.median(ranks):.0f}, "
        f"<=10 {sum(rank <= 10 for rank in ranks)}, <=50 {sum(rank <= 50 for rank in ranks)}, <=200 {sum(rank <= 200 for rank in ranks)}; "
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
        "--pool", default="", help="with --docstring: write all survivors to this file, one task a line"
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
    if task.visible is None:
        return None
    clues = task._replace(clues=())
    found = repair(clues, task.visible, min(options.most, 1500), 8, options.budget)
    graded: list[Outcome] = outcomes(task.build, found.codes, (), 1.0, True) if found.codes else []
    survivors = [
        {"code": code, "operator": operator, "rank": rank, "correct": outcome.green}
        for code, operator, rank, outcome in zip(found.codes, found.operators, found.ranks, graded, strict=True)
    ]
    if options.pool:
        with Path(options.pool).open("a") as file:
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
