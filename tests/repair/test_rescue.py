"""Files that don't parse and names that don't exist, mended from what a check printed."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.repair.missing import missing
from assay.repair.rescue import rescues

GOOD = """\
import math


def area(radius, unit):
    if radius < 0:
        raise ValueError("negative")
    parts = [radius ** 2, math.pi]
    for part in parts:
        unit = unit * part
    return {"area": unit, "of": (radius, len(parts))}


class Shape:
    def __init__(self, size):
        self.size = size

    def double(self):
        return self.size * 2
"""


def same(text: str) -> str:
    return ast.dump(ast.parse(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("if radius < 0:", "if radius < 0"),
        ("def area(radius, unit):", "def area(radius, unit)"),
        ("def area(radius, unit):", "def area(radius, unit:"),
        ("class Shape:", "class Shape"),
        ("[radius ** 2, math.pi]", "[radius ** 2, math.pi"),
        ("(radius, len(parts))}", "(radius, len(parts)}"),
        ("(radius, len(parts))}", "(radius, len(parts)))}"),
        ('"negative")', "\"negative')"),
        ("    for part in parts:\n        unit", "    for part in parts:\n    unit"),
        ("        self.size = size", "      self.size = size\n        pass"),
        ("    parts = [", "\tparts = ["),
        ("    return {", "   return {"),
        ("radius ** 2, math.pi", "radius ** 2 math.pi"),
        ("    def double(self):", "    function double(self):"),
    ],
)
def test_what_does_not_parse(old: str, new: str) -> None:
    broken = GOOD.replace(old, new, 1)
    with pytest.raises(SyntaxError):
        ast.parse(broken)
    texts = [patch.apply({"shape.py": broken})["shape.py"] for patch in rescues({"shape.py": broken}, "")]
    assert texts and all(ast.parse(text) for text in texts)
    if "pass" not in new and '"' not in new:
        assert same(GOOD) in [same(text) for text in texts[:12]]


def test_two_mistakes_at_once() -> None:
    broken = GOOD.replace("radius < 0:", "radius < 0", 1).replace("class Shape:", "class Shape", 1)
    texts = [patch.apply({"a.py": broken})["a.py"] for patch in rescues({"a.py": broken}, "")]
    assert same(GOOD) in [same(text) for text in texts]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("import math\n", "", "NameError: name 'math' is not defined"),
        ("for part in parts", "for part in prats", "NameError: name 'prats' is not defined"),
        ("math.pi", "math.pie", "AttributeError: module 'math' has no attribute 'pie'"),
        ("import math", "import maths as math", "ModuleNotFoundError: No module named 'maths'"),
        ("return self.size", "return size", "NameError: name 'size' is not defined"),
        ("self.size * 2", "self.sise * 2", "AttributeError: 'Shape' object has no attribute 'sise'"),
        ("def double(self)", "def double()", "TypeError: Shape.double() takes 0 positional arguments but 1 was given"),
    ],
)
def test_what_is_missing(old: str, new: str, error: str) -> None:
    broken = GOOD.replace(old, new, 1)
    output = f'Traceback (most recent call last):\n  File "shape.py", line 9, in area\n    x\n{error}\n'
    texts = [patch.apply({"shape.py": broken})["shape.py"] for patch in rescues({"shape.py": broken}, output)]
    wanted = GOOD.replace("import math", "import math as math") if "maths" in new else GOOD
    assert same(wanted) in [same(text) for text in texts[:8]]


def test_names_of_the_project_and_of_the_library() -> None:
    sources = {
        "app/run.py": "from app.tool import hlper\n\n\ndef go(words):\n    return Counter(map(hlper, words))\n",
        "app/tool.py": "def helper(word):\n    return word\n",
        "tests/test_run.py": "from app.run import go\n",
    }
    first = [*rescues(sources, "ImportError: cannot import name 'hlper' from 'app.tool' (/x/app/tool.py)")]
    assert "from app.tool import helper" in first[0].apply(sources)["app/run.py"]
    second = [*rescues(sources, "NameError: name 'Counter' is not defined")]
    assert "from collections import Counter\n" in second[0].apply(sources)["app/run.py"]
    assert not [patch for patch in [*first, *second] if patch.edits[0].path.startswith("tests/")]


def test_nothing_is_proposed_where_nothing_is_missing() -> None:
    assert [*rescues({"shape.py": GOOD}, "AssertionError: assert 1 == 2")] == []
    assert [*rescues({}, "")] == []


@given(
    st.text(max_size=300),
    st.sampled_from(
        ["", "NameError: name 'x' is not defined", "TypeError: x() takes no arguments (1 given) were given"]
    ),
)
def test_any_text_is_borne(text: str, output: str) -> None:
    for patch in list(rescues({"a.py": text}, output))[:20]:
        compile(patch.apply({"a.py": text})["a.py"].removeprefix("\ufeff"), "a.py", "exec")


def test_modules_that_an_output_names_are_not_taken_from_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever starts us with `python -m` has the project in front of the path."""
    for name in ("sched", "wave"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('ran')\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    sources = {"a.py": "import sched\nfrom wave import opne\n\nx = sched.schedular\n"}
    output = "AttributeError: module 'sched' has no attribute 'schedular'\n"
    output += "ImportError: cannot import name 'opne' from 'wave' (wave.py)\n"
    assert list(missing(sources, output)) == []
    monkeypatch.undo()
    importlib.invalidate_caches()
    assert "sched.scheduler" in "".join(patch.apply(sources)["a.py"] for patch in missing(sources, output))


def test_a_file_that_mixes_its_line_ends_is_mended_and_keeps_them() -> None:
    mixed = GOOD.replace("radius < 0:", "radius < 0").replace("\n", "\r\n").replace("math\r\n", "math\n", 1)
    first = next(rescues({"a.py": mixed}, "")).apply({"a.py": mixed})["a.py"]
    assert first == mixed.replace("radius < 0", "radius < 0:")
