"""The grammar of the command line: exact words for what is wrong, and never a crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.app.flags import FLAGS, Flag, describe, parse
from assay.core.errors import UsageError

NAMES = [name for flag in FLAGS for name in (flag.name, flag.short) if name]


def wrong(*arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(list(arguments))
    return str(caught.value)


def test_words_and_options_in_any_order() -> None:
    for arguments in (
        ["-p", "do it", "--model", "m"],
        ["--model", "m", "-p", "do it"],
        ["do it", "--model=m", "--print"],
    ):
        parsed = parse(arguments)
        assert parsed.words == ["do it"]
        assert parsed.on("print")
        assert parsed.text("model") == "m"


def test_what_was_not_given_is_none() -> None:
    parsed = parse([])
    assert parsed.given == {}
    assert (parsed.text("model"), parsed.on("print"), parsed.whole("max_turns"), parsed.many("check")) == (
        None, False, None, [],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("argument", "named"),
    [("--x", "--x"), ("--x=1", "--x"), ("-z", "-z"), ("--prin", "--prin"), ("--print=1", "--print=1"), ("-pc", "-pc")],
)
def test_an_unknown_option_is_told_in_the_words_that_hosts_match_on(argument: str, named: str) -> None:
    assert wrong(argument) == f"unknown option '{named}'"
    assert wrong("-p", "do it", argument, "--model", "m") == f"unknown option '{named}'"


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.kind != "switch"], ids=lambda flag: flag.name)
def test_an_option_without_its_value_is_told(flag: Flag) -> None:
    assert wrong("-p", flag.name) == f"option '{flag.name}' needs a value: {flag.name} {flag.value}"


def test_the_next_option_is_no_value_except_in_a_command() -> None:
    assert "needs a value" in wrong("--model", "--print")
    assert parse(["--check", "--version"]).many("check") == ["--version"]
    assert parse(["--model=--print"]).text("model") == "--print"


def test_what_may_be_repeated() -> None:
    assert parse(["--check", "make", "--check=make test", "--check", "a b"]).many("check") == [
        "make",
        "make test",
        "a b",
    ]
    assert parse(["--allowedTools", "Read", "Bash(git log:*)", "--tools=x", "--tools", "y"]).given == {
        "allowedTools": ["Read", "Bash(git log:*)"],
        "tools": ["x", "y"],
    }
    assert parse(["--model", "a", "--model", "b"]).text("model") == "b", "the last one counts"


def test_behind_two_dashes_everything_is_a_word() -> None:
    assert parse(["-p", "--", "--model", "-x"]).words == ["--model", "-x"]
    assert parse(["-"]).words == ["-"]


@pytest.mark.parametrize("word", ["0", "-1", "nan", "inf", "many", "", "1e300", "9" * 5000])
@pytest.mark.parametrize("name", ["--max-turns", "--max-budget-usd", "--max-seconds", "--max-tokens-total"])
def test_a_limit_is_a_number_above_zero(name: str, word: str) -> None:
    assert f"option '{name}' " in wrong(f"{name}={word}")


def test_numbers_and_choices() -> None:
    parsed = parse(["--max-turns", "3", "--max-budget-usd", "0.5", "--max-seconds", "10", "--effort", "high"])
    assert parsed.whole("max_turns") == 3
    assert parsed.whole("max_budget_usd") is None
    assert parsed.number("max_budget_usd") == 0.5
    assert parsed.number("max_seconds") == 10
    assert "takes one of low, medium, high, xhigh, max; got 'extreme'" in wrong("--effort", "extreme")
    assert "takes a number; got '1.5'" in wrong("--max-turns", "1.5")


_words = st.text(max_size=12) | st.sampled_from(NAMES) | st.sampled_from([f"{name}=" for name in NAMES])
_words = _words | st.builds("{}={}".format, st.sampled_from(NAMES), st.text(max_size=6))
_words = _words | st.builds("--{}".format, st.text(st.characters(exclude_categories=[]), max_size=6))


@given(st.lists(_words, max_size=8))
def test_no_arguments_make_it_crash(arguments: list[str]) -> None:
    try:
        parsed = parse(arguments)
    except UsageError as error:
        assert str(error).startswith(("unknown option '", "option '"))
        return
    assert set(parsed.given) <= {flag.key for flag in FLAGS}
    for word in parsed.words:
        assert word in arguments


@given(st.lists(st.text(max_size=12).filter(lambda word: not word.startswith("-")), max_size=5))
def test_plain_words_come_through_as_they_are(words: list[str]) -> None:
    assert parse(words).words == words
    assert parse(["--", *words]).words == words


def test_names_are_unique_and_each_is_described() -> None:
    assert len(NAMES) == len(set(NAMES))
    text = describe(FLAGS)
    assert all(flag.name in text and flag.help in text for flag in FLAGS)
    assert all(len(line) <= 130 for line in text.splitlines())
