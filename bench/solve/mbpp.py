"""MBPP (Austin et al., arXiv 2108.07732): a function from a sentence and three assertions."""

from __future__ import annotations

import ast
import builtins
import json
from collections.abc import Iterator

from bench.solve.clone import Clone
from bench.solve.task import CHECK, CONFTEST, Task

REPOSITORY = "OckBench/OckBench"
DATA = "data/mbpp.jsonl"


def tasks(clone: Clone, mode: str = "tests") -> Iterator[Task]:
    """`tests`: all assertions are given. `one`: the first. The repository holds a stub with the right arguments."""
    for line in clone.read(DATA).splitlines():
        row = json.loads(line)
        name = _tested(row["test_list"][0])
        stub = _stub(row["code"], name, row["text"]) if name else None
        if stub is None:
            continue
        official = _tests(name, [*row["test_list"], *row.get("challenge_test_list", [])], row["test_setup_code"])
        shown = official if mode == "tests" else _tests(name, row["test_list"][:1], row["test_setup_code"])
        yield Task(
            id=f"mbpp-{mode}/{row['task_id']}",
            set=f"mbpp-{mode}",
            prompt=f"Write `{name}` in solution.py: its docstring says what it does. test_solution.py has examples "
            f"(`{CHECK}`). Don't change the tests.",
            files={"solution.py": stub, "test_solution.py": shown, "conftest.py": CONFTEST},
            check=CHECK,
            hidden={"test_solution.py": official},
            grade=f"{CHECK} test_solution.py",
            subject=("solution.py",),
            reference={"solution.py": row["code"].replace("\r\n", "\n")},
        )


def _tested(line: str) -> str:
    """The function that an assertion calls first, innermost callable that is no builtin."""
    calls = [node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call)]
    names = [node.func.id for node in calls if isinstance(node.func, ast.Name)]
    return next((name for name in names if not hasattr(builtins, name)), "")


def _stub(code: str, name: str, text: str) -> str | None:
    try:
        tree = ast.parse(code.replace("\r\n", "\n"))
    except SyntaxError:
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            sentence = " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''")
            head = f"def {name}({ast.unparse(node.args)}):"
            return f'{head}\n    """{sentence}"""\n    raise NotImplementedError\n'
    return None


def _tests(name: str, asserts: list[str], setup: str) -> str:
    lines = [f"from solution import {name}"]
    if setup.strip():
        lines.append(setup.strip())
    for number, line in enumerate(asserts, 1):
        lines.append(f"\n\ndef test_{number}():\n    " + line.strip().replace("\n", "\n    "))
    return "\n".join(lines) + "\n"
