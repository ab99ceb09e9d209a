"""Written checks: read with care, and a vote only for those that earned it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.messages import AssistantMessage, Text, UserMessage
from assay.core.model import ModelRequest
from assay.search.written import Earned, Ran, Written, earn, example_of, kills, read_checks, request_checks

REPLY = """\
Two tests.

```python path=tests/test_total.py
# fails now with: assert 3 == 4
def test_total():
    assert total([2, 2]) == 4
```

~~~python path="tests/test_empty.py"
# FAILS NOW WITH: ZeroDivisionError
def test_empty():
    assert total([]) == 0
~~~

```python path=src/shop.py
# fails now with: nothing
```

```python path=tests/test_silent.py
def test_nothing():
    pass
```

```python path=tests/../../etc/test_x.py
# fails now with: x
```
"""
FILES = ["src/shop.py", "tests/test_old.py"]


def test_checks_are_new_test_files_that_say_how_they_fail() -> None:
    found = read_checks(REPLY, FILES, 5)
    assert [(check.path, check.because) for check in found] == [
        ("tests/test_total.py", "assert 3 == 4"),
        ("tests/test_empty.py", "ZeroDivisionError"),
    ]
    assert found[0].text.endswith("== 4\n")
    assert read_checks(REPLY, FILES, 1) == found[:1]
    assert read_checks(REPLY, [*FILES, "tests/test_total.py"], 5) == found[1:], "what exists is not written over"


@pytest.mark.parametrize(
    "path", [".claude/tests/test_a.py", "tests/.vscode/test_a.py", "tests/../test_a.py", "/test_a.py"]
)
def test_a_check_lies_where_a_model_may_write(path: str) -> None:
    reply = f"```python path={path}\n# fails now with: it\nassert 0\n```"
    assert read_checks(reply, (), 1) == []
    assert read_checks(reply.replace(path, "tests/test_a.py"), (), 1)


@given(st.text(alphabet="`~ \npath=ab/test_.py#:fails now with", max_size=300))
def test_reading_never_raises(reply: str) -> None:
    for check in read_checks(reply, FILES, 3):
        assert check.because


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (["a.py"], "test_NAME.py"),
        (["a.py", "tests/test_a.py"], "tests/test_NAME.py"),
        (["src/a.ts", "src/a.test.ts"], "src/NAME.test.ts"),
        (["main.go"], "NAME_test.go"),
        (["a.f90"], ""),
    ],
)
def test_an_example_is_as_the_project_has_it(files: list[str], path: str) -> None:
    assert example_of(files)[1] == path


def test_the_tester_is_asked_behind_what_the_provider_has_cached() -> None:
    said = UserMessage((Text("mend it"), Text("the card")))
    base = ModelRequest("system", (), (said,), session="s")
    request = request_checks(base, FILES, 2)
    assert request is not None
    assert (request.system, request.session, len(request.messages)) == ("system", "s", 1)
    assert request.messages[0].parts[:2] == said.parts
    assert "at most 2" in str(request.messages[0].parts[2])
    later = request_checks(ModelRequest("", (), (said, AssistantMessage((Text("well"),), "end"))), FILES, 1)
    assert later is not None
    assert len(later.messages) == 3
    assert request_checks(base, ["a.f90"], 2) is None


class Trees:
    """What each check says about each tree: a result, or how it fails."""

    def __init__(self, **said: str) -> None:
        self.said = said
        self.asked: list[tuple[str, str]] = []

    async def run(self, tree: str, check: Written) -> Ran:
        self.asked.append((tree, check.path))
        word = self.said[tree]
        return Ran(word) if word in ("pass", "none") else Ran("fail", word)  # type: ignore[arg-type]


CHECK = Written("tests/test_a.py", "", "assert 3 == 4")


async def judge(trees: Trees, candidates: dict[int, str], clusters: dict[int, str]) -> tuple[list[Earned], str]:
    earned, dropped = await earn([CHECK], "start", candidates, clusters, trees.run)
    return earned, dropped.get(CHECK.path, "")


async def test_a_check_votes_when_it_failed_as_stated() -> None:
    earned, _ = await judge(Trees(start="E assert 3 == 4", one="pass", two="E"), {1: "one", 2: "two"}, {1: "x", 2: "y"})
    assert [each.votes for each in earned] == [{1: True, 2: False}]


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ("pass", "passes on the unchanged tree"),
        ("none", "could not run on the unchanged tree"),
        ("NameError: total", "failed without the stated 'assert'"),
    ],
)
async def test_a_check_that_says_nothing_about_the_unchanged_tree_has_no_vote(start: str, why: str) -> None:
    earned, dropped = await judge(Trees(start=start, one="pass"), {1: "one"}, {})
    assert not earned
    assert why in dropped


async def test_a_majority_of_different_results_outvotes_a_check() -> None:
    trees = Trees(start="assert 3 == 4", one="E", two="E", three="pass")
    candidates = {1: "one", 2: "two", 3: "three"}
    earned, dropped = await judge(trees, candidates, {1: "x", 2: "y", 3: "z"})
    assert not earned
    assert dropped == "2 of 3 different results contradict it"
    assert (await judge(trees, candidates, {1: "x", 2: "x", 3: "z"}))[0], "those that behave alike have one voice"


async def test_a_check_kills_a_mutant_or_it_does_not() -> None:
    trees = Trees(a="pass", b="none", c="E", d="E")
    assert await kills(CHECK, ["a", "b", "c", "d"], trees.run)
    assert trees.asked[-1][0] == "c", "one is enough"
    assert not await kills(CHECK, ["a", "b", "c"], trees.run, most=2)
