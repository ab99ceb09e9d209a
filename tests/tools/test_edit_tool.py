from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import ChangedMeanwhile, InvalidArguments
from assay.tools.edit import EditTool
from assay.tools.nearmiss import near_misses
from assay.tools.read import ReadTool
from assay.tools.textfile import decode

from .double import Bench, text_of


async def test_replaces_once_and_answers_briefly(bench: Bench) -> None:
    place = bench.put("a.py", "def f():\n    return 1\n")
    outcome = await bench.call(EditTool(), file_path="a.py", old_string="return 1", new_string="return 2")
    assert place.read_text() == "def f():\n    return 2\n"
    assert text_of(outcome) == "edited a.py: line 2"
    assert outcome.debug["diff"] == "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n def f():\n-    return 1\n+    return 2"
    assert outcome.seen["a.py"] == bench.workspace.read_file("a.py").stamp.digest


async def test_diff_headers_count_from_the_whole_file(bench: Bench) -> None:
    bench.put("n.txt", "".join(f"{number}\n" for number in range(1, 51)))
    outcome = await bench.call(EditTool(), file_path="n.txt", old_string="40\n", new_string="forty\nand\n")
    assert "@@ -37,7 +37,8 @@" in str(outcome.debug["diff"])
    assert (outcome.debug["added"], outcome.debug["removed"]) == (2, 1)
    assert "lines 40-41" in text_of(outcome)


async def test_two_places_are_told_and_all_takes_them(bench: Bench) -> None:
    place = bench.put("a.txt", "x = 1\ny\nx = 1\n")
    refused = await bench.call(EditTool(), file_path="a.txt", old_string="x = 1", new_string="x = 2")
    assert refused.is_error
    assert "occurs 2 times (lines 1, 3)" in text_of(refused)
    assert place.read_text() == "x = 1\ny\nx = 1\n"
    done = await bench.call(EditTool(), file_path="a.txt", old_string="x = 1", new_string="x = 2", replace_all=True)
    assert place.read_text() == "x = 2\ny\nx = 2\n"
    assert "2 places" in text_of(done)


async def test_overlapping_matches_are_ambiguous(bench: Bench) -> None:
    bench.put("a.txt", "aaa")
    assert "2 times" in text_of(await bench.call(EditTool(), file_path="a.txt", old_string="aa", new_string="b"))


@pytest.mark.parametrize(
    ("data", "old", "new", "result"),
    [
        (b"a\r\nb\r\nc\r\n", "a\nb", "a\nB\nB2", b"a\r\nB\r\nB2\r\nc\r\n"),
        (b"\xef\xbb\xbfx\n", "x", "\u00fc", b"\xef\xbb\xbf\xc3\xbc\n"),
        (b"caf\xe9 = 1\n", "= 1", "= \u00e8", b"caf\xe9 = \xe8\n"),
        ("\ufeffh\u00e9\r\nx".encode("utf-16-le"), "x", "y\nz", "\ufeffh\u00e9\r\ny\r\nz".encode("utf-16-le")),
        ("\u4e2d\u6587\n".encode("gbk") + b"key=1", "key=1", "key=2", "\u4e2d\u6587\n".encode("gbk") + b"key=2"),
        (b"a\nb\r\nc\nd", "b\nc", "b\nC", b"a\nb\r\nC\nd"),
        (b"a\rb\rc", "b\nc", "b\nx\nc", b"a\rb\rx\rc"),
        (b"\tif x:\n\t\ty", "\t\ty", "\t\tz", b"\tif x:\n\t\tz"),
        (
            "gr\u00fc\u00df dich\n".encode() + b"\xff tail",
            "tail",
            "end",
            "gr\u00fc\u00df dich\n".encode() + b"\xff end",
        ),
    ],
)
async def test_bytes_outside_the_span_stay(bench: Bench, data: bytes, old: str, new: str, result: bytes) -> None:
    place = bench.put("f.txt", data)
    outcome = await bench.call(EditTool(), file_path="f.txt", old_string=old, new_string=new)
    assert not outcome.is_error, text_of(outcome)
    assert place.read_bytes() == result


_CODECS = st.sampled_from(
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("latin-1", b""),
    ]
)
_PIECES = st.lists(st.sampled_from(["a", "b ", "\t", "\u00e9", "\r\n", "\n", "\r", "x=1", ""]), max_size=12).map(
    "".join
)


@given(_CODECS, _PIECES, _PIECES, st.sampled_from(["new", "one\ntwo", "", "\u00e9"]))
def test_any_text_keeps_what_surrounds_the_span(codec: tuple[str, bytes], head: str, tail: str, new: str) -> None:
    name, mark = codec
    raw = f"{head}@@OLD@@{tail}"
    file = decode(mark + raw.encode(name))
    assert file is not None
    at = file.view.index("@@OLD@@")
    result = file.replaced([(at, at + 7)], new)
    assert result.startswith(mark + head.encode(name))
    assert result.endswith(tail.encode(name))
    middle = result[len(mark + head.encode(name)) : len(result) - len(tail.encode(name))].decode(file.codec)
    assert middle.replace("\r\n", "\n").replace("\r", "\n") == new


@given(st.binary(max_size=300))
def test_whatever_decodes_encodes_back(data: bytes) -> None:
    file = decode(data)
    if file is None:
        assert b"\0" in data or data.startswith((b"\xff\xfe", b"\xfe\xff"))
    else:
        assert file.replaced([], "") == data
        assert file.replaced([(0, len(file.view))], file.view) == data


