"""The mutation engine: what it offers for common bugs, and what holds for whatever source it is given."""

from __future__ import annotations

import ast
import itertools
import re
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import assay.repair
from assay.repair.mutate import Place, mutations
from assay.repair.normal import normal_key
from assay.repair.patch import Patch
from assay.repair.source import functions, parsed, span

MANY = 20_000


def place(text: str, symbol: str = "f", **more: object) -> Place:
    tree = parsed(text)
    assert tree is not None
    node = dict(functions(tree))[symbol]
    first, last = span(node)
    return Place("a.py", first, last, symbol, **more)  # type: ignore[arg-type]


def mutants(text: str, limit: int = MANY, symbol: str = "f", **more: object) -> list[str]:
    return [
        patch.apply({"a.py": text})["a.py"] for patch in mutations({"a.py": text}, [place(text, symbol, **more)], limit)
    ]


FIXES = [
    ("boundary", "def f(a, b):\n    return a < b\n", "a < b", "a <= b", 10),
    ("off by one", "def f(n):\n    return sum(range(n))\n", "range(n)", "range(n + 1)", 20),
    ("operands", "def f(a, b):\n    return a - b\n", "a - b", "b - a", 10),
    ("constant", "def f(xs):\n    total = 0\n    return total\n", "= 0", "= 1", 10),
    ("Boolean", "def f(a, b):\n    if a and b:\n        return 1\n    return 0\n", "a and b", "a or b", 10),
    ("negation", "def f(a):\n    if a:\n        return 1\n    return 0\n", "if a", "if not a", 20),
    (
        "variable",
        "def f(low, high):\n    for i in range(low, high):\n        yield low\n",
        "yield low",
        "yield i",
        60,
    ),
    (
        "method",
        "def f(xs):\n    out = []\n    for x in xs:\n        out.append(x)\n    return out\n",
        "out.append",
        "out.extend",
        60,
    ),
    ("arguments", "def f(a, b):\n    return divmod(a, b)\n", "(a, b)\n", "(b, a)\n", 10),
    ("wrapping", "def f(xs):\n    return xs\n", "return xs", "return sorted(xs)", 60),
    (
        "reversal",
        "def f(xs: list):\n    for x in sorted(xs):\n        yield x\n",
        "sorted(xs)",
        "sorted(xs, reverse=True)",
        30,
    ),
    ("slice", "def f(xs, k):\n    return xs[:k]\n", "[:k]", "[k:]", 20),
    ("indices", "def f(m, i, j):\n    return m[i][j]\n", "[i][j]", "[j][i]", 20),
    ("tuple", "def f(d, i, j):\n    return d[i, j]\n", "[i, j]", "[j, i]", 20),
    ("ternary", "def f(a):\n    return 1 if a else 2\n", "1 if a else 2", "2 if a else 1", 20),
    ("grouping", "def f(a, b):\n    return a + b * 2\n", "a + b * 2", "(a + b) * 2", 60),
    ("deletion", "def f(x):\n    x += 2\n    return x\n", "    x += 2\n", "", 40),
    (
        "break",
        "def f(xs):\n    for x in xs:\n        if x:\n            continue\n        print(x)\n",
        "continue",
        "break",
        60,
    ),
    ("recursion", "def f(n):\n    if n:\n        f(n - 1)\n    return n\n", "        f(n", "        return f(n", 60),
    ("generator", "def f(x):\n    if x:\n        yield f(x[0])\n", "yield f", "yield from f", 80),
    ("copy", "def f(xs: list):\n    ys = xs\n    ys.append(1)\n    return ys\n", "ys = xs\n", "ys = xs[:]\n", 200),
    (
        "default",
        "def f(x, xs=[]):\n    xs.append(x)\n    return xs\n",
        "xs=[]):\n",
        "xs=None):\n    if xs is None:\n        xs = []\n",
        60,
    ),
    (
        "except",
        "def f(d):\n    try:\n        return d[0]\n    except KeyError:\n        return 0\n",
        "KeyError",
        "IndexError",
        60,
    ),
    (
        "guard",
        "def f(xs):\n    return xs[0]\n",
        "    return xs[0]\n",
        "    if not xs:\n        return None\n    return xs[0]\n",
        400,
    ),
    ("condition", "def f(a):\n    while a.b is None:\n        a = a.c\n", "while a.b", "while a is None or a.b", 300),
    (
        "update",
        "def f(xs: list):\n    n = 0\n    for x in xs:\n        print(x)\n    return n\n",
        "print(x)\n",
        "print(x)\n        n += 1\n",
        150,
    ),
    (
        "append",
        "def f(xs: list):\n    out = []\n    for x in xs:\n        print(x)\n    return out\n",
        "print(x)\n",
        "print(x)\n        out.append(x)\n",
        200,
    ),
    (
        "else",
        "def f(xs):\n    a = b = 0\n    for x in xs:\n        if x:\n            a += 1\n    return a, b\n",
        "a += 1\n",
        "a += 1\n        else:\n            b += 1\n",
        200,
    ),
    (
        "moved out",
        "def f(xs):\n    n = 0\n    for x in xs:\n        n += x\n        return n\n",
        "        return n\n",
        "    return n\n",
        60,
    ),
    ("+= for =", "def f(xs):\n    n = 0\n    for x in xs:\n        n = x\n    return n\n", "n = x", "n += x", 60),
    ("await", "async def f(g):\n    return g(1)\n", "g(1)", "await g(1)", 60),
    ("unused", "def f(a, b):\n    return a\n", "return a", "return a + b", 60),
]


