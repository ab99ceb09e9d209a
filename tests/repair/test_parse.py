from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.repair.normal import normal_key
from assay.repair.parse import edit_from, function_from

GOOD = '''@cached
def wanted(a, b=1):
    """Doc."""
    if a:
        return [
            a,
    b,
        ]

    for x in b:
        yield x
    else:
        return None
'''


def same(code: str, good: str = GOOD) -> bool:
    return normal_key(code) == normal_key(good)


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        f"```python\n{GOOD}```",
        f"Sure! Here it is:\n\n```python\n{GOOD}```\nThis works because ...",
        f"Sure!\n```\n{GOOD}",
        f"```python\ndef wanted(a):\n    pass\n```\nBetter:\n```py\n{GOOD}```",
        "```python\nclass A:\n" + "".join(f"    {line}\n" for line in GOOD.splitlines()) + "```",
        "```python\n" + "".join(f"        {line}\n" for line in GOOD.splitlines()) + "```",
        f"```python\nimport os\nfrom x import y\n\n{GOOD}\nprint(wanted(1))\n```",
        f"```python\n{GOOD}\n\ndef another():\n    return (1,\n```",
        f"~~~python\n{GOOD}~~~",
        GOOD.replace("\n", "\r\n"),
    ],
)
def test_the_function_is_found_in_any_wrapping(reply: str) -> None:
    found = function_from(reply, "wanted")
    assert same(found.code), found
    assert found.code.startswith(("@cached\n", "def wanted"))


@pytest.mark.parametrize(
    "reply",
    [
        "def f(a):\nif a:\nreturn 1\nreturn 2\n",
        "def f(a):\n  if a:\n      return 1\n    return 2\n",
        "    def f(a):\n    if a:\n        return 1\n    return 2\n",
        "def f(a):\n        if a:\n            return 1\n        return 2\n",
        "def f(a):\n\tif a:\n\t\treturn 1\n\treturn 2\n",
    ],
)
def test_broken_indentation_is_mended(reply: str) -> None:
    code = function_from(reply, "f").code
    assert ast.parse(code)
    assert "return 1" in code and "return 2" in code


def test_prose_on_the_line_above_costs_the_decorator_only() -> None:
    assert same(function_from(f"Here:\n{GOOD}", "wanted").code, GOOD.removeprefix("@cached\n"))


def test_imports_beside_the_function_are_handed_over() -> None:
    found = function_from("```python\nimport re\nfrom math import ceil\ndef f():\n    return ceil(1.5)\n```", "f")
    assert found.imports == ("import re", "from math import ceil")


def test_no_function_is_told() -> None:
    assert "no function f" in function_from("I can't do that.", "f").reason
    assert "no Python" in function_from("def f(:", "f").reason
    assert "no name" in function_from(GOOD, "a b").reason


@given(st.text(max_size=400), st.text(max_size=400))
def test_no_reply_raises_and_code_is_python(before: str, after: str) -> None:
    for reply in (before, f"{before}def f({after}", f"{before}\ndef f():\n{after}"):
        found = function_from(reply, "f")
        assert bool(found.code) != bool(found.reason)
        if found.code:
            ast.parse(found.code)
        edited = edit_from(reply, "def f():\n    return 1\n")
        assert bool(edited.code) != bool(edited.reason)


@given(st.sampled_from(["", "Text.\n", "```\n", "1. "]), st.integers(0, 9), st.sampled_from(["", "```", "\n\nDone."]))
def test_indentation_and_prose_around_do_not_matter(before: str, indent: int, after: str) -> None:
    body = "".join(f"{' ' * indent}{line}\n" for line in "def f(a):\n    b = a\n    return b".splitlines())
    assert same(function_from(f"{before}\n{body}{after}", "f").code, "def f(a):\n    b = a\n    return b\n")


FUNCTION = "def f(a):\n    if a <= 1:\n        return a\n    return a + 1\n"


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        ("```diff\n-    if a <= 1:\n+    if a < 1:\n```", "    if a < 1:"),
        ("- if a <= 1:\n+ if a < 1:", "    if a < 1:"),
        ("-if a <= 1 :\n+if a < 1:", "    if a < 1:"),
        ("The line:\n```diff\n-        return a\n+        b = a\n+        return b\n```", "        b = a"),
        ("-return a + 1\n+if a:\n+    return 2\n+return 3", "        return 2"),
    ],
)
def test_a_line_is_replaced_by_content(reply: str, line: str) -> None:
    code = edit_from(reply, FUNCTION).code
    assert ast.parse(code)
    assert line in code.split("\n")


def test_a_line_that_is_not_there_is_refused() -> None:
    assert edit_from("-assert f(1) == 2\n+assert f(1) == 3", FUNCTION).reason
    assert edit_from("-\n+x", FUNCTION).reason
    assert edit_from("", FUNCTION).reason


def test_keys_ignore_layout_and_words_but_not_code() -> None:
    assert same(
        "@cached\ndef wanted(a,b = 1):\n  'x'\n  if a: return [a,b]\n  for x in b: yield x\n  else: return None\n"
    )
    assert not same(GOOD.replace("if a", "if not a"))
    assert normal_key("def (") == normal_key(" def  (")
