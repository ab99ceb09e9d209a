"""Commands that misbehave: what the model is told of them, and that they end."""

from __future__ import annotations

import fcntl
import os
import pty
import resource
import subprocess
import termios
import time

import pytest

from assay.testing.server import Call, Reply

from .command import THRICE, Place, unbroken, wait_for
from .conftest import Serve

LONG = 30.0
"""Seconds within which a run must be over whose command would take minutes."""
DOUBLE_FORK = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(300)\n"
CHILDREN = "setsid sleep 300 & (sleep 300 &); nohup sleep 300 >/dev/null 2>&1 & python3 double.py; echo ready"


def shells(place: Place, serve: Serve, *commands: str, timeout: int = 60, words: tuple[str, ...] = ()) -> list:
    """Results of these commands, each in a reply of its own, as the model gets them."""
    calls = (Call("@shell", {"command": command, "timeout": timeout * 1000}) for command in commands)
    server = serve([*(Reply(f"Step {n}.", calls=(call,)) for n, call in enumerate(calls)), Reply("Done.")])
    ended = place.task(server, *words, prompt="Run it")
    assert ended.code in (0, 10), repr(ended)
    assert ended.result["result"] == "Done."
    assert unbroken(server.requests)
    return [result for turn in server.requests[-1].history for result in turn.results]


@pytest.mark.row(33)
@pytest.mark.parametrize("words", [(), ("--no-sandbox",)], ids=["confined", "unconfined"])
def test_a_command_that_outlasts_its_limit_is_ended_and_told_of(
    place: Place, serve: Serve, words: tuple[str, ...]
) -> None:
    began = time.monotonic()
    [result] = shells(place, serve, "echo before; sleep 300; echo after", timeout=1, words=words)
    assert "timed out after 1 s" in result.text
    assert "before" in result.text
    assert "after\n" not in result.text
    assert time.monotonic() - began < LONG


@pytest.mark.row(34)
@THRICE
@pytest.mark.parametrize("words", [(), ("--no-sandbox",)], ids=["confined", "unconfined"])
@pytest.mark.parametrize("end", ["", "; sleep 300"], ids=["at its end", "at its limit"])
def test_children_of_every_kind_end_with_their_command(
    place: Place, serve: Serve, words: tuple[str, ...], end: str, time: int
) -> None:
    place.write({"double.py": DOUBLE_FORK})
    [result] = shells(place, serve, CHILDREN + end, timeout=2 if end else 60, words=words)
    assert "ready" in result.text
    assert result.is_error == bool(end)


@pytest.mark.row(35)
@pytest.mark.parametrize("words", [(), ("--no-sandbox",)], ids=["confined", "unconfined"])
def test_a_grandchild_that_holds_the_output_open_is_not_waited_for(
    place: Place, serve: Serve, words: tuple[str, ...]
) -> None:
    began = time.monotonic()
    [result] = shells(place, serve, "(sleep 300; echo late) & echo early", words=words)
    assert "early" in result.text
    assert "late" not in result.text
    assert not result.is_error
    assert time.monotonic() - began < LONG


ASKING = (
    "cat; echo end=$?",
    "read -r answer; echo end=$?",
    "python3 -W ignore -c 'import getpass; getpass.getpass()'; echo end=$?",
    "python3 -c 'input()'; echo end=$?",
    "git init -q . && git -c user.name=a -c user.email=a@b commit --allow-empty; echo end=$?",
    "git log -1 --paginate; git --paginate help -a | tail -1; echo end=$?",
    "${EDITOR} a.txt; echo end=$?",
    "${PAGER} double.py </dev/tty; echo end=$?",
    "test -t 0 || echo no terminal; echo end=$?",
)


@pytest.mark.row(36)
def test_a_command_that_asks_gets_the_end_of_input_at_once(place: Place, serve: Serve) -> None:
    place.write({"double.py": "x = 1\n"})
    began = time.monotonic()
    results = shells(place, serve, *ASKING)
    for command, result in zip(ASKING, results, strict=True):
        assert "end=" in result.text, (command, result.text)
        assert "timed out" not in result.text, (command, result.text)
    assert "no terminal" in results[-1].text
    assert time.monotonic() - began < LONG


@pytest.mark.row(37)
@THRICE
@pytest.mark.parametrize("words", [(), ("--no-sandbox",)], ids=["confined", "unconfined"])
def test_a_command_that_ignores_term_is_killed(place: Place, serve: Serve, words: tuple[str, ...], time: int) -> None:
    deaf = "trap '' TERM HUP INT; echo deaf; while :; do sleep 1; done"
    [result] = shells(place, serve, deaf, timeout=1, words=words)
    assert "timed out after 1 s" in result.text
    assert "deaf" in result.text