@pytest.mark.parametrize(("text", "old", "new", "within"), [row[1:] for row in FIXES], ids=[row[0] for row in FIXES])
def test_a_common_bug_has_its_fix_among_the_first(text: str, old: str, new: str, within: int) -> None:
    wanted = normal_key(text.replace(old, new, 1))
    keys = [normal_key(found) for found in mutants(text, within)]
    assert wanted in keys, f"not among {len(keys)}"


def test_methods_know_their_object_and_their_class() -> None:
    text = textwrap.dedent("""\
        class Box:
            def __init__(self, size):
                self.width = 1
                self.height = 2

            def area(self, scale):
                return self.width * width

            def twice(self):
                return area(2)
        """)
    assert "self.width * self.width" in "".join(mutants(text, symbol="Box.area"))
    assert "return self.area(2)" in "".join(mutants(text, symbol="Box.twice"))
    assert any("        self.size = size\n" in found for found in mutants(text, symbol="Box.__init__"))


def test_numbers_and_words_are_mined_from_documentation_and_tests() -> None:
    text = 'def f(x):\n    """Gives "yes" for 37."""\n    if x == 12:\n        return "oui"\n'
    found = mutants(text)
    assert any("x == 37" in item for item in found)
    assert any('return "yes"' in item for item in found)
    told = mutations({"a.py": text}, [place(text)], MANY, ["assert f(12) == 'hai'"])
    assert any("hai" in patch.edits[0].text for patch in told)


def test_suspicious_lines_and_places_come_first() -> None:
    text = "def f(a, b):\n    c = a < b\n    d = a < b\n    return c, d\n\n\ndef g(a, b):\n    return a > b\n"
    first = next(mutations({"a.py": text}, [place(text, lines={3: 0.9, 2: 0.1})], 1))
    assert first.line == 3
    places = [place(text, weight=0.1), place(text, "g", weight=3.0)]
    assert next(mutations({"a.py": text}, places, 1)).line == 8


def test_statements_outside_of_functions_can_be_changed() -> None:
    text = "import os\n\nLIMIT = 10\n\n\ndef f():\n    return LIMIT\n"
    found = [patch.apply({"a.py": text})["a.py"] for patch in mutations({"a.py": text}, [Place("a.py", 3, 3)], 100)]
    assert any("LIMIT = 11\n" in item for item in found)
    assert all(item.endswith("def f():\n    return LIMIT\n") for item in found)


