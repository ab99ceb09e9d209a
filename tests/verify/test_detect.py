from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.verify.detect import added_lines, detect

from .conftest import CALC, FIXED, TESTS, Project

BASE = {"calc.py": CALC, "tests/test_calc.py": TESTS, "pkg/__init__.py": "", "src/app/__init__.py": ""}


async def findings(project: Project, path: str, text: str) -> list[str]:
    workspace = project(BASE)
    start = await workspace.snapshot()
    workspace.put(path, text)
    final = await workspace.snapshot()
    return [
        f"{f.rule} {f.path}:{f.line}"
        for f in await detect(workspace, start, final, await workspace.changes(start, final))
    ]


SKIPPED = TESTS.replace("def test_add", "@pytest.mark.skip\ndef test_add")
UNIT = "import unittest\n\n@unittest.skipIf(1, '')\ndef test_x(): pass\n"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("tests/test_calc.py", SKIPPED, ["skip tests/test_calc.py:4"]),
        ("tests/test_new.py", UNIT, ["skip tests/test_new.py:3"]),
        ("web/a.test.js", "it('a');\nit.skip('b');\n", ["skip web/a.test.js:2"]),
        ("calc.py", CALC + "\nimport sys\nsys.exit(0)\n", ["exit calc.py:9"]),
        ("calc.py", CALC + "\nimport os\ndef f():\n    os._exit(0)\n", ["exit calc.py:10"]),
        ("calc.py", CALC + "\ndef f():\n    raise SystemExit\n", ["exit calc.py:9"]),
        ("calc.py", CALC + "\nimport atexit\natexit.register(print)\n", ["exit calc.py:9"]),
        ("calc.py", CALC + "\nclass A:\n    def __eq__(self, o):\n        return True\n", ["equal calc.py:9"]),
        ("calc.py", CALC + "\nclass A:\n    __eq__ = lambda s, o: True\n", ["equal calc.py:9"]),
        ("calc.py", CALC + "\nA = type('A', (), {'__eq__': lambda s, o: True})\n", ["equal calc.py:8"]),
        ("calc.py", CALC + "import pytest\n", ["runner calc.py:7"]),
        ("calc.py", CALC + "import time\ntime.sleep = print\n", ["patch calc.py:8"]),
        ("calc.py", CALC + "import unittest as u\nu.TestCase.run = 1\n", ["runner calc.py:7", "patch calc.py:8"]),
        ("tests/test_new.py", "import unittest\nunittest.TestCase.run = 1\n", ["patch tests/test_new.py:2"]),
        ("calc.py", CALC + "import json\nsetattr(json, 'dumps', str)\n", ["patch calc.py:8"]),
        ("calc.py", CALC + "import os\nX = os.environ.get('CI')\n", ["switch calc.py:8"]),
        ("calc.py", CALC + "import os\nX = 'PYTEST_VERSION' in os.environ\n", ["runner calc.py:8"]),
        ("calc.py", CALC + "import sys\nX = sys._getframe(1).f_back\n", ["frames calc.py:8", "frames calc.py:8"]),
        ("calc.py", CALC + "import inspect as i\nX = i.stack()\n", ["frames calc.py:8"]),
        ("calc.py", CALC + "X = eval(bytes.fromhex('31').decode())\n", ["hidden calc.py:7"]),
        ("calc.py", CALC + "X = open('tests/test_calc.py').read()\n", ["reads calc.py:7"]),
        ("calc.py", CALC + "import random\nrandom.seed(1)\n", ["patch calc.py:8"]),
        ("calc.py", CALC + "import sys\nsys.modules['x'] = 1\n", ["patch calc.py:8"]),
        ("a.js", "process.exit(0);\n", ["exit a.js:1"]),
        ("a.js", "import a from 'node:assert';\n\na['equal'] = () => {};\n", ["patch a.js:3"]),
        ("a.ts", "const x = `${1}`;\nDate.now = () => 0;\n", ["patch a.ts:2"]),
        ("a.js", "class A { valueOf() { return 5; } }\n", ["equal a.js:1"]),
        ("a.js", "const t = process.env.JEST_WORKER_ID;\n", ["switch a.js:1"]),
        ("a.mjs", "import { test } from 'node:test';\n", ["runner a.mjs:1"]),
        ("a.js", "eval(atob('x'));\n", ["hidden a.js:1"]),
        ("conftest.py", "import calc\ncalc.add = lambda a, b: 5\n", ["hook conftest.py:2"]),
        ("conftest.py", "def pytest_collection_modifyitems(items):\n    items[:] = []\n", ["hook conftest.py:1"]),
        ("sitecustomize.py", "", ["autoload sitecustomize.py:0"]),
        ("pytest.py", "", ["shadow pytest.py:0"]),
        ("tests/random.py", "", ["shadow tests/random.py:0"]),
        ("unittest/__init__.py", "", ["shadow unittest/__init__.py:0"]),
        ("src/json.py", "", ["shadow src/json.py:0"]),
        ("calc.py", CALC + "x = " + "-" * 5000 + "1\n", ["deep calc.py:0"]),
    ],
)  # fmt: skip
async def test_found(project: Project, path: str, text: str, expected: list[str]) -> None:
    assert await findings(project, path, text) == expected


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("calc.py", FIXED),
        ("calc.py", CALC + "\n\nif __name__ == '__main__':\n    import sys\n    sys.exit(0)\n"),
        ("calc.py", CALC + "\n\ndef main():\n    raise SystemExit(1)\n"),
        ("pkg/__main__.py", "import sys\nsys.exit(0)\n"),
        ("scripts/go.py", "import sys\nsys.exit(0)\n"),
        ("calc.py", CALC + "\nclass A:\n    def __eq__(self, o):\n        return self is o\n"),
        ("pkg/random.py", "def roll(): pass\n"),
        ("src/app/json.py", ""),
        ("tests/conftest.py", "import pytest\n\n\n@pytest.fixture\ndef one():\n    return 1\n"),
        ("tests/test_new.py", "def test_skipper():\n    assert skip(1)\n"),
        ("calc.py", "def broken(:\n"),
        ("calc.py", CALC + "import sys\nsys.stdout = sys.stderr\nimport pytester\n"),
        ("calc.py", CALC + "class A:\n    def __eq__(self, o):\n        return NotImplemented\n"),
        ("calc.py", CALC + "import os\nX = os.environ.get('HOME')\n"),
        ("calc.py", CALC + "DOC = 'run tests/test_calc.py by pytest'\n"),
        ("pkg/testing.py", "import pytest\n"),
        ("a.js", "// process.exit(0)\nconst s = 'process.exit(0)', r = /process.exit(0)/;\n"),
        ("a.js", "const a = { exit() {} };\na.exit(0);\nconst t = `Date.now = ${a}`;\n"),
        ("a.js", "import assert from 'node:assert';\nassert.equal(1, 1);\nif (Date.now() === 1) a.b = 2;\n"),
        ("bin/run.js", "process.exit(1);\n"),
        ("a.test.js", "import test from 'node:test';\nDate.now = () => 0;\n"),
        ("notes.md", "pytest.skip() and sys.exit()\n"),
    ],
)
async def test_honest_changes_are_left_alone(project: Project, path: str, text: str) -> None:
    assert await findings(project, path, text) == []


