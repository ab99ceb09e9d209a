"""What is left of an attempt that did not do it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assay.core.check import CheckRun
from assay.core.events import (
    AttemptFinished,
    CallFinished,
    CheckFinished,
    ContextAdded,
    Event,
    InputReceived,
    ModelReplied,
)
from assay.core.messages import AssistantMessage, Text, ToolResult
from assay.core.model import estimate_tokens
from assay.core.store import Record
from assay.core.workspace import Stamp
from assay.search.distill import TOKENS, Distillate, distill, evidence
from assay.tools.change import written

TAIL = "test_calc.py:5: in test_add\nE   AssertionError: assert 6 == 5\nFAILED test_calc.py::test_add"


def said(text: str) -> ModelReplied:
    return ModelReplied(1, AssistantMessage((Text(text),), "end"))


def edited(path: str, before: str, after: str) -> CallFinished:
    outcome = written(path, f"edited {path}: line 1", (before, after), Stamp("0", 0, 0, 0))
    return CallFinished(ToolResult("c", outcome.content), outcome.display, outcome.debug)


def red(tail: str = TAIL, **tests: str) -> CheckFinished:
    named = {name.replace("__", "::"): result for name, result in tests.items()}
    run = CheckRun("pytest", "t", False, 1, 0.1, "", tail, named)  # type: ignore[arg-type]
    return CheckFinished(run, "attempt")


def distilled(*events: Event) -> Distillate:
    return distill(Record(number, 0.0, event) for number, event in enumerate(events, 1))


def test_idea_place_change_evidence_and_what_to_avoid() -> None:
    begun = InputReceived("t", (Text("add() is wrong"),))
    looked = red(test_calc__test_add="fail", test_calc__test_zero="pass")
    found = distilled(
        begun,
        said("The sign is wrong.\n```python\nprint(1)\n```\nI turn it."),
        edited("calc.py", "def add(a, b):\n    return a - b\n", "def add(a, b):\n    return a * b\n"),
        looked,
        edited("calc.py", "def add(a, b):\n    return a * b\n", "def add(a, b):\n    return b * a\n"),
        edited("calc.py", "def add(a, b):\n    return b * a\n", "def add(a, b):\n    return abs(a * b)\n"),
        looked,
    )
    assert found.idea == "The sign is wrong. I turn it."
    assert found.places == ("calc.py:2",)
    assert found.tried[0] == "calc.py -`return a - b` +`return a * b`"
    assert found.failing == "test_calc::test_add: AssertionError: assert 6 == 5"
    assert found.avoid == ("2 edits of calc.py left this failure as it was",)
    assert estimate_tokens(str(found)) <= TOKENS
    for part in ("still failing: test_calc::test_add", "place: calc.py:2", "avoid: 2 edits"):
        assert part in str(found)


def test_a_failure_that_changed_is_no_reason_to_avoid_what_changed_it() -> None:
    found = distilled(red(a="fail"), edited("a.py", "1\n", "2\n"), edited("a.py", "2\n", "3\n"), red(b="fail"))
    assert found.avoid == () and found.failing.startswith("b: ")


def test_what_is_green_in_the_end_does_not_fail() -> None:
    green = CheckFinished(CheckRun("pytest", "t", True, 0, 0.1, "", "1 passed"), "final")
    assert distilled(red(a="fail"), edited("a.py", "1\n", "2\n"), green).failing == ""


def test_only_the_last_turn_counts() -> None:
    found = distilled(said("old"), red(a="fail"), InputReceived("t", (Text("new"),)), said("I look at it."))
    assert found == Distillate("I look at it.") and str(found) == "idea: I look at it."
    assert str(distilled()) == ""


def test_refusals_attempts_and_the_gates_words() -> None:
    refused = CallFinished(ToolResult("c", (Text("x"),), True), "a.py: old_string is not in the file")
    missing = ContextAdded("gate", "Not done yet; the checks say:\n- the check `x` fails")
    found = distilled(refused, missing, AttemptFinished(1, "slots", "a.py:total", "red", "assert 3 == 4"))
    assert found.avoid == ("a.py: old_string is not in the file",)
    assert found.failing == "- the check `x` fails"
    assert found.tried == ("slots at a.py:total: assert 3 == 4",) and found.places == ("a.py:total",)


def test_evidence_names_tests_and_reasons_and_is_one_line() -> None:
    many = {f"t{n}": "fail" for n in range(9)}
    run = CheckRun("pytest", "t", False, 1, 0.1, "", TAIL, many)  # type: ignore[arg-type]
    assert evidence(run) == "t0, t1, t2 and 6 more: AssertionError: assert 6 == 5"
    plain = CheckRun("make test", "t", False, 2, 0.1, "", "cc a.c\nmake: *** [test] Error 1\n")
    assert evidence(plain) == "`make test`: make: *** [test] Error 1"
    slow = CheckRun("x", "t", False, 124, 9.0, "", "", timed_out=True)
    assert evidence(slow) == "`x`: did not end in time"


@given(st.text(max_size=900), st.lists(st.tuples(st.text(max_size=200), st.text(max_size=400)), max_size=9))
def test_whatever_an_attempt_did_its_distillate_is_short(words: str, changes: list[tuple[str, str]]) -> None:
    edits = [edited(f"{'deep/' * 30}{n}.py", before, after) for n, (before, after) in enumerate(changes)]
    found = distilled(said(words * 3), *edits, red(words, **{f"t{n}": "fail" for n in range(30)}))
    assert estimate_tokens(str(found)) <= TOKENS


def test_its_own_end_is_nothing_that_was_tried_and_neither_are_attempts_with_logs_of_their_own() -> None:
    own = AttemptFinished(1, "loop", "", "red", "the check fails", "tree")
    other = AttemptFinished(2, "loop", "smallest change", "red", "the check fails", "tree", log="2.jsonl")
    found = distilled(said("I do."), edited("a.py", "1\n", "2\n"), own, other)
    assert (found.places, found.tried) == (("a.py:1",), ("a.py -`1` +`2`",))


def test_a_line_that_begins_with_dashes_is_a_line_and_an_edit_without_a_diff_is_one_too() -> None:
    found = distilled(edited("a.sql", "-- old\nselect 1\n", "++ new\nselect 1\n"))
    assert found.tried == ("a.sql -`-- old` +`++ new`",)
    bare = CallFinished(ToolResult("c", ()), "edited", {"diff": ""})
    assert distilled(bare).tried == ()
