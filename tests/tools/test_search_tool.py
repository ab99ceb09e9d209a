from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.tools.glob import glob_regex
from assay.tools.search import SearchTool

from .double import Bench, text_of


@pytest.fixture(autouse=True)
def no_ripgrep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def _fill(bench: Bench) -> None:
    bench.put("src/a.py", "import os\n\ndef alpha():\n    return beta()\n")
    bench.put("src/b.py", "def beta():\n    return 1\n")
    bench.put("docs/beta.md", "about beta\n")
    bench.put("data.bin", b"beta\0")


async def test_groups_matches_by_file(bench: Bench) -> None:
    _fill(bench)
    outcome = await bench.call(SearchTool(), pattern="beta\\(")
    assert text_of(outcome) == "src/a.py\n4:    return beta()\nsrc/b.py\n1:def beta():"
    assert outcome.display == "search beta\\(: 2 lines in 2 files"
    assert text_of(await bench.call(SearchTool(), pattern="nowhere")) == "no matches"


async def test_path_and_glob_narrow(bench: Bench) -> None:
    _fill(bench)
    assert text_of(await bench.call(SearchTool(), pattern="beta", glob="*.md")) == "docs/beta.md\n1:about beta"
    assert "src/a.py" not in text_of(await bench.call(SearchTool(), pattern="beta", path="docs"))
    assert "src/b.py" in text_of(await bench.call(SearchTool(), pattern="beta", path=f"{bench.root}/src/b.py"))
    assert (await bench.call(SearchTool(), pattern="beta", path="gone")).is_error
    assert (await bench.call(SearchTool(), pattern="beta", path="/etc")).is_error


async def test_without_pattern_names_files(bench: Bench) -> None:
    _fill(bench)
    assert text_of(await bench.call(SearchTool(), glob="*.py")) == "src/a.py\nsrc/b.py"
    assert text_of(await bench.call(SearchTool(), glob="nope*")) == "no such files"
    for number in range(250):
        bench.put(f"many/{number:03}.txt", "")
    assert "[… 50 more; narrow path or glob]" in text_of(await bench.call(SearchTool(), path="many"))


async def test_hidden_files_are_left_out(bench: Bench) -> None:
    _fill(bench)
    tool = SearchTool(lambda path: path.startswith("src/"))
    assert text_of(await bench.call(tool, pattern="beta")) == "docs/beta.md\n1:about beta"
    assert "src" not in text_of(await bench.call(tool))


async def test_many_matches_are_counted(bench: Bench) -> None:
    for number in range(30):
        bench.put(f"f{number:02}", "hit\n" * 25 + "x" * 500 + "hit\n")
    text = text_of(await bench.call(SearchTool(), pattern="hit"))
    assert text.count(":hit") == 100
    assert "[… 6 more in this file]" in text
    assert "[also in: f05 (26)" in text
    assert "more files; narrow" in text


async def test_bad_and_slow_patterns_are_told(bench: Bench) -> None:
    bench.put("a", "a" * 40 + "b\n")
    assert "pattern:" in text_of(await bench.call(SearchTool(), pattern="f("))
    assert "too slow" in text_of(await bench.call(SearchTool(), pattern="(a+)+$"))


async def test_ripgrep_is_used_where_there_is_one(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(bench)
    place = tmp_path / "bin" / "rg"
    place.parent.mkdir()
    place.write_text("#!/bin/sh\nprintf './src/a.py\\0004:    return beta()\\n./src/b.py\\0001:def beta():\\n'\n")
    place.chmod(place.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(place.parent) + os.pathsep + "/bin")
    tool = SearchTool(lambda path: path == "src/b.py")
    assert text_of(await bench.call(tool, pattern="-beta", glob="*.py")) == "src/a.py\n4:    return beta()"
    command = bench.workspace.commands[0]
    assert command.read_only
    assert command.argv[-4:] == ("--regexp", "-beta", "--", "./.")
    # What ripgrep can't do, look-around for one, is done without it.
    place.write_text("#!/bin/sh\necho 'rg: regex parse error'\nexit 2\n")
    assert "src/a.py" in text_of(await bench.call(SearchTool(), pattern="(?<=return )beta"))


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
    ],
)
def test_globs(glob: str, path: str, matches: bool) -> None:
    assert bool(glob_regex(glob).fullmatch(path)) == matches


@given(st.text(alphabet="a*?[]{}!^-/.,\\|&~", max_size=20))
def test_any_glob_compiles(glob: str) -> None:
    assert glob_regex(glob).fullmatch("\n") is None or "*" in glob or "?" in glob or "[" in glob
