from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import inputs
from tests.models.replies import (
    TEXT,
    WHOLE,
    anthropic,
    chat,
    decode,
    decoder,
    event,
    function_call,
    message,
    responses,
)

from assay.core.messages import Text, Thinking, ToolCall, Usage
from assay.core.model import CallDelta, TextDelta, ThinkingDelta
from assay.models.dialects import base
from assay.models.dialects.values import StreamFailed
from assay.models.sse import SseReader, TooLong

DIALECTS = list(WHOLE)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_whole_reply(dialect):
    reply, events = decode(dialect, WHOLE[dialect])
    signature = "c2ln" if dialect == "anthropic" else ""
    assert reply.parts == (
        Thinking("Naïve idea.", signature),
        Text("I look → 🔎."),
        ToolCall("call_a", "read", {"path": "ä.py"}),
        ToolCall("call_b", "shell", {}),
    )
    assert reply.stop == "calls" and reply.failure is None
    assert reply.usage == Usage(input=30, cache_read=500, output=40)
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "I look → 🔎."
    assert "".join(e.text for e in events if isinstance(e, ThinkingDelta)) == "Naïve idea."
    first = [e for e in events if isinstance(e, CallDelta) and e.id == "call_a"]
    assert "".join(e.arguments for e in first) == '{"path": "ä.py"}'


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_the_provider_sent_goes_back_unchanged(dialect):
    reply, _ = decode(dialect, WHOLE[dialect])
    assert reply.native is not None and reply.native.dialect == dialect
    text = json.dumps(reply.native.blocks)
    assert ("c2ln" in text) == (dialect == "anthropic")
    assert ("b3Bh" in text) == (dialect == "openai-responses")


@settings(max_examples=inputs(40), deadline=None)
@given(data=st.data(), dialect=st.sampled_from(DIALECTS))
def test_any_slicing_of_the_bytes_gives_the_same(data, dialect):
    whole = WHOLE[dialect]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert decode(dialect, *chunks) == decode(dialect, whole)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_cut_at_any_byte_is_either_noticed_or_harmless(dialect):
    whole = WHOLE[dialect]
    expected, _ = decode(dialect, whole)
    complete = 0
    for end in range(0, len(whole), 3):
        found = decoder(dialect)
        for name, data in SseReader().feed(whole[:end]):
            list(found.feed(name, data))
        if found.complete:  # only usage can be missing: the end marker came
            complete += 1
            assert found.message().parts == expected.parts
    assert complete < len(whole) // 9


@pytest.mark.parametrize("dialect", DIALECTS)
def test_line_ends_may_be_crlf(dialect):
    assert decode(dialect, WHOLE[dialect].replace(b"\n", b"\r\n")) == decode(dialect, WHOLE[dialect])


def calls(dialect: str, *given_: tuple[str, str, str], stop: str = "") -> bytes:
    """A reply of calls only: (id, name, arguments)."""
    if dialect == "anthropic":
        blocks = [
            ({"type": "tool_use", "id": i, "name": n, "input": {}}, [{"type": "input_json_delta", "partial_json": a}])
            for i, n, a in given_
        ]
        return anthropic(blocks, stop or "tool_use")
    if dialect == "openai-chat":
        deltas = [
            {"tool_calls": [{"index": index, "id": i, "function": {"name": n, "arguments": a}}]}
            for index, (i, n, a) in enumerate(given_)
        ]
        return chat(deltas, "length" if stop == "max_tokens" else "tool_calls")
    items = [function_call(*item) for item in given_]
    if stop == "max_tokens":
        return responses(items, "response.incomplete", incomplete_details={"reason": "max_output_tokens"})
    return responses(items)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("broken", ['{"path": "a', "{'path': 'a'}", "[1]", '"text"', '{"a": 1} trailing', "nix"])
