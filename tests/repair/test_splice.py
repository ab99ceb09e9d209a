from __future__ import annotations

import ast
import inspect
import json.decoder
import shlex
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.repair.excerpt import show
from assay.repair.source import functions, parsed
from assay.repair.splice import splice

REAL = [inspect.getsource(module) for module in (textwrap, shlex, json.decoder)]

CLASS = '''import os


class Cart:
    # how much
    @property
    def total(self) -> int:
        """Sum of it.

        Long explanation, "quoted".
        """
        # start at nothing
        found = 0
        for item in self.items:
            found += item
        return found  # done

    def other(self): return 1


AFTER = 2
'''


@pytest.mark.parametrize("source", REAL, ids=["textwrap", "shlex", "decoder"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_is_shown_and_put_back_unchanged_leaves_the_file_as_it_was(source: str, ending: str) -> None:
    source = source.replace("\n", ending)
    tree = parsed(source)
    assert tree is not None
    seen = [(symbol, node.lineno) for symbol, node in functions(tree)]
    assert len(seen) > 5
    for symbol, line in seen[:60]:
        shown = show(source, symbol, line)
        assert shown is not None
        done = splice(source, symbol, shown.text, line)
        assert done.text, (symbol, done.reason)
        if ast.get_docstring(ast.parse(shown.text).body[0]) is None:  # type: ignore[arg-type]
            assert done.text == source, symbol
        assert ast.dump(ast.parse(done.text)) == ast.dump(ast.parse(source)), symbol


def test_the_body_is_new_and_everything_else_stays() -> None:
    code = 'def total(self):\n    """Other words."""\n    # by hand\n    return sum(self.items)\n'
    done = splice(CLASS, "Cart.total", code)
    before, after = CLASS.split("        # start at nothing\n")[0], CLASS.split("return found  # done\n")[1]
    assert done.text == before + "        # by hand\n        return sum(self.items)\n" + after


def test_a_function_on_one_line_can_grow() -> None:
    done = splice(CLASS, "Cart.other", "def other(self):\n    two = 2\n    return two\n")
    assert "    def other(self):\n        two = 2\n        return two\n\n\nAFTER" in done.text


def test_a_signature_may_only_be_extended() -> None:
    source = "def f(a, b=1):\n    return a\n"
    assert splice(source, "f", "def f(a, b=1, c=2):\n    return c\n").text == "def f(a, b=1, c=2):\n    return c\n"
    for bad in ("a", "a, c=1", "b, a=1", "a, b=1, *, c", "a, b", "a, c, b=1"):
        done = splice(source, "f", f"def f({bad}):\n    return a\n")
        assert not done.text and "signature" in done.reason, bad
    assert "async" in splice(source, "f", "async def f(a, b=1):\n    return a\n").reason
    assert "no function g" in splice(source, "g", "def g():\n    pass\n").reason
    assert "no function f" in splice(source, "f", "def g():\n    pass\n").reason


def test_missing_standard_modules_are_imported_and_nothing_else() -> None:
    source = '"""Doc."""\n\nimport os\n\n\ndef f(x):\n    return x\n'
    code = "def f(x):\n    return math.ceil(partial(requests.get, x)) + len(os.name)\n"
    done = splice(source, "f", code, imports=("from functools import partial", "import requests"))
    assert done.text.startswith('"""Doc."""\n\nimport os\nfrom functools import partial\nimport math\n\n\ndef f')
    assert "import requests" not in done.text
    alone = splice(source, "f", "def f(x):\n    return deque(x)\n")
    assert "import os\nfrom collections import deque\n" in alone.text, "from where it mostly comes"


def test_of_two_functions_with_one_name_the_near_one_is_meant() -> None:
    source = "if A:\n    def f():\n        return 1\nelse:\n    def f():\n        return 2\n"
    assert splice(source, "f", "def f():\n    return 3\n", near=5).text == source.replace("return 2", "return 3")


def test_strings_over_several_lines_keep_their_content() -> None:
    source = 'class A:\n    def f(self):\n        return """a\n  b\n            c"""\n'
    shown = show(source, "A.f")
    assert shown is not None
    assert splice(source, "A.f", shown.text).text == source


def test_mixed_line_ends_outside_of_the_function_stay() -> None:
    source = "a = 1\r\nb = 2\n\ndef f():\n    return 1\n\r\nc = 3\rd = 4"
    done = splice(source, "f", "def f():\n    return 2\n")
    assert done.text == source.replace("return 1", "return 2")


@given(st.text(max_size=300), st.text(max_size=300), st.sampled_from(["f", "A.f", "", "é"]))
def test_junk_is_refused_with_a_reason(source: str, code: str, symbol: str) -> None:
    done = splice(source, symbol, code)
    assert bool(done.text) != bool(done.reason)


@given(st.sampled_from(["é = 'ü'; ", ""]), st.integers(0, 3), st.sampled_from(["\t", "  ", "    "]))
def test_indentation_is_that_of_the_file(comment: str, depth: int, unit: str) -> None:
    lines = [f"{unit * level}class A{level}:" for level in range(depth)]
    lines += [f"{unit * depth}def f(x):  # é", f"{unit * (depth + 1)}if x:", f"{unit * (depth + 2)}return 1"]
    symbol = "".join(f"A{level}." for level in range(depth)) + "f"
    done = splice("\n".join(lines), symbol, f"def f(x):\n    {comment}y = x\n    return y\n")
    wanted = [*lines[:-2], f"{unit * (depth + 1)}{comment}y = x", f"{unit * (depth + 1)}return y"]
    assert done.text == "\n".join(wanted)
