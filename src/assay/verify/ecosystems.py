"""What the files of each ecosystem say about a project's checks. Pure functions over names and a few file contents."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence

from assay.core.check import Check, CheckKind
from assay.verify.additive import table

Read = Callable[[str], str]
"""A file's text, or an empty string when there is none."""

MOST_SCRIPTS = 5
PYTHON_TEST = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test|tests)\.py$")


def python_checks(files: Sequence[str], read: Read) -> list[Check]:
    """pytest or unittest first, then tox and nox (the same tests in environments of their own), ruff and mypy.
    Commands say `python`; the interpreter is chosen later."""
    tests = [path for path in files if PYTHON_TEST.search(path)]
    pyproject, setup = read("pyproject.toml"), read("setup.cfg")
    found: list[Check] = []
    configured = (
        any(read(name) for name in ("pytest.ini", ".pytest.ini", "pytest.toml"))
        or "[tool.pytest" in pyproject
        or "[tool:pytest]" in setup
        or "[pytest]" in read("tox.ini")
        or any(path.rsplit("/", 1)[-1] == "conftest.py" for path in files)
    )
    if tests and (configured or _pytest_style(tests, read)):
        found.append(Check("pytest", "python -m pytest", "test", "pytest", _source(pyproject, setup, read)))
    elif tests and all(_is_script(read(path)) for path in tests[:MOST_SCRIPTS]):
        command = " && ".join(f"python {shlex.quote(path)}" for path in tests[:MOST_SCRIPTS])
        found.append(Check("test scripts", command, "test", "", "tests"))
    elif tests:
        found.append(
            Check("unittest", f"python -m unittest discover{_discovery(files, tests)}", "test", "unittest", "tests")
        )
    if "django" in read("manage.py").lower() and not configured:
        found.insert(0, Check("django", "python manage.py test", "test", "", "manage.py"))
    if read("tox.ini") or "[tool.tox" in pyproject:
        found.append(Check("tox", "tox", "test", "tox", "tox.ini" if read("tox.ini") else "pyproject.toml"))
    if read("noxfile.py"):
        found.append(Check("nox", "nox", "test", "nox", "noxfile.py"))
    if read("ruff.toml") or read(".ruff.toml") or "[tool.ruff" in pyproject:
        found.append(
            Check("ruff", "ruff check .", "lint", "", "pyproject.toml" if "[tool.ruff" in pyproject else "ruff.toml")
        )
    if read("mypy.ini") or "[tool.mypy" in pyproject or "[mypy]" in setup:
        found.append(
            Check("mypy", "python -m mypy .", "type", "", "pyproject.toml" if "[tool.mypy" in pyproject else "mypy.ini")
        )
    return found


def _is_script(text: str) -> bool:
    """A file that tests by being run: it asserts at its top level and defines nothing that a runner would collect."""
    return bool(text) and not re.search(
        r"\bdef test|\bTestCase\b|^\s*(?:import|from) (?:pytest|unittest)\b", text, re.M
    )


def _source(pyproject: str, setup: str, read: Read) -> str:
    if "[tool.pytest" in pyproject:
        return "pyproject.toml"
    if "[tool:pytest]" in setup:
        return "setup.cfg"
    return next((name for name in ("pytest.ini", ".pytest.ini", "pytest.toml", "tox.ini") if read(name)), "tests")


def _pytest_style(tests: Sequence[str], read: Read) -> bool:
    """The first test files import pytest or hold bare test functions rather than only TestCase classes."""
    texts = [read(path) for path in tests[:3]]
    return any(
        re.search(r"^(?:import pytest|from pytest|(?:async )?def test_)|^class Test\w*(?:\(\))?:", t, re.M)
        for t in texts
    )


def _discovery(files: Sequence[str], tests: Sequence[str]) -> str:
    """Options for `python -m unittest discover`."""
    folders = {path.split("/")[0] for path in tests if "/" in path}
    folder = next((name for name in ("tests", "test") if name in folders), "")
    options = ""
    if folder:
        options = f" -s {folder}" + (" -t ." if f"{folder}/__init__.py" in files else "")
    if not any(path.rsplit("/", 1)[-1].startswith("test") for path in tests):
        options += " -p '*_test.py'"
    return options


def make_checks(files: Sequence[str], read: Read) -> list[Check]:
    name = next((name for name in ("GNUmakefile", "makefile", "Makefile") if name in files), "")
    targets = set(re.findall(r"^([A-Za-z0-9][\w.-]*)\s*:(?!=)", read(name), re.M)) if name else set[str]()
    kinds: dict[str, CheckKind] = {
        "test": "test", "tests": "test", "check": "test", "lint": "lint", "typecheck": "type", "types": "type",
    }  # fmt: skip
    return [
        Check(f"make {target}", f"make {target}", kind, "", name) for target, kind in kinds.items() if target in targets
    ]


def node_checks(files: Sequence[str], read: Read) -> list[Check]:
    from msgspec import DecodeError, json

    try:
        scripts = table(table(json.decode(read("package.json") or "{}")).get("scripts"))
    except (DecodeError, UnicodeError, RecursionError):
        return []
    locks = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun"}
    manager = next((tool for lock, tool in locks.items() if lock in files), "npm")
    found: list[Check] = []
    kinds: dict[str, CheckKind] = {
        "test": "test", "lint": "lint", "typecheck": "type", "type-check": "type", "types": "type", "build": "build",
    }  # fmt: skip
    for script, kind in kinds.items():
        line = str(scripts.get(script, ""))
        if not line or "no test specified" in line:
            continue
        command = f"{manager} test" if script == "test" and manager != "bun" else f"{manager} run {script}"
        found.append(Check(command, command, kind, _node_runner(line) if kind == "test" else "", "package.json"))
    return found


def _node_runner(line: str) -> str:
    """The runner of a test script that is one plain command; flags can be handed to it."""
    if re.search(r"[|;&<>]", line):
        return ""
    match = re.match(r"(?:cross-env\s+)?(?:\w+=\S+\s+)*(?:npx\s+)?(jest|vitest|node)\b(.*)", line)
    if match is None or (match[1] == "node" and "--test" not in match[2]):
        return ""
    return match[1]


def compiled_checks(files: Sequence[str], read: Read) -> list[Check]:
    """Rust, Go, Java and Kotlin, C and C++ by CMake."""
    names = frozenset(files)
    found: list[Check] = []
    if "Cargo.toml" in names:
        found.append(Check("cargo test", "cargo test", "test", "cargo", "Cargo.toml"))
        found.append(Check("cargo check", "cargo check", "build", "", "Cargo.toml"))
    if "go.mod" in names:
        found.append(Check("go test", "go test ./...", "test", "go", "go.mod"))
        found.append(Check("go vet", "go vet ./...", "lint", "", "go.mod"))
    if "pom.xml" in names:
        found.append(Check("maven", f"{'./mvnw' if 'mvnw' in names else 'mvn'} -q -B test", "test", "", "pom.xml"))
    gradle = next((name for name in ("build.gradle", "build.gradle.kts", "settings.gradle.kts") if name in names), "")
    if gradle:
        found.append(Check("gradle", f"{'./gradlew' if 'gradlew' in names else 'gradle'} test", "test", "", gradle))
    if re.search(r"\b(?:enable_testing|add_test|include\s*\(\s*CTest)\b", read("CMakeLists.txt"), re.I):
        configure = "" if read("build/CTestTestfile.cmake") else "cmake -S . -B build && "
        command = f"{configure}cmake --build build && ctest --test-dir build --output-on-failure"
        found.append(Check("ctest", command, "test", "ctest", "CMakeLists.txt"))
    return found
