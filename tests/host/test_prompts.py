"""What a host says: read as far as it makes sense, labelled by where it comes from, queued by priority."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import UsageError
from assay.core.messages import Image, Text
from assay.core.policy import EXTERNAL
from assay.surfaces.host.prompts import MOST_WAITING, Prompt, Queue, read_prompt


def said(content: object = "hi", **more: object) -> dict:
    return {"type": "user", "message": {"role": "user", "content": content}, **more}


def test_text_and_blocks() -> None:
    assert read_prompt(said("hi", uuid="u")) == Prompt((Text("hi"),), "u")
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    made = read_prompt(said([{"type": "text", "text": "look"}, image, 3, {"type": "document"}]))
    assert made.parts[:2] == (Text("look"), Image("image/png", "aGk="))
    assert "document" in made.parts[2].text
    linked = {"type": "image", "source": {"type": "url", "url": "http://x/"}}
    assert "can't be read" in read_prompt(said([linked])).parts[0].text


@pytest.mark.parametrize("content", ["", "  \n", [], None, 3, {"a": 1}, [{"type": "text", "text": ""}]])
def test_no_prompt_is_told(content: object) -> None:
    with pytest.raises(UsageError):
        read_prompt(said(content))
    with pytest.raises(UsageError):
        read_prompt({"type": "user", "message": content})


def test_halves_of_surrogate_pairs_become_text() -> None:
    (part,) = read_prompt(said("a\ud83db")).parts
    assert part == Text("a?b")


@pytest.mark.parametrize(
    ("more", "verbatim", "label"),
    [
        ({}, False, None),
        ({"origin": {"kind": "human"}}, False, None),
        ({"client_composed": True}, True, None),
        ({"origin": {"kind": "channel"}}, True, EXTERNAL),
        ({"isSynthetic": True}, True, EXTERNAL),
    ],
)
def test_only_a_persons_words_can_be_commands(more: dict, verbatim: bool, label: object) -> None:
    made = read_prompt(said(" /clear ", **more))
    assert (made.verbatim, made.label) == (verbatim, label)
    assert made.origin == more.get("origin", {})


@given(st.lists(st.sampled_from(["now", "next", "later", "soon", 3, None]), max_size=12))
def test_prompts_come_by_priority_then_in_order(words: list) -> None:
    queue = Queue()
    for place, word in enumerate(words):
        queue.put(read_prompt(said(str(place), priority=word)))
    rank = {"now": 0, "later": 2}
    wanted = sorted(range(len(words)), key=lambda place: (rank.get(words[place], 1), place))
    assert [int(queue.take().parts[0].text) for _ in words] == wanted


def test_what_waits_can_be_withdrawn() -> None:
    queue = Queue()
    for name in "abc":
        queue.put(Prompt((Text(name),), name))
    assert queue.withdraw("b")
    assert not queue.withdraw("b")
    assert queue.uuids == ["a", "c"]


def test_the_queue_is_bounded() -> None:
    queue = Queue()
    for _ in range(MOST_WAITING):
        queue.put(Prompt((Text("x"),)))
    with pytest.raises(UsageError, match="wait"):
        queue.put(Prompt((Text("x"),)))
