"""New code, examples in docstrings and best effort in a real run: real files, real tests, a scripted model."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.search.runs import events, open_run, quick, text_of

from assay.core.events import AttemptFinished, AttemptSelected
from assay.core.messages import Text
from assay.run.run import Run, RunOptions

CHECK = f"{sys.executable} -m pytest -q -p no:cacheprovider"
CLOCK_TEST = """from clock import Clock, leap


def test_shows():
    assert str(Clock(8, 0)) == "08:00"


def test_leap():
    assert leap(2000) and not leap(1900)
"""
CLOCK = "class Clock:\n    def __init__(self, hour, minute):\n        pass\n\n    def __repr__(self):\n        pass\n"
GOOD = """```python
class Clock:
    def __init__(self, hour, minute):
        self.hour, self.minute = hour, minute

    def __str__(self):
        return f"{self.hour:02d}:{self.minute:02d}"

    __repr__ = __str__
```"""
LEAP = "```python\ndef leap(year):\n    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)\n```"


ASKED = RunOptions(checks=(CHECK,))


def results(run: Run) -> list[str]:
    return [event.result for event in events(run, AttemptFinished)]


def asked(run: Run) -> list[str]:
    return [str(request.messages) for request in run.parts.model.requests]  # type: ignore[attr-defined]


DOUBT = "it was found by trying until the checks passed, and {} for it"


async def test_stubs_and_missing_functions_are_written_one_after_the_other(tmp_path: Path) -> None:
    files = {"clock.py": CLOCK, "clock_test.py": CLOCK_TEST, "instructions.md": "A clock shows hours and minutes."}
    async with open_run(tmp_path, files, GOOD, LEAP, options=ASKED) as run:
        ended = await run.turn((Text("Implement clock.py as in instructions.md"),), quick)
        assert (ended.verdict.outcome, ended.verdict.why) == ("partial", DOUBT.format("only 3 assertions speak"))
        text = text_of(run, "clock.py")
        assert "def leap" in text and 'f"{self.hour:02d}' in text and "pass" not in text
        assert "shows hours and minutes" in asked(run)[0] and "def leap" not in asked(run)[0]
        assert results(run) == ["red", "green"] and ended.selected == 2
        chosen = events(run, AttemptSelected)
        assert [(event.number, event.made, event.first_passed) for event in chosen] == [(2, 2, False)]


async def test_a_module_that_is_missing_is_made(tmp_path: Path) -> None:
    test = "from evens import only_evens\n\n\ndef test_it():\n    assert only_evens([1, 2]) == [2]\n"
    good = "def only_evens(numbers):\n    return [n for n in numbers if n % 2 == 0]\n"
    async with open_run(tmp_path, {"test_evens.py": test}, "no idea", f"```python\n{good}```", options=ASKED) as run:
        ended = await run.turn((Text("Write a function that keeps the even numbers."),), quick)
        assert (ended.verdict.outcome, ended.verdict.why) == ("partial", DOUBT.format("one assertion speaks"))
        assert any(row.cls == "A" and row.after == "pass" for row in ended.verdict.evidence), ended.verdict
        assert text_of(run, "evens.py") == good
        assert results(run) == ["invalid", "green"]


async def test_red_examples_of_a_docstring_are_a_check(tmp_path: Path) -> None:
    examples = '    """Twice.\n\n    >>> double(2)\n    4\n    >>> double(5)\n    10\n    """\n'
    fixed = "def double(n):\n    return n * 2\n"
    shop = f"def double(n):\n{examples}    return n + 1\n"
    async with open_run(tmp_path, {"shop.py": shop}, f"```python\n{fixed}```") as run:
        ended = await run.turn((Text("double() in shop.py is wrong"),), quick)
        assert text_of(run, "shop.py") == shop.replace("n + 1", "n * 2")
        assert results(run) == ["green"]
        assert ended.verdict.outcome in ("verified", "partial"), ended.verdict
        assert any(row.cls == "B" for row in ended.verdict.evidence), ended.verdict


async def test_a_change_without_any_check_is_made_and_called_unproven(tmp_path: Path) -> None:
    shop = "def double(n):\n    return n + 1\n"
    right = "```python\ndef double(n):\n    return n * 2\n```"
    wrong = "```python\ndef double(n):\n    return n + 2\n```"
    async with open_run(tmp_path, {"shop.py": shop}, wrong, "nothing", right) as run:
        ended = await run.turn((Text("double() in shop.py should give twice the number"),), quick)
        assert ended.verdict.outcome in ("unverified", "partial"), ended.verdict
        assert text_of(run, "shop.py") != shop
        assert any("nothing failed before" in line for line in ended.verdict.unchecked)
