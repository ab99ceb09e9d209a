"""New code, examples in docstrings and best effort in a real run: real files, real tests, a scripted model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.search.runs import events, open_run, quick, text_of

from assay.core.events import AttemptFinished, AttemptSelected, CheckFinished
from assay.core.messages import Text
from assay.loop.turn import Stop
from assay.run.run import Run, RunOptions
from assay.search.belief import belief
from assay.search.candidate import Candidate, Ground, Vector
from assay.search.priors import TINY
from assay.search.rules import TRYING
from assay.search.slots_run import take_slots
from assay.search.slots_words import Limits

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


async def searching(run: Run) -> Stop:
    """Changes without a model have time to be found."""
    return await take_slots(run, Limits(samples=1, mutate_seconds=20.0, near=0))


async def near_too(run: Run) -> Stop:
    return await take_slots(run, Limits(mutate_seconds=0.5, further=0))


async def alone(run: Run) -> Stop:
    """Only what the model writes."""
    return await take_slots(run, Limits(samples=4, mutate_seconds=0.5, near=0))


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


HALVES = """from half import half


def test_even():
    assert half(4) == 2


def test_odd():
    assert half(5) == 3
"""
FLOOR = "```python\ndef half(n):\n    return n // 2\n```"


async def test_a_part_of_what_failed_is_no_reason_to_stop(tmp_path: Path) -> None:
    right = "```python\ndef half(n):\n    rest = n % 2\n    return n // 2 + rest\n```"
    async with open_run(tmp_path, {"test_half.py": HALVES}, FLOOR, right) as run:
        ended = await run.turn((Text("Write half(): half of a number, rounded up."),), alone)
        assert "rest" in text_of(run, "half.py"), ended.verdict
        assert results(run) == ["red", "green"]


async def test_a_part_is_kept_in_the_end_and_what_is_left_is_said(tmp_path: Path) -> None:
    stub = "def half(n):\n    raise NotImplementedError\n"
    async with open_run(tmp_path, {"test_half.py": HALVES, "half.py": stub}, *[FLOOR] * 40) as run:
        ended = await run.turn((Text("Write half(): half of a number, rounded up."),), alone)
        assert "n // 2" in text_of(run, "half.py")
        assert ended.verdict.outcome == "partial" and "still red: test_half.py::test_odd" in ended.verdict.unchecked


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


async def test_a_small_mistake_in_what_was_written_is_mended_without_asking_again(tmp_path: Path) -> None:
    test = "from runs import longest\n\n\ndef test_it():\n    assert longest([1, 1, 2]) == 2 and longest([3]) == 1\n"
    near = (
        "def longest(values):\n    best = run = 1\n    for left, right in zip(values, values[1:]):\n"
        "        run = run + 1 if left != right else 1\n        best = max(best, run)\n    return best\n"
    )
    open_test = (
        "\n\ndef test_more():\n    assert longest([1, 2, 2, 2, 5]) == 3\n    assert longest([7, 7, 7, 1]) == 3\n"
    )
    more = "\n\ndef test_apart():\n    assert longest([1, 2, 3]) == 1\n"
    async with open_run(
        tmp_path, {"test_runs.py": test + open_test + more}, f"```python\n{near}```", options=ASKED
    ) as run:
        ended = await run.turn((Text("Write longest(): the length of the longest run of equal values."),), near_too)
        assert len(asked(run)) == 1 and ended.verdict.outcome in ("verified", "partial"), ended.verdict
        assert "left == right" in text_of(run, "runs.py")
        assert results(run)[:2] == ["red", "plausible"]
        chosen = events(run, AttemptSelected)
        assert chosen[0].number > 1 and not chosen[0].first_passed
        assert not [*Path(run.parts.workspace.root).glob("**/.trial*")]


def test_what_was_changed_after_it_was_written_is_believed_less_than_a_repair() -> None:
    both = [Candidate(1, TRYING, vector=Vector(targets={"t": True}), model=model) for model in ("", "rig/tiny")]
    alone, written = (belief([one], Ground("A", 6), TINY) for one in both)
    assert 0 < written < alone


TOLD = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "tests/test_add.py": "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5 and add(1, 1) == 2\n",
    "tests/test_more.py": "from calc import add\n\n\ndef test_zero():\n    assert add(0, 0) == 0\n",
    "tests/test_broken.py": "import a_module_that_is_not_installed_here\n",
}


@pytest.mark.parametrize(
    ("task", "first"),
    [
        ("`python -m pytest tests/test_add.py -q` fails. Mend calc.py.", "pytest tests/test_add.py -q"),
        ("tests/test_add.py fails, mend calc.py", "tests/test_add.py"),
        ("tests/test_more.py passes, tests/test_add.py doesn't; never run `pytest tests/test_add.py`", ""),
    ],
)
async def test_tests_that_the_task_says_fail_are_begun_with(tmp_path: Path, task: str, first: str) -> None:
    async with open_run(tmp_path, TOLD, *["no"] * 40) as run:
        ended = await run.turn((Text(task),), searching)
        found = events(run, CheckFinished)
        checks = [event.run.check for event in found]
        before = [event.run.check for event in found if event.phase == "baseline"]
        assert max(before.count(check) for check in before) <= 2
        assert (first in checks[0]) if first else all("test_add" not in check for check in checks), checks
        assert ended.verdict.outcome in ("verified", "partial"), ended.verdict
        assert text_of(run, "calc.py") == TOLD["calc.py"].replace("-", "+")
