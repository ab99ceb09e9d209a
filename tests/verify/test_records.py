"""Baselines, comparison, receipts, tables and the survey."""

from __future__ import annotations

import asyncio
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.check import Check, CheckRun, DiffStat, Evidence
from assay.core.errors import UsageError
from assay.verify.baseline import Baseline, Ledger, Runs
from assay.verify.compare import compare
from assay.verify.gate import DoneGate, Task
from assay.verify.receipt import Receipt, ReceiptMismatch, read_receipt, receipt_of, recheck, write_receipt
from assay.verify.reports import Report, TestResult
from assay.verify.runners import Execution
from assay.verify.survey import survey, survey_table
from assay.verify.table import cells, clean, evidence_table, fit, markdown_table

from .conftest import FIXED, Project
from .dirspace import DirectoryWorkspace

PLAIN = Check("c", "c", "test")


def execution(tests: dict[str, TestResult], code: int | None = None) -> Execution:
    red = any(result in ("fail", "error") for result in tests.values())
    exit_code = code if code is not None else int(red)
    run = CheckRun("c", "t", exit_code == 0 and not red, exit_code, 0.1, "sha256:", "tail", tests)
    return Execution(PLAIN, run, "", Report(), bool(tests))


RESULTS: st.SearchStrategy[dict[str, TestResult]] = st.dictionaries(
    st.sampled_from("abcdef"), st.sampled_from(["pass", "fail", "skip", "error"])
)


@given(RESULTS, RESULTS, RESULTS)
def test_nothing_that_passed_steadily_is_lost(
    first: dict[str, TestResult], second: dict[str, TestResult], after: dict[str, TestResult]
) -> None:
    before = Baseline(PLAIN, execution(first), execution(second))
    done = execution(after)
    found = compare(before, done)
    steady = {test for test, result in first.items() if second.get(test) == result == "pass"}
    lost = {test for test in steady if after.get(test) != "pass"}
    assert bool(found.broken) >= bool(lost)
    assert not after or lost <= set(found.broken)
    assert all(after.get(test) == "pass" and first.get(test) in ("fail", "error") for test in found.fixed if first)
    assert not before.flaky & set(before.tests)
    assert found.kept == len(steady - lost)


def test_a_report_that_vanished_breaks_all() -> None:
    before = Baseline(PLAIN, execution({"a": "pass"}), None)
    assert compare(before, execution({}, code=0)).broken
    assert compare(before, execution({"a": "skip"})).broken == {"a": "is skipped now"}
    assert compare(before, execution({"a": "pass"}, code=2)).broken == {
        "c": "now the command ends with exit code 2: tail"
    }
    assert compare(before, execution({"a": "skip"}), frozenset("a")).broken == {}


def test_a_module_that_could_not_load_is_mended_by_its_tests() -> None:
    before = Baseline(PLAIN, execution({"t.py": "error"}), execution({"t.py": "error"}))
    assert compare(before, execution({"t.py::a": "pass"})).fixed == ("t.py",)
    assert compare(before, execution({"t.py::a": "fail"})).still == ("t.py",)
    assert compare(before, execution({})).still == ("t.py",)


async def test_the_ledger_runs_twice_and_only_once_for_all(calculator: DirectoryWorkspace, suite: Check) -> None:
    runs = Runs(calculator)
    ledger = Ledger(runs, await calculator.snapshot(), [suite])
    both = await asyncio.gather(ledger.ensure(), ledger.ensure())
    assert both[0].keys() == both[1].keys() == {suite.command}
    assert calculator.copies == 2
    assert both[0][suite.command].failing == ["tests/test_calc.py::test_add"]


async def test_executions_go_side_by_side_and_one_that_is_cancelled_is_made_by_who_waits(project: Project) -> None:
    """Each waits in its command until the other has begun; one after the other they would not end."""
    workspace = project({"a": ""})
    first = await workspace.snapshot()
    workspace.put("a", "b")
    second = await workspace.snapshot()
    meeting = workspace.root + ".meeting"
    wait = "for n in $(seq 400); do set -- *; [ $# -ge 2 ] && exit 0; sleep 0.05; done; exit 1"
    line = f"mkdir -p {meeting}; cd {meeting}; touch $$; {wait}"
    runs = Runs(workspace, lanes=2)
    meet = Check("meet", line, "custom", timeout=60)
    assert [done.run.passed for done in await runs.both(meet, first, second)] == [True, True]
    waits = Check("waits", "sleep 0.3", "custom")
    begun = asyncio.create_task(runs.get(waits, first, "final"))
    await asyncio.sleep(0)
    second_asker = asyncio.create_task(runs.get(waits, first, "final"))
    await asyncio.sleep(0)
    begun.cancel()
    assert (await second_asker).run.passed


