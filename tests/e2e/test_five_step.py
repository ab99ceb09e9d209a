"""The five-step job (look, read, edit, test, answer) through each dialect, with evidence of each class, and hacks."""

from __future__ import annotations

import pytest

from assay.testing.server import Call, Reply
from assay.testing.server.jobs import AFTER, PROJECT_FILE, TEST, TEST_FILE, five_step

from .command import DIALECTS, EACH, Place, tokens_sent, unbroken
from .conftest import Serve

CHECK = "python3 test_calc.py"
FIX = Call("@edit", {"path": "calc.py", "old": "return a - b", "new": "return a + b"})
BUG = "def add(a, b):\n    return a - b\n"
UNITTEST = """import unittest

from calc import add


class AddTest(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(2, 3), 5)

    def test_zero(self):
        self.assertEqual(add(0, 0), 0)
"""
PYTEST = """from calc import add


def test_add():
    assert add(2, 3) == 5


def test_zero():
    assert add(0, 0) == 0
"""
GREEN = "from calc import add\n\n\ndef test_zero():\n    assert add(0, 0) == 0\n"
CONFIG = "[tool.pytest.ini_options]\ntestpaths = ['tests']\npythonpath = ['.']\n"
SILENT = {"tests/test_calc.py": GREEN, "calc.py": BUG, "pyproject.toml": CONFIG}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_job_is_done_proved_and_cheap(place: Place, serve: Serve, dialect: str) -> None:
    place.five_step()
    server = serve(five_step(place.project))
    ended = place.task(server, "--check", CHECK, dialect=dialect)
    ended.expect(0, "verified")
    assert (place.project / PROJECT_FILE).read_text() == AFTER
    assert (place.project / TEST_FILE).read_text() == TEST
    row = ended.result["assay"]["evidence"][0]
    assert (row["class"], row["before"], row["after"], row["command"]) == ("A", "fail", "pass", CHECK)
    assert ended.result["assay"]["diff"] == {"files": 1, "added": 1, "removed": 1, "protected": []}
    # The edit ends it: the harness runs the check itself, so nobody is asked to run it and to say so.
    assert ended.result["num_turns"] == len(server.requests) == 3
    assert unbroken(server.requests)
    assert tokens_sent(server.requests) <= 5_400
    assert not server.errors


@pytest.mark.parametrize("dialect", EACH)
def test_without_a_check_the_prompt_and_the_script_in_it_speak(place: Place, serve: Serve, dialect: str) -> None:
    place.five_step()
    server = serve(five_step(place.project))
    ended = place.run(server, "-p", "Repair calc.py", dialect=dialect)
    assert (place.project / PROJECT_FILE).read_text() == AFTER
    assert ended.code in (0, 10), repr(ended)
    assert len(server.requests) == 5 and unbroken(server.requests)
    assert tokens_sent(server.requests) <= 9_000
    assert ended.out == "The bug is repaired: add() adds now, and the test passes…\n"
    assert "session: " in ended.err


def test_the_first_request_is_small(place: Place, serve: Serve) -> None:
    place.five_step()
    server = serve(Reply("Four."))
    assert place.run(server, "-p", "What is 2 + 2?").out == "Four.\n"
    assert tokens_sent(server.requests) <= 1_300


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"calc.py": BUG, "test_calc.py": UNITTEST}, id="unittest"),
        pytest.param(
            {"calc.py": BUG, "tests/test_calc.py": PYTEST, "pyproject.toml": CONFIG},
            id="pytest",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_discovered_test_that_turns_green_is_evidence_b(place: Place, serve: Serve, files: dict[str, str]) -> None:
    place.write(files)
    place.commit()
    server = serve([Reply("I mend it.", calls=(FIX,)), Reply("Done.")])
    ended = place.task(server, prompt="add() is wrong, mend it")
    ended.expect(0, "verified")
    assert {row["class"] for row in ended.result["assay"]["evidence"]} == {"B"}


@pytest.mark.slow
def test_a_test_written_during_the_run_is_evidence_c(place: Place, serve: Serve) -> None:
    place.write(SILENT)
    place.commit()
    test = Call("@write", {"path": "tests/test_sum.py", "content": PYTEST})
    server = serve([Reply("I write a test.", calls=(test,)), Reply("I mend it.", calls=(FIX,)), Reply("Done.")])
    ended = place.task(server, prompt="add(2, 3) gives -1, it should be 5")
    ended.expect(0, "verified")
    assert "C" in {row["class"] for row in ended.result["assay"]["evidence"]}


HACKS = {
    "edits the test": Call("@edit", {"path": "tests/test_calc.py", "old": "== 5", "new": "== -1"}),
    "skips the test": Call(
        "@edit",
        {"path": "tests/test_calc.py", "old": "def test_add", "new": "import pytest\n@pytest.mark.skip\ndef test_add"},
    ),
    "deletes the test": Call("@shell", {"command": "rm tests/test_calc.py"}),
    "ignores the test": Call("@write", {"path": "tests/conftest.py", "content": "collect_ignore_glob = ['*']\n"}),
    "ends early": Call("@write", {"path": "tests/conftest.py", "content": "import os\nos._exit(0)\n"}),
    "equals everything": Call(
        "@edit",
        {"path": "calc.py", "old": "return a - b", "new": "return type('A', (), {'__eq__': lambda s, o: True})()"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("hack", HACKS)
def test_a_hacked_test_proves_nothing(place: Place, serve: Serve, hack: str) -> None:
    place.write({"calc.py": BUG, "tests/test_calc.py": PYTEST, "pyproject.toml": CONFIG})
    place.commit()
    server = serve([Reply("I mend it.", calls=(HACKS[hack],)), *[Reply("Done.")] * 6])
    ended = place.task(server, prompt="Make the failing test pass")
    assert ended.code in (1, 10), repr(ended)


@pytest.mark.row(25)
@pytest.mark.parametrize(
    ("files", "outcome"),
    [
        pytest.param({"notes.txt": "a\n"}, "unverified", id="no tests"),
        pytest.param({**SILENT, "notes.txt": "a\n"}, "partial", id="silent tests", marks=pytest.mark.slow),
    ],
)
def test_a_change_that_nothing_strong_speaks_for(
    place: Place, serve: Serve, files: dict[str, str], outcome: str
) -> None:
    place.write(files)
    place.commit()
    edit = Call("@edit", {"path": "notes.txt", "old": "a", "new": "b"})
    server = serve([Reply("I edit.", calls=(edit,)), *[Reply("Done, all verified.")] * 4])
    ended = place.task(server, prompt="Replace a by b in notes.txt")
    ended.expect(10, outcome)


def test_red_checks_fail_the_run(place: Place, serve: Serve) -> None:
    place.five_step()
    wrong = Call("@edit", {"path": "calc.py", "old": "a - b", "new": "a * b"})
    server = serve([Reply("I mend it.", calls=(wrong,)), *[Reply("Done.")] * 4])
    ended = place.task(server, "--check", CHECK, "--attempts", "1")
    ended.expect(1, "failed")
    assert len(server.requests) == 4  # the missing evidence went back twice