@pytest.mark.parametrize("text", ["def f(:\n", "", "x = 1\n"])
def test_what_is_no_python_or_has_no_such_place_offers_nothing(text: str) -> None:
    assert list(mutations({"a.py": text}, [Place("a.py", 5, 9, "f"), Place("b.py", 1, 2, "g")], 10)) == []


def test_the_limit_holds_and_the_stream_is_lazy() -> None:
    text = "def f(a, b):\n    return a + b\n"
    assert len(mutants(text, 7)) == 7
    assert mutants(text, 0) == []


TRICKY = [
    "def f(a, b):\r\n\t# ä comment\r\n\tif a < b:  # why\r\n\t\treturn 'ü' + a\r\n\treturn b\r\n",
    "\ufeffdef f(ä, b):\n    return 'ö' if ä < b else f'{ä!r:>{b}} {b + 1}'\n",
    "@cache\n@wrap(1,\n      2)\ndef f(x: int = 1, *args: str, k=[], **kw) -> int:\n    '''Doc.'''\n"
    "    return (x\n            + 1)\n",
    "def f(x): return x + 1",
    "def f(x): x += 1; return x\n",
    "class A:\n    @staticmethod\n    def f(x):\n        text = '''\n  a\n        b'''\n"
    "        if x: return text\n        elif not x: pass\n        else:\n            x = 1\n"
    "        return [y for y in x if y]\n",
    "async def f(xs):\n    async for x in xs:\n        await x\n    async with a as b, c:\n"
    "        return {**b, 'k': [*c]}\n",
    "def f(p):\n    match p:\n        case [1, x] if x > 2:\n            return x\n        case {'a': y}:\n"
    "            return y\n        case _:\n            return None\n",
    "def f(xs):\n    def g(y):\n        return lambda z: (y := z) or xs\n    try:\n        return g(1)\n"
    "    except (A, B) as e:\n        raise C from e\n    finally:\n        del xs[0]\n",
    "def f(a):\n    x = a ; y = 2\n    return x[1:y], -x[0] ** 2, not a, (yield), a if a else (lambda: 0)\n",
    "def f():\n    while True:\n        if 1: break\n    else:\n        return 1\n\n# the end",
    "if True:\n    def f(a, b):\n\n        return a(b)(a)[b].c(d=a, **b)\n",
    "def f(a):\n    with open(a) as g:\n        for i, (j, k) in enumerate(g, start=1):\n"
    "            print(i, j, k, sep='\\n')\n    global h\n    h = a\n",
]


def valid(text: str, found: list[str]) -> None:
    assert len(set(found)) == len(found)
    assert text not in found
    for mutant in found:
        ast.parse(mutant.removeprefix("\ufeff"))


@pytest.mark.parametrize("text", TRICKY)
def test_every_mutant_parses_differs_and_keeps_what_it_does_not_change(text: str) -> None:
    symbol = "A.f" if text.startswith("class") else "f"
    found = mutants(text, 800, symbol)
    assert found
    valid(text, found)
    for mutant in found:
        if "\r\n" in text:
            assert not re.search(r"(?<!\r)\n", mutant)
        assert mutant.startswith("\ufeff") == text.startswith("\ufeff")


@pytest.mark.parametrize("text", TRICKY)
def test_the_order_is_always_the_same(text: str) -> None:
    symbol = "A.f" if text.startswith("class") else "f"
    assert mutants(text, 300, symbol) == mutants(text, 300, symbol)


def test_what_differs_in_a_folded_set_only_is_not_the_same() -> None:
    found = mutants("def f(x):\n    return x in {1, 5}\n", 400)
    assert any("{2, 5}" in mutant for mutant in found) and any("{0, 5}" in mutant for mutant in found)


@pytest.mark.parametrize(
    "text",
    [
        "def f(a):\n    return " + " + ".join(["a"] * 1500) + "\n",
        "def f(a):\n    if a == 0:\n        return 0\n"
        + "".join(f"    elif a == {n}:\n        return {n}\n" for n in range(1, 600)),
    ],
    ids=["sum", "elif"],
)
def test_what_is_nested_too_deeply_is_left_alone(text: str) -> None:
    assert mutants(text, 3) == []


