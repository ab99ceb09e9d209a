"""HumanEvalFix (Python) and QuixBugs as programs with tests that run in this process; read from git clones."""

from __future__ import annotations

import ast
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

from bench.solve.forked import Build, Test

PACK = "evaluation/create/humaneval-x/data/python/data/humanevalpack.jsonl"
FILE = "program.py"


class Task(NamedTuple):
    name: str
    number: int
    kind: str
    text: str
    symbol: str
    build: Build
    visible: Build | None = None
    clues: tuple[str, ...] = ()


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


def lenient(text: str) -> ast.Module | None:
    """The tree of a text; None for examples that are no Python."""
    try:
        return ast.parse(text)
    except SyntaxError:
        return None


def checks(text: str, entry: str) -> Build | None:
    """Each statement of `check` that asserts is a test; the others are done before it."""
    tree = next(
        (tree for form in (text, text.strip(), "if True:\n" + text) if (tree := lenient(form)) is not None), None
    )
    if tree is None or not tree.body:
        return None
    if isinstance(tree.body[0], ast.If):
        tree.body = tree.body[0].body
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
    import pytest

    code = compile(test, "test", "exec")

    def parametrize(_names: str, rows: list[tuple[object, ...]]) -> object:
        def decorate(function: object) -> object:
            function.rows = rows  # type: ignore[attr-defined]
            return function

        return decorate

    class Skip(Exception):
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
            "pytest": fake, "node": nodes, "python_programs": ModuleType("python_programs"),
            f"python_programs.{name}": module,
            "load_testdata": load, "python_programs.node": nodes,
        }  # type: ignore[dict-item] # fmt: skip
        exec(compile(program, FILE, "exec"), module.__dict__)
        space: dict[str, object] = {"__name__": "test"}
        exec(code, space)
        found: dict[str, Test] = {}
        for key, function in space.items():
            if key.startswith("test") and callable(function):
                rows = getattr(function, "rows", None)
                if rows is None:
                    found[key] = function  # type: ignore[assignment]
                for at, row in enumerate(rows or ()):
                    found[f"{key}[{at}]"] = skipped(function, tuple(row), Skip)
        return found

    return build


def skipped(function: object, row: tuple[object, ...], skip: type[Exception]) -> Test:
    def test() -> None:
        with contextlib.suppress(skip):
            function(*row)  # type: ignore[operator]

    return test
