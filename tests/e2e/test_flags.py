"""Flags that change what a run may do or send, and the commands that need no model."""

from __future__ import annotations

import json

import pytest

from assay.testing.server import Call, Fault, Reply
from assay.testing.server.jobs import AFTER, PROJECT_FILE, five_step

from .command import Place
from .conftest import Serve

EDIT = Call("@edit", {"path": "a.txt", "old": "old", "new": "new"})
OWN = {"Bash", "Read", "Edit", "Write", "Glob", "Grep", "NotebookEdit", "TodoWrite", "WebFetch", "finish"}
GREEN = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        self.assertTrue({})\n"


def test_plan_mode_changes_nothing(place: Place, serve: Serve) -> None:
    place.write({"a.txt": "old\n"})
    shell = Call("@shell", {"command": "echo new > a.txt; cat a.txt"})
    hidden = Call("@shell", {"command": "python3 -c 'open(chr(97) + chr(46) + \"txt\", chr(119))'; cat a.txt"})
    server = serve(
        [
            Reply("I write.", calls=(shell, hidden)),
            Reply("I edit.", calls=(EDIT,)),
            Reply("The plan."),
        ]
    )
    ended = place.task(server, "--permission-mode", "plan", prompt="Plan it").expect(0, "answered")
    assert (place.project / "a.txt").read_text() == "old\n"
    assert [call["tool_name"] for call in ended.result["permission_denials"]] == ["Bash", "Edit"]
    assert "Read-only file system" in server.requests[1].raw.decode()
    place.task(server, prompt="Do it")
    planned, done = (server.requests[at].tools for at in (0, 3))
    assert planned == done, "the prefix of requests does not move when the mode changes"


def test_tools_can_be_chosen_and_refused(place: Place, serve: Serve) -> None:
    place.write({"a.txt": "old\n"})
    server = serve(Reply("No."))
    place.task(server, "--tools", "read,shell", prompt="Look")
    place.task(server, "--disallowedTools", "Edit", "Bash(rm:*)", prompt="Look")
    first, second = ({tool.name for tool in seen.tools} for seen in server.requests)
    assert first & OWN == {"Read", "Bash", "finish"}
    assert second & OWN == OWN - {"Edit", "NotebookEdit", "WebFetch"}


def test_rules_bind_calls(place: Place, serve: Serve) -> None:
    place.write({"a.txt": "old\n", "secret.txt": "hidden-word"})
    calls = (EDIT, Call("@shell", {"command": "rm -f a.txt"}), Call("@read", {"path": "secret.txt"}))
    server = serve([Reply("I try.", calls=calls), Reply("No.")])
    rules = ("--disallowedTools", "Edit(a.txt)", "Bash(rm:*)", "Read(secret.txt)")
    ended = place.task(server, *rules, prompt="Do it").expect(0, "answered")
    assert len(ended.result["permission_denials"]) == 3
    assert (place.project / "a.txt").read_text() == "old\n"
    assert "hidden-word" not in server.requests[1].raw.decode()


def test_system_text_is_replaced_and_added_to(place: Place, serve: Serve) -> None:
    server = serve(Reply("Four."))
    place.run(server, "-p", "x", "--system-prompt", "You are a cat.").expect(0)
    place.run(server, "-p", "x", "--append-system-prompt", "Purr.").expect(0)
    first, second = server.requests
    assert first.system == "You are a cat."
    assert second.system.endswith("Purr.")
    assert len(second.system) > 300


def test_a_fallback_model_answers_when_the_first_does_not(place: Place, serve: Serve) -> None:
    ended = place.run(
        None, "-p", "x", "--model", "a/m", "--fallback-model", "b/m", "--output-format", "json", "--settings",
        json.dumps({"providers": {name: {"baseUrl": serve(Reply("Four."), faults).url, "dialect": "anthropic",
                                         "keyRequired": False}
                                  for name, faults in (("a", [Fault("rate_limit_day", times=None)]), ("b", []))}}),
    ).expect(0, "answered")  # fmt: skip
    assert ended.result["result"] == "Four."


def test_an_added_directory_may_be_written(place: Place, serve: Serve) -> None:
    beside = place.root / "beside"
    beside.mkdir()
    write = Call("@write", {"path": f"{beside}/b.txt", "content": "new\n"})
    shell = Call("@shell", {"command": f"cat {beside}/b.txt; echo two >> {beside}/c.txt"})
    server = serve([Reply("I write.", calls=(write, shell)), Reply("Done.")])
    place.run(server, "-p", "Write", "--add-dir", str(beside))
    assert sorted(path.name for path in beside.iterdir()) == ["b.txt", "c.txt"]


def test_a_receipt_can_be_checked_again(place: Place, serve: Serve) -> None:
    place.five_step()
    ended = place.run(serve(five_step(place.project)), "-p", "Repair calc.py", "--check", "python3 test_calc.py")
    [receipt] = [line.removeprefix("receipt: ") for line in ended.expect(0).err.splitlines() if "receipt: " in line]
    held = place.run(None, "check", "--receipt", receipt).expect(0).out
    assert "every row holds" in held
    (place.project / PROJECT_FILE).write_text(AFTER.replace("+", "-"))
    assert "check out that state" in place.run(None, "check", "--receipt", receipt).expect(1).err


@pytest.mark.parametrize(
    ("files", "code"),
    [({"test_it.py": GREEN.format(1)}, 0), ({"test_it.py": GREEN.format(0)}, 1), ({"a.txt": "x"}, 10)],
    ids=["green", "red", "none"],
)
def test_check_alone(place: Place, files: dict[str, str], code: int) -> None:
    place.write(files)
    ended = place.run(None, "check", "--json").expect(code)
    assert isinstance(ended.result, dict)
    assert {path.name for path in place.project.iterdir()} - {"__pycache__"} == set(files)


def test_help_version_and_doctor(place: Place) -> None:
    assert "usage: assay" in place.run(None, "--help").expect(0).out
    assert place.run(None, "--version").expect(0).out.endswith(" (assay)\n")
    for command in ("sessions", "models", "check", "doctor", "resume", "demo"):
        assert place.run(None, command, "--help").expect(0).out
    findings = place.run(None, "doctor", "--json").result
    assert {"sandbox", "state"} <= {row["what"] for row in findings}
