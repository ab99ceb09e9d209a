"""Run the fault matrix and the property tests, and write docs/reliability.md with what came out.

python tests/docs/reliability.py             only make the tables anew, from the last record
python tests/docs/reliability.py --record    run `make test`'s part of it first (minutes)
python tests/docs/reliability.py --nightly   run the property tests first, with NIGHTLY as `make nightly` sets it
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).parent.parent))

from docs.matrix import PAGE, RECORD, ROOT, covering, renewed

TRIED = re.compile(r"(\d+) passing(?: examples)?(?:,| and) (\d+) failing")


def main(words: Sequence[str]) -> int:
    code = 0
    record = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
    if "--record" in words:
        code, report, seconds = run("-m", "row or load")
        record |= figures(report)
        also, report, _ = run("-m", "hypothesis")
        record["inputs"] = tried(report)
        code = code or also
        record["facts"] = facts("python tests/docs/reliability.py --record", seconds)
    if "--nightly" in words:
        code, report, seconds = run("-m", "hypothesis")
        record["nightly"] = tried(report)
        record["facts"] = record.get("facts", {}) | {"nightly": f"{stamp()}, {seconds / 60:.0f} min"}
    if words:
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
    return code


def run(*words: str) -> tuple[int, ElementTree.Element, float]:
    """Run pytest; returns its exit code, its report and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        began = time.monotonic()
        paths = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))}
        done = subprocess.run(
            (
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-n",
                "2",
                "-o",
                "junit_family=xunit1",
                f"--junitxml={report}",
                *words,
            ),
            cwd=ROOT,
            env=os.environ | paths,
        )
        return done.returncode, ElementTree.parse(report).getroot(), time.monotonic() - began


def figures(report: ElementTree.Element) -> dict[str, dict[str, dict[str, float]]]:
    """What a run showed, by row, by load and by property test."""
    marked = {f"{test.file}::{test.name}": test for test in covering()}
    rows: dict[str, dict[str, float]] = defaultdict(lambda: {"passed": 0, "runs": 0})
    loads: dict[str, dict[str, float]] = {}
    for key, case, seconds, passed in cases(report):
        test = marked.get(key)
        for number in test.rows_of(case) if test else ():
            rows[str(number)]["runs"] += 1
            rows[str(number)]["passed"] += passed
        if test and test.loads:
            loads[key] = {"seconds": round(max(seconds, loads.get(key, {}).get("seconds", 0.0)), 1)}
    return {"rows": dict(rows), "loads": loads}


def cases(report: ElementTree.Element) -> Iterator[tuple[str, str, float, bool]]:
    """`file::name`, its parameters, seconds, and whether it passed, of each test that was run."""
    for case in report.iter("testcase"):
        name, _, words = case.get("name", "").partition("[")
        if case.find("skipped") is None:
            bad = case.find("failure") is not None or case.find("error") is not None
            yield f"{case.get('file')}::{name}", words.rstrip("]"), float(case.get("time", "0")), not bad


def tried(report: ElementTree.Element) -> dict[str, int]:
    """How many inputs each property test got, from what Hypothesis leaves in the report."""
    sums: dict[str, int] = defaultdict(int)
    for case in report.iter("testcase"):
        for entry in case.iter("property"):
            if entry.get("name") == "hypothesis":
                counts = TRIED.findall(entry.get("value", ""))
                sums[f"{case.get('file')}::{case.get('name', '').partition('[')[0]}"] += sum(
                    int(one) + int(two) for one, two in counts
                )
    return dict(sums)


def stamp() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def facts(command: str, seconds: float) -> dict[str, str]:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return {
        "command": f"`{command}`",
        "date": stamp(),
        "machine": f"{os.cpu_count()} cores, {memory:.0f} GB of memory, {os.uname().sysname}",
        "time": f"{seconds:.0f} s with two workers",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
