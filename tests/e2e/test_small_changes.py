"""While a model reads, small changes are tried without it; when its own edit does not do, it is told what would."""

from __future__ import annotations

from assay.testing.server import Call, Reply, SeenRequest

from .command import Place
from .conftest import Serve

CODE = "def add(a, b):\n    return a - b\n"
TESTS = """\
import unittest

from calc import add


class Adding(unittest.TestCase):
    def test_adding(self):
        self.assertEqual(add(2, 3), 5)
        self.assertEqual(add(-1, 1), 0)
        self.assertEqual(add(10, -4), 6)
"""


def edit(old: str, new: str) -> Reply:
    return Reply("", calls=(Call("@edit", {"path": "calc.py", "old": old, "new": new}),))


def test_a_wrong_edit_is_answered_with_changes_that_pass(place: Place, serve: Serve) -> None:
    for path, text in {"calc.py": CODE, "test_calc.py": TESTS}.items():
        (place.project / path).write_text(text)
    place.commit()

    def answer(seen: SeenRequest) -> Reply:
        return edit("return a - b", "return a * b") if seen.position == 0 else edit("return a * b", "return a + b")

    server = serve(answer)
    ended = place.task(server, "--check", "python3 -m unittest -q", prompt="add is wrong").expect(0, "verified")
    assert len(server.requests) == 2
    first, second = ("\n".join(turn.text for turn in seen.history) for seen in server.requests)
    assert "These small changes, found by trying" not in first
    assert "These small changes, found by trying" in second
    assert "+    return a + b" in second
    assert ended.result["assay"]["attempts"]["made"] == 1, "what was tried is no attempt of the turn"
