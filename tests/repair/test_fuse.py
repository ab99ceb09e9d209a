from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assay.repair.clues import Clues
from assay.repair.fuse import fuse, places, rank
from assay.repair.imports import distances
from assay.repair.project import is_test_path
from assay.repair.spectrum import ochiai
from assay.repair.words import bm25, parts, words

CART = '''
class Cart:
    def add(self, item):
        self.items.append(item)

    def total(self):
        return sum(price(item) for item in self.items)


def price(item):
    if item.count > 10:
        return item.cost * item.count * 0.9
    return item.cost * item.count


def parse_http_date(text):
    """Reads the Last-Modified header."""
    raise ValueError("unknown time zone in header")
'''
OTHER = "def price_tag(item):\n    return str(item)\n\n\ndef unrelated():\n    return 1\n"
TEST = "from shop.cart import Cart\n\n\ndef test_total():\n    cart = Cart()\n    assert cart.total() == 9\n"
SOURCES = {
    "src/shop/__init__.py": "",
    "src/shop/cart.py": CART,
    "src/shop/tags.py": OTHER,
    "tests/test_cart.py": TEST,
}


def first(clues: Clues) -> str:
    return rank(SOURCES, clues)[0].symbol


def test_coverage_tells_what_names_do_not() -> None:
    ran = {
        "test_few": {"src/shop/cart.py": [7, 11, 13]},
        "test_many": {"src/shop/cart.py": [7, 11, 12]},
        "test_other": {"src/shop/cart.py": [7], "src/shop/tags.py": [2]},
    }
    found = rank(SOURCES, Clues(lines=ochiai((files, test == "test_many") for test, files in ran.items())))
    assert found[0].symbol == "price"
    assert max(found[0].lines, key=found[0].lines.__getitem__) == 12
    assert "unrelated" not in [place.symbol for place in found]


def test_where_a_traceback_ends_is_the_first_suspect() -> None:
    output = (
        "Traceback (most recent call last):\n"
        '  File "/tmp/copy/src/shop/cart.py", line 7, in total\n    return sum()\n'
        '  File "/tmp/copy/src/shop/cart.py", line 13, in price\n    return item.cost\nAttributeError: no cost\n'
    )
    top, second = rank(SOURCES, Clues(output))[:2]
    assert (top.symbol, second.symbol) == ("price", "Cart.total")
    assert top.lines == {13: 1.0} and 0 < second.lines[7] < 1
    assert top.share > second.share


def test_prose_finds_the_function_by_its_words_and_quoted_messages() -> None:
    assert first(Clues(task="Dates in the HTTP header are not parsed")) == "parse_http_date"
    assert first(Clues(task='It says "unknown time zone" for every mail')) == "parse_http_date"
    assert first(Clues(task="`Cart.total` is too high for more than ten")) == "Cart.total"


def test_the_message_of_a_failure_finds_who_says_it() -> None:
    output = "____ test_x ____\n>   load()\nE   ValueError: unknown time zone in header\n"
    assert first(Clues(output)) == "parse_http_date"


def test_files_that_are_near_or_new_only_decide_between_equals() -> None:
    both = {
        **SOURCES,
        "src/shop/old.py": "def rate(x):\n    return x\n",
        "src/shop/new.py": "def rate(x):\n    return x\n",
    }
    assert rank(both, Clues(task="rate() is wrong", recent=["src/shop/new.py"]))[0].path == "src/shop/new.py"
    assert rank(both, Clues(task="rate() is wrong", recent=["src/shop/old.py"]))[0].path == "src/shop/old.py"
    found = rank(both, Clues(task="rate() is wrong", recent=["src/shop/cart.py"]))
    assert {place.symbol for place in found} == {"rate"}


def test_a_place_is_written_as_people_cite_it() -> None:
    (place, *_) = rank(SOURCES, Clues(task="`price` is wrong"))
    assert str(place) == "src/shop/cart.py:10-13 price"
    assert place.signature == "def price(item):"


def test_other_languages_take_part() -> None:
    code = "exports.total = function total(items) {\n  return plus(items)\n}\n\nfunction plus(items) {\n  return 0\n}\n"
    test = "const { total } = require('../lib/cart')\nit('adds', () => {\n  assert.equal(total([1]), 1)\n})\n"
    sources = {"lib/cart.js": code, "test/cart.test.js": test}
    output = "AssertionError\n    at Context.<anonymous> (/tmp/x/test/cart.test.js:3:10)\n"
    assert [place.symbol for place in rank(sources, Clues(output))] == ["total", "plus"]


