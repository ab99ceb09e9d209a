"""Every program of examples/ that uses the library does what its first lines say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.testing.server import Call, Reply, SeenRequest, serve_in_thread

from .stage import REPAIR, ROOT, Stage
from .test_examples import EXAMPLES, load

TestSqliteStore = load("session_store.py").TestSqliteStore

CALLS = {
    b"Order two pears": (
        Reply("I look.", calls=(Call("stock", {"item": "pear"}),)),
        Reply(calls=(Call("order", {"what": {"item": "pear", "count": 2}}),)),
        Reply("Two pears are ordered."),
    ),
    b"Publish the branch": (
        Reply(calls=(Call("@shell", {"command": "git push origin main"}),)),
        Reply(calls=(Call("@shell", {"command": "git status --short"}),)),
        Reply("I may not push."),
    ),
    b"Write down what mean": (
        Reply(calls=(Call("@shell", {"command": "touch mean"}),)),
        Reply(calls=(Call("@write", {"path": "mean.md", "content": "The arithmetic mean.\n"}),)),
        Reply("It is in mean.md."),
    ),
    b"Note that the deadline": (
        Reply(calls=(Call("mcp__notes__add", {"text": "the deadline is Monday"}),)),
        Reply(calls=(Call("mcp__notes__search", {"word": "deadline"}),)),
        Reply("The deadline is Monday."),
    ),
}


def play(seen: SeenRequest) -> Reply:
    """What the model says, by the words of the prompt."""
    for words, replies in CALLS.items():
        if words in seen.raw:
            return replies[min(seen.position, len(replies) - 1)]
    if b"Have the reader look" in seen.raw:
        if seen.position == 0:
            asked = {"description": "read calc.py", "prompt": "What does calc.py do?", "subagent_type": "reader"}
            return Reply("I send the reader.", calls=(Call("Agent", asked),))
        return Reply("calc.py has the mean, and it is wrong.")
    if b"What does calc.py do?" in seen.raw:
        return Reply("It computes a mean.")
    if b"fix it" in seen.raw:
        return REPAIR[min(seen.position, len(REPAIR) - 1)]
    if b"Survey the functions" in seen.raw:
        return Reply('{"functions": [{"name": "mean", "purpose": "the arithmetic mean"}]}')
    if b"Which number?" in seen.raw:
        return Reply("Seven." if b"Remember the number seven." in seen.raw else "I know of none.")
    return Reply("calc.py has one function, mean().")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with serve_in_thread(play) as server:
        yield Stage(tmp_path, server.url)


def ran(stage: Stage, line: str) -> str:
    said = stage.run(f"python {EXAMPLES}/{line}; echo exit $?")
    text, _, code = said.rpartition("exit ")
    assert "Traceback" not in text, text
    return f"{text}exit {code.strip()}"


def test_quick_question(stage: Stage) -> None:
    assert ran(stage, "quick_question.py") == "calc.py has one function, mean().\nexit 0"


def test_fix_with_evidence(stage: Stage) -> None:
    said = ran(stage, "fix_with_evidence.py 'The test fails: fix it' 'python3 -m unittest'")
    assert "verified: every criterion has evidence" in said
    assert "  A  fail -> pass  python3 -m unittest\n" in said
    assert said.endswith("exit 0")


def test_custom_tool(stage: Stage) -> None:
    assert ran(stage, "custom_tool.py") == "Two pears are ordered.\n{'apple': 3, 'pear': 2}\nexit 0"


def test_guard_with_hooks(stage: Stage) -> None:
    assert ran(stage, "guard_with_hooks.py") == "I may not push.\ncalls: Bash\nexit 0"


def test_ask_before(stage: Stage) -> None:
    said = ran(stage, "ask_before.py")
    assert said.startswith("? Bash {")
    assert "? Write {" in said
    assert said.endswith("It is in mean.md.\nrefused: ['Bash']\nexit 0")
    assert not (stage.project / "mean").exists()
    assert (stage.project / "mean.md").exists()


def test_sub_agents(stage: Stage) -> None:
    said = ran(stage, "sub_agents.py")
    assert "main: I send the reader.\nreader: It computes a mean.\n" in said
    assert said.endswith("main: calc.py has the mean, and it is wrong.\nanswered\nexit 0")


def test_structured_output(stage: Stage) -> None:
    assert ran(stage, "structured_output.py") == "mean: the arithmetic mean\nexit 0"


def test_stream_words(stage: Stage) -> None:
    assert ran(stage, "stream_words.py") == "calc.py has one function, mean().\nanswered after 1 steps\nexit 0"
    assert "[Edit: allow]" in ran(stage, "stream_words.py 'The test fails: fix it'")


def test_session_store(stage: Stage) -> None:
    assert ran(stage, "session_store.py ../kept.db 'Remember the number seven.'").endswith("exit 0")
    stage.run("rm -r ~/.local/state/assay/sessions")
    assert ran(stage, "session_store.py ../kept.db 'Which number?'") == "Seven.\nexit 0"


def test_budget_and_receipt(stage: Stage) -> None:
    said = ran(stage, "budget_and_receipt.py 'The test fails: fix it'")
    assert said.startswith("verified: every criterion has evidence")
    assert "every row holds" in said
    assert said.endswith("exit 0")


def test_in_process_server(stage: Stage) -> None:
    said = ran(stage, "in_process_server.py")
    assert said == "The deadline is Monday.\n[('notes', 'connected')]\n['the deadline is Monday']\nexit 0"


FENCES = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "sdk.md").read_text("utf-8"), re.M | re.S)


@pytest.mark.parametrize("number", range(len(FENCES)))
def test_the_page_shows_what_runs(stage: Stage, number: int) -> None:
    (stage.home / "shown.py").write_text(FENCES[number])
    said = stage.run("python ../shown.py; echo exit $?")
    assert said.endswith("exit 0\n"), said
    assert said.count("\n") > 1, "it shows something"
