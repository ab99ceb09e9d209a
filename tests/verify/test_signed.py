"""What a signed report proves, and what it doesn't take."""

from __future__ import annotations

import hashlib
import hmac
import json

from hypothesis import given
from hypothesis import strategies as st

from assay.core.check import Check
from assay.verify.runners import check_of, execute, instrumented
from assay.verify.signed import KEY_FILE, read_signed, signs

from .conftest import Project

ROWS = [
    {"id": "", "result": "begin"},
    {"id": "t.py::a", "result": "pass"},
    {"id": "t.py::b", "result": "fail", "reason": "E  assert 1 == 2"},
    {"id": "", "result": "end"},
]


def written(rows: list[dict[str, str]], key: str = "k") -> str:
    lines: list[str] = []
    for number, row in enumerate(rows):
        text = json.dumps({**row, "n": number})
        lines.append(f"{text}\t{hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()}\n")
    return "".join(lines)


def test_a_whole_report_is_read() -> None:
    found = read_signed(written(ROWS), "k")
    assert found.whole
    assert found.report.tests == {"t.py::a": "pass", "t.py::b": "fail"}
    assert found.report.reasons == {"t.py::b": "assert 1 == 2"}


def test_nothing_else_is_a_result() -> None:
    good = written(ROWS).splitlines(keepends=True)
    assert not read_signed("".join(good[:-1]), "k").whole, "no end"
    assert not read_signed("".join(good[1:]), "k").whole, "no beginning"
    assert not read_signed("".join([good[0], good[2], good[3]]), "k").whole, "a line is missing"
    assert not read_signed("".join([*good[:2], good[1], *good[2:]]), "k").whole, "a line twice"
    assert read_signed(written(ROWS, "other"), "k").report.tests == {}
    assert not read_signed("".join(good) + good[1], "k").whole, "after the end"
    changed = "".join(good).replace('"fail"', '"pass"')
    assert read_signed(changed, "k").report.tests == {"t.py::a": "pass"}


@given(st.text(), st.text(min_size=1))
def test_any_text_is_read(text: str, key: str) -> None:
    assert read_signed(text, key).report.tests == {}


def test_what_is_signed() -> None:
    assert signs(check_of("cd web && python -m pytest -q", "x"))
    assert signs(Check("npm test", "npm test", "test", "node"))
    assert not signs(Check("npm test", "node --test --test-reporter=dot", "test", "node"))
    assert not signs(check_of("python -m pytest || true", "x"))
    assert not signs(Check("make test", "make test", "test"))


async def test_code_under_test_finds_no_key(project: Project) -> None:
    spy = (
        "import os, pathlib\n\n\ndef test_spy():\n"
        f"    assert not pathlib.Path({KEY_FILE!r}).exists()\n"
        "    assert 'ASSAY_CHECK' not in os.environ and 'ASSAY_PYTEST' not in os.environ\n"
        "    folders = [p for p in os.environ['PYTEST_ADDOPTS'].split() if p.startswith('cache_dir=')]\n"
        "    folder = pathlib.Path(folders[0].split('=')[1]).parent\n"
        "    assert (folder / 'signed').exists()\n"
        "    assert not (folder / 'key').exists()\n"
        "    words = pathlib.Path(f'/proc/{os.getppid()}/cmdline').read_bytes()\n"
        "    assert b'--55555555' not in words\n"
    )
    import sys

    done = await execute(project({"test_spy.py": spy}), check_of(f"{sys.executable} -m pytest", "x"), "tree")
    assert done.run.tests == {"test_spy.py::test_spy": "pass"}, done.output


async def test_a_run_that_ends_early_has_not_passed(project: Project) -> None:
    import sys

    files = {"test_a.py": "import os\n\n\ndef test_a(): pass\n\n\ndef test_b():\n    os._exit(0)\n"}
    done = await execute(project(files), check_of(f"{sys.executable} -m pytest", "x"), "tree")
    assert (done.run.passed, done.result, done.run.exit_code) == (False, "fail", 0)
    assert done.run.tests == {"test_a.py::test_a": "pass"}
    assert "the run ended before its report did" in done.run.tail


def test_variables_that_a_command_sets_for_node_keep_the_reporter() -> None:
    check = Check("x", "A=1 NODE_OPTIONS='--max-old-space-size=99' node --test", "test", "node")
    assert instrumented(check) == "A=1 NODE_OPTIONS='--max-old-space-size=99'\" $ASSAY_FLAGS\" node --test"