@pytest.mark.row(38)
@pytest.mark.load("a command that writes without end, stopped at 2 GB")
@pytest.mark.slow
def test_output_without_end_is_stopped(place: Place, serve: Serve) -> None:
    [result] = shells(place, serve, "echo the start; yes 0123456789012345678901234567890123456789 | head -c 9999999999")
    assert "the start" in result.text
    assert "stopped" in result.text
    assert len(result.text) < 32_000
    assert sum(path.stat().st_size for path in place.home.rglob("*") if path.is_file()) < 80_000_000
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 500_000


@pytest.mark.row(39)
@pytest.mark.load("a line of 10 MB")
def test_output_that_is_no_text_is_shown_safely(place: Place, serve: Serve) -> None:
    results = shells(
        place,
        serve,
        r"printf 'a\000b\001\033[2J\033]52;c;eA==\007\r\n\377\376\355\240\200 end'",
        "head -c 100000 /dev/urandom; echo; echo end",
        "head -c 10000000 /dev/zero | tr '\\0' x; echo; echo end",
        "printf '\\342\\200\\250%.0s' $(seq 50); echo end",
    )
    for result in results:
        assert "end" in result.text
        assert len(result.text) < 32_000
        assert not set(result.text) & {"\0", "\x1b", "\x07"}


@pytest.mark.row(40)
def test_a_file_beyond_the_limit_is_refused_and_the_run_goes_on(place: Place, serve: Serve) -> None:
    big, more = shells(
        place, serve, "dd if=/dev/zero of=big bs=1 count=1 seek=10G; echo end=$?; rm -f big", "echo fine"
    )
    assert "end=0" not in big.text
    assert "fine" in more.text


@pytest.mark.row(40)
@pytest.mark.slow
def test_processes_and_memory_without_end_are_stopped_and_told_of(place: Place, serve: Serve) -> None:
    place.write({"bomb.py": "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass\n"})
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    hold = f"python3 -c 'bytearray({memory})'"  # no limit is as high as all that the machine has
    bomb, hold, fine = shells(place, serve, "python3 bomb.py", hold, "echo fine", timeout=60)
    assert "stopped by the limit on processes" in bomb.text
    assert "limit on memory" in hold.text
    assert fine.text.strip() == "fine"


@pytest.mark.row(45)
@pytest.mark.parametrize("words", [(), ("--no-sandbox",)], ids=["confined", "unconfined"])
def test_a_command_that_wants_a_terminal_gets_one_of_its_own(
    place: Place, serve: Serve, words: tuple[str, ...]
) -> None:
    look = "test -t 0 && test -t 1 && echo yes; stty rows 11 cols 33; stty size; cat; echo x > /dev/tty"
    calls = (
        Call("@shell", {"command": look, "tty": True}),
        Call("@shell", {"command": "trap '' HUP TERM; sleep 300 & wait; sleep 300", "tty": True, "timeout": 1000}),
    )
    server = serve([*(Reply("I look.", calls=(call,)) for call in calls), Reply("Done.")])
    place.task(server, *words, prompt="Look")
    shown, ended = (result for turn in server.requests[-1].history for result in turn.results)
    assert shown.text.split() == ["yes", "11", "33", "x"]
    assert "timed out after 1 s" in ended.text


@pytest.mark.row(41)
@pytest.mark.parametrize("words", [(), ("--no-sandbox",)], ids=["confined", "unconfined"])
def test_odd_endings_are_told_as_they_are(place: Place, serve: Serve, words: tuple[str, ...]) -> None:
    gone = "mkdir d && cd d && rmdir ../d; ls; /bin/pwd; echo end=$?"
    killed, exited, away, segment, fine = shells(
        place, serve, "kill -9 $$", "exit 137", gone, "kill -SEGV $$", "echo fine", words=words
    )
    assert "exit 137" in killed.text
    assert "exit 137" in exited.text
    assert "end=" in away.text
    assert "exit 139" in segment.text
    assert fine.text.strip() == "fine"


@pytest.mark.row(43)
@THRICE
def test_a_terminal_that_is_closed_stops_the_run_which_can_be_gone_on_with(
    place: Place, serve: Serve, time: int
) -> None:
    server = serve([Reply("I wait.", calls=(Call("@shell", {"command": "touch begun; sleep 300"}),)), Reply("Done.")])
    ours, theirs = pty.openpty()

    def attach() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(place.argv(server, ("-p", "Wait")), cwd=place.project, env=place.variables,
                               stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=attach)  # fmt: skip
    os.close(theirs)
    try:
        wait_for((place.project / "begun").exists)
        os.close(ours)
        assert process.wait(LONG) == 130
    finally:
        process.kill()
        process.wait()
    assert not place.survivors()
    assert place.events()[-1]["kind"] == "turn_ended"
    assert place.run(server, "--continue", "-p", "Go on").expect(10).out == "Done.\n"
    assert unbroken(server.requests)


def test_limits_of_the_settings_hold_for_commands(place: Place, serve: Serve) -> None:
    words = ("--settings", '{"limits": {"fileSize": "1M"}}')
    [result] = shells(place, serve, "head -c 2000000 /dev/zero > big; wc -c < big; false", words=words)
    assert "1048576" in result.text
    assert "limit on file size" in result.text
