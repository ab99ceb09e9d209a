"""Hooks of real users: scripts that block, hang, crash, flood and lie, around the real command."""

from __future__ import annotations

import hashlib
import json
import time

import pytest

from assay.testing.server import Call, Reply

from .command import Place
from .conftest import Serve
from .driven import Driven

TOUCH = Call("@shell", {"command": "touch made.txt"})
DENY = '{"hookSpecificOutput": {"permissionDecision": "deny", "permissionDecisionReason": "%s"}}'


def hooks(place: Place, **events: object) -> None:
    """`Event="script"`, or a list of whole handlers."""
    table = {
        event: [{"hooks": [{"type": "command", "command": said}] if isinstance(said, str) else said}]
        for event, said in events.items()
    }
    settings(place, {"hooks": table})


def settings(place: Place, value: dict) -> None:
    path = place.home / ".config/assay/settings.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def sent(server) -> str:
    return "\n".join(request.raw.decode() for request in server.requests)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo no such thing >&2; exit 2", "no such thing"),
        (f"echo '{DENY % 'never on Fridays'}'", "never on Fridays"),
        ("exit 1", "failed: exit 1"),
        ("kill -9 $$", "failed: exit 137"),
        ("echo '{\"hookSpecificOutput\": '", "not valid JSON"),
        ('echo \'{"hookSpecificOutput": {"permissionDecision": "sure"}}\'', "permissionDecision"),
        ("yes", "failed"),
        ("/no/such/program", "failed: exit 127"),
    ],
)
def test_a_guard_that_says_no_or_fails_keeps_a_call_from_being_made(
    place: Place, serve: Serve, script: str, told: str
) -> None:
    server = serve([Reply("I make it.", calls=(TOUCH,)), Reply("I could not.")])
    hooks(place, PreToolUse=[{"type": "command", "command": script, "timeout": 20}])
    place.task(server, prompt="make it").expect(0, "answered")
    assert not (place.project / "made.txt").exists()
    assert told in sent(server)


def test_a_guard_that_never_ends_is_killed_and_closes(place: Place, serve: Serve) -> None:
    server = serve([Reply("I make it.", calls=(TOUCH,)), Reply("I could not.")])
    hooks(place, PreToolUse=[{"type": "command", "command": "sleep 600 & wait", "timeout": 1}])
    began = time.monotonic()
    place.task(server, prompt="make it").expect(0, "answered")
    assert time.monotonic() - began < 60
    assert not (place.project / "made.txt").exists()
    assert "timed out after 1 s" in sent(server)


def test_one_that_may_fail_does_not_close(place: Place, serve: Serve) -> None:
    server = serve([Reply("I make it.", calls=(TOUCH,)), Reply("Done.")])
    hooks(place, PreToolUse=[{"type": "command", "command": "exit 1", "onFailure": "allow"}])
    ended = place.run(server, "-p", "make it")
    assert (place.project / "made.txt").exists()
    assert "failed: exit 1" in ended.err + json.dumps(place.events("notice"))


def test_a_call_is_changed_and_weighed_anew(place: Place, serve: Serve) -> None:
    changed = {"hookSpecificOutput": {"permissionDecision": "allow", "updatedInput": {"command": "touch other.txt"}}}
    server = serve([Reply("I make it.", calls=(TOUCH,)), Reply("Done.")])
    hooks(place, PreToolUse=f"echo '{json.dumps(changed)}'")
    place.task(server, prompt="make it")
    assert (place.project / "other.txt").exists()
    assert not (place.project / "made.txt").exists()
    denied = {"hookSpecificOutput": {"permissionDecision": "allow", "updatedInput": {"command": "sudo id"}}}
    server = serve([Reply("I make it.", calls=(TOUCH,)), Reply("No.")])
    hooks(place, PreToolUse=f"echo '{json.dumps(denied)}'")
    place.task(server, prompt="make it").expect(0, "answered")
    assert "was denied" in sent(server), "what the gate denies stays denied"


def test_a_prompt_is_refused_and_forgotten(place: Place, serve: Serve) -> None:
    server = serve([Reply("never")])
    hooks(place, UserPromptSubmit="grep -q hunter2 && { echo no passwords >&2; exit 2; }; exit 0")
    ended = place.task(server, prompt="my password is hunter2").expect(1, "failed")
    assert ended.result["assay"]["why"] == "no passwords"
    assert server.requests == []
    assert not [path for path in place.kept("hunter2") if path.is_relative_to(place.state)]
    server = serve([Reply("Hello.")])
    place.task(server, prompt="hello").expect(0, "answered")


def test_context_at_the_start_with_the_prompt_and_after_a_call(place: Place, serve: Serve) -> None:
    server = serve([Reply("I look.", calls=(Call("@shell", {"command": "ls"}),)), Reply("Done.")])
    after = {"hookSpecificOutput": {"hookEventName": "PostToolUse", "additionalContext": "after-the-call"}}
    hooks(
        place,
        SessionStart="echo from-the-start",
        UserPromptSubmit="jq -r .prompt 2>/dev/null || echo with-the-prompt",
        PostToolUse=f"echo '{json.dumps(after)}'",
        SessionEnd=f"cat > {place.root}/end.json",
    )
    place.task(server, prompt="look").expect(0, "answered")
    assert "from-the-start" in server.requests[0].raw.decode()
    assert "after-the-call" in server.requests[1].raw.decode()
    ended = json.loads((place.root / "end.json").read_text())
    assert ended["hook_event_name"] == "SessionEnd"
    assert ended["session_id"] == place.logs[-1].stem


