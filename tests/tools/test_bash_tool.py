from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from assay.core.errors import InvalidArguments
from assay.core.workspace import Command, CommandResult
from assay.tools.bash import SHOWN, BashTool
from assay.tools.bound import head_tail, one_line, plain, visible
from assay.tools.condense import condense

from .double import Bench, text_of


async def test_output_alone_when_all_is_well(bench: Bench) -> None:
    outcome = await bench.call(BashTool(), command="echo hi; pwd")
    assert text_of(outcome) == f"hi\n{bench.root}"
    assert not outcome.is_error
    assert text_of(await bench.call(BashTool(), command="true")) == "(no output)"


async def test_the_exit_code_comes_first(bench: Bench) -> None:
    outcome = await bench.call(BashTool(), command="echo no; exit 3")
    assert text_of(outcome) == "exit 3\nno"
    assert outcome.is_error
    assert outcome.debug["exit"] == 3


async def test_a_time_out_is_told(bench: Bench) -> None:
    outcome = await bench.call(BashTool(), command="sleep 30", timeout=1000)
    assert text_of(outcome) == "timed out after 1 s and was stopped (timeout is in milliseconds)\nso far"


async def test_timeouts_have_limits_and_plan_mode_is_passed_on(bench: Bench) -> None:
    await bench.call(BashTool(lambda: True), command="true", timeout=9_999_999)
    await bench.call(BashTool(), command="true", timeout=-1)
    assert [(command.timeout, command.read_only) for command in bench.workspace.commands] == [
        (600, True),
        (0.001, False),
    ]


async def test_long_output_is_cut_and_kept(bench: Bench) -> None:
    outcome = await bench.call(BashTool(), command="seq 1 5000; echo end")
    text = text_of(outcome)
    assert len(text) < SHOWN + 300
    assert text.startswith("1\n2\n")
    assert text.endswith("5000\nend")
    kept = Path(str(outcome.debug["spill"]))
    assert f"all of it: {kept}" in text
    assert kept.read_text().count("\n") == 5000


async def test_very_long_output_is_counted_exactly(bench: Bench) -> None:
    outcome = await bench.call(BashTool(), command="seq -w 1 100000; echo end")
    text = text_of(outcome)
    shown = sum(len(row) + 1 for row in text.split("\n") if row.isdigit()) + len("end")
    assert f"{700_004 - shown:,} of 700,004 bytes left out" in text
    assert Path(str(outcome.debug["spill"])).stat().st_size == 700_004


@pytest.mark.parametrize("command", ["", "  ", "a\0b"])
def test_no_command(command: str) -> None:
    with pytest.raises(InvalidArguments):
        BashTool().effects({"command": command})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\x1b]8;;http://e\x1b\\y", "xy"),
        ("10%\r50%\r100%\r\ndone\r\n", "100%\ndone\n"),
        ("|\x08/\x08done", "done"),
        ("a\x07b\x9b1mc\u202ed", "a\\x07bc\\u202ed"),
        ("\x1b]52;c;AAAA", ""),
    ],
)
def test_plain(text: str, left: str) -> None:
    assert plain(text) == left


@given(st.text(max_size=300))
def test_nothing_a_terminal_obeys_is_left(text: str) -> None:
    for clean in (plain(text), visible(text), one_line(text)):
        assert not any(
            (ord(character) < 32 and character not in "\n\t") or 0x7F <= ord(character) < 0xA0 for character in clean
        )
        clean.encode("utf-8")
    assert "\n" not in one_line(text)
    assert len(one_line(text, 40)) <= 40


@given(st.text(alphabet="ab\n", max_size=400), st.integers(20, 100))
def test_what_is_left_out_is_counted(text: str, limit: int) -> None:
    cut = head_tail(text, limit)
    if len(text) <= limit:
        assert cut == text
    else:
        head, _, rest = cut.partition("[… ")
        number, _, rest = rest.partition(" of ")
        tail = rest.partition("…]\n")[2]
        # A head without a line end gets one, which is counted as shown.
        assert text.startswith((head, head[:-1]))
        assert text.endswith(tail)
        assert int(number) + len(head) + len(tail) == len(text)