def test_malformed_arguments_are_not_guessed(dialect, broken):
    reply, _ = decode(dialect, calls(dialect, ("call_1", "read", broken), ("call_2", "read", '{"path": "b"}')))
    first, second = reply.calls
    assert first.invalid and first.arguments == {}
    assert second == ToolCall("call_2", "read", {"path": "b"})
    assert broken not in json.dumps(reply.native.blocks)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_ids_are_made_unique(dialect):
    stream = calls(dialect, ("call_1", "a", "{}"), ("call_1", "b", "{}"), ("", "c", "{}"), ("", "d", "{}"))
    reply, events = decode(dialect, stream, taken={"call_1"})
    found = [call.id for call in reply.calls]
    assert len({*found, "call_1"}) == 5
    assert [call.name for call in reply.calls] == ["a", "b", "c", "d"]
    assert list(dict.fromkeys(e.id for e in events if isinstance(e, CallDelta))) == found
    assert all(identity in json.dumps(reply.native.blocks) for identity in found)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_last_call_of_a_reply_cut_at_the_output_limit_is_not_run(dialect):
    stream = calls(dialect, ("call_1", "a", '{"x": 1}'), ("call_2", "b", '{"x": 2}'), stop="max_tokens")
    reply, _ = decode(dialect, stream)
    assert reply.stop == "length"
    assert [bool(call.invalid) for call in reply.calls] == [False, True]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_empty_reply_is_a_failure(dialect):
    stream = {"anthropic": anthropic([]), "openai-chat": chat([{"content": ""}]), "openai-responses": responses([])}
    found = decoder(dialect)
    for name, data in SseReader().feed(stream[dialect]):
        list(found.feed(name, data))
    with pytest.raises(StreamFailed) as caught:
        found.message()
    assert caught.value.kind == "empty"


@pytest.mark.parametrize(
    ("dialect", "stream"),
    [
        ("anthropic", anthropic([], "refusal")),
        ("openai-chat", chat([], "content_filter")),
        ("openai-responses", responses([], "response.incomplete", incomplete_details={"reason": "content_filter"})),
    ],
)
def test_a_refusal_without_words_is_a_failure(dialect, stream):
    with pytest.raises(StreamFailed) as caught:
        decode(dialect, stream)
    assert caught.value.kind == "refused"


@pytest.mark.parametrize(
    ("dialect", "usage"),
    [
        ("anthropic", {}),
        ("anthropic", {"input_tokens": -5, "output_tokens": 3}),
        ("anthropic", {"input_tokens": 10**18, "output_tokens": 3}),
        ("anthropic", {"input_tokens": "many", "output_tokens": 3}),
        ("openai-chat", {"prompt_tokens": 5}),
        ("openai-chat", {"prompt_tokens": 5, "completion_tokens": -1}),
        ("openai-chat", {"prompt_tokens": 10**18, "completion_tokens": 1}),
        ("openai-chat", {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}}),
    ],
)
def test_unbelievable_usage_is_no_usage(dialect, usage):
    if dialect == "anthropic":
        stream = anthropic([({"type": "text", "text": ""}, [{"type": "text_delta", "text": "x"}])], usage=usage)
    else:
        stream = chat([{"content": "x"}], usage=usage)
    assert decode(dialect, stream)[0].usage == Usage()


@pytest.mark.parametrize(
    ("dialect", "stream", "kind"),
    [
        ("anthropic", event({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}), "overloaded"),
        ("anthropic", event({"type": "error", "error": {"type": "api_error", "message": "oops"}}), "server"),
        ("anthropic", event("not json"), "protocol"),
        ("anthropic", event({"type": "content_block_delta", "index": 9, "delta": {}}), "protocol"),
        ("openai-chat", event({"error": {"message": "busy", "code": 503}}), "overloaded"),
        ("openai-chat", event({"error": {"message": "slow", "code": "rate_limit_exceeded"}}), "rate_limit"),
        ("openai-responses", event({"type": "error", "code": "server_error", "message": "oops"}), "server"),
        (
            "openai-responses",
            event({"type": "response.failed", "response": {"error": {"code": "insufficient_quota", "message": "no"}}}),
            "quota",
        ),
    ],
)
def test_an_error_in_the_stream_is_classified_like_its_status(dialect, stream, kind):
    found = decoder(dialect)
    with pytest.raises(StreamFailed) as caught:
        for name, data in SseReader().feed(stream):
            list(found.feed(name, data))
    assert caught.value.kind == kind


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_reply_without_end_is_given_up(dialect, monkeypatch):
    monkeypatch.setattr(base, "REPLY_CAP", 10_000)
    big = "x" * 20_000
    stream = {
        "anthropic": anthropic([({"type": "text", "text": ""}, [{"type": "text_delta", "text": big}])]),
        "openai-chat": chat([{"content": big}]),
        "openai-responses": responses([message(big)]),
    }
    with pytest.raises(StreamFailed, match="longer than"):
        decode(dialect, stream[dialect])


