"""Driven by another program: handshake, turns, requests both ways, states and ends."""

from __future__ import annotations

import json
import re
import signal

import pytest

from assay.testing.server import Call, Fault, Reply
from assay.testing.server.obedient import obedient

from .command import Place
from .conftest import Serve
from .driven import Driven

TOUCH = Reply("I do it.", calls=(Call("Bash", {"command": "touch made"}),))
WRITE = Reply("I write.", calls=(Call("Write", {"file_path": "new.txt", "content": "hello\n"}),))
SLOW = Reply(" ".join(map(str, range(400))), pace=0.05)
ASKED = ("--permission-prompt-tool", "stdio")


def test_a_prompt_and_the_end_of_input_give_one_whole_turn(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(Reply("hello")))
    assert driven.ask("initialize", hooks=None)["subtype"] == "success"
    driven.say("hi")
    driven.close()
    result = driven.result()
    driven.end()
    assert (result["subtype"], result["is_error"], result["result"], result["num_turns"]) == (
        "success",
        False,
        "hello",
        1,
    )
    assert result["assay"]["outcome"] == "answered"
    kinds = [(frame["type"], frame.get("subtype")) for frame in driven.frames]
    assert kinds == [
        ("control_response", None), ("system", "session_state_changed"), ("system", "init"), ("system", "status"),
        ("assistant", None), ("result", "success"), ("system", "session_state_changed"),
    ]  # fmt: skip
    init = driven.of("system", "init")[0]
    assert re.fullmatch(r"2\.1\.\d+", init["claude_code_version"])
    assert init["cwd"] == str(place.project)
    assert {"Bash", "Read", "Edit", "Write", "Glob", "Grep"} <= set(init["tools"])
    assert driven.states == ["running", "idle"]
    assert all(frame["sdk_host_only"] for frame in driven.of("system", "session_state_changed"))
    assert {frame["session_id"] for frame in driven.frames if "session_id" in frame} == {init["session_id"]}
    assert len({frame["uuid"] for frame in driven.frames if "uuid" in frame}) == len(driven.frames) - 1
    assert driven.of("assistant")[0]["message"]["stop_reason"] is None


def test_the_handshake_tells_what_there_is(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(Reply("hello")), "--permission-mode", "acceptEdits")
    told = driven.ask("initialize")["response"]
    assert told["pid"] == driven.process.pid
    assert told["current_permission_mode"] == "acceptEdits"
    assert {"clear", "compact", "context", "cost", "model"} <= {command["name"] for command in told["commands"]}
    assert told["models"][0]["value"] == "default"
    again = driven.ask("initialize", hooks={"Stop": []})["response"]
    assert again["hooks_applied"] is False, "a session that runs already takes up nothing more"
    driven.end()
    assert driven.frames[1:] == [driven.frames[1]], "nothing but the answers"


def test_a_user_message_without_a_handshake_works(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(Reply("hello")))
    driven.say([{"type": "text", "text": "hi"}])
    assert driven.result()["result"] == "hello"
    driven.end()


def test_several_prompts_each_get_their_result_in_order(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(obedient))
    for number, word in enumerate(("one", "two", "three")):
        driven.say(f"Reply with exactly: {word}", uuid=f"u{number}", origin={"kind": "human"} if number else None)
    driven.close()
    results = [driven.result() for _ in range(3)]
    driven.end()
    assert [result["result"] for result in results] == ["one", "two", "three"]
    assert [result["user_message_uuid"] for result in results] == ["u0", "u1", "u2"]
    assert [result.get("origin") for result in results] == [None, {"kind": "human"}, {"kind": "human"}]
    assert len(driven.of("system", "init")) == 3
    assert driven.states == ["running", "idle"], "it is idle only when nothing waits"


def test_words_without_a_question_come_with_the_next_turn(place: Place, serve: Serve) -> None:
    server = serve(Reply("hello"))
    driven = Driven(place, server)
    driven.say("the code word is swordfish", shouldQuery=False)
    driven.say("hi")
    driven.result()
    driven.end()
    assert len(server.requests) == 1
    assert b"swordfish" in server.requests[0].raw


def test_replays_only_when_asked_for(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(Reply("hello")), "--replay-user-messages")
    driven.say("hi", uuid="mine")
    driven.result()
    driven.end()
    (replay,) = driven.of("user")
    assert (replay["uuid"], replay["isReplay"], replay["message"]["content"]) == ("mine", True, "hi")


