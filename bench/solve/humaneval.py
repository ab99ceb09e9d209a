"""HumanEvalFix, Python (Muennighoff et al., "OctoPack", arXiv 2308.07124): 164 functions with a bug a person put in."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator

from bench.solve.clone import Clone
from bench.solve.task import CHECK, CONFTEST, Task

REPOSITORY = "bigcode-project/octopack"
DATA = "evaluation/create/humaneval-x/data/python/data/humanevalpack.jsonl"


def tasks(clone: Clone, mode: str = "tests") -> Iterator[Task]:
    """`tests`: the official tests are given. `docs`: only the docstring's examples are; the official tests grade."""
    for line in clone.read(DATA).splitlines():
        row = json.loads(line)
        name, number = row["entry_point"], row["task_id"].rpartition("/")[2]
        official = test_file(name, row["test"])
        shown = official if mode == "tests" else test_file(name, row["example_test"])
        if not shown:
            continue
        hint = "The tests in test_solution.py show it" if mode == "tests" else "test_solution.py has a few examples"
        yield Task(
            id=f"humaneval-{mode}/HumanEval-{number}",
            set=f"humaneval-{mode}",
            prompt=f"`{name}` in solution.py gives wrong results; fix it. {hint} (`{CHECK}`). Don't change the tests.",
            files={
                "solution.py": row["prompt"] + row["buggy_solution"].rstrip() + "\n",
                "test_solution.py": shown,
                "conftest.py": CONFTEST,
            },
            check=CHECK,
            hidden={"test_solution.py": official},
            grade=f"{CHECK} test_solution.py",
            subject=("solution.py",),
            kind=row["bug_type"],
            reference={"solution.py": row["prompt"] + row["canonical_solution"]},
        )


def test_file(name: str, source: str) -> str:
    """The data's `check` function as a pytest file: a test for each assertion where there is nothing else in it.
    Empty for a docstring without examples, and for a few examples that are no Python."""
    try:
        tree = ast.parse(source.strip() + "\n")
    except SyntaxError:
        return ""
    checks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    if not checks:
        return ""
    rest = [ast.unparse(node) for node in tree.body if node not in checks and not _calls_check(node)]
    head = ["from solution import *  # noqa: F403", f"from solution import {name}", *rest]
    body = checks[0].body
    asserts = [node for node in body if isinstance(node, ast.Assert) and not _always(node)]
    plain = len(asserts) + sum(map(_idle, body)) == len(body)
    lines = ["\n".join(head), ""]
    if plain and asserts:
        argument = checks[0].args.args[0].arg
        if argument != name:
            lines.append(f"{argument} = {name}\n")
        for number, node in enumerate(asserts, 1):
            lines.append(f"\ndef test_{name}_{number}():\n    {ast.unparse(node)}\n")
    else:
        lines += ["\n" + ast.unparse(checks[0]), f"\n\ndef test_{name}():\n    check({name})\n"]
    return "\n".join(lines)


def _calls_check(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "check"


def _always(node: ast.stmt) -> bool:
    """`assert True, ...`: an assertion of no one."""
    return isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant)


def _idle(node: ast.stmt) -> bool:
    comment = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return comment or isinstance(node, ast.Pass) or _always(node)
