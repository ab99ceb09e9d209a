"""A task for which nobody gave a check: one is written from the task alone, earns its vote, and stays as evidence."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

from assay.testing.server import Call, Reply, SeenRequest

from .command import Place
from .conftest import Serve

CODE = "def add(a, b):\n    return a - b\n"
OLD = "from calc import add\n\n\ndef test_nothing_added():\n    assert add(4, 0) == 4\n"
TASK = "add(2, 3) should give 5"
ASKED = "You are the tester now"
ANOTHER = "This is another attempt"
FENCE = "```"
TEST = f"""\
{FENCE}python path=tests/test_sum.py
# fails now with: assert -1 == 5
from calc import add


def test_sum():
    assert add(2, 3) == 5
{FENCE}
"""
WRONG_TEST = TEST.replace("== 5", "== 6")


def solver(line: str) -> list[Reply]:
    fix = Call("@edit", {"path": "calc.py", "old": "return a - b", "new": line})
    return [Reply("", calls=(Call("@read", {"path": "calc.py"}),)), Reply("", calls=(fix,)), Reply("Done.")]


def answers(tests: str, first: str, then: str) -> Callable[[SeenRequest], Reply]:
    def answer(seen: SeenRequest) -> Reply:
        text = "\n".join(turn.text for turn in takewhile(lambda turn: turn.role != "assistant", seen.history))
        if ASKED in text:
            assert "return a" not in text, "the tester sees no candidate"
            return Reply(tests)
        script = solver(then if ANOTHER in text else first)
        return script[min(seen.position, len(script) - 1)]

    return answer


def project(place: Place) -> Path:
    files = {
        "calc.py": CODE,
        "tests/test_old.py": OLD,
        "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = '.'\n",
    }
    for path, text in files.items():
        (place.project / path).parent.mkdir(exist_ok=True)
        (place.project / path).write_text(text)
    place.commit()
    return place.project


def test_a_written_check_tells_the_right_attempt_from_the_first(place: Place, serve: Serve) -> None:
    where = project(place)
    server = serve(answers(TEST, "return a", "return a + b"))
    ended = place.run(server, "-p", TASK, "--output-format", "json", "--attempts", "2").expect(0, "verified")
    assert (where / "calc.py").read_text() == CODE.replace("-", "+")
    assert "add(2, 3) == 5" in (where / "tests/test_sum.py").read_text()
    proof = ended.result["assay"]
    assert (proof["attempts"]["selected"], proof["attempts"]["first_passed"]) == (2, False)
    assert {row["class"] for row in proof["evidence"] if row["after"] == "pass"} >= {"C"}
    assert proof["tokens"]["by_role"]["tester"] > 0
    assert sum(proof["tokens"]["by_role"].values()) == proof["tokens"]["total"]


def test_a_check_that_is_wrong_has_no_vote(place: Place, serve: Serve) -> None:
    where = project(place)
    server = serve(answers(WRONG_TEST, "return a + b", "return b + a"))
    ended = place.run(server, "-p", TASK, "--output-format", "json", "--attempts", "2").expect(10, "partial")
    assert "return a + b" in (where / "calc.py").read_text(), "nothing speaks for another than the first"
    assert not (where / "tests/test_sum.py").exists()
    assert ended.result["assay"]["attempts"]["made"] == 2


def test_without_the_word_nobody_is_asked_for_checks(place: Place, serve: Serve) -> None:
    project(place)
    server = serve(answers(TEST, "return a", "return a + b"))
    place.run(server, "-p", TASK, "--output-format", "json")
    assert not any(ASKED in turn.text for seen in server.requests for turn in seen.history)