def test_imports_are_followed() -> None:
    steps = distances(SOURCES, ["tests/test_cart.py"])
    assert steps == {"tests/test_cart.py": 0, "src/shop/cart.py": 1}
    sources = {
        "a/main.ts": "import { b } from './lib/b'\n",
        "a/lib/b.ts": "export * from '../c.js'\n",
        "a/c.ts": "",
        "x/c.ts": "",
        "go/one.go": "package go\n",
        "go/two_test.go": "package go\n",
        "p/__init__.py": "from .deep import (\n    thing,\n)\n",
        "p/deep/__init__.py": "thing = 1\n",
        "t.py": "import p as q, os\n",
        "s.rs": "use crate::model::Item;\n",
        "model.rs": "",
    }
    assert distances(sources, ["a/main.ts"]) == {"a/main.ts": 0, "a/lib/b.ts": 1, "a/c.ts": 2}
    assert distances(sources, ["go/two_test.go"]) == {"go/two_test.go": 0, "go/one.go": 1}
    assert distances(sources, ["t.py"]) == {"t.py": 0, "p/__init__.py": 1, "p/deep/__init__.py": 2}
    assert distances(sources, ["s.rs"]) == {"s.rs": 0, "model.rs": 1}


def test_suspicion_of_lines() -> None:
    ran = [({"f.py": [1, 2]}, True), ({"f.py": [1]}, False), ({"g.py": [1]}, False)]
    assert ochiai(ran) == {"f.py": {1: 1 / 2**0.5, 2: 1.0}}
    assert ochiai([({"f.py": [1]}, False)]) == {} == ochiai([])


def test_equal_points_share_their_places() -> None:
    assert places({1: 5.0, 2: 3.0, 3: 3.0, 4: 1.0}) == {1: 1.0, 2: 2.5, 3: 2.5, 4: 4.0}
    fused = fuse({"frames": {1: 1.0, 2: 0.5}, "words": {2: 9.0}}, {"frames": 1.0, "words": 1.0})
    assert fused[2] > fused[1]


def test_names_are_taken_apart() -> None:
    assert parts("parseHTTPDates") == ("pars", "http", "dat")
    assert words("max_digits of `Decimal`") == ["max", "digit", "decimal"]
    assert words("straße naïve") == ["straß", "naïv"]


def test_rare_words_count_more() -> None:
    from collections import Counter

    documents = {1: Counter(words("cart total")), 2: Counter(words("cart discount")), 3: Counter(words("cart add"))}
    found = bm25(words("cart discount"), documents)
    assert max(found, key=found.__getitem__) == 2
    assert bm25([], documents) == {} == bm25(words("of the"), documents)


def test_tests_of_other_languages_are_known_by_name() -> None:
    tests = ("a/b_test.go", "src/x.test.tsx", "x.spec.js", "__tests__/x.js", "spec/x_spec.rb", "src/FooTest.java")
    assert all(map(is_test_path, tests))
    assert not any(map(is_test_path, ("src/latest.go", "a/contest.js", "src/Testimony.java")))


def test_what_is_huge_is_bounded() -> None:
    many = {f"m{n}.py": f"def f{n}():\n    return f{n + 1}()\n" for n in range(4_000)}
    assert rank(many, Clues(task="`f7` is wrong"))[0].symbol == "f7"
    assert rank({"a.py": "x = 1\n" * 400_000, **SOURCES}, Clues(task="`price`"))[0].symbol == "price"


LINES = st.dictionaries(
    st.sampled_from([*SOURCES, "nowhere.py"]), st.dictionaries(st.integers(-3, 60), st.floats(0.1, 1.0)), max_size=3
)


@given(
    st.text(max_size=200),
    st.text(max_size=200),
    LINES,
    st.lists(st.text(max_size=10), max_size=2),
    st.sampled_from(["a.py", "a.js", "a.go", "B.java", "c.rs", "d.rb", "e.php", "f.cpp"]),
    st.text(max_size=200),
)
def test_any_clue_is_survived(
    output: str, task: str, lines: dict[str, dict[int, float]], recent: list[str], path: str, text: str
) -> None:
    sources = {**SOURCES, path: text, f"tests/{path}": text}
    clues = Clues(output, ("tests/test_cart.py::test_total",), task, lines, recent)
    found = rank(sources, clues)
    assert all(0 < place.share <= 1 and place.start <= place.end for place in found)
    assert found == rank(sources, clues)
    assert sorted(found, key=lambda place: -place.score) == found
