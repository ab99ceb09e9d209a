from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.repair.merge import merge, module_from
from assay.repair.source import parsed, with_ends

FILE = '''"""Shop."""
import os


def kept(x):
    return x


def todo(x):
    """What it is for."""
    pass


class Cart:
    size = 3

    def add(self, x):
        pass

    def full(self):
        return self.size > 2


if __name__ == "__main__":
    print(kept(1))
'''
NEW = '''import math
import os
from typing import List

LIMIT = 4


def kept(x):
    return -x


def todo(x):
    return math.floor(x)


def extra(x: List[int]):
    text = """
left as it is
"""
    return text


class Cart:
    def add(self, x):
        self.size += x

    def full(self):
        return False

    def empty(self):
        return self.size == 0


print(todo(2))


def test_todo():
    assert todo(1) == 1
'''


def test_stubs_are_replaced_and_what_is_written_stays() -> None:
    text = merge(FILE, NEW).text
    assert "return x\n" in text and "return -x" not in text
    assert '    """What it is for."""\n    return math.floor(x)' in text
    assert "self.size += x" in text and "self.size > 2" in text and "def empty" in text and "return False" not in text
    assert "print(todo(2))" not in text and "test_todo" not in text
    assert text.count("import os") == 1 and "import math\n" in text and "LIMIT = 4" in text
    assert '"""\nleft as it is\n"""' in text
    assert text.index("def extra") < text.index("__main__") and text.rstrip().endswith("print(kept(1))")


def test_what_is_named_is_replaced_although_it_is_written() -> None:
    assert "return -x" in merge(FILE, NEW, ["kept"]).text
    assert "return False" in merge(FILE, NEW, ["Cart.full"]).text


def test_line_ends_are_those_of_the_file() -> None:
    text = merge(FILE.replace("\n", "\r\n"), NEW).text
    assert "\r\n" in text and "\n" not in text.replace("\r\n", "")


def test_lines_that_stay_keep_their_ends_in_a_file_that_mixes_them() -> None:
    mixed = "".join(line + ("\r\n" if n % 3 else "\n") for n, line in enumerate(FILE.split("\n")))
    old, new = (text.splitlines(keepends=True) for text in (mixed, merge(mixed, NEW).text))
    gone = {line.rstrip() for line in {*old} - {*new}}
    assert gone == {*FILE.splitlines()} - {*merge(FILE, NEW).text.splitlines()}


@given(st.text(alphabet="ab\r\n", max_size=30))
def test_a_text_gets_its_own_line_ends_back(text: str) -> None:
    assert with_ends(text, text.replace("\r\n", "\n")) == text


def test_an_empty_file_takes_the_new_code_as_it_is() -> None:
    code = "def f(x):\n    return x\n"
    assert merge("", code).text == code


@pytest.mark.parametrize(("source", "code"), [("def f(:", "x = 1"), ("x = 1\n", "def g(:"), ("x = 1\n", "x = 2\n")])
def test_what_adds_nothing_is_refused(source: str, code: str) -> None:
    done = merge(source, code)
    assert not done.text and done.reason


@pytest.mark.parametrize(
    "reply",
    [
        "Sure:\n```python\ndef f(x):\n    return x\n```\nDone.",
        "```python\nimport os\n```\n```\ndef f(x):\n    return x\n",
        "    def f(x):\n        return x\n",
        "```python\ndef f(x):\n    return x\n\ndef broken(",
        "```python\nf = lambda x: x\n```",
    ],
)
def test_the_code_is_found_in_whatever_wrapping(reply: str) -> None:
    code, reason = module_from(reply, ["f"])
    assert parsed(code) is not None and "f" in code and not reason


def test_a_reply_without_the_names_is_refused() -> None:
    assert module_from("```python\ndef g():\n    pass\n```", ["f"]) == ("", "no definition of f in the reply")


@given(st.text(max_size=300), st.text(max_size=300))
def test_nothing_raises_and_what_comes_is_python(source: str, code: str) -> None:
    module_from(source + code, ["f", "g"])
    done = merge(source, code)
    assert bool(done.text) != bool(done.reason)
    if done.text:
        ast.parse(done.text)


@given(st.sampled_from([FILE, "", "x = 1\n"]), st.lists(st.sampled_from(NEW.split("\n\n\n")), max_size=5))
def test_merging_twice_changes_nothing_more(source: str, parts: list[str]) -> None:
    code = "\n\n\n".join(parts)
    first = merge(source, code)
    if first.text:
        assert merge(first.text, code).text in ("", first.text)


def test_what_the_new_code_forgot_to_import_is_imported() -> None:
    code = "def pairs(xs):\n    return Counter(zip(xs, islice(xs, 1, None))), math.pi, nowhere\n"
    done = merge('"""Doc."""\nimport os\n', code)
    assert done.text.startswith('"""Doc."""\nimport os\n')
    assert all(line in done.text for line in ("from collections import Counter", "from itertools import islice"))
    assert "import math\n" in done.text and "nowhere" not in done.text.split("def")[0]
    assert "Counter\n" not in merge("from things import *\n", code).text


def test_values_keep_their_order_and_stand_behind_what_they_are_made_of() -> None:
    code = "A = 1\nB = A + 1\n\n\ndef f():\n    return B\n\n\nMADE = f()\n"
    done = merge("import os\n\nKEPT: int = 1\n", code + "KEPT: int = 2\n")
    assert "import os\nA = 1\nB = A + 1\n" in done.text and "KEPT: int = 2" not in done.text
    space: dict[str, object] = {}
    exec(done.text, space)
    assert space["MADE"] == 2


def test_a_stub_keeps_its_documentation_whatever_the_new_code_looks_like() -> None:
    source = 'def f(x):\n    """Doc.\n\n    More.\n    """\n\n\n'
    source += "class A:\n\tdef h(self):\n\t\treturn 2\n\n\tdef g(self):\n\t\tpass\n"
    done = merge(source, "def f(x):\n  return x\n")
    assert '"""Doc.\n\n    More.\n    """\n  return x\n' in done.text
    assert "def f(x): return x\n" in merge(source, "def f(x): return x\n").text
    assert "\tdef g(self):\n\t    return 1\n" in merge(source, "class A:\n    def g(self):\n        return 1\n").text
