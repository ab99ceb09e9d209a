"""Front matter as people write it, and as nobody should."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.context.library.frontmatter import (
    LARGEST,
    Document,
    names_of,
    parse_document,
    read_document,
    switch_of,
    text_of,
)


def parsed(head: str, body: str = "the body") -> Document:
    return parse_document(f"---\n{head}\n---\n{body}".encode(), "f.md")


@pytest.mark.parametrize(
    ("head", "fields"),
    [
        ("name: a\ndescription: b", {"name": "a", "description": "b"}),
        ("description: fix: the parser", {"description": "fix: the parser"}),
        ("description: Use when: x, y\ntools: Read, Grep", {"description": "Use when: x, y", "tools": "Read, Grep"}),
        ("name: x\ndescription: [unclosed", {"name": "x", "description": "[unclosed"}),
        ("name: x\n\tdescription: a: tab", None),
        ("name: x\ndescription: @home `code`", {"name": "x", "description": "@home `code`"}),
        ("a: : b\ntools:\n  - Read\n  - 'Bash(x)'", {"a": ": b", "tools": ["Read", "Bash(x)"]}),
        ("a: x: y\nb: true\nc:", {"a": "x: y", "b": True, "c": None}),
        ("a: first: line\n  second", {"a": "first: line second"}),
        (
            "argument-hint: [a] [b]\nhooks:\n  Stop:\n    - x: 1",
            {"argument-hint": "[a] [b]", "hooks": {"Stop": [{"x": 1}]}},
        ),
        ("day: 2024-01-02", {"day": "2024-01-02"}),
        ("", {}),
        ("# only a comment", {}),
    ],
)
def test_fields(head: str, fields: dict[str, object] | None) -> None:
    document = parsed(head)
    assert (document.fields, document.fault) == (fields, "") if fields is not None else document.fault
    if fields is not None:
        assert document.body == "the body"


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("name: x\n[: {", 3),
        ("x: 1\nname: a: b\n\tdescription: c", 4),
        ("- a\n- b", 2),
        ("just words", 2),
        ("a: &x [*x]\n{", 3),
        ("a: 1\nb: 2\n? {", 4),
    ],
)
def test_a_fault_names_file_and_line(head: str, line: int) -> None:
    document = parsed(head)
    assert document.fault.startswith(f"f.md:{line}: "), document.fault


def test_a_file_without_front_matter_is_its_body() -> None:
    assert parse_document(b"\xef\xbb\xbf\r\nwords\r\n", "f") == Document(body="words")
    assert parse_document(b"---\na: 1\n...\n\n\nx", "f") == Document({"a": 1}, "x", "", 6)


def test_no_end_no_document() -> None:
    assert "has no end" in parse_document(b"---\nname: x\n", "f").fault


def test_a_few_lines_cannot_stand_for_billions() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "stands for more than" in parsed("\n".join(lines)).fault
    assert parsed("a: &x [*x]").fields == {"a": "&x [*x]"}


@pytest.mark.parametrize(
    "text", ["[" * 50_000, "a: " + "{" * 9_000, "- " * 20_000 + "a", "? " * 9_000, "a:\n" + "- ? " * 9_000]
)
def test_nesting_does_not_go_down_the_stack(text: str) -> None:
    document = parsed(text)
    assert document.fault or document.fields.keys() == {"a"}
    lines = "\n".join(" " * depth + "a:" for depth in range(340))
    assert parsed(lines).fault or parsed(lines).fields


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    for text in (data, b"---\n" + data + b"\n---\nbody"):
        document = parse_document(text, "f")
        assert not document.fault or document.fault.startswith("f:")


@given(
    st.dictionaries(
        st.from_regex(r"\A[a-z][a-z-]{0,10}\Z"),
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60).map(str.strip),
        max_size=5,
    )
)
def test_plain_lines_are_always_understood(fields: dict[str, str]) -> None:
    """What is no YAML is taken as it was written; what is, may mean something else to YAML, but is no fault."""
    head = "\n".join(f"{key}: x: {value}" for key, value in fields.items())
    document = parsed(head)
    assert document.fault == ""
    assert document.fields.keys() == fields.keys()


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert "not a file" in read_document(tmp_path).fault
    (tmp_path / "large.md").write_bytes(b"x" * (LARGEST + 1))
    assert "larger than" in read_document(tmp_path / "large.md").fault


def test_values_in_any_form() -> None:
    fields: dict[str, object] = {"a": "Read, Bash(git log, git diff) Edit", "b": [1, "x", None], "c": "TRUE", "d": True}
    assert names_of(fields, "a") == ("Read", "Bash(git log, git diff)", "Edit")
    assert names_of(fields, "b") == ("1", "x")
    assert switch_of(fields, "c", default=False)
    assert switch_of(fields, "d", default=False)
    assert switch_of(fields, "e", default=True)
    assert text_of(fields, "b") == ""
    assert names_of(parsed("t:\n - Read\n - Bash(git: log)").fields, "t") == ("Read", "Bash(git: log)")
