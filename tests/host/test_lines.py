"""Lines of JSON: whole whatever the pipe cuts them into, bounded both ways, and never a crash."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import UsageError
from assay.surfaces.host.lines import MOST, LineReader, fits, read_line, write_line

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
FRAMES = st.dictionaries(st.text(max_size=8), VALUES, max_size=5)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(0, 10_000), max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_any_cut_of_the_bytes_gives_the_same_objects(frames: list, places: list[int], end: str) -> None:
    data = "".join(json.dumps(frame, ensure_ascii=False) + end for frame in frames).encode("utf-8", "surrogatepass")
    if b"\xed" in data:  # halves of surrogate pairs are no UTF-8
        data = "".join(json.dumps(frame) + end for frame in frames).encode()
    reader = LineReader()
    found = [read_line(line) for piece in cut(data, places) for line in reader.feed(piece)]
    assert found == frames
    assert reader.take() == b""


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_no_bytes_make_it_crash(data: bytes, places: list[int]) -> None:
    reader = LineReader()
    for piece in cut(data, places):
        for line in reader.feed(piece):
            assert b"\n" not in line
            try:
                assert isinstance(read_line(line), dict)
            except UsageError as error:
                assert "standard input" in str(error)
                assert "\n" not in str(error)


def test_blank_lines_are_none_and_the_rest_can_be_taken() -> None:
    reader = LineReader()
    assert reader.feed(b'\n\r\n  \n{"a":') == []
    assert reader.feed(b"1}") == []
    assert reader.take() == b'{"a":1}'


def test_other_line_ends_are_part_of_a_line() -> None:
    line = '{"a":"x\u2028y\x85z"}'.encode()
    assert [read_line(each) for each in LineReader().feed(line + b"\n")] == [{"a": "x\u2028y\x85z"}]


def test_a_line_that_is_too_long_is_refused_before_it_is_whole() -> None:
    reader = LineReader(longest=10)
    assert reader.feed(b"0123456789\n012345") == [b"0123456789"]
    with pytest.raises(UsageError, match="longer than 10 bytes"):
        reader.feed(b"67890")


@pytest.mark.parametrize("line", [b"nope", b"[]", b"3", b'"x"', b'{"a":', b"\xff\xfe", b"{}{}", b"[" * 200_000])
def test_what_is_no_object_is_told_in_one_line(line: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        read_line(line)
    assert len(str(caught.value)) < 400


def test_half_a_surrogate_pair_is_let_pass() -> None:
    assert read_line(b'{"a":"\\ud83d"}') == {"a": "\ud83d"}


@given(FRAMES)
def test_what_is_short_goes_out_whole_on_one_line_of_ascii(frame: dict) -> None:
    line = write_line(frame)
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line) == frame


@pytest.mark.parametrize(
    "content",
    [
        "x" * 2_000_000,
        "\u00e9" * 1_000_000,
        [{"type": "text", "text": "y" * 200_000} for _ in range(20)],
        [{"n": number} for number in range(200_000)],
        {str(number): "v" for number in range(100_000)},
        [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 3_000_000}}],
        {"file": {"base64": "A" * 3_000_000, "type": "image/png"}},
        [["z" * 5_000] * 40] * 40,
    ],
    ids=["text", "accents", "blocks", "list", "table", "image", "file", "nested"],
)
def test_what_is_long_is_shortened_and_stays_what_it_is(content: object) -> None:
    frame = {"type": "user", "uuid": "u", "message": {"role": "user", "content": content}}
    assert not fits(frame)
    line = write_line(frame)
    assert len(line) <= MOST + 1
    made = json.loads(line)
    assert (made["type"], made["uuid"], made["message"]["role"]) == ("user", "u", "user")
    assert type(made["message"]["content"]) is type(content)
