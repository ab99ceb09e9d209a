"""Killed, interrupted, ended: what is left behind, and how it goes on."""

from __future__ import annotations

import random
import shlex
import signal
import subprocess
import time

import pytest

from assay.testing.server import Call, Fault, Reply, ScriptedServer
from assay.testing.server.jobs import AFTER, PROJECT_FILE

from .command import Ended, Place, interrupt, unbroken, wait_for
from .conftest import Serve

CHECK = "python3 test_calc.py"
SEED = 20261117
SLEEP = Reply("I wait.", calls=(Call("@shell", {"command": "touch begun; sleep 300"}),))
STEPS = (
    Reply("I look.", calls=(Call("@shell", {"command": "ls"}),), pace=0.005),
    Reply("I count.", calls=(Call("@shell", {"command": "echo one >> count; sleep 0.05"}),), pace=0.005),
    Reply(
        "I mend.",  # and go on: a reply that only edits would end it
        calls=(
            Call("@edit", {"path": PROJECT_FILE, "old": "a - b", "new": "a + b"}),
            Call("@shell", {"command": "ls"}),
        ),
        pace=0.005,
    ),
    Reply("I count.", calls=(Call("@shell", {"command": "sleep 0.05; echo two >> count"}),), pace=0.005),
    Reply(
        "I make sure.", calls=(Call("@shell", {"command": "sed -i 's/a - b/a + b/' calc.py; " + CHECK}),), pace=0.005
    ),
    Reply("Done."),
)


def effects(place: Place) -> list[str]:
    path = place.project / "count"
    return path.read_text().split() if path.exists() else []


@pytest.mark.row(44, 49)
@pytest.mark.slow
@pytest.mark.parametrize("moment", range(10))
def test_killed_at_any_moment_it_goes_on_to_the_same_end(place: Place, serve: Serve, moment: int) -> None:
    place.five_step()
    server = serve(STEPS)
    process = place.start(server, "-p", "Repair calc.py", "--check", CHECK)
    # By the growth of the log, so that the moments lie alike on slow machines and fast ones.
    wait_for(lambda: place.logs and place.logs[0].read_bytes().count(b"\n") > 2 + 2 * moment)
    time.sleep(random.Random(SEED + moment).random() / 20)
    process.kill()
    process.communicate()
    assert not place.survivors()
    if not place.events("turn_ended"):
        resumed = place.run(server, "resume", place.logs[0].stem, "--output-format", "json", "--check", CHECK)
        resumed.expect(0, "verified")
    assert (place.project / PROJECT_FILE).read_text() == AFTER
    assert len(effects(place)) == len(set(effects(place)))
    assert unbroken(server.requests)
    assert not server.errors


@pytest.mark.row(44)
def test_killed_while_the_result_is_judged_only_that_is_done_again(place: Place, serve: Serve) -> None:
    write = (Call("@write", {"path": "a", "content": "1"}), Call("@shell", {"command": "ls"}))
    server = serve([Reply("I write.", calls=write), Reply("Done.")])
    check = ("--check", "test -e a && sleep 0.6", "--output-format", "json")
    process = place.start(server, "-p", "Write", *check)
    wait_for(lambda: len(server.requests) == 2)
    time.sleep(0.3)
    process.kill()
    process.communicate()
    ended = place.run(server, "resume", *check).expect(0, "verified")
    assert ended.result["result"] == "Done."
    assert len(server.requests) == 2


@pytest.mark.row(44)
def test_killed_while_a_single_shot_is_judged_nobody_is_asked_again(place: Place, serve: Serve) -> None:
    server = serve([Reply("I write.", calls=(Call("@write", {"path": "a", "content": "1"}),))])
    check = ("--check", "test -e a && sleep 2", "--output-format", "json")
    process = place.start(server, "-p", "Write", *check)
    wait_for(lambda: place.logs and b'"kind":"result"' in place.logs[0].read_bytes())
    time.sleep(0.2)
    process.kill()
    process.communicate()
    ended = place.run(server, "resume", *check).expect(0, "verified")
    assert ended.result["result"] == "I write."
    assert len(server.requests) == 1


@pytest.mark.row(49)
def test_an_effect_that_was_under_way_is_reported_and_not_repeated(place: Place, serve: Serve) -> None:
    place.write({"a.txt": "a\n"})
    shell = Call("@shell", {"command": "echo x >> count; sleep 300"})
    server = serve([Reply("I count.", calls=(shell,)), Reply("Done.")])
    process = place.start(server, "-p", "Count")
    wait_for(lambda: effects(place))
    process.kill()
    process.communicate()
    assert not place.survivors()
    place.run(server, "--continue", "-p").expect(10)
    assert effects(place) == ["x"]
    assert "unknown" in server.requests[-1].last.results[0].text
    assert unbroken(server.requests)


