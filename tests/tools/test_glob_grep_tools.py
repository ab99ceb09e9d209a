from __future__ import annotations

import asyncio
import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.workspace import FileContent, Stamp
from assay.tools.glob import GlobTool
from assay.tools.grep import GrepTool
from assay.tools.patterns import glob_regex
from assay.tools.scan import scan

from .double import Bench, text_of


@pytest.fixture(autouse=True)
def no_ripgrep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def _fill(bench: Bench) -> None:
    bench.put("src/a.py", "import os\n\ndef alpha():\n    return beta()\n")
    bench.put("src/b.py", "def beta():\n    return 1\n")
    bench.put("docs/beta.md", "about beta\n")
    bench.put("data.bin", b"beta\0")


async def _lines(bench: Bench, tool: GrepTool | None = None, **arguments: object) -> str:
    return text_of(await bench.call(tool or GrepTool(), output_mode="content", **arguments))


async def test_names_files_unless_told_otherwise(bench: Bench) -> None:
    _fill(bench)
    outcome = await bench.call(GrepTool(), pattern="beta\\(")
    assert text_of(outcome) == "src/a.py\nsrc/b.py"
    assert outcome.display == "Grep beta\\(: 2 lines in 2 files"
    assert outcome.debug == {"mode": "files_with_matches", "files": 2, "lines": 2}
    assert (
        text_of(await bench.call(GrepTool(), pattern="e", output_mode="count"))
        == "docs/beta.md:1\nsrc/a.py:2\nsrc/b.py:2"
    )
    assert text_of(await bench.call(GrepTool(), pattern="nowhere")) == "no matches"


async def test_content_is_grouped_by_file(bench: Bench) -> None:
    _fill(bench)
    assert await _lines(bench, pattern="beta\\(") == "src/a.py\n4:    return beta()\nsrc/b.py\n1:def beta():"
    assert (
        await _lines(bench, pattern="BETA\\(", path="src/b.py", **{"-i": True, "-n": False}) == "src/b.py\ndef beta():"
    )


async def test_path_glob_and_type_narrow(bench: Bench) -> None:
    _fill(bench)
    assert await _lines(bench, pattern="beta", glob="*.md") == "docs/beta.md\n1:about beta"
    assert await _lines(bench, pattern="beta", type="md") == "docs/beta.md\n1:about beta"
    assert "docs" not in await _lines(bench, pattern="beta", type="py")
    assert await _lines(bench, pattern="beta", type="zig") == "no matches"
    assert "src/a.py" not in await _lines(bench, pattern="beta", path="docs")
    assert "src/b.py" in await _lines(bench, pattern="beta", path=f"{bench.root}/src/b.py")
    assert (await bench.call(GrepTool(), pattern="beta", path="gone")).is_error
    assert (await bench.call(GrepTool(), pattern="beta", path="/etc")).is_error


async def test_lines_around_a_match(bench: Bench) -> None:
    bench.put("n", "".join(f"line {number}\n" for number in range(1, 21)))
    text = await _lines(bench, pattern="line (5|7|15)$", **{"-B": 1, "-A": 1})
    assert text == "n\n4-line 4\n5:line 5\n6-line 6\n7:line 7\n8-line 8\n--\n14-line 14\n15:line 15\n16-line 16"
    assert (await _lines(bench, pattern="line 1$", **{"-C": 1})) == "n\n1:line 1\n2-line 2"
    assert len(await _lines(bench, pattern="line 1$", **{"-C": 10**9})) < 500


async def test_a_match_over_several_lines(bench: Bench) -> None:
    bench.put("f.py", "def f(\n    a,\n    b,\n):\n    pass\n\ndef g(): pass\n")
    assert await _lines(bench, pattern="def f\\(.*?\\):", multiline=True) == "f.py\n1:def f(\n2:    a,\n3:    b,\n4:):"
    assert await _lines(bench, pattern="def f\\(.*?\\):") == "no matches"


async def test_the_last_line_end_begins_no_line(bench: Bench) -> None:
    bench.put("a", "x\n\ny\n")
    bench.put("b", "")
    assert await _lines(bench, pattern="^$") == "a\n2:"
    assert await _lines(bench, pattern="\\n", multiline=True) == "a\n1:x\n2:\n3:y"


async def test_a_page_of_matches(bench: Bench) -> None:
    bench.put("a", "hit\n" * 40)
    bench.put("b", "hit\n" * 3)
    text = await _lines(bench, pattern="hit", head_limit=5, offset=37)
    assert text == "a\n38:hit\n39:hit\n40:hit\nb\n1:hit\n2:hit\n[… 1 more in this file]"
    assert text_of(await bench.call(GrepTool(), pattern="hit", head_limit=1)).startswith("a\n[… 1 more")
    assert text_of(await bench.call(GrepTool(), pattern="hit", offset=1)) == "b"
    assert "behind the end" in text_of(await bench.call(GrepTool(), pattern="hit", offset=9))


