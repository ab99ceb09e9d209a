"""The Python track of Exercism: a stub, instructions, and tests. Features, not repairs."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator

from bench.solve.clone import Clone, code_lines
from bench.solve.task import CHECK, CONFTEST, Task

REPOSITORY = "exercism/python"
FOLDER = "exercises/practice"


def tasks(clone: Clone, mode: str = "tests") -> Iterator[Task]:
    """`tests`: all tests are given. `third`: about a third of them (the first ones), all grade."""
    files = clone.files(FOLDER + "/")
    for path in files:
        if not path.endswith("/.meta/config.json"):
            continue
        folder = path.removesuffix("/.meta/config.json")
        named = json.loads(clone.read(path))["files"]
        if len(named["solution"]) != 1 or len(named["test"]) != 1:
            continue
        (solution,), (test,) = named["solution"], named["test"]
        if "/" in solution or "/" in test:
            continue
        instructions = "\n".join(
            clone.read(f"{folder}/.docs/{part}.md")
            for part in ("introduction", "instructions", "instructions.append")
            if f"{folder}/.docs/{part}.md" in files
        )
        official = clone.read(f"{folder}/{test}")
        more = {
            name.removeprefix(folder + "/"): clone.read(name)
            for name in files
            if name.startswith(folder + "/") and "/." not in name and not name.endswith((solution, test))
        }
        name = folder.rpartition("/")[2]
        yield Task(
            id=f"exercism-{mode}/{name}",
            set=f"exercism-{mode}",
            prompt=f"Write {solution} as README.md asks. The tests are in {test} (`{CHECK}`). Don't change the tests.",
            files={
                **more,
                solution: clone.read(f"{folder}/{solution}"),
                test: official if mode == "tests" else first_third(official),
                "README.md": instructions,
                "conftest.py": CONFTEST,
                "pytest.ini": f"[pytest]\npython_files = {test}\n",
            },
            check=CHECK,
            hidden={test: official},
            grade=f"{CHECK} {test}",
            subject=(solution,),
            reference={solution: clone.read(f"{folder}/{named['example'][0]}")},
        )


def first_third(source: str) -> str:
    """A test file with only the first third of the tests of each class, at least one."""
    tree = ast.parse(source)
    lines = code_lines(source)
    for node in sorted((n for n in tree.body if isinstance(n, ast.ClassDef)), key=lambda n: -n.lineno):
        tests = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name.startswith("test")]
        for item in reversed(tests[max(1, len(tests) // 3) :]):
            first = min([item.lineno, *(one.lineno for one in item.decorator_list)])
            del lines[first - 1 : item.end_lineno]
    return "".join(lines)