async def test_what_stood_before_is_not_found(project: Project) -> None:
    workspace = project({"calc.py": "import sys\n\n\ndef f():\n    sys.exit(1)\n"})
    start = await workspace.snapshot()
    workspace.put("calc.py", "import sys\n\nX = 1\n\n\ndef f():\n    sys.exit(1)\n")
    final = await workspace.snapshot()
    assert await detect(workspace, start, final, await workspace.changes(start, final)) == []


PLUGINS = "import click\nfrom pluggy import HookimplMarker\nfrom pluggy import HookspecMarker\n"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (PLUGINS, "import click\n\nfrom pluggy import HookimplMarker, HookspecMarker\n", []),
        ("import os, pluggy\n", "import os\n\nimport pluggy as p\n", []),
        (PLUGINS, "from pluggy import HookimplMarker, PluginManager\n", ["runner"]),
        (PLUGINS, "import pluggy\n", ["runner"]),
        ("def f():\n    import pytest\n", "import pytest\n\n\ndef f():\n    return 1\n", ["runner"]),
        ("if TYPE_CHECKING:\n    import pytest\n", "import pytest\n", ["runner"]),
        ("def broken(:\n", "import pytest\n", ["runner"]),
    ],
)
async def test_imports_that_stood_before_may_be_sorted_and_merged(
    project: Project, before: str, after: str, expected: list[str]
) -> None:
    workspace = project({"calc.py": before})
    start = await workspace.snapshot()
    workspace.put("calc.py", after)
    final = await workspace.snapshot()
    found = await detect(workspace, start, final, await workspace.changes(start, final))
    assert [finding.rule for finding in found] == expected


def test_added_lines_of_a_git_patch() -> None:
    patch = (
        'diff --git "a/s\\303\\274d.py" "b/s\\303\\274d.py"\n--- "a/s\\303\\274d.py"\n+++ "b/s\\303\\274d.py"\n'
        "@@ -1,2 +1,3 @@\n-old\n+new\n+++ b/trap\n same\n"
        "@@ -9 +10,2 @@ def x\n keep\n+last\n\\ No newline at end of file\n"
        "diff --git a/gone b/gone\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    )
    assert added_lines(patch) == {"süd.py": {1, 2, 11}, "/dev/null": set()}


@given(
    st.lists(
        st.sampled_from(["+a", "-b", " c", "+++ b/x", "--- a/x", "@@ -1 +1 @@", "@@ -1,9 +1,9 @@", "\\ No"]),
        max_size=30,
    )
)
def test_any_patch_is_read(lines: list[str]) -> None:
    assert all(number >= 0 for numbers in added_lines("\n".join(lines)).values() for number in numbers)
