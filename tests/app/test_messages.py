"""A session as public messages: what each event becomes, in which order, and under which name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.app.messages.messages import Messages
from assay.app.messages.tooluse import tool_use_result
from assay.core.check import Verdict
from assay.core.events import (
    CallFinished,
    Compacted,
    Event,
    InputReceived,
    ModeChanged,
    ModelReplied,
    Noticed,
    TaskEnded,
    TaskStarted,
    TurnEnded,
)
from assay.core.messages import AssistantMessage, Failure, Image, Text, Thinking, ToolCall, ToolResult, Usage
from assay.core.model import CallDelta, Finished, Retrying, TextDelta, ThinkingDelta
from assay.core.store import Record
from assay.run.bus import Bus, Progress, Seen
from assay.testing import reply
from assay.testing.models import PROFILE

SESSION = "01a1ff0e-90ab-7d5f-80cf-53ac2cd70fbe"
MESSAGE = AssistantMessage(
    (Thinking("hm", "sig"), Text("I look."), ToolCall("c1", "Read", {"file_path": "a"})),
    "calls",
    "m",
    Usage(3, output=4),
)


class Shown:
    """The messages of a session whose run is a bus."""

    def __init__(self, *, partial: bool = False) -> None:
        self.bus = Bus()
        self.messages = Messages(SESSION, lambda: PROFILE)
        self.messages.partial = partial
        self.messages.follow(self.bus)
        self.frames: list[dict] = []
        self.messages.subscribe(self.frames.append)
        self._number = 0

    def see(self, *seen: Seen | Event) -> list[dict]:
        """What the last of them adds."""
        for each in seen:
            before = len(self.frames)
            if hasattr(each, "__struct_config__") and each.__struct_config__.tag_field == "kind":
                self._number += 1
                each = Record(self._number, 0.0, each)
            self.bus.emit(each)
        return self.frames[before:]

    def end(self, outcome: str = "answered", why: str = "", text: str = "hi") -> dict:
        return self.messages.end(TurnEnded("t", Verdict(outcome, why), text, 1, 1.0, 0.0), [])


def test_a_reply_is_one_message_for_each_part() -> None:
    frames = Shown().see(ModelReplied(1, MESSAGE))
    assert [frame["message"]["content"] for frame in frames] == [
        [{"type": "thinking", "thinking": "hm", "signature": "sig"}],
        [{"type": "text", "text": "I look."}],
        [{"type": "tool_use", "id": "c1", "name": "Read", "input": {"file_path": "a"}}],
    ]
    assert len({frame["message"]["id"] for frame in frames}) == 1
    assert len({frame["uuid"] for frame in frames}) == 3
    for frame in frames:
        assert (frame["type"], frame["session_id"], frame["parent_tool_use_id"]) == ("assistant", SESSION, None)
        assert frame["message"]["stop_reason"] == "tool_use"


def test_a_result_goes_back_under_the_id_of_its_call() -> None:
    finished = CallFinished(ToolResult("c1", (Text("x"), Image("image/png", "aGk=")), is_error=True))
    (frame,) = Shown().see(ModelReplied(1, MESSAGE), finished)
    (block,) = frame["message"]["content"]
    assert (frame["type"], block["type"], block["tool_use_id"], block["is_error"]) == (
        "user",
        "tool_result",
        "c1",
        True,
    )
    assert block["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": "aGk="}


def test_what_a_person_said_is_told_as_such() -> None:
    said = InputReceived("t", (Text("hi"),), uuid="mine", origin={"kind": "human"})
    (frame,) = Shown().see(said)
    assert (frame["uuid"], frame["isReplay"], frame["message"]["content"], frame["origin"]) == (
        "mine", True, "hi", {"kind": "human"},
    )  # fmt: skip
    (frame,) = Shown().see(InputReceived("t", (Text("hi"), Text("there"))))
    assert len(frame["message"]["content"]) == 2


@pytest.mark.parametrize(
    ("event", "subtype", "fields"),
    [
        (ModeChanged("plan"), "status", {"permissionMode": "plan"}),
        (Noticed("mind this"), "informational", {"content": "mind this"}),
        (Compacted("s", 3), "compact_boundary", {}),
        (Progress("think", "thinking"), "status", {"status": "requesting"}),
        (Retrying(2, 1.5, "busy"), "api_retry", {"attempt": 2, "retry_delay_ms": 1500, "error": "busy"}),
        (
            TaskStarted("t1", "agent", "look", "c1", agent="explorer", background=True),
            "task_started",
            {"task_id": "t1", "task_type": "local_agent", "tool_use_id": "c1", "subagent_type": "explorer"},
        ),
        (TaskStarted("t1", "command", "wait"), "task_started", {"task_type": "local_bash", "description": "wait"}),
    ],
)
def test_what_the_session_tells_of_itself(event: Seen | Event, subtype: str, fields: dict) -> None:
    (frame,) = Shown().see(event)
    assert (frame["type"], frame["subtype"]) == ("system", subtype)
    assert {key: frame[key] for key in fields} == fields


def test_the_end_of_a_task_knows_its_beginning() -> None:
    begun = TaskStarted("t1", "agent", "look", "c1", "/out")
    ended = TaskEnded("t1", "completed", "found it", Usage(10, output=5), 3, 1.5)
    (frame,) = Shown().see(begun, ended)
    assert (frame["subtype"], frame["status"], frame["output_file"], frame["tool_use_id"]) == (
        "task_notification", "completed", "/out", "c1",
    )  # fmt: skip
    assert frame["usage"] == {"total_tokens": 15, "tool_uses": 3, "duration_ms": 1500}


@pytest.mark.parametrize(
    "seen", [Progress("call", "x"), Finished(reply("x")), TurnEnded("t", Verdict("answered", ""), "x", 1, 1.0)]
)
def test_what_only_people_want_has_no_message(seen: Seen | Event) -> None:
    assert Shown().see(seen) == []


def test_deltas_are_shown_only_when_asked_for() -> None:
    deltas = (
        ThinkingDelta("h"),
        ThinkingDelta("m"),
        TextDelta("I "),
        TextDelta("look."),
        CallDelta("c1", "Read", "{}"),
    )
    assert Shown().see(*deltas) == []
    shown = Shown(partial=True)
    shown.see(*deltas, ModelReplied(1, MESSAGE))
    events = [frame["event"] for frame in shown.frames if frame["type"] == "stream_event"]
    assert [(event["type"], event.get("index")) for event in events] == [
        ("message_start", None),
        ("content_block_start", 0), ("content_block_delta", 0), ("content_block_delta", 0), ("content_block_stop", 0),
        ("content_block_start", 1), ("content_block_delta", 1), ("content_block_delta", 1), ("content_block_stop", 1),
        ("content_block_start", 2), ("content_block_delta", 2), ("content_block_stop", 2),
        ("message_delta", None), ("message_stop", None),
    ]  # fmt: skip
    assert events[0]["message"]["id"] == shown.frames[-1]["message"]["id"]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert events[-2]["usage"]["output_tokens"] == 4


_DELTAS = st.one_of(
    st.builds(TextDelta, st.text(max_size=3)),
    st.builds(ThinkingDelta, st.text(max_size=3)),
    st.builds(CallDelta, st.sampled_from(["c1", "c2"]), st.just("Read"), st.text(max_size=3)),
    st.just(Retrying(1, 0.0, "busy")),
    st.just(ModelReplied(1, MESSAGE)),
    st.just(ModelReplied(1, AssistantMessage((), "failed", failure=Failure("cut", "x")))),
)


@given(st.lists(_DELTAS, max_size=20))
def test_any_stream_is_well_formed(seen: list) -> None:
    shown = Shown(partial=True)
    shown.see(*seen, ModelReplied(1, MESSAGE)) if seen else None
    open_block: int | None = None
    in_message = False
    for event in (frame["event"] for frame in shown.frames if frame["type"] == "stream_event"):
        match event["type"]:
            case "message_start":
                assert not in_message
                in_message, last = True, -1
            case "content_block_start":
                assert (in_message, open_block, event["index"]) == (True, None, last + 1)
                open_block = last = event["index"]
            case "content_block_delta":
                assert event["index"] == open_block
            case "content_block_stop":
                assert event["index"] == open_block
                open_block = None
            case "message_stop":
                assert (in_message, open_block) == (True, None)
                in_message = False
    assert not in_message


def test_words_that_were_cut_off_are_told_at_the_end() -> None:
    shown = Shown()
    shown.see(TextDelta("I was abo"))
    result = shown.end("interrupted", "stopped")
    aborted, note, last = shown.frames
    assert (aborted["aborted"], aborted["message"]["content"][0]["text"]) == (True, "I was abo")
    assert note["isSynthetic"]
    assert last == result
    assert (result["subtype"], result["terminal_reason"]) == ("error_during_execution", "aborted_streaming")


def test_a_message_has_the_same_name_whenever_its_record_is_read() -> None:
    record = Record(3, 1764.25, ModelReplied(1, MESSAGE))
    names = [[frame["uuid"] for frame in Shown().see(record)] for _ in range(2)]
    assert names[0] == names[1]
    assert names[0] != [frame["uuid"] for frame in Shown().see(Record(4, 1764.25, ModelReplied(1, MESSAGE)))]


def test_hosts_get_failures_of_a_provider_in_the_words_they_know() -> None:
    for hosted in (False, True):
        shown = Shown()
        shown.messages.hosted = hosted
        failure = Failure("rate_limit", "too many", 429)
        shown.see(ModelReplied(1, AssistantMessage((), "failed", failure=failure)))
        result = shown.end("unavailable", "too many", "too many")
        assert (result["subtype"], result["is_error"], result["api_error_status"]) == ("success", True, 429)
        assert result["result"] == ("API Error: too many" if hosted else "too many")
        assert result["errors"] == ([] if hosted else ["too many"])
        said = shown.frames[-2]
        assert (said["message"]["model"], said["error"]) == ("<synthetic>", "rate_limit")


def test_a_refused_call_is_an_error_of_the_turn_only_without_a_host() -> None:
    for hosted in (False, True):
        shown = Shown()
        shown.messages.hosted = hosted
        result = shown.end("needs_approval", "it was asked")
        assert result["is_error"] is not hosted
        assert result["assay"]["outcome"] == "needs_approval"


def test_money_adds_up_over_turns_and_tokens_do_not() -> None:
    shown = Shown()
    for turn in (1, 2):
        shown.see(ModelReplied(1, reply("hi", usage=Usage(10, output=1)), 0.5, 1.0))
        result = shown.end()
        assert result["total_cost_usd"] == 0.5 * turn
        assert result["usage"]["input_tokens"] == 10
        (usage,) = result["modelUsage"].values()
        assert usage["inputTokens"] == 10 * turn


def test_a_result_says_whose_it_is() -> None:
    shown = Shown()
    shown.see(InputReceived("t", (Text("hi"),), uuid="mine", origin={"kind": "human"}))
    result = shown.end()
    assert (result["user_message_uuid"], result["origin"]) == ("mine", {"kind": "human"})


def test_a_sub_agent_speaks_under_the_call_that_started_it() -> None:
    shown = Shown()
    child = Bus()
    shown.messages.follow(child, "c1", {"agent_id": "a7"})
    child.emit(Record(1, 0.0, ModelReplied(1, reply("found it", usage=Usage(10, output=1)), 0.5)))
    (frame,) = shown.frames
    assert (frame["parent_tool_use_id"], frame["agent_id"], frame["session_id"]) == ("c1", "a7", SESSION)
    result = shown.end()
    assert result["usage"]["input_tokens"] == 0, "tokens are those of the main loop"
    assert result["total_cost_usd"] == 0.5, "money is everybody's"


@pytest.mark.parametrize(
    ("call", "text", "wanted"),
    [
        (ToolCall("c", "Bash", {"command": "x"}), "out", {"stdout": "out", "stderr": "", "interrupted": False}),
        (ToolCall("c", "Read", {"file_path": "a"}), "3\tx\n4\ty\n[lines 3-4 of 9; go on]", {"type": "text"}),
        (ToolCall("c", "Edit", {"file_path": "a", "old_string": "o", "new_string": "n"}), "", {"filePath": "a"}),
        (ToolCall("c", "Write", {"file_path": "a", "content": "n"}), "", {"type": "update", "content": "n"}),
        (ToolCall("c", "Glob", {"pattern": "*"}), "a\nb", {"numFiles": 2, "truncated": False}),
        (ToolCall("c", "Grep", {"pattern": "x"}), "a\nb", {"numFiles": 2, "mode": "files_with_matches"}),
    ],
)
def test_results_for_programs(call: ToolCall, text: str, wanted: dict) -> None:
    made = tool_use_result(call, CallFinished(ToolResult("c", (Text(text),))))
    assert isinstance(made, dict)
    assert {key: made[key] for key in wanted} == wanted


def test_what_a_tool_says_itself_counts() -> None:
    own = CallFinished(ToolResult("c", (Text("x"),)), debug={"tool_use_result": {"status": "completed"}})
    assert tool_use_result(None, own) == {"status": "completed"}
    assert tool_use_result(None, CallFinished(ToolResult("c", (Text("x"),)))) is None
    failed = CallFinished(ToolResult("c", (Text("no such file"),), is_error=True))
    assert tool_use_result(ToolCall("c", "Read", {}), failed) == "Error: no such file"


def test_a_part_of_a_file_knows_where_it_stands() -> None:
    text = "3\tx\n4\ty\n[lines 3-4 of 9; go on with offset=5]"
    made = tool_use_result(ToolCall("c", "Read", {"file_path": "a"}), CallFinished(ToolResult("c", (Text(text),))))
    assert made["file"] == {"filePath": "a", "content": "x\ny", "numLines": 2, "startLine": 3, "totalLines": 9}
