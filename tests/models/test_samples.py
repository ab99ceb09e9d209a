"""Several samples of one prompt, and gaps in raw text: what goes out, and what is counted."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.core.messages import AssistantMessage, Text, Usage, UserMessage
from assay.core.model import Hole, ModelRequest, Profile
from assay.models.catalog import resolve
from assay.models.client import dialect_for
from assay.models.dialects.openai_chat import ChatDecoder, ChatEncoder

MARKS = ("<pre>", "<suf>", "<mid>")
PROFILE = Profile("local/m", "m", "openai-chat", samples=4, infill=MARKS)
REQUEST = ModelRequest("", (), (UserMessage((Text("hi"),)),), samples=8)
SENT, READ = 35, 5


def chunk(index: int, text: str = "", stop: str | None = None, raw: bool = False) -> dict[str, object]:
    said: dict[str, object] = {"text": text} if raw else {"delta": {"content": text}}
    return {"choices": [{"index": index, "finish_reason": stop, **said}]}


def counted(output: int) -> dict[str, object]:
    usage = {"prompt_tokens": SENT, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": READ}}
    return {"choices": [], "usage": usage}


def decoded(*payloads: dict[str, object]) -> AssistantMessage:
    decoder = ChatDecoder(PROFILE)
    for payload in payloads:
        list(decoder.feed("", json.dumps(payload).encode()))
    list(decoder.feed("", b"[DONE]"))
    assert decoder.done and decoder.complete
    return decoder.message()


def test_no_more_samples_are_asked_for_than_the_endpoint_gives() -> None:
    assert json.loads(ChatEncoder(PROFILE).encode(REQUEST))["n"] == 4
    assert "n" not in json.loads(ChatEncoder(replace(PROFILE, samples=1)).encode(REQUEST))
    assert "n" not in json.loads(ChatEncoder(PROFILE).encode(replace(REQUEST, samples=1)))


def test_each_sample_is_counted_and_the_prompt_once() -> None:
    """As llama.cpp streams them: interleaved, each with figures of its own at its end."""
    reply = decoded(
        chunk(1, "b"), chunk(0, "a"), chunk(2, "c"), chunk(1, "B"), chunk(1, "", "stop"), counted(2),
        chunk(2, "", "length"), counted(7), chunk(0, "", "stop"), counted(1),
    )  # fmt: skip
    assert (reply.text, reply.others) == ("a", ("bB", "c"))
    assert reply.usage == Usage(SENT - READ, READ, 0, 10)


def test_figures_for_all_together_count_once() -> None:
    reply = decoded(chunk(0, "a", "stop"), chunk(1, "b", "stop"), counted(9))
    assert reply.usage == Usage(SENT - READ, READ, 0, 9) and reply.others == ("b",)


def test_figures_that_grow_while_one_reply_is_written_are_the_last_ones() -> None:
    reply = decoded(chunk(0, "a"), counted(1), chunk(0, "b", "stop"), counted(2))
    assert reply.usage.output == 2 and reply.others == ()


def test_a_sample_that_broke_off_is_left_out_and_an_empty_first_gives_way() -> None:
    reply = decoded(chunk(1, "whole", "stop"), chunk(2, "half"), chunk(0, " ", "stop"))
    assert (reply.text, reply.others) == ("whole", ())


def test_a_gap_goes_out_as_raw_text_with_the_markers_of_the_model() -> None:
    request = replace(REQUEST, messages=(), hole=Hole("def f():\n", "\n"), stop=("\n",))
    body = json.loads(ChatEncoder(PROFILE).encode(request))
    assert body["prompt"] == "<pre>def f():\n<suf>\n<mid>" and "messages" not in body and body["stop"] == ["\n"]
    assert decoded(chunk(0, "    x", "stop", raw=True), chunk(1, "    y", "stop", raw=True)).others == ("    y",)
    urls = dialect_for("openai-chat")
    assert urls.url("http://h/v1", True) == "http://h/v1/completions"


def test_the_embedded_model_has_both() -> None:
    profile, _ = resolve("local/qwen2.5-coder-1.5b", environ={})
    assert profile.samples >= 4 and profile.infill is not None
    other, _ = resolve("local/other", environ={})
    assert other.samples == profile.samples and other.infill is None


@given(st.lists(st.tuples(st.integers(0, 5), st.text("ab", max_size=3), st.booleans()), max_size=30))
def test_any_interleaving_keeps_samples_apart(pieces: list[tuple[int, str, bool]]) -> None:
    decoder = ChatDecoder(PROFILE)
    texts: dict[int, str] = {}
    ended: set[int] = set()
    for index, text, stop in [*pieces, (0, "z", True)]:
        if index in ended and index != 0:
            continue
        texts[index] = texts.get(index, "") + text
        ended |= {index} if stop else set()
        list(decoder.feed("", json.dumps(chunk(index, text, "stop" if stop else None)).encode()))
    reply = decoder.message()
    assert reply.text == texts[0]
    assert reply.others == tuple(texts[index] for index in sorted(ended - {0}) if texts[index])