async def test_glob_names_files(bench: Bench) -> None:
    _fill(bench)
    assert text_of(await bench.call(GlobTool(), pattern="*.py")) == "src/a.py\nsrc/b.py"
    assert text_of(await bench.call(GlobTool(), pattern="a.*", path="src")) == "src/a.py"
    assert text_of(await bench.call(GlobTool(), pattern=f"{bench.root}/src/a.*", path="src")) == "src/a.py"
    assert text_of(await bench.call(GlobTool(), pattern="nope*")) == "no such files"
    assert (await bench.call(GlobTool(), pattern="/etc/*")).is_error
    assert (await bench.call(GlobTool(), pattern="*", path="gone")).is_error
    for number in range(150):
        bench.put(f"many/{number:03}.txt", "")
    assert "[… 50 more; narrow pattern or path]" in text_of(await bench.call(GlobTool(), pattern="", path="many"))


async def test_hidden_files_are_left_out(bench: Bench) -> None:
    _fill(bench)

    def hides(path: str) -> bool:
        return path.startswith("src/")

    assert await _lines(bench, GrepTool(hides), pattern="beta") == "docs/beta.md\n1:about beta"
    assert "src" not in text_of(await bench.call(GlobTool(hides), pattern="**"))


async def test_many_matches_are_counted(bench: Bench) -> None:
    for number in range(30):
        bench.put(f"f{number:02}", "hit\n" * 25 + "x" * 500 + "hit\n")
    text = await _lines(bench, pattern="hit")
    assert text.count(":hit") == 100
    assert "[… 6 more in this file]" in text
    assert "[also in: f05 (26)" in text
    assert "more files; narrow" in text
    bench.put("wide", ("hit" + "y" * 300 + "\n") * 900)
    assert len(await _lines(bench, pattern="hit", path="wide", head_limit=900, **{"-C": 50})) < 45_000


async def test_bad_and_slow_patterns_are_told(bench: Bench) -> None:
    bench.put("a", "a" * 40 + "b\n")
    assert "pattern:" in text_of(await bench.call(GrepTool(), pattern="f("))
    assert "too slow" in text_of(await bench.call(GrepTool(), pattern="(a+)+$"))


async def test_ripgrep_is_used_where_there_is_one(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(bench)
    place = tmp_path / "bin" / "rg"
    place.parent.mkdir()
    place.write_text("#!/bin/sh\nprintf './src/a.py\\0004:    return beta()\\n./src/b.py\\0001:def beta():\\n'\n")
    place.chmod(place.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(place.parent) + os.pathsep + "/bin")
    tool = GrepTool(lambda path: path == "src/b.py")
    asked = {"-A": 1, "-i": True, "type": "py", "multiline": True}
    assert await _lines(bench, tool, pattern="-beta", glob="*.py", **asked) == "src/a.py\n4:    return beta()"
    command = bench.workspace.commands[0]
    assert command.read_only
    assert command.argv[-4:] == ("--regexp", "-beta", "--", "./.")
    assert {"--ignore-case", "--multiline", "--type=py", "--glob=*.py"} <= set(command.argv)
    # What ripgrep can't do, look-around for one, is done without it.
    place.write_text("#!/bin/sh\necho 'rg: regex parse error'\nexit 2\n")
    assert "src/a.py" in text_of(await bench.call(GrepTool(), pattern="(?<=return )beta"))


@given(
    st.text(alphabet="ab\n", max_size=60), st.sampled_from(["a+", "a.b", "b$", "^", "(?=b)", "ab|\n"]), st.booleans()
)
def test_the_lines_found_are_lines_of_the_text(view: str, pattern: str, across: bool) -> None:
    class One:
        def read_file(self, path: str, limit: int) -> FileContent:
            return FileContent(view.encode(), Stamp("", 0, 0, 0))

    found = asyncio.run(scan(One(), ["f"], re.compile(pattern, re.DOTALL), across=across))
    lines = view.split("\n")
    for number, line in found.lines.get("f", []):
        assert lines[number - 1] == line
        assert across or re.search(pattern, line)


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*.py", "a/b.py", True),
        ("*.py", "a/b.pyc", False),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "x/src/a.py", False),
        ("src/**/t_*", "src/t_a", True),
        ("src/**/t_*", "src/x/y/t_a", True),
        ("**/*.ts", "a.ts", True),
        ("*.{ts,tsx}", "a/b.tsx", True),
        ("tests", "a/tests/b.py", True),
        ("tests/", "tests/b.py", True),
        ("[!a]*.py", "b.py", True),
        ("[!a]*.py", "a.py", False),
        ("a?c", "abc", True),
        ("[", "[", True),
        ("[z-a]", "x/[z-a]", True),
        ("[+--]x", "a/-x", True),
        ("[?--]", "[?--]", True),
    ],
)
def test_globs(glob: str, path: str, matches: bool) -> None:
    assert bool(glob_regex(glob).fullmatch(path)) == matches


@given(st.text(alphabet="a*?[]{}!^-/.,\\|&~", max_size=20))
def test_any_glob_compiles(glob: str) -> None:
    assert glob_regex(glob).fullmatch("\n") is None or "*" in glob or "?" in glob or "[" in glob
