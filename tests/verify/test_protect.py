from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.verify.additive import adds_only, settings_part
from assay.verify.gate import DoneGate, Task
from assay.verify.protect import divide, judges, leave_from_prompt, path_kind, protected_paths

from .conftest import TESTS, Project

KINDS = {
    "test": "tests/test_a.py src/pkg/tests/data/x.json test/a.js a_test.go src/a.spec.ts src/test/java/ATest.java",
    "other": "src/testing.py django/test/client.py src/contest.py latest.py src/lock.py README.md",
    "settings": "conftest.py a/conftest.py tox.ini Makefile sitecustomize.py web/jest.config.js",
    "mixed": "pyproject.toml web/package.json setup.cfg",
    "ci": ".github/workflows/ci.yml .ci/run .gitlab-ci.yml",
    "lock": "uv.lock web/yarn.lock go.sum",
}


@pytest.mark.parametrize(("path", "kind"), [(path, kind) for kind, paths in KINDS.items() for path in paths.split()])
def test_path_kind(path: str, kind: str) -> None:
    assert path_kind(path) == kind
    assert (path in protected_paths([path])) == (kind != "other")


@pytest.mark.parametrize(
    ("added", "fine"),
    [
        ("\n\ndef test_new():\n    assert add(1, 1) == 2\n", True),
        ("\n\nclass TestNew:\n    def test_x(self):\n        pass\n", True),
        ("\nCASES = [1, 2]\n", True),
        ("\n# a remark\n", True),
        ("\n\ndef test_add():\n    pass\n", False),
        ("\nimport pytest\npytestmark = pytest.mark.skip\n", False),
        ("\nimport os\nos._exit(0)\n", False),
        ("\ndel test_add\n", False),
        ("\nadd = lambda a, b: 5\n", False),
        ("\nfrom calc import *\n", False),
        ("\nimport calc\ncalc.add = None\n", False),
        ("\n\ndef setup_module():\n    pass\n", False),
        ("\nimport pytest\n\n\n@pytest.fixture(autouse=True)\ndef calm():\n    pass\n", False),
        ("\n!", False),
    ],
)
def test_adding_to_a_python_test_file(added: str, fine: bool) -> None:
    assert adds_only("test_calc.py", TESTS.encode(), (TESTS + added).encode()) is fine


def test_changes_inside_are_no_addition() -> None:
    old = "class TestA:\n    def test_a(self):\n        assert f() == 1\n"
    assert adds_only("t.py", old.encode(), (old + "    def test_b(self):\n        assert f(2)\n").encode())
    assert not adds_only("t.py", old.encode(), old.replace("== 1", "== 2").encode())
    assert not adds_only("t.py", old.encode(), old.replace("class", "@skip\nclass").encode())
    assert not adds_only("t.py", old.encode(), (old + "    def test_a(self):\n        pass\n").encode())
    assert not adds_only("t.py", old.encode(), b"")
    assert adds_only("a.test.js", b"it('a')\n", b"it('a')\nit('b')\n")
    assert not adds_only("a.test.js", b"it('a')\nit('b')\n", b"it('b')\nit('a')\n")


NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=5)


@pytest.mark.parametrize("path", ["package.json", "pyproject.toml", "setup.cfg"])
def test_settings_nested_without_end_count_whole(path: str) -> None:
    data = (b"a = " if path == "pyproject.toml" else b"") + b"[" * 100_000
    assert settings_part(path, data) in (data, None)


@given(st.lists(NAMES, unique=True, min_size=1, max_size=5), st.lists(NAMES, unique=True, max_size=5))
def test_new_functions_are_additions_unless_they_take_a_name(old: list[str], new: list[str]) -> None:
    def source(names: list[str]) -> str:
        return "".join(f"def test_{name}():\n    assert {name!r}\n\n\n" for name in names)

    fine = adds_only("t.py", source(old).encode(), source(old + new).encode())
    assert fine == (not set(old) & set(new))
    assert adds_only("t.py", source(old).encode(), source(old[:-1]).encode()) is False


@pytest.mark.parametrize(
    ("path", "before", "after", "same"),
    [
        ("pyproject.toml", "[project]\nname='a'\n[tool.pytest]\n", "[project]\nname='b'\n[tool.pytest]\n", True),
        ("pyproject.toml", "[tool.pytest.ini_options]\n", "[tool.pytest.ini_options]\naddopts='-k x'\n", False),
        ("pyproject.toml", "[tool.pytest.ini_options]\n", "[tool", False),
        ("setup.cfg", "[metadata]\nname=a\n[tool:pytest]\nx=1\n", "[metadata]\nname=b\n[tool:pytest]\nx=1\n", True),
        ("setup.cfg", "[tool:pytest]\nx=1\n", "[tool:pytest]\nx=2\n", False),
        ("package.json", '{"scripts":{"test":"jest","start":"a"}}', '{"scripts":{"test":"jest","start":"b"}}', True),
        ("package.json", '{"scripts":{"test":"jest"}}', '{"scripts":{"test":"jest || true"}}', False),
        ("package.json", '{"jest":{}}', '{"jest":{"testMatch":[]}}', False),
        ("package.json", '{"dependencies":{}}', '{"dependencies":{"a":"1"}}', True),
    ],
)  # fmt: skip
def test_mixed_files_are_protected_in_part(path: str, before: str, after: str, same: bool) -> None:
    assert (settings_part(path, before.encode()) == settings_part(path, after.encode())) is same


