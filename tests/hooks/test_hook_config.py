"""Configuration of hooks and their matchers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import UsageError
from assay.policy.hooks.condition import meets
from assay.policy.hooks.config import EVENTS, TIMEOUT, joined, matches, read_callbacks, read_hooks

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)


def hook(**fields: object) -> dict:
    return {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "true", **fields}]}]}


@pytest.mark.parametrize(
    ("matcher", "subject", "meant"),
    [
        ("", "Bash", True),
        ("*", "Bash", True),
        ("Bash", "Bash", True),
        ("Bash", "BashOutput", False),
        ("bash", "Bash", False),
        ("Edit|Write", "Write", True),
        ("Edit, Write", "Write", True),
        ("Edit|Write", "NotebookEdit", False),
        ("mcp__memory", "mcp__memory__store", False),
        ("mcp__memory__.*", "mcp__memory__store", True),
        (".*Edit", "NotebookEdit", True),
        ("Edit$", "MultiEdit", True),
        ("^Edit$", "MultiEdit", False),
        ("Task", "Agent", True),
        ("Agent", "Task", True),
        ("A.ent", "Task", True),
        ("startup|resume", "resume", True),
    ],
)
def test_matchers(matcher: str, subject: str, meant: bool) -> None:
    assert matches(matcher, subject) is meant


@given(st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True), st.text(max_size=30))
def test_a_plain_matcher_is_exact(name: str, subject: str) -> None:
    alias = {name, subject} == {"Agent", "Task"}
    assert matches(name, subject) == (name == subject or alias)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_other_matcher_is_a_regular_expression(matcher: str, subject: str) -> None:
    if matcher == "*" or re.fullmatch(r"[A-Za-z0-9_\- ,|]*", matcher) or subject in ("Agent", "Task"):
        return
    try:
        found = re.search(matcher, subject) is not None
    except re.error:
        return
    assert matches(matcher, subject) == found


def test_what_is_read() -> None:
    table, notices = read_hooks(hook(args=["-x"], timeout=5, once=True, onFailure="allow") | {"Frobnicated": []}, "f")
    (group,) = table["PreToolUse"]
    (handler,) = group.handlers
    assert (group.matcher, handler.args, handler.timeout, handler.once) == ("Bash", ("-x",), 5.0, True)
    assert not handler.closes
    assert notices == ["f: hooks of Frobnicated are never run: that never happens here"]
    plain = read_hooks(hook(), "f")[0]["PreToolUse"][0].handlers[0]
    assert plain.closes
    assert plain.timeout == TIMEOUT
    after = read_hooks({"PostToolUse": hook()["PreToolUse"]}, "f")[0]["PostToolUse"][0].handlers[0]
    assert not after.closes, "only a guard closes by itself"
    assert (
        read_hooks({"UserPromptSubmit": hook()["PreToolUse"]}, "f")[0]["UserPromptSubmit"][0].handlers[0].timeout == 30
    )


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ([], "expected an object"),
        ({"PreToolUse": {}}, "hooks.PreToolUse: expected a list"),
        ({"PreToolUse": [[]]}, "expected an object"),
        ({"PreToolUse": [{"matcher": 3, "hooks": []}]}, "matcher"),
        ({"PreToolUse": [{"matcher": "(", "hooks": []}]}, "no regular expression"),
        ({"PreToolUse": [{"matcher": "Bash"}]}, "hooks: expected a list"),
        (hook(command=""), "command"),
        (hook(command=3), "command"),
        (hook(timeout=0), "timeout"),
        (hook(timeout=True), "timeout"),
        (hook(timeout="5"), "timeout"),
        (hook(args="x"), "args"),
        (hook(onFailure="maybe"), "onFailure"),
        ({"PreToolUse": [{"hooks": [{"type": 3}]}]}, "type"),
        (hook(**{"if": "((("}), "if"),
    ],
)
def test_what_can_not_be_understood_is_an_error_that_says_where(value: object, named: str) -> None:
    with pytest.raises(UsageError, match=re.escape(named)) as caught:
        read_hooks(value, "file")
    assert str(caught.value).startswith("file")


@given(st.dictionaries(st.sampled_from(EVENTS) | st.text(max_size=5), JSON, max_size=4) | JSON)
def test_any_json_is_read_or_refused(value: object) -> None:
    for read in (lambda: read_hooks(value, "f"), lambda: read_callbacks(value)):
        try:
            table, _ = read()
        except UsageError:
            continue
        assert set(table) <= set(EVENTS)


def test_hooks_of_a_host() -> None:
    given = {"PreToolUse": [{"matcher": None, "hookCallbackIds": ["a", "b"], "timeout": 3}], "Stop": None}
    table, notices = read_callbacks(given)
    assert [handler.command for handler in table["PreToolUse"][0].handlers] == ["a", "b"]
    assert table["PreToolUse"][0].handlers[0].timeout == 3
    assert notices == []
    both = joined((table, read_hooks(hook(), "f")[0]))
    assert len(both["PreToolUse"]) == 2


def test_a_type_that_can_not_be_run_still_guards() -> None:
    table, _ = read_hooks({"PreToolUse": [{"hooks": [{"type": "http", "url": "http://x.example"}]}]}, "f")
    handler = table["PreToolUse"][0].handlers[0]
    assert handler.kind == "unsupported"
    assert handler.closes


@pytest.mark.parametrize(
    ("condition", "tool", "arguments", "met"),
    [
        ("Bash(git *)", "Bash", {"command": "git push"}, True),
        ("Bash(git *)", "Bash", {"command": "x=1; sudo git push"}, True),
        ("Bash(git *)", "Bash", {"command": "ls"}, False),
        ("Bash(git *)", "Read", {"file_path": "git"}, False),
        ("Edit(*.ts)", "Edit", {"file_path": "src/a.ts"}, True),
        ("Edit(*.ts)", "Write", {"file_path": "src/a.py"}, False),
        ("Edit(*.ts)", "Edit", {}, True),
        ("WebFetch(domain:a.example)", "WebFetch", {"url": "https://a.example/x"}, True),
        ("WebFetch(domain:a.example)", "WebFetch", {"url": "https://b.example/x"}, False),
        ("mcp__x__*", "mcp__x__y", {}, True),
        ("Bash", "Bash", {"command": "ls"}, True),
        ("no rule ((", "Bash", {"command": "ls"}, True),
    ],
)
def test_conditions_run_the_hook_in_doubt(condition: str, tool: str, arguments: dict, met: bool) -> None:
    assert meets(condition, tool, arguments, "/work/project") is met