def test_stop_sends_the_model_on(place: Place, serve: Serve) -> None:
    server = serve([Reply("Done."), Reply("Done again.")])
    hooks(place, Stop="test -e ../stopped || { touch ../stopped; echo 'also say why' >&2; exit 2; }")
    ended = place.task(server, prompt="go").expect(0, "answered")
    assert ended.result["result"] == "Done again."
    assert "also say why" in server.requests[1].raw.decode()


def test_the_strictest_of_several_counts_whatever_their_order(place: Place, serve: Serve) -> None:
    allow = '{"hookSpecificOutput": {"permissionDecision": "allow"}}'
    said = [f"echo '{allow}'", "exit 2", f"sleep 0.2; echo '{allow}'"]
    for order in (said, said[::-1]):
        server = serve([Reply("I make it.", calls=(TOUCH,)), Reply("No.")])
        hooks(place, PreToolUse=[{"type": "command", "command": command} for command in order])
        place.task(server, prompt="make it").expect(0, "answered")
        assert not (place.project / "made.txt").exists()


def test_hooks_of_a_project_run_only_when_its_file_is_trusted(place: Place, serve: Serve) -> None:
    text = json.dumps({"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "touch ../ran"}]}]}})
    place.write({".assay/settings.json": text})
    ended = place.run(serve([Reply("Hi.")]), "-p", "hello").expect(0)
    assert not (place.root / "ran").exists()
    assert "ignored hooks" in ended.err
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert digest in ended.err
    settings(place, {"trustedSettings": [digest]})
    place.run(serve([Reply("Hi.")]), "-p", "hello").expect(0)
    assert (place.root / "ran").exists()


def test_hooks_that_can_not_be_understood_are_an_error(place: Place, serve: Serve) -> None:
    settings(place, {"hooks": {"PreToolUse": [{"matcher": "(", "hooks": []}]}})
    ended = place.run(serve([Reply("Hi.")]), "-p", "hello").expect(2)
    assert "no regular expression" in ended.err
    settings(place, {"hooks": {"PreToolUse": [{"hooks": [{"command": "exit 2"}]}]}, "disableAllHooks": True})
    ended = place.run(serve([Reply("Hi.", calls=(TOUCH,)), Reply("Done.")]), "-p", "make it")
    assert (place.project / "made.txt").exists()
    assert "disableAllHooks" in ended.err


def test_a_hook_ends_the_turn(place: Place, serve: Serve) -> None:
    server = serve([Reply("I make it.", calls=(TOUCH,)), Reply("never asked for")])
    hooks(place, PreToolUse='echo \'{"continue": false, "stopReason": "budget of the day is spent"}\'')
    place.task(server, prompt="make it").expect(10, "unverified")
    assert (place.project / "made.txt").exists(), "the call itself is still made"
    assert len(server.requests) == 1
    assert any("budget of the day" in event["text"] for event in place.events("notice"))


def test_an_interruption_ends_the_hook_too(place: Place, serve: Serve) -> None:
    from .command import interrupt, wait_for

    server = serve([Reply("I make it.", calls=(TOUCH,)), Reply("never")])
    hooks(place, PreToolUse="touch ../began; sleep 600")
    began = time.monotonic()
    process = place.start(server, "-p", "make it", "--output-format", "json")
    wait_for((place.root / "began").exists)
    interrupt(process)
    assert place.finish(process, began).code == 130
    assert not (place.project / "made.txt").exists()


def test_hooks_of_a_plugin_are_run_in_its_place(place: Place, serve: Serve) -> None:
    table = {"SessionStart": [{"hooks": [{"type": "command", "command": "echo from ${CLAUDE_PLUGIN_ROOT}"}]}]}
    plugin = place.root / "plugin"
    (plugin / ".claude-plugin").mkdir(parents=True)
    (plugin / "hooks").mkdir()
    (plugin / ".claude-plugin/plugin.json").write_text('{"name": "helper"}')
    (plugin / "hooks/hooks.json").write_text(json.dumps({"hooks": table}))
    server = serve([Reply("Hi.")])
    place.run(server, "-p", "hello", "--plugin-dir", str(plugin)).expect(0)
    assert f"from {plugin}" in sent(server)


def happened(place: Place) -> list[tuple[str, str]]:
    """What hooks were told, in order: the event, and its subject."""
    keys = ("source", "reason", "notification_type", "load_reason")
    lines = [json.loads(line) for line in (place.root / "log").read_text().splitlines()]
    return [(line["hook_event_name"], next(line[key] for key in keys if key in line)) for line in lines]


def test_a_driven_session_tells_hooks_of_every_start_and_end(place: Place, serve: Serve) -> None:
    place.write({"AGENTS.md": "be brief\n"})
    note = f"cat >> {place.root}/log; echo >> {place.root}/log"
    hooks(place, SessionStart=note, SessionEnd=note, Notification=note, InstructionsLoaded=note, CwdChanged=note)
    driven = Driven(place, serve(Reply("Hello.")), env={"ASSAY_HOST_IDLE": "0.2"})
    driven.say("Hi")
    driven.result()
    limit = time.monotonic() + 30
    while not (log := place.root / "log").exists() or "idle_prompt" not in log.read_text():
        assert time.monotonic() < limit
        time.sleep(0.05)
    driven.say("/clear")
    driven.result()
    driven.end()
    assert "hooks of CwdChanged are never run" in driven.stderr
    first, second = ([event for event in happened(place) if event[0] != "Notification"][:2], happened(place))
    assert first == [("SessionStart", "startup"), ("InstructionsLoaded", "session_start")]
    assert second[2:] == [
        ("Notification", "idle_prompt"), ("SessionEnd", "clear"), ("SessionStart", "clear"), ("SessionEnd", "other"),
    ]  # fmt: skip
