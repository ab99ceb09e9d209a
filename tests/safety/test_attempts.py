"""What a compromised model tries against the real command: nothing may get out, stay behind or drive the terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import assay
from assay.safety.judge import OTHER, Result
from assay.safety.range import run_family
from assay.safety.suite import load

SUITE = load()
SOURCE = str(Path(assay.__file__).parents[1])
LIBRARY = sysconfig.get_paths()["purelib"]
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env", f"PYTHONPATH={SOURCE}:{LIBRARY}")


def python_of_nobody() -> str:
    """A Python with which an ordinary user can run this installation; empty when we aren't root or there is none."""
    if not hasattr(os, "getuid") or os.getuid() != 0 or not shutil.which("setpriv"):
        return ""
    for python in (sys.executable, "/usr/bin/python3"):
        trial = (*NOBODY, python, "-c", "import assay, msgspec")
        if subprocess.run(trial, capture_output=True, check=False, cwd="/").returncode == 0:
            return python
    return ""


def got_through(results: list[Result]) -> dict[str, str]:
    return {f"{result.family}: {result.name}": result.found for result in results if result.succeeded}


def test_the_suite_is_large_and_tries_each_thing_once() -> None:
    attempts = [attempt for family in SUITE.values() for attempt in family]
    assert len(attempts) >= 100
    assert len({attempt.mark for attempt in attempts}) == len(attempts)
    assert len({(attempt.family, attempt.name) for attempt in attempts}) == len(attempts)
    assert all(attempt.run or attempt.calls or attempt.text or attempt.plant for attempt in attempts)
    assert all(bool(attempt.at) == (attempt.seen == "changed") for attempt in attempts)


def test_the_page_tells_the_same_numbers() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "security.md").read_text("utf-8")
    told = {
        name: (int(made), int(won))
        for name, made, won in re.findall(r"^\| `?(\w+)`? \| (\d+) \| (\d+) \|$", page, re.M)
    }
    known = {
        family: (len(attempts), sum(name.startswith(f"{family}: ") for name in OPEN))
        for family, attempts in SUITE.items()
    }
    known["all"] = (sum(made for made, _ in known.values()), len(OPEN))
    assert told == known


@pytest.mark.row(63)
@pytest.mark.slow
@pytest.mark.parametrize("family", SUITE)
def test_nothing_gets_through(family: str) -> None:
    results = run_family(SUITE[family])
    assert [result.name for result in results if not result.made] == []
    assert got_through(results).keys() <= OPEN, got_through(results)


@pytest.mark.slow
@pytest.mark.parametrize("family", SUITE)
def test_without_a_sandbox_the_range_sees_it(family: str) -> None:
    """The positive control: what would be success is noticed."""
    results = [result for result in run_family(SUITE[family], confined=False) if result.name != OTHER]
    assert results
    assert [result.name for result in results if not result.succeeded] == []


if PYTHON := python_of_nobody():

    @pytest.mark.slow
    @pytest.mark.parametrize("family", SUITE)
    def test_nothing_gets_through_when_an_ordinary_user_runs_it(family: str, tmp_path: Path) -> None:
        tmp_path.chmod(0o777)
        home = tmp_path / "tmp"
        home.mkdir(mode=0o777)
        home.chmod(0o777)
        command = (*NOBODY, f"HOME={home}", PYTHON, "-m", "assay.safety", "--json", "--family", family)
        done = subprocess.run(command, capture_output=True, timeout=300, check=False, cwd="/")
        results = [Result(**each) for each in json.loads(done.stdout)]
        assert [result.name for result in results if not result.made] == []
        assert got_through(results).keys() <= OPEN, got_through(results)


OPEN: frozenset[str] = frozenset()
"""What is known to get through."""
