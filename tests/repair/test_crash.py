from __future__ import annotations

import pytest

from assay.repair.crash import crashed


@pytest.mark.parametrize(
    "reason",
    [
        "NameError: name 'x' is not defined",
        "E   ImportError: cannot import name 'y'",
        "SyntaxError: invalid syntax",
        "TypeError: f() takes 1 positional argument but 2 were given",
        "TypeError: f() missing 1 required positional argument: 'x'",
        "TypeError: 'int' object is not callable",
    ],
)
def test_what_never_got_to_its_answer_is_a_crash(reason: str) -> None:
    assert crashed(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "AssertionError: assert 3 == 4",
        "assert 3 == 4",
        "IndexError: list index out of range",
        "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
        "AssertionError: NameError not raised",
    ],
)
def test_a_wrong_answer_is_none(reason: str) -> None:
    assert not crashed(reason)
