"""QuixBugs, Python (Lin et al., SPLASH 2017): 40 classic algorithms with one line wrong."""

from __future__ import annotations

import ast
import doctest
import json
import re
from collections.abc import Iterator

from bench.solve.clone import Clone
from bench.solve.task import CHECK, CONFTEST, Task

REPOSITORY = "jkoppel/QuixBugs"


def tasks(clone: Clone, mode: str = "tests") -> Iterator[Task]:
    """`tests`: all cases are given. `docs`: only the examples in the program's own text; programs without are left
    out. Cases that upstream marks as slow are left out."""
    files = set(clone.files())
    for path in sorted(files):
        folder, _, file = path.rpartition("/")
        name = file.removesuffix(".py")
        if folder != "python_programs" or f"correct_python_programs/{file}" not in files:
            continue
        if f"python_testcases/test_{file}" not in files:
            continue
        program = clone.read(path).lstrip("\n")
        cases = f"json_testcases/{name}.json"
        official = _test_file(clone.read(f"python_testcases/test_{file}"), cases in files and clone.read(cases))
        shown = official if mode == "tests" else _examples(name, program)
        if not shown:
            continue
        hint = f"The tests in test_{name}.py show it" if mode == "tests" else f"test_{name}.py has a few examples"
        more = {"node.py": clone.read("python_testcases/node.py")} if "import Node" in official else {}
        yield Task(
            id=f"quixbugs-{mode}/{name}",
            set=f"quixbugs-{mode}",
            prompt=f"`{name}` in {file} is wrong; fix it. {hint} (`{CHECK}`). Don't change the tests.",
            files={file: program, f"test_{file}": shown, "conftest.py": CONFTEST, **more},
            check=CHECK,
            hidden={f"test_{file}": official},
            grade=f"{CHECK} test_{file}",
            subject=(file,),
            reference={file: clone.read(f"correct_python_programs/{file}")},
        )


def _test_file(source: str, cases: str | bool) -> str:
    """Upstream's tests for a program that lies beside them."""
    source = re.sub(r"if pytest\.use_correct:.*?else:\n\s+from python_programs\.", "from ", source, flags=re.S)
    source = re.sub(r"(from load_testdata import load_json_testcases\n)", "", source)
    if isinstance(cases, str):
        rows = [json.loads(line) for line in cases.splitlines() if line.strip()]
        data = "testdata = [\n" + "".join(f"    {row!r},\n" for row in rows) + "]"
        source = re.sub(r"testdata = load_json_testcases\([^)]*\)", lambda _: data, source)
    source = source.replace("pytest.run_slow", "False")
    if "pytest." not in source:
        source = source.replace("import pytest\n", "")
    return source.strip() + "\n"


def _examples(name: str, program: str) -> str:
    """The examples in the program's text, as far as what they promise is a value."""
    texts = [node.value for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Constant)]
    found: list[str] = []
    for text in texts:
        if not isinstance(text, str):
            continue
        for example in doctest.DocTestParser().get_examples(text):
            try:
                ast.literal_eval(example.want.strip())
                ast.parse(example.source.strip(), mode="eval")
            except (ValueError, SyntaxError):
                continue
            wanted, source = example.want.strip(), example.source.strip()
            made = f"list({source})" if wanted.startswith("[") else source
            found.append(f"def test_example_{len(found) + 1}():\n    assert {made} == {wanted}\n")
    return "\n\n".join([f"from {name} import {name}\n", *found]) if found else ""
