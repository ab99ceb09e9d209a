from __future__ import annotations

from assay.core.model import estimate_tokens
from assay.repair.clues import Clues, Location
from assay.repair.fuse import rank
from assay.search.located import render

SHOP = "def total(items):\n    return add(items)\n\n\ndef add(items):\n    return sum(items) - 1\n"
TEST = "from shop import total\n\n\ndef test_total():\n    assert total([1]) == 1\n"
SOURCES = {"shop.py": SHOP, "test_shop.py": TEST}
CRASH = (
    'Traceback (most recent call last):\n  File "/x/shop.py", line 6, in add\n    return sum(items) - 1\nTypeError\n'
)


def place(path: str, start: int, end: int, symbol: str, share: float) -> Location:
    return Location(path, start, end, symbol, f"def {symbol}():", share, share)


def test_what_is_clear_is_shown_as_code() -> None:
    text, shown = render(rank(SOURCES, Clues(CRASH)), SOURCES)
    assert text.splitlines()[0] == "shop.py:5-6 add  def add(items):"
    assert "```python\ndef add(items):\n    return sum(items) - 1\n```" in text
    assert shown == {"shop.py"}


def test_what_is_not_clear_takes_half_of_the_room_at_most() -> None:
    places = [
        place("shop.py", 1, 2, "total", 0.3),
        place("shop.py", 5, 6, "add", 0.1),
        place("shop.py", 5, 6, "x", 0.1),
    ]
    text, shown = render(places, SOURCES)
    assert text.count("```python") == 2 and shown == {"shop.py"}
    named = "shop.py:1-2 total  def total():\nshop.py:5-6 add  def add():\nshop.py:5-6 x  def x():"
    assert render(places, SOURCES, 60) == (named, set())


def test_a_close_second_is_shown_too() -> None:
    places = [place("shop.py", 1, 2, "total", 0.4), place("shop.py", 5, 6, "add", 0.38), place("a.py", 1, 2, "x", 0.2)]
    alone, _ = render([places[0], places[2]], {**SOURCES, "a.py": "x"})
    assert "return add(items)" in alone and "```" in alone and alone.count("```python") == 1
    text, _ = render(places, {**SOURCES, "a.py": "x"})
    assert "return add(items)" in text and "sum(items)" in text and "a.py:1-2 x" in text


def test_there_is_a_cap() -> None:
    long = "def f():\n" + "    x = 'something long enough to count'\n" * 400
    sources = {"a.py": long}
    text, shown = render([place("a.py", 1, 401, "f", 0.9)], sources, 300)
    assert text == "a.py:1-401 f  def f():" and shown == set()
    many = [place("a.py", n, n + 1, f"f{n}", 0.01) for n in range(1, 400)]
    assert estimate_tokens(render(many, sources, 300)[0]) <= 300


def test_code_that_can_not_be_seen_as_it_is_is_not_shown() -> None:
    sources = {"a.py": "def f():\n    return '\u202e'\n"}
    assert render([place("a.py", 1, 2, "f", 0.9)], sources)[1] == set()
    assert render([], {}) == ("", set())


def test_a_fence_is_longer_than_those_in_the_code() -> None:
    sources = {"a.py": 'def f():\n    """\n    ```\n    x\n    ```\n    """\n'}
    text, _ = render([place("a.py", 1, 6, "f", 0.9)], sources)
    assert text.endswith("\n````") and "\n````python\n" in text