async def test_a_slow_check_runs_once_and_a_dead_one_too(project: Project) -> None:
    workspace = project({"a": ""})
    tree = await workspace.snapshot()
    slow = await Ledger(Runs(workspace), tree, [], slow=0.0).of(Check("true", "true", "custom"))
    assert (slow.result, slow.second) == ("pass", None)
    assert "ran once" in slow.note
    dead = await Ledger(Runs(workspace), tree, []).of(Check("none", "no-such-program", "custom"))
    assert dead.result == "unknown"
    assert dead.note.startswith("could not run (exit 127)")
    late = await Ledger(Runs(workspace), tree, []).of(Check("late", "sleep 9", "custom", timeout=0.2))
    assert late.note == "did not end within 0.2 s"


async def test_a_receipt_is_read_back_and_checked_again(calculator: DirectoryWorkspace, suite: Check) -> None:
    start = await calculator.snapshot()
    gate = DoneGate(calculator, start, [suite], Task(checks=("test -s calc.py",)))
    calculator.put("calc.py", FIXED)
    verdict = await gate.judge(await calculator.snapshot())
    receipt = await receipt_of(calculator, start, verdict)
    assert read_receipt(write_receipt(receipt)) == receipt
    assert receipt.outcome == "verified"
    assert "+    return a + b" in receipt.patch
    assert [(row.cls, now) for row, now in await recheck(calculator, receipt)] == [("A", "pass"), ("B", "pass")]
    calculator.put("calc.py", FIXED + "# later\n")
    with pytest.raises(ReceiptMismatch, match="the receipt is for"):
        await recheck(calculator, receipt)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"schema": 1}'])
def test_what_is_no_receipt(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"x\.json is not a receipt"):
        read_receipt(data, "x.json")


async def test_a_later_receipt_is_refused(calculator: DirectoryWorkspace, suite: Check) -> None:
    start = await calculator.snapshot()
    receipt = await receipt_of(calculator, start, await DoneGate(calculator, start, [suite]).judge(start))
    text = write_receipt(receipt).decode()
    assert read_receipt(text.replace("{", '{"novel": 1,', 1).encode()) == receipt
    with pytest.raises(UsageError, match="schema 2"):
        read_receipt(text.replace('"schema": 1', '"schema": 2').encode())


ROW = Evidence("add is right", "python -m pytest", "B", "fail", "pass", "0123456789ab", "sha256:00", 1.25)


@given(st.text(max_size=60), st.text(max_size=60), st.integers(60, 160))
def test_tables_fit_and_hold_no_control_characters(criterion: str, command: str, width: int) -> None:
    rows = [ROW, Evidence(criterion, command, "A", "unknown", "fail", "", "", 0.0)]
    lines = evidence_table(rows, width, now=("pass", "fail"))
    assert len(lines) == 3
    for line in (*lines, *markdown_table(rows)):
        assert not any(unicodedata.category(char).startswith("C") for char in line)
    assert all(cells(line) <= width for line in lines)


def test_a_table_reads_well() -> None:
    assert evidence_table([ROW], 100) == [
        "criterion     command           class  before  after  tree      seconds",
        "add is right  python -m pytest  B      FAIL    pass   01234567  1.2",
    ]
    assert fit("añejo漢字漢字", 9) == "añejo漢… "
    assert clean("a\x1b[31mb\u202ec\nd") == "a[31mbc d"


async def test_survey(project: Project) -> None:
    workspace = project({"test_a.py": "def test_a(): pass\n\n\ndef test_b(): assert 0\n", "tox.ini": "[tox]\n"})
    found = await survey(workspace)
    text = "\n".join(survey_table(found, 120))
    assert found.result == "fail"
    assert "1 fail, 1 pass" in text
    assert "  fails: test_a.py::test_b" in text
    assert "not run: tox" in text
    assert workspace.copies == 1


async def test_survey_of_nothing_and_of_a_named_command(project: Project) -> None:
    workspace = project({"a.txt": ""})
    nothing = await survey(workspace)
    assert nothing.result == "absent"
    assert survey_table(nothing)[0].startswith("No checks found")
    assert (await survey(workspace, commands=["test -f a.txt"])).result == "pass"
    assert (await survey(workspace, commands=["no-such-program"], twice=True)).result == "unknown"


def test_a_receipt_of_before_is_read() -> None:
    row = Evidence("c", "true", "A", "fail", "pass", "t", "sha256:", 0.1)
    receipt = Receipt(1, "verified", "why", "s", "t", DiffStat(), "", evidence=(row,))
    text = write_receipt(receipt).decode()
    assert '"class": "A"' in text
    assert '"cls"' not in text
    assert read_receipt(text.replace('"class"', '"cls"').encode()) == receipt == read_receipt(text.encode())