def test_an_event_without_end_is_given_up_early():
    reader = SseReader(cap=100_000)
    with pytest.raises(TooLong):
        for _ in range(1000):
            reader.feed(b"data: " + b"x" * 1000)


# --- what some servers do ---------------------------------------------------------------------------------------------


def test_chat_calls_that_all_have_number_0():
    stream = chat(
        [
            {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "read", "arguments": '{"n":1}'}}]},
            {"tool_calls": [{"index": 0, "id": "b", "function": {"name": "read", "arguments": '{"n":2}'}}]},
        ]
    )
    reply, _ = decode("openai-chat", stream)
    assert [(call.id, call.arguments) for call in reply.calls] == [("a", {"n": 1}), ("b", {"n": 2})]
    assert reply.stop == "calls", "a finish reason of stop beside calls means calls"


def test_chat_calls_without_numbers_and_with_objects_for_arguments():
    stream = chat(
        [
            {
                "tool_calls": [
                    {"id": "a", "function": {"name": "read", "arguments": {"n": 1}}, "extra_content": {"s": "t"}}
                ]
            },
            {"tool_calls": [{"id": "b", "function": {"name": "read", "arguments": '{"n":'}}]},
            {"tool_calls": [{"function": {"arguments": "2}"}}]},
        ]
    )
    reply, _ = decode("openai-chat", stream)
    assert [call.arguments for call in reply.calls] == [{"n": 1}, {"n": 2}]
    assert "extra_content" in json.dumps(reply.native.blocks)


def test_chat_content_in_typed_pieces():
    pieces = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Yes."}]
    reply, _ = decode("openai-chat", chat([{"content": pieces}]))
    assert reply.parts == (Thinking("Hm."), Text("Yes."))


def test_responses_without_output_index_or_items():
    whole = WHOLE["openai-responses"]
    lines = [json.loads(line[6:]) for line in whole.decode().splitlines() if line.startswith("data: ")]
    for line in lines:
        line.pop("output_index", None)
    uncounted = b"".join(event(line) for line in lines)
    assert decode("openai-responses", uncounted)[0].parts == decode("openai-responses", whole)[0].parts
    bare = event({"type": "response.completed", "response": {"output": [message("Hi.")]}})
    reply, events = decode("openai-responses", bare)
    assert reply.text == "Hi." and events == [TextDelta("Hi.")]


def test_anthropic_thinking_without_a_seal_is_not_sent_back():
    blocks = [
        ({"type": "thinking", "thinking": ""}, [{"type": "thinking_delta", "thinking": "Hm."}]),
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": "Yes."}]),
    ]
    reply, _ = decode("anthropic", anthropic(blocks))
    assert reply.parts == (Thinking("Hm."), Text("Yes."))
    assert [block["type"] for block in reply.native.blocks] == ["text"]


FIELDS = ["type", "choices", "delta", "index", "item", "usage", "response", "tool_calls", "function", "id"]
KINDS = ["content_block_start", "content_block_delta", "message_start", "message_delta", "response.output_item.done"]
KINDS += ["response.output_item.added", "response.completed", "response.output_text.delta", ""]
scalars = st.none() | st.integers() | st.text(max_size=5)
shapes = st.recursive(
    scalars, lambda x: st.lists(x, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), x, max_size=3)
)


@settings(max_examples=inputs(60), deadline=None)
@given(junk=shapes, kind=st.sampled_from(KINDS), dialect=st.sampled_from(DIALECTS))
def test_events_of_any_shape_never_crash(junk, kind, dialect):
    found = decoder(dialect)
    value = {"type": kind} | (junk if isinstance(junk, dict) else {"choices": junk, "item": junk, "delta": junk})
    value["type"] = kind
    try:
        for name, data in SseReader().feed(event(value)):
            list(found.feed(name, data))
        found.message()
    except StreamFailed:
        pass


def test_text_replies():
    for dialect, stream in TEXT.items():
        reply, _ = decode(dialect, stream)
        assert reply.stop == "end" and reply.text == "Done."