def test_tool_calls_are_shown_with_results_for_programs(place: Place, serve: Serve) -> None:
    place.write({"a.txt": "one\ntwo\n"})
    read = Reply("I look.", calls=(Call("Read", {"file_path": "a.txt"}), Call("Bash", {"command": "echo x"})))
    driven = Driven(place, serve([read, Reply("done")]))
    driven.say("look")
    driven.result()
    driven.end()
    text, first, second, _ = driven.of("assistant")
    assert [frame["message"]["content"][0]["type"] for frame in (text, first, second)] == [
        "text",
        "tool_use",
        "tool_use",
    ]
    assert len({frame["message"]["id"] for frame in (text, first, second)}) == 1
    looked, ran = driven.of("user")
    assert looked["message"]["content"][0]["tool_use_id"] == first["message"]["content"][0]["id"]
    file = looked["tool_use_result"]["file"]
    assert (file["content"], file["numLines"], file["startLine"], file["totalLines"]) == ("one\ntwo", 2, 1, 2)
    assert "x" in ran["tool_use_result"]["stdout"]


def test_partial_messages_have_the_shape_of_the_api(place: Place, serve: Serve) -> None:
    reply = Reply("I look.", thinking="hm", calls=(Call("Bash", {"command": "echo x"}),))
    driven = Driven(place, serve([reply, Reply("done")]), "--include-partial-messages")
    driven.say("look")
    driven.result()
    driven.end()
    events = [frame["event"] for frame in driven.of("stream_event")]
    kinds = [event["type"] for event in events]
    assert kinds.count("message_start") == kinds.count("message_stop") == kinds.count("message_delta") == 2
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert starts == ["thinking", "text", "tool_use", "text"]
    assert kinds.count("content_block_stop") == 4
    first = events[0]["message"]["id"]
    assert first == driven.of("assistant")[0]["message"]["id"]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert json.loads("".join(delta.get("partial_json", "") for delta in deltas)) == {"command": "echo x"}
    assert "".join(delta.get("text", "") for delta in deltas) == "I look.done"
    assert kinds[-1] == "message_stop"


# --- requests of the host --------------------------------------------------------------------------------------------


def test_model_and_mode_change_between_turns(place: Place, serve: Serve) -> None:
    server = serve(Reply("hello"))
    env = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "k"}
    driven = Driven(place, None, env=env)
    assert driven.ask("set_permission_mode", mode="acceptEdits")["response"] == {"mode": "acceptEdits"}
    assert driven.ask("set_model", model="claude-haiku-4-5")["response"] == {"model": "claude-haiku-4-5"}
    driven.say("hi")
    driven.result()
    assert driven.ask("set_model", model=None)["subtype"] == "success"
    assert driven.ask("set_permission_mode", mode="manual")["response"] == {"mode": "default"}
    driven.say("hi")
    driven.result()
    driven.end()
    assert [request.model for request in server.requests] == ["claude-haiku-4-5", "claude-sonnet-5-5"]
    assert [init["permissionMode"] for init in driven.of("system", "init")] == ["acceptEdits", "default"]
    changes = [frame.get("permissionMode") for frame in driven.of("system", "status")]
    assert [mode for mode in changes if mode] == ["acceptEdits", "default"]


