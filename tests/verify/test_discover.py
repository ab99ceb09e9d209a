from __future__ import annotations

import sys

import pytest

from assay.core.check import Check
from assay.verify.discover import discover, family, gating, named_checks

from .conftest import Project

PLAIN = "def test_a():\n    assert True\n"
CASE = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        pass\n"


async def found(project: Project, files: dict[str, str], instructions: str = "") -> list[Check]:
    return await discover(project(files), instructions)


@pytest.mark.parametrize(
    "files",
    [
        {"pytest.ini": "[pytest]\n", "tests/test_a.py": CASE},
        {"pyproject.toml": "[tool.pytest.ini_options]\n", "tests/test_a.py": CASE},
        {"setup.cfg": "[tool:pytest]\n", "a_test.py": CASE},
        {"tox.ini": "[pytest]\n", "tests/test_a.py": CASE},
        {"tests/conftest.py": "", "tests/test_a.py": CASE},
        {"test_a.py": PLAIN},
        {"tests/test_a.py": "class TestA:\n    def test_x(self):\n        pass\n"},
    ],
)
async def test_pytest_is_found(project: Project, files: dict[str, str]) -> None:
    check = gating(await found(project, files))[0]
    assert (check.runner, check.kind) == ("pytest", "test")
    assert check.command.endswith(" -m pytest")


async def test_unittest_is_found_with_its_folder(project: Project) -> None:
    (check,) = await found(project, {"tests/__init__.py": "", "tests/test_a.py": CASE})
    assert check.runner == "unittest"
    assert check.command.endswith(" -m unittest discover -s tests -t .")


async def test_tox_and_make_repeat_what_pytest_says(project: Project) -> None:
    files = {
        "test_a.py": PLAIN, "tox.ini": "[tox]\n", "noxfile.py": "import nox\n", "ruff.toml": "line-length = 99\n",
        "Makefile": "VERSION := 1\n.PHONY: test\ntest: build\n\tpytest\nlint:\n\truff check\n",
    }  # fmt: skip
    checks = await found(project, files)
    assert {check.name for check in checks} == {"pytest", "tox", "nox", "ruff", "make test", "make lint"}
    assert [check.name for check in gating(checks)] == ["pytest"]


@pytest.mark.parametrize(
    ("lock", "script", "command", "runner"),
    [
        ("package-lock.json", "jest --ci", "npm test", "jest"),
        ("pnpm-lock.yaml", "vitest run", "pnpm test", "vitest"),
        ("yarn.lock", "node --test", "yarn test", "node"),
        ("bun.lock", "tsc && jest", "bun run test", ""),
    ],
)
async def test_package_scripts(project: Project, lock: str, script: str, command: str, runner: str) -> None:
    scripts = f'{{"scripts": {{"test": "{script}", "lint": "eslint ."}}}}'
    first, lint = await found(project, {"package.json": scripts, lock: ""})
    assert (first.command, first.runner, first.kind, lint.kind) == (command, runner, "test", "lint")


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"Cargo.toml": "[package]\n"}, "cargo test"),
        ({"go.mod": "module x\n"}, "go test ./..."),
        ({"pom.xml": "<project/>", "mvnw": ""}, "./mvnw -q -B test"),
        ({"build.gradle.kts": "plugins {}", "gradlew": ""}, "./gradlew test"),
        ({"Makefile": "check:\n\ttrue\n"}, "make check"),
        (
            {"CMakeLists.txt": "enable_testing()\n"},
            "cmake -S . -B build && cmake --build build && ctest --test-dir build --output-on-failure",
        ),
    ],
)
async def test_other_ecosystems(project: Project, files: dict[str, str], command: str) -> None:
    workspace = project(files)
    checks = await discover(workspace)
    assert gating(checks)[0].command == command
    assert workspace.commands == [], "nothing is run where there is no Python to choose"


@pytest.mark.parametrize(
    "files", [{}, {"README.md": "# hi"}, {"package.json": "{"}, {"package.json": "[1]"}, {"data.bin": "\0"}]
)
async def test_nothing_executable(project: Project, files: dict[str, str]) -> None:
    assert await found(project, files) == []


async def test_the_projects_own_interpreter_comes_first(project: Project) -> None:
    workspace = project({"test_a.py": PLAIN})
    workspace.put(".venv/bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    from pathlib import Path

    Path(workspace.root, ".venv/bin/python").chmod(0o755)
    (check,) = await discover(workspace)
    assert check.command == ".venv/bin/python -m pytest"


async def test_an_interpreter_without_pytest_is_passed_over(project: Project) -> None:
    workspace = project({"test_a.py": PLAIN})
    workspace.put(".venv/bin/python", "#!/bin/sh\nexit 1\n")
    from pathlib import Path

    Path(workspace.root, ".venv/bin/python").chmod(0o755)
    (check,) = await discover(workspace)
    assert not check.command.startswith(".venv")


INSTRUCTIONS = """\
# Work here
Run `python -m pytest -q -x tests` before a commit, `pytest tests/test_a.py::test_a` for one.
Never run `rm -rf /` or `pytest | tee log`.
```sh
$ make test   # everything
cd web && npm test
git push
pytest <path/to/test>
```
"""


def test_instructions_name_checks() -> None:
    assert [check.command for check in named_checks(INSTRUCTIONS)] == [
        "make test", "cd web && npm test", "python -m pytest -q -x tests", "pytest tests/test_a.py::test_a",
    ]  # fmt: skip


async def test_instructions_for_the_whole_suite_go_first(project: Project) -> None:
    checks = await found(project, {"test_a.py": PLAIN}, "Use `pytest -W error` always, `zzz-missing run pytest`")
    assert checks[0].command.endswith(" -m pytest -W error")
    assert checks[0].runner == "pytest"
    assert [check.command for check in gating(checks)] == [checks[0].command]


async def test_each_ecosystem_has_its_gate(project: Project) -> None:
    files = {"test_a.py": PLAIN, "package.json": '{"scripts": {"test": "jest"}}', "Makefile": "test:\n\ttrue\n"}
    chosen = gating(await found(project, files))
    assert [family(check) for check in chosen] == ["python", "node"]