async def test_a_character_the_encoding_lacks_is_refused(bench: Bench) -> None:
    place = bench.put("f.txt", b"caf\xe9\n")
    outcome = await bench.call(EditTool(), file_path="f.txt", old_string="caf", new_string="\u2192")
    assert outcome.is_error
    assert "Latin-1" in text_of(outcome)
    assert place.read_bytes() == b"caf\xe9\n"


async def test_refuses_what_changed_since_it_was_seen(bench: Bench) -> None:
    place = bench.put("a.txt", "one\n")
    await bench.call(ReadTool(), file_path="a.txt")
    place.write_text("one, by the user\n")
    outcome = await bench.call(EditTool(), file_path="a.txt", old_string="one", new_string="two")
    assert outcome.is_error
    assert "changed since you saw it" in text_of(outcome)
    assert place.read_text() == "one, by the user\n"


async def test_refuses_what_changes_in_the_last_moment(bench: Bench) -> None:
    bench.put("a.txt", "one\n")

    def too_late(path: str, data: bytes, expect: object) -> None:
        raise ChangedMeanwhile("a.txt: changed")

    bench.workspace.write_file = too_late
    outcome = await bench.call(EditTool(), file_path="a.txt", old_string="one", new_string="two")
    assert "nothing was written" in text_of(outcome)


async def test_empty_old_creates_and_never_overwrites(bench: Bench) -> None:
    outcome = await bench.call(EditTool(), file_path="new/deep.txt", old_string="", new_string="hi\r\n")
    assert text_of(outcome) == "created new/deep.txt"
    assert (bench.root / "new/deep.txt").read_bytes() == b"hi\r\n"
    assert (await bench.call(EditTool(), file_path="new/deep.txt", old_string="", new_string="x")).is_error
    bench.put("empty", "")
    assert not (await bench.call(EditTool(), file_path="empty", old_string="", new_string="x")).is_error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"file_path": "a.txt", "old_string": "one", "new_string": "one"}, "the same"),
        ({"file_path": "gone.txt", "old_string": "one", "new_string": "two"}, "no such file"),
        ({"file_path": "bin", "old_string": "one", "new_string": "two"}, "not a text file"),
        ({"file_path": "../x", "old_string": "one", "new_string": "two"}, "outside"),
    ],
)
async def test_refusals_say_why(bench: Bench, arguments: dict[str, str], words: str) -> None:
    bench.put("a.txt", "one\n")
    bench.put("bin", b"one\0two")
    outcome = await bench.call(EditTool(), **arguments)
    assert outcome.is_error
    assert words in text_of(outcome)


async def test_broken_syntax_is_told_and_kept(bench: Bench) -> None:
    place = bench.put("a.py", "def f():\n    return (1)\n")
    outcome = await bench.call(EditTool(), file_path="a.py", old_string="(1)", new_string="(1")
    assert "Python syntax error in line 2" in text_of(outcome)
    assert "return (1\n" in place.read_text()
    again = await bench.call(EditTool(), file_path="a.py", old_string="def f", new_string="def g")
    assert "error" not in text_of(again)


@pytest.mark.parametrize(
    ("path", "before", "old", "new", "words"),
    [
        ("a.json", '{"a": 1}\n', "1}", "1,,}", "JSON error in line 1"),
        ("a.toml", "a = 1\n", "1", "", "TOML"),
        ("a.py", 'x = "\\d"\n', "x", "y", ""),
    ],
)
async def test_other_formats(bench: Bench, path: str, before: str, old: str, new: str, words: str) -> None:
    bench.put(path, before)
    text = text_of(await bench.call(EditTool(), file_path=path, old_string=old, new_string=new))
    assert words in text
    assert ("error" in text) == bool(words)


class TestNearMisses:
    def test_white_space(self) -> None:
        said = near_misses("class A:\n\tdef f(self):\n\t\treturn 1\n", "    def f(self):\n        return 1")
        assert "lines 2-3 but for white space" in said
        assert '"\\tdef f(self):"' in said

    def test_line_numbers(self) -> None:
        assert "line numbers" in near_misses("a = 1\nb = 2\n", "1\ta = 1\n2\tb = 2")

    def test_closest_lines(self) -> None:
        view = "".join(f"value_{number} = compute({number})\n" for number in range(100))
        said = near_misses(view, "value_42 = compute(42, fast=True)")
        assert "Closest: line 43" in said
        assert "43:\tvalue_42 = compute(42)" in said

    def test_nothing_alike(self) -> None:
        assert "Nothing in the file" in near_misses("alpha\nbeta\n", "zzz qqq")

    def test_bounded_on_a_large_file(self) -> None:
        view = "".join(
            f"    self.assertEqual(result_{number % 977}, expected)  # case {number}\n" for number in range(90_000)
        )
        assert len(view) > 5_000_000
        old = "\n".join(f"    self.assertEqual(result_{number}, expected)  # cases {number}" for number in range(200))
        began = time.process_time()
        said = near_misses(view, old)
        assert time.process_time() - began < 5
        assert "Closest" in said

    @given(st.text(max_size=200), st.text(min_size=1, max_size=80))
    def test_never_fails(self, view: str, old: str) -> None:
        assert near_misses(view, old)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"file_path": "a", "old_string": "x"}, "'new_string' is missing"),
        (
            {"file_path": "a", "old_string": "x", "new_string": "y", "file": 1},
            "no 'file'; the arguments are file_path, old_string, new_string, replace_all",
        ),
        ({"file_path": 1, "old_string": "x", "new_string": "y"}, "file_path: expected 'str', got 'int'"),
        ({"file_path": "", "old_string": "x", "new_string": "y"}, "name of a file"),
        ({"file_path": "a\0b", "old_string": "x", "new_string": "y"}, "name of a file"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArguments, match=words):
        EditTool().effects(arguments)
