"""Imports of instruction files, comments, rules with globs, and what comes when a file is read."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.context.imports import DEPTH, imports_of, without_comments
from assay.context.instructions import CAP, TOTAL_CAP, Reach, Reader
from assay.context.library.places import find_shelves
from assay.context.library.rules import matches
from assay.context.nested import Nested


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def reader(root: Path, own: tuple[Path, ...] = (), **more: object) -> Reader:
    return Reader(root, Reach(own, tuple(find_shelves(root, (), user=False, project=True)), **more))


def texts(found: Reader) -> str:
    return "\n".join(fragment.text for fragment in found.begin())


def test_imports_are_followed_in_order_and_once(tmp_path: Path) -> None:
    put(tmp_path, {
        "CLAUDE.md": "top @docs/a.md and @docs/b.md, again @./docs/a.md",
        "docs/a.md": "AAA @b.md",
        "docs/b.md": "BBB @../CLAUDE.md",
    })  # fmt: skip
    text = texts(reader(tmp_path))
    assert text.count("AAA") == text.count("BBB") == text.count("top ") == 1


def test_code_and_addresses_are_no_imports() -> None:
    text = "`@a.md` me@b.md\n```\n@c.md\n```\n@d.md (@e/f.md) @@g @dataclass. @~/h.md @/i/j.md @../k.md,"
    assert imports_of(text) == ["d.md", "e/f.md", "dataclass", "~/h.md", "/i/j.md", "../k.md"]


def test_imports_end_at_their_depth(tmp_path: Path) -> None:
    put(tmp_path, {"AGENTS.md": "@1.md", **{f"{n}.md": f"level{n} @{n + 1}.md" for n in range(1, 12)}})
    text = texts(reader(tmp_path))
    assert f"level{DEPTH} " in text
    assert f"level{DEPTH + 1} " not in text


def test_the_project_imports_from_itself_only_unless_trusted(tmp_path: Path) -> None:
    root = put(tmp_path / "p", {"CLAUDE.md": "@../secret.md @link.md @.env", ".env": "TOKEN"})
    put(tmp_path, {"secret.md": "the secret"})
    os.symlink(tmp_path / "secret.md", root / "link.md")
    found = reader(root, readable=lambda path: not path.endswith(".env"))
    assert "the secret" not in texts(found)
    assert "@../secret.md, @link.md, @.env" in found.notices[0]
    digest = f"sha256:{sha256((root / 'CLAUDE.md').read_bytes()).hexdigest()}"
    assert digest in found.notices[0]
    assert "the secret" in texts(reader(root, trusted=frozenset({digest})))
    own = put(tmp_path, {"home/CLAUDE.md": "mine @../secret.md"}) / "home/CLAUDE.md"
    (root / "CLAUDE.md").unlink()
    assert "the secret" in texts(reader(root, (own,)))


def test_comments_go_but_not_those_in_code() -> None:
    assert without_comments("a <!-- b\n c --> d `<!-- e -->`") == "a  d `<!-- e -->`"
    assert without_comments("a <!-- `b` --> c") == "a  c"
    assert without_comments("a <!-- never ends") == "a"


@given(st.text(alphabet="a@`<!->\n~/.\0 \t", max_size=120))
def test_no_text_makes_it_raise(text: str) -> None:
    assert "<!--" not in without_comments(text).replace("`", "") or "`" in text
    imports_of(text)


def test_huge_files_are_cut_and_say_so(tmp_path: Path) -> None:
    put(tmp_path, {"AGENTS.md": "x" * 3_000_000, "CLAUDE.md": "y" * 100_000, "a/AGENTS.md": "z" * 100_000})
    put(tmp_path, {"CLAUDE.local.md": "w" * 100_000, ".claude/CLAUDE.md": "v" * 100_000})
    found = reader(tmp_path).begin()
    assert sum(len(fragment.text) for fragment in found) < TOTAL_CAP + 5 * 400
    assert all(fragment.cut and "[... cut at" in fragment.text for fragment in found)
    assert len(found[0].text) < CAP + 300


def test_both_names_and_all_places_in_order(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    put(tmp_path, {"AGENTS.md": "1", "CLAUDE.md": "2", ".claude/CLAUDE.md": "3", "CLAUDE.local.md": "4"})
    put(tmp_path, {"a/AGENTS.md": "5", ".claude/rules/x.md": "6", ".claude/rules/y.md": "---\npaths: '*.py'\n---\n7"})
    found = reader(tmp_path / "a").begin()
    assert [fragment.text.splitlines()[1] for fragment in found] == ["1", "2", "3", "4", "5", "6"]
    assert [fragment.owner for fragment in found] == ["instructions"] * 5 + ["rules"]
    found = Reader(tmp_path, Reach(project=False, local=True)).begin()
    assert [fragment.text.splitlines()[1] for fragment in found] == ["4"]


def test_what_comes_late_comes_once(tmp_path: Path) -> None:
    put(tmp_path, {
        "pkg/AGENTS.md": "pkg words", "pkg/in/CLAUDE.md": "inner words", "pkg/in/a.ts": "",
        ".claude/rules/ts.md": "---\npaths: [\"pkg/**/*.{ts,tsx}\"]\n---\nts words",
        "pkg/.claude/rules/r.md": "pkg rule", "pkg/.claude/skills/s/SKILL.md": "x",
    })  # fmt: skip
    found = reader(tmp_path)
    found.begin()
    nested = Nested(tmp_path, found, [])
    first = nested.about("pkg/in/a.ts")
    said = [late.fragment.text.splitlines()[1] for late in first]
    assert said == ["pkg words", "inner words", "ts words", "pkg rule"]
    assert [late.reason for late in first] == [
        "nested_traversal",
        "nested_traversal",
        "path_glob_match",
        "nested_traversal",
    ]
    assert first[2].globs == ("pkg/**/*.{ts,tsx}",)
    assert [shelf.path for shelf in nested.shelves] == [tmp_path / "pkg/.claude"]
    assert nested.about("pkg/in/a.ts") == nested.about("pkg/other.py") == nested.about("../elsewhere/x") == []
    given = [str(tmp_path / "pkg/AGENTS.md"), str(tmp_path / ".claude/rules/ts.md")]
    again = Nested(tmp_path, reader(tmp_path), given).about("pkg/in/a.ts")
    assert [late.fragment.text.splitlines()[1] for late in again] == ["inner words", "pkg rule"]


@pytest.mark.parametrize(
    ("glob", "path", "met"),
    [
        ("*.py", "a/b.py", True),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/a/b.py", False),
        ("src/**", "src/a/b.py", True),
        ("src/**/*.{ts,tsx}", "src/a.tsx", True),
        ("src/**/*.{ts,tsx}", "src/a.py", False),
        ("**/test_*", "a/b/test_c.py", True),
        ("./src/", "src/x", True),
        ("/docs/*", "docs/x", True),
        ("[ab].py", "a.py", True),
        ("{a,b", "{a,b", True),
    ],
)
def test_globs(glob: str, path: str, met: bool) -> None:
    assert matches(glob, path) is met


@given(st.text(alphabet="ab*?{},/.[]!", max_size=40), st.text(alphabet="ab/.", max_size=20))
def test_no_glob_takes_long_or_raises(glob: str, path: str) -> None:
    assert matches(glob, path) in (True, False)
