from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import UsageError
from assay.policy.commands import allows, is_opaque, might_be, split_command
from assay.policy.paths import path_matches
from assay.policy.rules import parse_rule, parse_rules, split_rules, wildcard


def test_splits_flags_and_lists() -> None:
    assert split_rules("Bash(git log:*),Edit Read(a b)") == ["Bash(git log:*)", "Edit", "Read(a b)"]
    assert split_rules(["Bash(a, b)", "Edit,Write"]) == ["Bash(a, b)", "Edit", "Write"]
    assert split_rules("") == []
    assert split_rules("Bash(echo (x)) Edit") == ["Bash(echo (x))", "Edit"]


@pytest.mark.parametrize(
    "text", ["", "(x)", "Bash(", "Bash)x", "Read(!a)", "WebFetch(example.org)", "B" * 3000, "Bash(a\0)"]
)
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(UsageError):
        parse_rule(text)


def test_tool_wildcards_never_allow() -> None:
    assert parse_rules(deny="mcp__*").deny[0].covers("mcp__a__b", "none")
    with pytest.raises(UsageError, match="not allow"):
        parse_rules(allow="mcp__*")


def test_both_vocabularies() -> None:
    assert parse_rule("Bash(ls)").covers("any", "execute")
    assert parse_rule("shell(ls)").covers("any", "execute")
    assert parse_rule("Edit").covers("write", "delete")
    assert parse_rule("Write(x)").covers("edit", "write")
    assert parse_rule("Grep").covers("Grep", "read")
    assert not parse_rule("Grep").covers("Read", "read")
    assert parse_rule("search").covers("Grep", "read")
    assert parse_rule("Search").covers("Glob", "read")
    assert not parse_rule("search").covers("Read", "read")
    assert parse_rule("LS").covers("Read", "read")
    assert parse_rule("Task").covers("Agent", "none")
    assert parse_rule("Bash(*)").pattern == ""
    assert parse_rule("Read(**)").pattern == ""


@given(st.text(max_size=80))
def test_the_parser_never_crashes(text: str) -> None:
    try:
        rules = parse_rules(text, text, text)
    except UsageError:
        return
    assert all(rule.text for rule in rules.deny)


ALLOW = parse_rules(allow="Bash(git log:*) Bash(npm run *) Bash(make) Bash(ls && pwd) Bash(go * ./...)").allow


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        ("git log", True),
        ("git log --oneline -3", True),
        ("git logs", False),
        ("git", False),
        ("npm run test", True),
        ("make", True),
        ("make all", False),
        ("ls && pwd", True),
        ("ls", False),
        ("git log | make", True),
        ("git log && npm run x; make\nmake", True),
        ("git log 2>&1 | make", True),
        ("git log > /dev/null", True),
        ("go vet -x ./...", True),
        ("git log; rm -rf /", False),
        ("git log & rm x", False),
        ("git log\nrm x", False),
        ("git log | sh", False),
        ("git log `rm x`", False),
        ("git log $(rm x)", False),
        ('git log "$(rm x)"', False),
        ('git log "`rm x`"', False),
        ("git log <(rm x)", False),
        ("git log > ~/.bashrc", False),
        ("git log ${x:-$(rm x)}", False),
        ("git log \\\n; rm x", False),
        ("git log $'\\n' rm", False),
        ("(git log)", False),
        ("git log 'unclosed", False),
        ('git log "unclosed', False),
        ("git log 'a; b' \"c && d\" e\\;f", True),
        ("FOO=1 git log", False),
        ("", False),
    ],
)
def test_allowing_takes_certainty(command: str, allowed: bool) -> None:
    assert bool(allows(ALLOW, command)) == allowed


@pytest.mark.parametrize(
    "command",
    [
        "rm x",
        "  rm   -rf x",
        "/bin/rm x",
        "r\\m x",
        "'rm' x",
        "a; rm x",
        "a && rm x",
        "a | xargs rm",
        "a\nrm x",
        "$(rm x)",
        "`rm x`",
        "bash -c 'rm x'",
        "env A=1 rm x",
        "sudo nice rm x",
        "{ rm x; }",
        "if true; then rm x; fi",
        "true; " * 500 + "rm x",
        "x=$(" * 20 + "rm x",
        "x" * 30_000,
    ],
)
def test_denying_takes_only_a_chance(command: str) -> None:
    assert might_be(parse_rule("Bash(rm:*)"), command)
    assert might_be(parse_rule("Bash(rm *)"), command)


@pytest.mark.parametrize("command", ["rmdir x", "git rm-cached", "form x", "ls -rm=x"])
def test_denying_keeps_to_whole_words(command: str) -> None:
    assert not might_be(parse_rule("Bash(rm:*)"), command)


@pytest.mark.parametrize(
    ("rule", "command", "denied"),
    [
        ("Bash(git push)", "git push", True),
        ("Bash(git push)", "a && sudo git  push", True),
        ("Bash(git push)", "git push --force", False),
        ("Bash(*--force*)", "git push --force", True),
        ("Bash(git * push:*)", "git -C x push y", True),
        ("Bash(curl *|*)", "true; curl x | sh", True),
    ],
)
def test_exact_and_wild_denials(rule: str, command: str, denied: bool) -> None:
    assert might_be(parse_rule(rule), command) == denied


@given(st.text(alphabet="ab ;&|\n'\"\\$(){}`<>#", max_size=60))
def test_splitting_is_sound(line: str) -> None:
    parts = split_command(line)
    might_be(parse_rule("Bash(a:*)"), line)
    is_opaque(line)
    if parts is not None and not set(line) & set("'\"\\"):
        assert not any(set(part) & set(";&|\n`(){}<>") for part in parts)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a*c", "abc", True),
        ("a*c", "ab", False),
        ("*", "", True),
        ("a*a", "a", False),
        ("*b*", "abc", True),
        ("a", "a", True),
    ],
)
def test_wildcard(pattern: str, text: str, matches: bool) -> None:
    assert wildcard(pattern, text) == matches


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.py", "/r/a/b.py", True),
        ("src", "/r/x/src/deep/a", True),
        ("src/**", "/r/src/a/b", True),
        ("src/**", "/r/src", False),
        ("src/", "/r/src/a", True),
        ("/src/*.py", "/r/src/a.py", True),
        ("/src/*.py", "/r/x/src/a.py", False),
        ("./a", "/r/a", True),
        ("./a", "/r/b/a", False),
        ("src/*.py", "/r/x/src/a.py", False),
        ("**/t/*.py", "/r/a/b/t/c.py", True),
        ("a/**/b", "/r/a/b", True),
        ("a/**/b", "/r/a/x/y/b", True),
        ("//etc/**", "/etc/passwd", True),
        ("//etc/**", "/r/etc/passwd", False),
        ("*.py", "/elsewhere/a.py", False),
    ],
)
def test_paths(pattern: str, path: str, matches: bool) -> None:
    assert path_matches(pattern, path, "/r") == matches


def test_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/Somebody")
    assert path_matches("~/.ssh/**", "/home/Somebody/.ssh/id", "/r")
    assert path_matches("~/.SSH/**", "/home/Somebody/.ssh/id", "/r", fold=True)


@given(st.text(alphabet="a*/[]!?.~", max_size=40), st.text(alphabet="a/b.", max_size=40))
def test_any_pattern_is_judged(pattern: str, path: str) -> None:
    assert path_matches(pattern, "/r/" + path, "/r") in (True, False)
