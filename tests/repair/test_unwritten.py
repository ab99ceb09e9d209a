from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.repair.source import parsed
from assay.repair.unwritten import Unwritten, unwritten

STUBS = '''import abc


def done(x):
    return x


def todo(x):
    """Later."""


def raising(x):
    raise NotImplementedError("not yet")


class Base(abc.ABC):
    @abc.abstractmethod
    def part(self): ...

    def whole(self):
        return self.part()


class Account:
    def __init__(self):
        self.sum = 0

    def deposit(self, amount):
        pass


class Empty:
    pass
'''


def names(sources: dict[str, str], output: str = "", tests: tuple[str, ...] = ("test_a.py::test",)) -> list[str]:
    return [f"{item.kind} {item.path}:{item.symbol}" for item in unwritten(sources, tests, output)]


def test_stubs_that_tests_use_are_found_in_the_order_of_the_file() -> None:
    used = "Account().deposit(todo(1))\n    raising(Empty(), done(Base))\n"
    test = f"from a import done, todo, raising, Account, Base, Empty\n\n\ndef test():\n    {used}"
    found = names({"a.py": STUBS, "test_a.py": test})
    assert found == ["stub a.py:todo", "stub a.py:raising", "method a.py:Account.deposit", "stub a.py:Empty"]


def test_what_only_passing_tests_use_is_nobodys_fault() -> None:
    test = "from a import done, todo\n\n\ndef test():\n    done(1)\n\n\ndef test_other():\n    assert todo(1) is None\n"
    assert names({"a.py": STUBS, "test_a.py": test}) == []
    assert names({"a.py": STUBS, "test_a.py": test}, tests=("test_a.py",)) == ["stub a.py:todo"]
    parametrized = ("test_a.py::test_other[1]",)
    assert names({"a.py": STUBS, "test_a.py": test}, tests=parametrized) == ["stub a.py:todo"]


def test_a_module_of_a_package_is_no_name_that_the_package_lacks() -> None:
    test = "from pkg import part, other\n\n\ndef test():\n    assert part.f() == other.g()\n"
    files = {
        "pkg/__init__.py": "",
        "pkg/part.py": "def f():\n    pass\n",
        "pkg/other/__init__.py": "",
        "test_a.py": test,
    }
    assert names(files) == ["stub pkg/part.py:f", "function pkg/other/__init__.py:g"]


def test_a_file_with_the_name_of_a_module_of_python_is_not_that_module() -> None:
    sources = {
        "src/pack/__init__.py": "",
        "src/pack/warnings.py": "class Old(Warning):\n    pass\n",
        "src/pack/fields.py": "import warnings\n\n\ndef get():\n    warnings.warn('old', stacklevel=2)\n    return 1\n",
        "tests/test_fields.py": "from pack.fields import get\n\n\ndef test_get():\n    assert get() == 2\n",
    }
    assert unwritten(sources, ["tests/test_fields.py::test_get"], "NameError: name 'warn' is not defined") == []


def test_nothing_lacks_where_the_check_met_no_name_that_is_missing() -> None:
    files = {"a.py": "exec('f = 1')\n", "test_a.py": "from a import f\n\n\ndef test():\n    assert f == 2\n"}
    assert names(files, "E   AssertionError: assert 1 == 2") == []
    assert names(files, "E   ImportError: cannot import name 'f' from 'a'") == ["function a.py:f"]


def test_names_that_a_module_lacks_are_found_however_they_are_reached() -> None:
    test = "import a\nfrom a import Missing, lacking as other, LIMIT\n\na.reached()\n"
    assert names({"a.py": "LIMIT = 3\n", "test_a.py": test}) == [
        "class a.py:Missing", "function a.py:lacking", "function a.py:reached",
    ]  # fmt: skip
    assert names({"a.py": "def __getattr__(name):\n    return name\n", "test_a.py": test}) == []
    assert names({"a.py": "from b import *\n", "test_a.py": test}) == []


def test_methods_that_an_object_lacks_are_told_by_the_check() -> None:
    test = "from a import Account\n\n\ndef test():\n    Account().withdraw(1)\n"
    output = "E   AttributeError: 'Account' object has no attribute 'withdraw'"
    assert "method a.py:Account.withdraw" in names({"a.py": STUBS, "test_a.py": test}, output)
    assert "method a.py:Account.withdraw" not in names({"a.py": STUBS, "test_a.py": test})


def test_a_missing_module_counts_only_where_it_is_missed() -> None:
    sources = {"tests/test_a.py": "from pkg.shapes import area\nimport pytest\n", "pkg/__init__.py": ""}
    tests = ("tests/test_a.py",)
    assert names(sources, "E   ModuleNotFoundError: No module named 'pkg.shapes'", tests) == [
        "module pkg/shapes.py:area"
    ]
    assert names(sources, "", tests) == []
    installed = {"test_a.py": "from numpy import array\n"}
    assert names(installed, "No module named 'numpy'") == []


def test_files_that_others_import_come_first() -> None:
    test = "from app import run\nfrom base import Thing\n"
    sources = {"app.py": "import base\n\n\ndef run():\n    pass\n", "base.py": "", "test_a.py": test}
    assert names(sources) == ["class base.py:Thing", "stub app.py:run"]


@pytest.mark.parametrize("text", ["def broken(:", "", "\x00", "class"])
def test_what_is_no_python_says_nothing(text: str) -> None:
    assert unwritten({"a.py": text, "test_a.py": "from a import b\n"}, ("test_a.py",)) == (
        [Unwritten("a.py", ("b",), "function")] if parsed(text) is not None else []
    )


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=100))
def test_it_never_raises(source: str, test: str, output: str) -> None:
    unwritten({"a.py": source, "test_a.py": test}, ("test_a.py::x", source[:20]), output)
