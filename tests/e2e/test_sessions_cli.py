"""Sessions from outside: going on, forking, and list, show, export, delete."""

from __future__ import annotations

import json

import pytest

from assay.testing.server import Call, Fault, Reply

from .command import DIALECTS, EACH, Place, unbroken, wait_for
from .conftest import Serve

TALK = [Reply("One."), Reply("Two."), Reply("Three.")]


@pytest.mark.parametrize("dialect", EACH)
def test_going_on_extends_the_conversation(place: Place, serve: Serve, dialect: str) -> None:
    server = serve(TALK)
    first = place.task(server, prompt="First question", dialect=dialect).expect(0).result["session_id"]
    second = place.task(server, "--continue", prompt="Second question", dialect=dialect).expect(0).result
    assert (second["session_id"], second["result"]) == (first, "Two.")
    third = place.task(server, "--resume", first[:30], prompt="Third question", dialect=dialect).expect(0).result
    assert (third["session_id"], third["result"]) == (first, "Three.")
    assert unbroken(server.requests)
    assert [turn.text for turn in server.requests[-1].history if turn.role == "assistant"] == ["One.", "Two."]


def test_a_session_goes_on_through_another_dialect(place: Place, serve: Serve) -> None:
    look = Call("@shell", {"command": "echo seen"})
    server = serve([Reply("I look.", thinking="Hm.", calls=(look,)), Reply("One."), Reply("Two."), Reply("Three.")])
    for number, dialect in enumerate(DIALECTS):
        more = ("--continue",) if number else ()
        place.task(server, *more, prompt=f"Question {number}", dialect=dialect).expect(0)
    assert "seen" in str(server.requests[-1].body)
    assert [turn.text for turn in server.requests[-1].history if turn.text in ("One.", "Two.")] == ["One.", "Two."]


def test_a_fork_leaves_the_session_as_it_is(place: Place, serve: Serve) -> None:
    server = serve(TALK)
    first = place.task(server, prompt="First question").result["session_id"]
    before = place.logs[0].read_bytes()
    fork = place.task(server, "--continue", "--fork-session", prompt="Second question").expect(0).result
    assert fork["session_id"] != first
    assert fork["result"] == "Two."
    assert place.logs[0].read_bytes() == before
    assert place.task(server, "--resume", first, prompt="Another").expect(0).result["result"] == "Two."


@pytest.mark.row(52)
def test_two_writers_do_not_mix(place: Place, serve: Serve) -> None:
    server = serve([Reply("One."), Reply("Two.", delay=30.0)])
    place.task(server, prompt="First question").expect(0)
    process = place.start(server, "--continue", "-p", "Second question")
    wait_for(lambda: len(server.requests) == 2)
    ended = place.start(server, "--continue", "-p", "At the same time")
    out, err = ended.communicate(timeout=20)
    assert (ended.returncode, out) == (9, b"")
    assert b"--fork-session" in err or b"in use" in err
    process.kill()


def test_list_show_export_delete(place: Place, serve: Serve) -> None:
    edit = Call("@edit", {"path": "a.txt", "old": "old", "new": "new"})
    place.write({"a.txt": "old\n"})
    server = serve([Reply("I edit.", calls=(edit,)), Reply("Done.")])
    first = place.task(server, "--check", "grep new a.txt", prompt="Make it new").expect(0).result["session_id"]
    place.run(serve(Reply("Four.")), "-p", "What is 2 + 2?").expect(0)
    listed = place.run(None, "sessions", "list").expect(0).out.splitlines()
    assert len(listed) == 2
    assert "verified" in listed[1]
    assert "Make it new" in listed[1]
    assert len(place.run(None, "sessions", "list", "--json").expect(0).result) == 2
    assert place.run(None, "sessions", "list", cwd=place.home).expect(0).out == ""
    shown = place.run(None, "sessions", "show", first).expect(0).out
    assert "verified" in shown
    assert first in shown
    kinds = [event["kind"] for event in place.events(log=place.logs[0])]
    assert kinds[0] == "session_started"
    assert kinds[-1] == "turn_ended"
    transcript = place.run(None, "sessions", "export", first, "--format", "md").expect(0).out
    assert "Make it new" in transcript
    assert "I edit." in transcript
    place.run(None, "sessions", "export", first, "--format", "raw", "-o", "copy.jsonl").expect(0)
    assert (place.project / "copy.jsonl").read_bytes() == place.logs[0].read_bytes()
    place.run(None, "sessions", "delete", first).expect(0)
    assert len(place.run(None, "sessions", "list").out.splitlines()) == 1
    place.run(None, "sessions", "delete", "--all").expect(0)
    assert place.logs == []


@pytest.mark.row(by={"torn tail": 46, "garbage in the middle": 47, "zeros at the end": 47})
@pytest.mark.parametrize("damage", ["torn tail", "garbage in the middle", "zeros at the end"])
def test_a_damaged_log_is_told_of_and_gone_on_with(place: Place, serve: Serve, damage: str) -> None:
    server = serve([Reply("One."), *[Reply("Two.")] * 2])
    place.task(server, prompt="First question").expect(0)
    place.damaged = True
    log = place.logs[0]
    lines = log.read_bytes().splitlines(keepends=True)
    if damage == "torn tail":
        log.write_bytes(b"".join(lines)[:-20])
    elif damage == "garbage in the middle":
        log.write_bytes(b"".join([*lines[:3], b"\x00garbage\xff\n", *lines[3:]]))
    else:
        log.write_bytes(b"".join(lines) + b"\0" * 500)
    ended = place.run(server, "--continue", "-p", "Second question", "--output-format", "json").expect(0)
    assert ended.result["result"] == "Two."
    assert "!" in ended.err
    assert "First question" in server.requests[-1].history[0].text
    assert place.run(None, "sessions", "show", log.stem).code == 0


def test_a_turn_that_ran_out_of_budget_goes_on(place: Place, serve: Serve) -> None:
    looks = [Reply("I look.", calls=(Call("@shell", {"command": f"echo {n}"}),)) for n in range(3)]
    server = serve([*looks, Reply("Done.")])
    place.task(server, "--max-turns", "2", prompt="Look").expect(5, "budget")
    ended = place.run(server, "resume", "--output-format", "json").expect(0, "answered")
    assert ended.result["result"] == "Done."
    assert unbroken(server.requests)


def test_a_provider_that_failed_is_asked_again_on_going_on(place: Place, serve: Serve) -> None:
    server = serve([Reply("Four.")], [Fault("unauthorized")])
    place.task(server, prompt="What is 2 + 2?").expect(3, "auth")
    assert place.run(server, "resume").expect(0).out == "Four.\n"
    assert unbroken(server.requests)


def test_settings_and_instructions_reach_the_model_and_the_policy(place: Place, serve: Serve) -> None:
    place.write({"AGENTS.md": "Always speak of cheese.\n", ".assay/settings.json": json.dumps(
        {"permissions": {"deny": ["Bash(ls:*)"], "allow": ["Bash"]}, "maxTurns": 3, "nonsense": 1})})  # fmt: skip
    server = serve([Reply("I look.", calls=(Call("@shell", {"command": "ls -a"}),)), Reply("Done.")])
    ended = place.task(server, prompt="Look").expect(0, "answered")
    assert "Always speak of cheese." in server.requests[0].raw.decode()
    assert [call["tool_name"] for call in ended.result["permission_denials"]] == ["Bash"]
    assert "ignored permissions.allow" in ended.err
    assert "unknown key 'nonsense'" in ended.err
