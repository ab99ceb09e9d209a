"""One reply that repairs what a check says is broken costs one request, through each dialect."""

from __future__ import annotations

import pytest

from assay.testing.server import Call, Reply
from assay.testing.server.jobs import AFTER, PROJECT_FILE

from .command import DIALECTS, Place, tokens_sent, unbroken
from .conftest import Serve

CHECK = "python3 test_calc.py"


def edit(new: str, old: str = "a - b") -> Reply:
    return Reply("", calls=(Call("@edit", {"path": PROJECT_FILE, "old": f"return {old}", "new": f"return {new}"}),))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_solved_task_costs_one_call_and_the_gate(place: Place, serve: Serve, dialect: str) -> None:
    place.five_step()
    server = serve([edit("a + b")])
    ended = place.task(server, "--check", CHECK, dialect=dialect)
    ended.expect(0, "verified")
    assert (place.project / PROJECT_FILE).read_text() == AFTER
    assert ended.result["num_turns"] == len(server.requests) == 1
    assert ended.result["result"] == f"Changed {PROJECT_FILE}. `{CHECK}` failed before and passes now."
    row = ended.result["assay"]["evidence"][0]
    assert (row["class"], row["before"], row["after"]) == ("A", "fail", "pass")
    assert tokens_sent(server.requests) <= 1_900
    assert not server.errors


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_stays_red_goes_on_in_the_same_conversation(place: Place, serve: Serve, dialect: str) -> None:
    place.five_step()
    server = serve([edit("a * b"), edit("a + b", "a * b")])
    ended = place.task(server, "--check", CHECK, dialect=dialect)
    ended.expect(0, "verified")
    assert len(server.requests) == 2 and unbroken(server.requests)
    assert f"`{CHECK}` fails as before".encode() in server.requests[1].raw


def test_the_projects_own_red_test_is_a_goal_where_an_effort_is_named(place: Place, serve: Serve) -> None:
    place.write(
        {
            "calc.py": "def add(a, b):\n    return a - b\n",
            "test_calc.py": "import unittest\n\nfrom calc import add\n\n\nclass T(unittest.TestCase):\n"
            "    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n",
        }
    )
    place.commit()
    server = serve([edit("a + b")])
    ended = place.task(server, "--effort", "low", prompt="add() is wrong: fix it")
    ended.expect(0, "verified")
    assert {row["class"] for row in ended.result["assay"]["evidence"]} == {"B"}
    assert len(server.requests) == 1


@pytest.mark.parametrize("words", [(), ("--effort", "high")], ids=["plain", "with an effort"])
def test_a_question_costs_nothing_extra(place: Place, serve: Serve, words: tuple[str, ...]) -> None:
    place.five_step()
    server = serve([Reply("It subtracts."), Reply("It subtracts.")])
    place.run(server, "-p", "What does add() do?", *words).expect(0)
    assert len(server.requests) == 1 and b"<located>" not in server.requests[0].raw
    assert tokens_sent(server.requests) <= 1_300
