"""Hosts that break the rules: each has a bounded end, and where it can be, the session goes on."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time

import pytest

from assay.surfaces.host.lines import LONGEST
from assay.testing.server import Call, Reply

from .command import Place
from .conftest import Serve
from .driven import AS_CLIENTS_DO, Driven

TOUCH = Reply("I do it.", calls=(Call("Bash", {"command": "touch made"}),))
SLOW = Reply(" ".join(map(str, range(400))), pace=0.05)
ASKED = ("--permission-prompt-tool", "stdio")
PROMPT = json.dumps({"type": "user", "message": {"role": "user", "content": "hi"}}).encode()


@pytest.mark.parametrize("line", [b"nope", b"[1]", b'{"type":', b"\xff\xfe{}", b"3", b"[" * 100_000])
def test_a_line_that_is_no_object_ends_it(place: Place, serve: Serve, line: bytes) -> None:
    driven = Driven(place, serve(Reply("hello")))
    driven.write(line + b"\n")
    ended = driven.end(1, close=False)
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("error: standard input: a line is")


def test_a_malformed_line_in_a_turn_ends_it_in_order(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(SLOW), "--include-partial-messages")
    driven.say("count")
    driven.wait(lambda frame: frame["type"] == "stream_event")
    driven.write(b"nope\n")
    assert driven.result()["is_error"]
    driven.end(1, close=False)
    assert place.events("turn_ended")


@pytest.mark.slow
def test_a_line_without_end_is_given_up(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(Reply("hello")))
    piece = b"x" * 1_000_000
    try:
        for _ in range(LONGEST // len(piece) + 2):
            driven.write(piece)
    except BrokenPipeError:
        pass
    ended = driven.end(1, close=False)
    assert "longer than" in ended.err


@pytest.mark.parametrize(
    "line",
    [
        b"", b"   ", b'{"type":"keep_alive"}', b'{"type":"no_such_type","x":[1]}', b"{}", b'{"type":7}',
        b'{"type":"control_response"}', b'{"type":"control_response","response":{"request_id":"never asked"}}',
        b'{"type":"control_cancel_request","request_id":"never made"}', b'{"type":"control_request"}',
        b'{"type":"control_request","request_id":"r","request":7}',
        b'{"type":"control_request","request_id":"r","request":{"subtype":[]}}',
    ],
)  # fmt: skip
def test_what_is_not_known_is_passed_over(place: Place, serve: Serve, line: bytes) -> None:
    driven = Driven(place, serve(Reply("hello")))
    driven.write(line + b"\n" + PROMPT + b"\n" + line + b"\n")
    assert driven.result()["result"] == "hello"
    driven.end()


@pytest.mark.parametrize("message", [None, {}, {"content": None}, {"content": []}, {"content": "  "}, {"content": 3}])
def test_a_prompt_that_is_none_has_a_result_of_its_own(place: Place, serve: Serve, message: object) -> None:
    driven = Driven(place, serve(Reply("hello")))
    driven.send(type="user", message=message)
    result = driven.result()
    assert (result["is_error"], result["subtype"]) == (True, "error_during_execution")
    driven.say("hi")
    assert driven.result()["result"] == "hello"
    driven.end()


def test_no_input_at_all(place: Place, serve: Serve) -> None:
    Driven(place, serve(Reply("hello"))).end()


def test_input_that_ends_in_the_middle_of_a_line(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(Reply("hello")))
    driven.write(PROMPT + b"\n" + PROMPT[:20])
    driven.close()
    assert driven.result()["result"] == "hello"
    assert "in the middle of a line" in driven.end().err


def test_a_last_line_without_its_end_counts(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(Reply("hello")))
    driven.write(PROMPT)
    driven.close()
    assert driven.result()["result"] == "hello"
    driven.end()


def test_input_from_a_file(place: Place, serve: Serve) -> None:
    (place.root / "lines").write_bytes(PROMPT + b"\n")
    argv = place.argv(serve(Reply("hello")), AS_CLIENTS_DO)
    with (place.root / "lines").open("rb") as lines:
        done = subprocess.run(
            argv, stdin=lines, capture_output=True, cwd=place.project, env=place.variables, timeout=60, check=True
        )
    assert json.loads(done.stdout.splitlines()[-1])["result"] == "hello"


def test_pipes_that_do_not_wait(place: Place, serve: Serve) -> None:
    """Some hosts hand over their own ends, which are set not to block."""
    program = (
        "import os, socket, subprocess, sys, time\n"
        "ours, theirs = socket.socketpair()\n"
        "theirs.setblocking(False); theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)\n"
        "process = subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=theirs); theirs.close()\n"
        f"time.sleep(0.5); ours.sendall({PROMPT!r} + bytes([10])); time.sleep(1)\n"
        "ours.shutdown(socket.SHUT_WR)\n"
        "while piece := ours.recv(1000): os.write(1, piece)\n"
        "sys.exit(process.wait(60))\n"
    )
    argv = place.argv(serve(Reply("word " * 40_000, chunk=4_000)), [*AS_CLIENTS_DO, "--include-partial-messages"])
    done = subprocess.run(
        [sys.executable, "-c", program, *argv], cwd=place.project, env=place.variables, capture_output=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    frames = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(frames[-1]["result"]) > 100_000


def test_a_host_that_dies_while_it_is_asked(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve([TOUCH, Reply("then not")]), *ASKED)
    driven.say("do it")
    driven.request("can_use_tool")
    driven.close()
    result = driven.result()
    driven.end()
    assert not (place.project / "made").exists()
    assert len(result["permission_denials"]) == 1


def test_a_host_that_closed_its_side_before_is_not_asked(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve([TOUCH, Reply("then not")]), *ASKED)
    driven.say("do it")
    driven.close()
    result = driven.result()
    driven.end()
    assert len(result["permission_denials"]) == 1
    assert not driven.of("control_request")


def test_a_host_that_never_answers(place: Place, serve: Serve) -> None:
    server = serve([TOUCH, Reply("then not"), Reply("still here")])
    driven = Driven(place, server, *ASKED, env={"ASSAY_HOST_PATIENCE": "0.3"})
    driven.say("do it")
    question = driven.request("can_use_tool")
    result = driven.result()
    assert len(result["permission_denials"]) == 1
    (withdrawn,) = driven.of("control_cancel_request")
    assert withdrawn["request_id"] == question["request_id"]
    driven.answer(question, {"behavior": "allow"})  # late
    driven.say("hi")
    assert driven.result()["result"] == "still here"
    driven.end()
    assert not (place.project / "made").exists()


def test_a_host_that_answers_twice(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve([TOUCH, Reply("done")]), *ASKED)
    driven.say("do it")
    question = driven.request("can_use_tool")
    driven.answer(question, {"behavior": "deny", "message": "no"})
    driven.answer(question, {"behavior": "allow", "updatedInput": {"command": "touch made"}})
    assert len(driven.result()["permission_denials"]) == 1
    driven.end()
    assert not (place.project / "made").exists()


@pytest.mark.parametrize("answer", [{}, {"behavior": "maybe"}, {"behavior": None}, [], "allow", None])
def test_an_answer_without_sense_is_a_no(place: Place, serve: Serve, answer: object) -> None:
    driven = Driven(place, serve([TOUCH, Reply("then not")]), *ASKED)
    driven.say("do it")
    driven.answer(driven.request("can_use_tool"), answer)
    assert len(driven.result()["permission_denials"]) == 1
    driven.end()
    assert not (place.project / "made").exists()


def test_an_error_for_an_answer_is_a_no(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve([TOUCH, Reply("then not")]), *ASKED)
    driven.say("do it")
    driven.answer(driven.request("can_use_tool"), "no callback", subtype="error")
    assert len(driven.result()["permission_denials"]) == 1
    driven.end()


def test_a_call_too_long_to_show_is_made_as_it_is(place: Place, serve: Serve) -> None:
    content = "0123456789" * 80_000
    write = Reply("", calls=(Call("Write", {"file_path": "long.txt", "content": content}),), chunk=100_000)
    driven = Driven(place, serve([write, Reply("done")]), *ASKED)
    driven.say("write")
    question = driven.request("can_use_tool")
    assert len(json.dumps(question)) < 500_000
    driven.answer(question, {"behavior": "allow", "updatedInput": question["request"]["input"]})
    driven.result()
    driven.end()
    assert (place.project / "long.txt").read_text() == content
    assert max(len(json.dumps(frame)) for frame in driven.frames) < 512 * 1024


def test_a_host_that_stops_reading(place: Place, serve: Serve) -> None:
    program = (
        "import os, subprocess, sys\n"
        "process = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        f"process.stdin.write({PROMPT!r} + bytes([10])); process.stdin.flush()\n"
        "process.stdout.readline(); process.stdout.close()\n"
        "sys.exit(process.wait(60))\n"
    )
    argv = place.argv(serve(SLOW), [*AS_CLIENTS_DO, "--include-partial-messages"])
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program, *argv], cwd=place.project, env=place.variables, capture_output=True, timeout=60
    )
    assert b"Traceback" not in done.stderr
    assert time.monotonic() - began < 40
    assert place.events("turn_ended")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--no-such-option",), "error: unknown option '--no-such-option'"),
        (("--resume=11111111-2222-4333-8444-555555555555",), "No conversation found with session ID: 11111111-"),
        (("--session-id=nonsense",), "--session-id takes a UUID"),
        (("--permission-mode", "nonsense"), "--permission-mode"),
        (("--system-prompt-file", "/no/such/file"), "--system-prompt-file"),
        (("--settings", "{nonsense"), "--settings"),
        (("a prompt",), "prompts come by standard input"),
    ],
)
def test_a_start_that_can_not_be_is_one_line_and_exit_1(
    place: Place, serve: Serve, words: tuple[str, ...], said: str
) -> None:
    driven = Driven(place, serve(Reply("hello")), *words)
    with contextlib.suppress(AssertionError, BrokenPipeError):
        driven.ask("initialize")
    ended = driven.end(1, close=False)
    assert said in ended.err
    assert ended.err.count("\n") == 1
    # Which session it was that is not there, hosts read from a result.
    assert [frame["type"] for frame in driven.frames] == ["result"] * ("No conversation" in said)