def test_comments_and_layout_stay() -> None:
    text = "def f(a,b):\n    # why\n    x = {  'a':1,   # one\n    }\n    return   a  <  b  # end\n"
    found = mutants(text, 60)
    assert text.replace("a  <  b", "a  <=  b") in found


OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "<", "<=", "==", "in", "and", "or", "is", "|", "&"]


def names() -> st.SearchStrategy[str]:
    return st.sampled_from(["a", "b", "ä", "xs", "n", "x1"])


def expressions() -> st.SearchStrategy[str]:
    leaf = st.one_of(
        names(),
        st.sampled_from(["0", "1", "-2", "1.5", "'é'", "''", "None", "True", "[]", "{}", "f'{a} {n:>3}'", "b'x'"]),
    )

    def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds("({} {} {})".format, inner, st.sampled_from(OPERATORS), inner),
            st.builds("{}[{}]".format, names(), inner),
            st.builds("{}[{}:{}]".format, names(), inner, inner),
            st.builds("{}.append({})".format, names(), inner),
            st.builds("len({})".format, inner),
            st.builds("max({}, {}, key={})".format, inner, inner, names()),
            st.builds("({} if {} else {})".format, inner, inner, inner),
            st.builds("[{} for {} in {} if {}]".format, inner, names(), inner, inner),
            st.builds("(not {})".format, inner),
            st.builds("({}, {})".format, inner, inner),
            st.builds("(lambda {}: {})".format, names(), inner),
        )

    return st.recursive(leaf, grown, max_leaves=6)


def blocks(depth: int = 2) -> st.SearchStrategy[list[str]]:
    simple = st.one_of(
        st.builds("{} = {}".format, names(), expressions()),
        st.builds("{} += {}".format, names(), expressions()),
        st.builds("return {}".format, expressions()),
        st.builds("{}  # ü".format, expressions()),
        st.builds("{}; {}".format, expressions(), names()),
        st.just("pass"),
    ).map(lambda line: [line])
    if depth == 0:
        return st.lists(simple, min_size=1, max_size=2).map(lambda found: list(itertools.chain.from_iterable(found)))
    inner = blocks(depth - 1)

    def nested(head: str, body: list[str], tail: list[str] | None) -> list[str]:
        lines = [head, *(f"    {line}" for line in body)]
        return lines if tail is None else [*lines, "else:", *(f"    {line}" for line in tail)]

    compound = st.one_of(
        st.builds(nested, st.builds("if {}:".format, expressions()), inner, st.none() | inner),
        st.builds(nested, st.builds("while {}:".format, expressions()), inner, st.none()),
        st.builds(nested, st.builds("for {} in {}:".format, names(), expressions()), inner, st.none() | inner),
    )
    return st.lists(simple | compound, min_size=1, max_size=3).map(
        lambda found: list(itertools.chain.from_iterable(found))
    )


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(blocks(), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["    ", "\t"]), st.booleans())
def test_any_function_has_only_valid_mutants(body: list[str], newline: str, unit: str, method: bool) -> None:
    lines = ["def f(a, b, xs=[], *n):", *(unit + line.replace("    ", unit) for line in body)]
    if method:
        lines = ["class A:", *(unit + line for line in lines)]
    text = newline.join(lines) + newline
    if parsed(text) is None:
        return
    found = mutants(text, 120, "A.f" if method else "f")
    valid(text, found)
    for mutant in found:
        assert newline == "\n" or not re.search(r"(?<!\r)\n", mutant)


def test_real_files_have_only_valid_mutants() -> None:
    folder = Path(assay.repair.__file__).parent
    for file in sorted(folder.glob("*.py"))[:2]:
        text = file.read_text(encoding="utf-8")
        tree = parsed(text)
        assert tree is not None
        for symbol, node in list(functions(tree))[:2]:
            found: list[Patch] = list(mutations({"a.py": text}, [Place("a.py", *span(node), symbol)], 40))
            assert found
            valid(text, [patch.apply({"a.py": text})["a.py"] for patch in found])
