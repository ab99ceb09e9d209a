from __future__ import annotations

import base64

import pytest

from assay.core.messages import Image
from assay.tools.read import CHARACTERS, LINES, ReadTool
from assay.tools.write import WriteTool

from .double import Bench, text_of

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


async def test_numbers_lines(bench: Bench) -> None:
    bench.put("a.py", "one\r\n\ttwo\r\nthree")
    outcome = await bench.call(ReadTool(), file_path="./x/../a.py")
    assert text_of(outcome) == "1\tone\n2\t\ttwo\n3\tthree"
    assert list(outcome.seen) == ["a.py"]


async def test_absolute_paths_inside_are_the_same_file(bench: Bench) -> None:
    bench.put("a.py", "one\n")
    outcome = await bench.call(ReadTool(), file_path=f"{bench.root}/a.py")
    assert list(outcome.seen) == ["a.py"]


async def test_a_part_says_how_to_go_on(bench: Bench) -> None:
    bench.put("a", "".join(f"line {number}\n" for number in range(1, 11)))
    text = text_of(await bench.call(ReadTool(), file_path="a", offset="4", limit=2))
    assert text == "4\tline 4\n5\tline 5\n[lines 4-5 of 10; go on with offset=6]"
    assert "has 10 lines" in text_of(await bench.call(ReadTool(), file_path="a", offset=11))
    assert text_of(await bench.call(ReadTool(), file_path="a", offset=-3, limit=1)).startswith("1\tline 1\n")


async def test_caps_on_lines_characters_and_width(bench: Bench) -> None:
    bench.put("many", "x\n" * (LINES + 500))
    assert f"[lines 1-{LINES} of {LINES + 500}; go on with offset={LINES + 1}]" in text_of(
        await bench.call(ReadTool(), file_path="many")
    )
    bench.put("big", ("y" * 999 + "\n") * 200)
    text = text_of(await bench.call(ReadTool(), file_path="big"))
    assert len(text) < CHARACTERS + 200
    assert "go on with offset=" in text
    bench.put("wide", "z" * 30_000)
    text = text_of(await bench.call(ReadTool(), file_path="wide"))
    assert len(text) < 2_300
    assert "cut at 2000 characters: line 1" in text


async def test_several_files_share_the_room(bench: Bench) -> None:
    bench.put("a", "one\n")
    bench.put("b", ("y" * 999 + "\n") * 200)
    outcome = await bench.call(ReadTool(), file_path="a\nb\ngone")
    text = text_of(outcome)
    assert text.startswith("== a\n1\tone\n== b\n1\tyyy")
    assert "== gone\ngone: no such file" in text
    assert len(text) < CHARACTERS
    assert set(outcome.seen) == {"a", "b"}
    assert not outcome.is_error
    assert [effect.target for effect in ReadTool().effects({"file_path": "a\nb/../c"})] == ["a", "c"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("h\u00e9".encode("utf-16"), "1\th\u00e9\n[encoding UTF-16-LE, kept by Edit]"),
        (b"caf\xe9", "1\tcaf\u00e9\n[encoding Latin-1, kept by Edit]"),
        (b"", "(empty file)"),
        (b"\x7fELF\0\0", "f: ELF program or library, 6 bytes; not text."),
        (b"a\0b", "f: binary data, 3 bytes; not text."),
        ("a\u202eb\x1b[31m".encode(), "1\ta\\u202eb\\x1b[31m\n[control, directional"),
    ],
)
async def test_other_contents(bench: Bench, data: bytes, words: str) -> None:
    bench.put("f", data)
    assert text_of(await bench.call(ReadTool(), file_path="f")).startswith(words)


async def test_images_are_shown(bench: Bench) -> None:
    bench.put("a.dat", PNG)
    outcome = await bench.call(ReadTool(), file_path="a.dat")
    assert outcome.content == (Image("image/png", base64.b64encode(PNG).decode()),)
    bench.put("b.png", PNG + bytes(4_000_000))
    assert (await bench.call(ReadTool(), file_path="b.png")).is_error


async def test_directories_are_listed_without_what_is_hidden(bench: Bench) -> None:
    for path in ("src/a.py", "src/deep/b.py", "src/deep/c.py", "src/secret", "top"):
        bench.put(path, "x")
    tool = ReadTool(lambda path: path.endswith("secret"))
    assert text_of(await bench.call(tool, file_path="src")) == "a.py\ndeep/ (2)"
    assert text_of(await bench.call(tool, file_path=".")) == "src/ (3)\ntop"
    (bench.root / "void").mkdir()
    assert (await bench.call(tool, file_path="void")).is_error


async def test_a_missing_file_names_its_namesakes(bench: Bench) -> None:
    bench.put("src/a.py", "x")
    outcome = await bench.call(ReadTool(), file_path="lib/a.py")
    assert outcome.is_error
    assert "Did you mean src/a.py?" in text_of(outcome)
    assert "outside" in text_of(await bench.call(ReadTool(), file_path="/etc/hostname"))


async def test_write_creates_with_directories(bench: Bench) -> None:
    outcome = await bench.call(WriteTool(), file_path="a/b.txt", content="hi\n")
    assert text_of(outcome) == "created a/b.txt"
    assert (bench.root / "a/b.txt").read_text() == "hi\n"
    again = await bench.call(WriteTool(), file_path="a/b.txt", content="ho\n")
    assert text_of(again) == "wrote a/b.txt"


async def test_write_refuses_what_was_not_seen_or_changed(bench: Bench) -> None:
    place = bench.put("a", "mine\n")
    assert "not read it" in text_of(await bench.call(WriteTool(), file_path="a", content="x"))
    await bench.call(ReadTool(), file_path="a")
    place.write_text("changed\n")
    assert "changed since" in text_of(await bench.call(WriteTool(), file_path="a", content="x"))
    assert place.read_text() == "changed\n"


async def test_write_keeps_encoding_and_line_ends(bench: Bench) -> None:
    place = bench.put("a", "\ufeffh\u00e9\r\n".encode("utf-16-le"))
    await bench.call(ReadTool(), file_path="a")
    await bench.call(WriteTool(), file_path="a", content="one\ntwo\n")
    assert place.read_bytes() == "\ufeffone\r\ntwo\r\n".encode("utf-16-le")
    same = await bench.call(WriteTool(), file_path="a", content="one\ntwo\n")
    assert "already" in text_of(same)
    place = bench.put("l", b"caf\xe9\n")
    await bench.call(ReadTool(), file_path="l")
    assert "Latin-1" in text_of(await bench.call(WriteTool(), file_path="l", content="\u2192"))
    assert place.read_bytes() == b"caf\xe9\n"


async def test_write_tells_of_broken_syntax(bench: Bench) -> None:
    outcome = await bench.call(WriteTool(), file_path="a.py", content="def f(:\n")
    assert "Python syntax error in line 1" in text_of(outcome)