@pytest.mark.row(44)
def test_a_killed_reply_is_asked_for_again(place: Place, serve: Serve) -> None:
    server = serve([Reply("Four.", fault=Fault("stall", seconds=60.0))])
    process = place.start(server, "-p", "What is 2 + 2?")
    wait_for(lambda: server.requests)
    process.kill()
    process.communicate()
    assert place.run(server, "resume").expect(0).out == "Four.\n"
    assert [seen.history[0].text.count("2 + 2") for seen in server.requests] == [1, 1]
    assert "no unfinished turn" in place.run(server, "resume").expect(2).err


def _stopped(
    place: Place, server: ScriptedServer, number: int, pauses: tuple[float, ...] = (0.0,), words: tuple[str, ...] = ()
) -> Ended:
    """The end of a run that got a signal after each pause while its command slept; seconds count from the first."""
    process = place.start(server, "-p", "Wait", *words)
    wait_for((place.project / "begun").exists)
    time.sleep(0.1)
    began = time.monotonic()
    for pause in pauses:
        time.sleep(pause)
        interrupt(process, number)
    return place.finish(process, began)


@pytest.mark.row(by={"SIGINT": 42, "SIGTERM": 43, "SIGHUP": 43})
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_stops_the_turn_and_seals_the_log(place: Place, serve: Serve, number: int) -> None:
    server = serve([SLEEP, Reply("Done.")])
    ended = _stopped(place, server, number, words=("--output-format", "json")).expect(130, "interrupted")
    assert ended.seconds < 2
    assert place.events()[-1]["kind"] == "turn_ended"
    assert "unknown" in str(place.events("result"))
    resumed = place.run(server, "--continue", "-p", "Go on").expect(10)
    assert resumed.out == "Done.\n"
    assert unbroken(server.requests)


@pytest.mark.row(by={"SIGINT": 42, "SIGTERM": 43})
@pytest.mark.parametrize("pause", [0.001, 0.01, 0.03])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_second_signal_ends_at_once(place: Place, serve: Serve, number: int, pause: float) -> None:
    ended = _stopped(place, serve([SLEEP, Reply("Done.")]), number, (0.0, pause)).expect(130)
    assert ended.seconds < 1


def test_a_background_job_hears_ctrl_c_and_under_nohup_no_hang_up(place: Place, serve: Serve) -> None:
    server = serve([Reply("I wait.", calls=(Call("@shell", {"command": "touch begun; sleep 60"}),)), Reply("Done.")])
    line = shlex.join(place.argv(server, ("-p", "Wait")))
    deaf = ("sh", "-c", f"trap '' INT HUP; exec {line}")  # as `nohup COMMAND &` in a script starts it
    process = subprocess.Popen(deaf, cwd=place.project, env=place.variables, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    wait_for((place.project / "begun").exists)
    interrupt(process, signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    began = time.monotonic()
    interrupt(process, signal.SIGINT)
    assert place.finish(process, began).expect(130).seconds < 2


@pytest.mark.row(42)
def test_a_signal_in_a_reply_stops_at_once(place: Place, serve: Serve) -> None:
    server = serve([Reply("The answer is four.", fault=Fault("stall", seconds=60.0))])
    process = place.start(server, "-p", "What is 2 + 2?", "--output-format", "json")
    wait_for(lambda: server.requests)
    time.sleep(0.1)
    began = time.monotonic()
    interrupt(process)
    ended = place.finish(process, began).expect(130, "interrupted")
    assert ended.seconds < 1
    assert place.events()[-1]["kind"] == "turn_ended"


@pytest.mark.row(42)
def test_a_signal_in_a_check_stops_at_once(place: Place, serve: Serve) -> None:
    edit = Call("@write", {"path": "a", "content": "1"})
    server = serve([Reply("I write.", calls=(edit,)), Reply("Done.")])
    process = place.start(server, "-p", "Write", "--output-format", "json", "--check", "! test -e a || sleep 300")
    wait_for(lambda: len(server.requests) == 2)
    time.sleep(0.4)
    began = time.monotonic()
    interrupt(process)
    ended = place.finish(process, began).expect(130, "interrupted")
    assert ended.seconds < 2


@pytest.mark.row(34)
def test_what_a_command_leaves_in_the_background_ends_with_it(place: Place, serve: Serve) -> None:
    command = "setsid sleep 300 & (sleep 300 &) ; nohup sleep 300 >/dev/null 2>&1 & echo ready"
    server = serve([Reply("I start.", calls=(Call("@shell", {"command": command}),)), Reply("Done.")])
    ended = place.task(server, prompt="Start").expect(0, "answered")  # which sees that nothing survives
    assert "ready" in server.requests[1].last.results[0].text
    assert ended.seconds < 5
    (place.project / "x").write_text("")
    unconfined = place.task(serve([Reply("I start.", calls=(Call("@shell", {"command": command}),)), Reply("Done.")]),
                            "--no-sandbox", prompt="Start")  # fmt: skip
    assert unconfined.code == 0