async def test_divide(project: Project) -> None:
    workspace = project(
        {
            "a.py": "",
            "tests/test_a.py": TESTS,
            "tests/test_b.py": TESTS,
            "tox.ini": "",
            "uv.lock": "1",
            "tests/test_c.py": "",
        }
    )
    start = await workspace.snapshot()
    workspace.put("a.py", "x = 1\n")
    workspace.put("tests/test_a.py", TESTS + "\n\ndef test_more():\n    pass\n")
    workspace.put("tests/test_b.py", TESTS.replace("5", "6"))
    workspace.put("tests/test_n.py", "")
    workspace.put("tests/conftest.py", "")
    workspace.put("uv.lock", "2")
    workspace.put("package-lock.json", "new")
    workspace.drop("tox.ini")
    workspace.drop("tests/test_c.py")
    final = await workspace.snapshot()
    changes = await workspace.changes(start, final)
    division = await divide(workspace, start, final, changes, frozenset(["uv.lock"]))
    assert division.violations == ("tests/test_b.py", "tests/test_c.py", "tox.ini")
    assert division.new_tests == ("tests/test_a.py", "tests/test_n.py")
    assert division.new_settings == ("tests/conftest.py",)
    assert division.leave == ("uv.lock",)
    assert division.sources == ("a.py", "package-lock.json")


@pytest.mark.parametrize(
    ("prompt", "granted"),
    [
        ("update tests/test_a.py to the new format", True),
        ("Please rename things and adapt the expectations in `tests/test_a.py`.", True),
        ("change the values in test_a.py", True),
        ("edit everything in tests/ as you like", True),
        ("tests/test_a.py fails, fix it", False),
        ("fix what tests/test_a.py shows", False),
        ("change calc.py so that tests/test_a.py passes", False),
        ("update calc.py. The test is tests/test_a.py", False),
        ("do not change tests/test_a.py", False),
        ("Don't edit tests/test_a.py", False),
        ("without updating tests/test_a.py", False),
        ("never modify tests/", False),
        ("update my_tests/test_a.pyx", False),
        ("", False),
    ],
)
def test_leave_needs_a_verb_and_no_negation(prompt: str, granted: bool) -> None:
    assert leave_from_prompt(prompt, ["tests/test_a.py"]) == (
        frozenset(["tests/test_a.py"]) if granted else frozenset()
    )


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("python check.py", {"check.py"}),
        ("cd . && python3 -B ./check.py --fast", {"check.py"}),
        ("python tool/verify_all.py; python main.py", {"tool/verify_all.py"}),
        ("python main.py", set[str]()),
        ("python -m doctest calc.py", set[str]()),
        ("python alone.py", set[str]()),
        ("python gone.py", set[str]()),
    ],
)
async def test_a_program_that_judges_others_is_protected(project: Project, command: str, found: set[str]) -> None:
    judge = "from calc import add\n\nassert add(1, 2) == 3\n"
    files = {
        "calc.py": "def add(a, b):\n    return a - b\n",
        "check.py": judge,
        "tool/verify_all.py": "import sys\nimport calc\n\nsys.exit(calc.add(1, 2) != 3)\n",
        "main.py": "import calc\n\nprint(calc.add(1, 2))\n",
        "alone.py": "assert sum([1, 2]) == 3\n",
    }
    workspace = project(files)
    start = await workspace.snapshot()
    assert await judges(workspace, start, [command]) == found


async def test_a_check_that_was_rewritten_to_be_green_proves_nothing(project: Project) -> None:
    workspace = project(
        {"calc.py": "def add(a, b):\n    return a - b\n", "check.py": "import calc\nassert calc.add(1, 2) == 3\n"}
    )
    start = await workspace.snapshot()
    gate = DoneGate(workspace, start, [], Task("add is wrong", ("python3 check.py",)))
    workspace.put("check.py", "import calc\nassert calc.add(1, 2) == -1\n")
    verdict = await gate.judge(await workspace.snapshot())
    assert verdict.outcome == "failed", "it runs as it was at the start"
    assert verdict.diff.protected == ("check.py",)