PYTEST = """\
============================= test session starts ==============================
platform linux -- Python 3.11.9, pytest-8.3.0
collected 60 items

{passed}
tests/test_b.py .F.                                                      [ 99%]

=================================== FAILURES ===================================
____________________________________ test_x ____________________________________

    def test_x():
>       assert 1 == 2
E       assert 1 == 2

tests/test_b.py:4: AssertionError
=============================== warnings summary ===============================
tests/test_a.py::test_1
  {noise}
=========================== short test summary info ============================
FAILED tests/test_b.py::test_x - assert 1 == 2
================== 1 failed, 59 passed, 3 warnings in 0.12s ==================="""


def test_pytest_output_keeps_failures_and_summary() -> None:
    passed = "\n".join(f"tests/test_{number}.py ....... [ {number}%]" for number in range(40))
    brief = condense(PYTEST.format(passed=passed, noise="DeprecationWarning " * 40))
    assert "[40 lines of passed tests left out]" in brief
    assert "tests/test_b.py .F." in brief
    assert "E       assert 1 == 2" in brief
    assert "[warnings left out]" in brief
    assert "DeprecationWarning" not in brief
    assert brief.endswith("1 failed, 59 passed, 3 warnings in 0.12s ===================")
    assert "FAILED tests/test_b.py::test_x" in brief


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("tests/a.py::test_b[x y] PASSED                    [ 12%]", False),
        ("tests/a.py::test_b FAILED                         [ 12%]", True),
        ("test_a (pkg.Case.test_a) ... ok", False),
        ("test_a (pkg.Case.test_a) ... FAIL", True),
        ("test util::adds ... ok", False),
        ("test util::adds ... FAILED", True),
        ("=== RUN   TestAdd", False),
        ("--- FAIL: TestAdd (0.00s)", True),
        ("  ✓ adds (2 ms)", False),
        ("  ✕ subtracts", True),
        ("ok 12 - adds", False),
        ("not ok 13 - subtracts", True),
        ("....F...........", True),
        ("ordinary text", True),
    ],
)
def test_lines_of_other_runners(line: str, kept: bool) -> None:
    text = f"start\n{line}\n" + "\n".join(f"row {number} {'x' * 30}" for number in range(60))
    assert (f"\n{line}\n" in condense(text)) == kept


def test_repeated_lines_are_folded() -> None:
    assert condense("same line\n" * 400 + "end") == "same line\n[the line above, 399 more times]\nend"


def test_short_output_is_left_alone() -> None:
    assert condense("test a ... ok") == "test a ... ok"


async def test_what_was_taken_back_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench.workspace.run

    async def taken(command: Command) -> CommandResult:
        return structs.replace(await run(command), held=(".vscode/tasks.json", *(f"d{n}/.env" for n in range(9))))

    monkeypatch.setattr(bench.workspace, "run", taken)
    outcome = await bench.call(BashTool(), command="true")
    last = text_of(outcome).splitlines()[-1]
    assert last.startswith("[held for review, not in the workspace: .vscode/tasks.json, d0/.env")
    assert last.endswith("and 2 more]")
    assert "held for review: .vscode/tasks.json" in outcome.display
    assert len(list(outcome.debug["held"] or ())) == 10


async def test_a_terminal_is_asked_for(bench: Bench) -> None:
    await bench.call(BashTool(), command="true", tty=True)
    await bench.call(BashTool(), command="true")
    assert [command.terminal for command in bench.workspace.commands] == [(24, 80), None]


async def test_a_user_says_how_long_commands_have(bench: Bench) -> None:
    tool = BashTool()
    tool.use_timeouts(5_000, 9_000)
    for arguments in ({}, {"timeout": None}, {"timeout": 7_000}, {"timeout": 60_000}):
        await bench.call(tool, command="true", **arguments)
    assert [command.timeout for command in bench.workspace.commands] == [5.0, 5.0, 7.0, 9.0]