@pytest.mark.parametrize(
    ("subtype", "request_", "said"),
    [
        ("set_permission_mode", {"mode": "bypassPermissions"}, "can't be switched to"),
        ("set_permission_mode", {"mode": "nonsense"}, "permission mode"),
        ("set_permission_mode", {}, "needs mode"),
        ("set_model", {"model": "no-such-model"}, "unknown model"),
        ("rewind_files", {"user_message_id": "none"}, "nothing to rewind"),
        ("mcp_reconnect", {"serverName": "none"}, "none"),
        ("get_task_output", {"task_id": "none"}, "none"),
        ("set_max_thinking_tokens", {"max_thinking_tokens": "many"}, "number"),
        ("no_such_request", {}, "Unsupported control request subtype: no_such_request"),
        ("__init__", {}, "Unsupported control request subtype"),
        ("answer", {}, "Unsupported control request subtype"),
    ],
)
def test_a_request_that_can_not_be_met_is_refused_and_the_session_lives(
    place: Place, serve: Serve, subtype: str, request_: dict, said: str
) -> None:
    server = serve(Reply("hello"))
    driven = Driven(place, None, env={"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "k"})
    response = driven.ask(subtype, **request_)
    assert response["subtype"] == "error"
    assert said in response["error"]
    driven.say("hi")
    assert driven.result()["result"] == "hello"
    driven.end()


def test_what_a_session_uses_can_be_asked(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(Reply("hello")))
    driven.say("hi")
    driven.result()
    usage = driven.ask("get_context_usage")["response"]
    assert usage["totalTokens"] > 0
    assert sum(row["tokens"] for row in usage["categories"] if row["name"] == "Free space") < usage["maxTokens"]
    assert driven.ask("mcp_status")["response"] == {"mcpServers": []}
    assert driven.ask("background_tasks")["response"] == {"tasks": []}
    assert driven.ask("stop_task", task_id="unknown")["subtype"] == "success"
    assert driven.ask("set_max_thinking_tokens", max_thinking_tokens=None)["subtype"] == "success"
    assert driven.ask("get_session_cost")["response"]["modelUsage"]
    assert driven.ask("list_models")["response"]["models"]
    assert driven.ask("get_settings")["response"]["applied"]["permissionMode"] == "default"
    assert driven.ask("get_binary_version")["subtype"] == "success"
    assert driven.ask("end_session")["subtype"] == "success"
    driven.end(close=False)


def test_files_are_taken_back_by_the_uuid_of_a_prompt(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve([WRITE, Reply("done")]), "--permission-mode", "acceptEdits")
    driven.say("write", uuid="first")
    driven.result()
    assert (place.project / "new.txt").exists()
    dry = driven.ask("rewind_files", user_message_id="first", dry_run=True)["response"]
    assert (dry["canRewind"], dry["filesChanged"]) == (True, ["new.txt"])
    assert (place.project / "new.txt").exists()
    assert driven.ask("rewind_files", user_message_id="first")["response"]["filesChanged"] == ["new.txt"]
    assert not (place.project / "new.txt").exists()
    driven.end()


def test_an_interrupt_in_the_middle_of_words(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve([SLOW, Reply("again")]), "--include-partial-messages")
    driven.say("count")
    driven.say("and then this", uuid="waits")
    driven.wait(lambda frame: frame["type"] == "stream_event")
    assert driven.ask("interrupt")["response"] == {"still_queued": ["waits"]}
    result = driven.result()
    assert (result["subtype"], result["is_error"]) == ("error_during_execution", True)
    assert result["terminal_reason"] == "aborted_streaming"
    assert any(frame.get("aborted") for frame in driven.of("assistant"))
    driven.close()
    driven.process.wait(30)
    driven.end()
    assert len(driven.of("result")) == 2, "the prompt that waited has its turn"


def test_an_interrupt_in_the_middle_of_a_call(place: Place, serve: Serve) -> None:
    sleep = Reply("I wait.", calls=(Call("Bash", {"command": "touch begun; sleep 300"}),))
    driven = Driven(place, serve([sleep, Reply("again")]))
    driven.say("wait")
    driven.wait(lambda frame: frame["type"] == "assistant" and frame["message"]["content"][0]["type"] == "tool_use")
    driven.ask("interrupt")
    result = driven.result()
    assert (result["is_error"], result["terminal_reason"]) == (True, "aborted_tools")
    (answer,) = [frame for frame in driven.of("user") if not frame.get("isSynthetic")]
    assert answer["message"]["content"][0]["is_error"]
    driven.say("go on")
    assert driven.result()["is_error"] is False
    driven.end()


def test_an_interrupt_of_nothing_is_no_matter(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(Reply("hello")))
    assert driven.ask("interrupt")["response"] == {"still_queued": []}
    driven.say("hi")
    assert driven.result()["result"] == "hello"
    driven.end()


# --- questions to the host -------------------------------------------------------------------------------------------


def test_a_question_is_asked_and_answered(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve([TOUCH, Reply("done")]), *ASKED)
    driven.say("do it")
    question = driven.request("can_use_tool")
    asked = question["request"]
    assert (asked["tool_name"], asked["input"]["command"]) == ("Bash", "touch made")
    assert asked["tool_use_id"] == driven.of("assistant")[-1]["message"]["content"][0]["id"]
    assert isinstance(asked["permission_suggestions"], list)
    driven.answer(question, {"behavior": "allow", "updatedInput": asked["input"]})
    result = driven.result()
    driven.end()
    assert (place.project / "made").exists()
    assert result["permission_denials"] == []
    assert driven.states == ["running", "requires_action", "running", "idle"]


def test_a_refusal_is_no_error_of_the_turn(place: Place, serve: Serve) -> None:
    server = serve([TOUCH, Reply("then not")])
    driven = Driven(place, server, *ASKED)
    driven.say("do it")
    driven.answer(driven.request("can_use_tool"), {"behavior": "deny", "message": "not on a Sunday"})
    result = driven.result()
    driven.end()
    assert not (place.project / "made").exists()
    assert (result["subtype"], result["is_error"]) == ("success", False)
    (denial,) = result["permission_denials"]
    assert (denial["tool_name"], denial["tool_input"]["command"]) == ("Bash", "touch made")


@pytest.mark.parametrize("word", ["allow", "deny"])
def test_a_file_outside_is_written_only_with_leave_for_it(place: Place, serve: Serve, word: str) -> None:
    there, beside = place.root / "there.txt", place.root / "beside.txt"
    calls = [Reply("", calls=(Call("Write", {"file_path": str(path), "content": "x"}),)) for path in (there, beside)]
    driven = Driven(place, serve([*calls, Reply("done")]), *ASKED)
    driven.say("write")
    driven.answer(driven.request("can_use_tool"), {"behavior": word, "message": "no"})
    driven.answer(driven.request("can_use_tool"), {"behavior": "deny", "message": "no"})
    driven.result()
    driven.end()
    assert there.exists() == (word == "allow")
    assert not beside.exists(), "leave is for one file"


@pytest.mark.parametrize("command", ["ls -la", "echo x", "cat a.txt | wc -l", "git status", "find . -name '*.py'"])
def test_reading_is_not_asked(place: Place, serve: Serve, command: str) -> None:
    driven = Driven(place, serve([Reply("", calls=(Call("Bash", {"command": command}),)), Reply("done")]), *ASKED)
    driven.say("look")
    driven.result()
    driven.end()
    assert not driven.of("control_request")


@pytest.mark.parametrize("words", [("--allowedTools", "Bash,Write"), ("--dangerously-skip-permissions",)])
def test_what_a_rule_or_the_mode_covers_is_not_asked(place: Place, serve: Serve, words: tuple[str, ...]) -> None:
    driven = Driven(place, serve([TOUCH, WRITE, Reply("done")]), *ASKED, *words)
    driven.say("do it")
    driven.result()
    driven.end()
    assert not driven.of("control_request")
    assert (place.project / "made").exists()


# --- slash commands ---------------------------------------------------------------------------------------------------


def test_clear_begins_another_session(place: Place, serve: Serve) -> None:
    server = serve(Reply("hello"))
    driven = Driven(place, server)
    driven.say("the code word is swordfish")
    first = driven.result()
    driven.say("/clear")
    cleared = driven.result()
    driven.say("hi")
    third = driven.result()
    driven.end()
    (reset,) = driven.of("conversation_reset")
    assert reset["session_id"] == first["session_id"]
    assert reset["new_conversation_id"] == cleared["session_id"] == third["session_id"] != first["session_id"]
    assert cleared["num_turns"] == 0
    assert b"swordfish" not in server.requests[-1].raw
    assert len(place.logs) == 2


@pytest.mark.parametrize("command", ["/cost", "/context", "/model", "/compact"])
def test_commands_are_answered_without_a_model(place: Place, serve: Serve, command: str) -> None:
    server = serve(Reply("hello"))
    driven = Driven(place, server)
    driven.say(command)
    result = driven.result()
    driven.end()
    assert (result["num_turns"], result["is_error"], server.requests) == (0, False, [])
    (said,) = driven.of("assistant")
    assert said["message"]["model"] == "<synthetic>"
    assert said["message"]["content"][0]["text"] == result["result"] != ""


def test_an_unknown_command_and_words_of_no_person_go_to_the_model(place: Place, serve: Serve) -> None:
    server = serve(Reply("hello"))
    driven = Driven(place, server)
    driven.say("/no-such-command x")
    driven.say("/clear", origin={"kind": "channel"})
    driven.say("/clear", client_composed=True)
    driven.close()
    for _ in range(3):
        assert driven.result()["result"] == "hello"
    driven.end()
    assert len(server.requests) == 3


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_a_failure_of_the_provider_is_told_in_the_words_that_clients_match_on(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(Reply("x", fault=Fault("no_model", times=None))))
    driven.say("hi")
    result = driven.result()
    driven.end(1)
    assert (result["subtype"], result["is_error"], result["terminal_reason"]) == ("success", True, "api_error")
    assert result["result"].startswith("API Error: ")
    assert result["api_error_status"] == 404
    assert not result["errors"]
    (said,) = driven.of("assistant")
    assert (said["message"]["model"], said["error"]) == ("<synthetic>", "invalid_request")


def test_the_exit_code_is_that_of_the_last_result(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve([Reply("x", fault=Fault("no_model", times=1)), Reply("fine")]))
    driven.say("hi")
    assert driven.result()["is_error"]
    driven.say("hi")
    assert not driven.result()["is_error"]
    driven.end(0)


def test_too_many_turns_count_the_one_that_was_wanted(place: Place, serve: Serve) -> None:
    look = Reply("", calls=(Call("Bash", {"command": "echo x"}),))
    driven = Driven(place, serve([look, look, look]), "--max-turns", "2")
    driven.say("look")
    result = driven.result()
    driven.end(1)
    assert (result["subtype"], result["num_turns"], result["terminal_reason"]) == ("error_max_turns", 3, "max_turns")
    assert "2" in result["errors"][0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_turn_in_order(place: Place, serve: Serve, number: signal.Signals) -> None:
    driven = Driven(place, serve(SLOW), "--include-partial-messages")
    driven.say("count")
    driven.wait(lambda frame: frame["type"] == "stream_event")
    driven.process.send_signal(number)
    assert driven.result()["is_error"]
    driven.end(128 + number, close=False)
    assert place.events("turn_ended")


def test_a_signal_without_a_turn_ends_it(place: Place, serve: Serve) -> None:
    driven = Driven(place, serve(Reply("hello")))
    driven.ask("initialize")
    driven.process.terminate()
    driven.end(143, close=False)


def test_going_on_keeps_the_id_and_a_fork_has_its_own(place: Place, serve: Serve) -> None:
    server = serve(Reply("hello"))
    wanted = "11111111-2222-4333-8444-555555555555"
    ids = []
    for words in ((f"--session-id={wanted}",), (f"--resume={wanted}",), (f"--resume={wanted}", "--fork-session")):
        driven = Driven(place, server, *words)
        driven.say("hi")
        ids.append(driven.result()["session_id"])
        driven.end()
    assert ids[:2] == [wanted, wanted]
    assert ids[2] != wanted


def test_resuming_in_the_middle(place: Place, serve: Serve) -> None:
    dropped = "aaaaaaaa-0000-4000-8000-000000000002"
    server = serve(obedient)
    driven = Driven(place, server)
    driven.say("Reply with exactly: one", uuid="aaaaaaaa-0000-4000-8000-000000000001")
    driven.result()
    keep = driven.of("assistant")[-1]["uuid"]
    driven.say("Reply with exactly: two", uuid=dropped)
    session = driven.result()["session_id"]
    driven.end()
    cut = (f"--resume={session}", "--fork-session", f"--resume-session-at={keep}")
    refused = Driven(place, server, *cut, "--resume-drops-turn=aaaaaaaa-0000-4000-8000-000000000009")
    refused.send(type="control_request", request_id="r", request={"subtype": "initialize"})
    result = refused.result()
    refused.end(1)
    assert (result["subtype"], result["is_error"]) == ("error_during_execution", True)
    assert result["result"].startswith("Resume rejected by --resume-drops-turn:")
    forked = Driven(place, server, *cut, f"--resume-drops-turn={dropped}")
    forked.say("Reply with exactly: three")
    assert forked.result()["result"] == "three"
    forked.end()
    assert b"exactly: one" in server.requests[-1].raw
    assert b"exactly: two" not in server.requests[-1].raw
