from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assay.repair.excerpt import excerpt_of_test, show
from assay.repair.locate import is_test_path, locate
from assay.repair.traceback import failures, frames, project_frames

SHOP = '''
def checked(function):
    def wrapper(*args):
        return function(*args)
    return wrapper


@checked
def total(items):
    """Sum of prices."""
    return _add(items) if items else 0


def _add(items):
    found = 0
    for item in items:
        found = _plus(found, item)
    return found


def _plus(a, b):
    return a - b


class Basket:
    def __eq__(self, other):
        return True

    def sort(self):
        raise IndexError("no")


def unrelated():
    return checked(unrelated)
'''

TEST = '''
from shop import total, Basket


def test_total():
    assert total([1, 2]) == 3


class TestBasket:
    def test_same(self):
        """Words."""
        a = Basket()
        assert not (a == Basket())
'''

SOURCES = {"src/shop.py": SHOP, "tests/test_shop.py": TEST, "notes.txt": "x"}

PYTEST = """
=================================== FAILURES ===================================
__________________________________ test_total __________________________________

items = [1, 2]

    def test_total():
>       assert total([1, 2]) == 3
E       assert -3 == 3
E        +  where -3 = total([1, 2])

tests/test_shop.py:6: AssertionError
____________________________ TestBasket.test_sort _____________________________
tests/test_shop.py:14: in test_sort
    basket.sort()
src/shop.py:30: in sort
    raise IndexError("no")
E   IndexError: no
=========================== short test summary info ============================
FAILED tests/test_shop.py::test_total - assert -3 == 3
"""


def test_pytest_output_is_read() -> None:
    first, second = failures(PYTEST)
    assert (first.name, second.name) == ("test_total", "TestBasket.test_sort")
    assert first.error[0] == "assert -3 == 3"
    assert first.statement == "assert total([1, 2]) == 3"
    assert first.arguments == ("items = [1, 2]",)
    assert [(frame.path, frame.line) for frame in second.frames] == [("tests/test_shop.py", 14), ("src/shop.py", 30)]
    assert second.frames[1].function == "sort"


def test_plain_and_unittest_tracebacks_are_read() -> None:
    text = (
        "FAIL: test_total (tests.test_shop.Shop)\n" + "-" * 70 + "\nTraceback (most recent call last):\n"
        '  File "/tmp/copy/src/shop.py", line 9, in total\n    return 1 / 0\nZeroDivisionError: division by zero\n'
    )
    (failure,) = failures(text)
    assert failure.name == "tests.test_shop.Shop.test_total"
    assert failure.error == ("ZeroDivisionError: division by zero",)
    assert project_frames(failure.frames, SOURCES)[0].path == "src/shop.py"


def test_places_of_other_languages_are_read() -> None:
    text = """
    at Object.<anonymous> (/app/lib/cart.js:10:15)
    at com.shop.Cart.total(Cart.java:42)
	cart_test.go:17: want 3
thread 'main' panicked at src/main.rs:7:5
"""
    found = [(frame.path, frame.line) for frame in frames(text)]
    assert found == [("/app/lib/cart.js", 10), ("com/shop/Cart.java", 42), ("cart_test.go", 17), ("src/main.rs", 7)]


def test_a_crash_leads_to_the_function_that_crashed() -> None:
    found = locate(SOURCES, PYTEST, [], "")
    assert found[0].symbol == "Basket.sort"
    assert SHOP.splitlines()[found[0].start - 1] == "    def sort(self):"
    assert found[0].signature == "def sort(self):"


def test_a_wrong_value_leads_to_what_the_test_calls_and_what_that_calls() -> None:
    found = locate(SOURCES, "", ["tests/test_shop.py::test_total"], "the sum is wrong")
    assert [location.symbol for location in found[:3]] == ["total", "_add", "_plus"]
    assert all(location.path == "src/shop.py" for location in found)


def test_an_operator_means_the_method_of_the_class_that_is_named() -> None:
    found = locate(SOURCES, "", ["tests/test_shop.py::TestBasket::test_same"], "two Basket objects are always equal")
    assert found[0].symbol == "Basket.__eq__"


def test_a_name_in_the_task_is_enough() -> None:
    assert locate(SOURCES, "", [], "`_plus` takes away")[0].symbol == "_plus"
    assert locate(SOURCES, "", [], "nothing of this") == []


@given(st.text(max_size=500), st.text(max_size=200), st.lists(st.text(max_size=40), max_size=3), st.text(max_size=100))
def test_junk_never_raises(output: str, source: str, tests: list[str], task: str) -> None:
    locate({"a.py": source, "test_a.py": source, **SOURCES}, output, tests, task)
    for failure in failures(output):
        excerpt_of_test(source, failure.name, failure)
    show(source, "f")


@given(st.text("_=- >E:.py\nFileline \"0123', in", max_size=400))
def test_output_like_text_never_raises(output: str) -> None:
    assert len(failures(output)) <= len(output) + 1
    project_frames(frames(output), SOURCES)


def test_long_documentation_is_cut_and_the_head_stands_alone() -> None:
    body = ["    @p", "    def f(", "        self,", "    ):", '        """One.', "", '        Two "q".', '        """']
    source = "\n".join(["class A:", *body, "        # why", "        return 1", ""])
    shown = show(source, "A.f")
    assert shown is not None
    assert shown.text == '@p\ndef f(\n    self,\n):\n    """One."""\n    # why\n    return 1\n'
    assert shown.head == "@p\ndef f(\n    self,\n):"


def test_a_test_is_cut_around_the_statement_that_failed() -> None:
    body = "".join(f"    assert f({n}) == {n}\n" for n in range(60))
    (failure,) = failures("____ test_f ____\n>   assert f(50) == 50\nE   assert 1 == 50\n")
    text = excerpt_of_test(f'def test_f():\n    """Words."""\n{body}', "a.py::test_f[x]", failure)
    assert text.splitlines()[0] == "def test_f():"
    assert "assert f(50) == 50" in text and "Words" not in text
    assert len(text.splitlines()) <= 14


def test_tests_are_told_from_the_product_by_name() -> None:
    assert all(map(is_test_path, ("tests/a.py", "a/test_b.py", "b_test.py", "conftest.py")))
    assert not any(map(is_test_path, ("src/a.py", "attest.py", "contest/latest.py")))
