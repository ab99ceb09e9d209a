"""Results that the code under test can't forge from where it is.

A check that is one call of pytest, unittest or Node's runner gets a reporter of ours. It holds a key that was made for
this one run, came by a file (never by an argument or a variable, which any process of the sandbox could read), and was
removed before the first line of the project was loaded. Each result is a line with a signature over its text and its
number. What is missing, out of order, twice there or wrongly signed is not a result, and a report without its end is no
report. With Node the reporter is in the parent of the processes that load the project; with pytest and unittest it is
in the same process, where code that walks all objects could still find the key: the detectors look for such code.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from msgspec import DecodeError, Struct, json

from assay.core.check import Check
from assay.verify.reports import Report, TestResult, failure_words

ALONE = re.compile(r"(?:^|[\s/])python[\d.]*\s+(?:-\S+\s+)*?-[a-zA-Z]*[EI]")
"""An interpreter that takes nothing from variables: a module of ours can't be brought in."""
EMPTIED = re.compile(r"(?:^|\s)env\s+(?:-\S+\s+)*?-(?:i\b|-ignore-environment\b|\s)")
"""All variables are taken away."""
ONE_COMMAND = re.compile(r"(?:cd [\w./-]+ && )?[^|;&<>`\n]*(?:[12]?>&[12])?")
DRIVEN = ("pytest", "unittest", "node")
KEY_FILE = ".check-key"
"""Where the key lies in the copy until the run begins."""


class _Line(Struct):
    id: str
    result: str
    n: int
    reason: str = ""


def signs(check: Check) -> bool:
    """Whether a check's results come signed: one call of a runner that we have a reporter for."""
    if check.runner not in DRIVEN or not ONE_COMMAND.fullmatch(check.command):
        return False
    if EMPTIED.search(check.command) or (check.runner == "pytest" and ALONE.search(check.command)):
        return False
    return check.runner != "node" or "--test-reporter" not in check.command


@cache
def driver(name: str) -> str:
    """The text of one of our reporters."""
    return Path(__file__).with_name("drivers").joinpath(name).read_text("utf-8")


def drivers(check: Check) -> dict[str, str]:
    """The variables by which reporters come into the run."""
    if check.runner == "pytest":
        return {"ASSAY_PYTEST": driver("pytest_report.py")}
    if check.runner == "unittest":
        return {"ASSAY_UNITTEST": driver("unittest_report.py")}
    return {"ASSAY_NODE_KEY": driver("node_key.cjs"), "ASSAY_NODE_REPORT": driver("node_report.mjs")}


class Signed:
    """What a signed report says."""

    def __init__(self, report: Report, begun: bool, ended: bool, forged: int) -> None:
        self.report = report
        self.begun = begun
        self.ended = ended
        self.forged = forged
        """Lines that are not ours."""

    @property
    def whole(self) -> bool:
        return self.begun and self.ended and not self.forged


def read_signed(text: str, key: str) -> Signed:
    """Lines in order, each `{id, result, n, reason}`, a tab, and the HMAC-SHA256 of what stands before the tab."""
    import hashlib
    import hmac

    report, expected, forged, ended = Report(), 0, 0, False
    for raw in text.splitlines():
        if not raw.strip():
            continue
        body, _, mark = raw.rpartition("\t")
        good = hmac.new(key.encode(), body.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
        try:
            row = json.decode(body, type=_Line) if hmac.compare_digest(good.encode(), mark.strip().encode()) else None
        except (DecodeError, UnicodeError):
            row = None
        if row is None or row.n != expected or ended:
            forged += 1
            continue
        expected += 1
        ended = row.result == "end"
        results: dict[str, TestResult] = {"pass": "pass", "fail": "fail", "skip": "skip", "error": "error"}
        if row.result in results:
            report.add(row.id, results[row.result], failure_words("", row.reason))
    return Signed(report, expected > 0, ended, forged)
