"""A pytest plugin that reports each test over a file that only it can sign. Loaded by `-p` before conftest files and
test modules; it takes the key out of the way before any code of the project runs. Needs nothing but pytest."""

import hashlib
import hmac
import json
import os


def _reporter():
    folder = os.environ.pop("ASSAY_CHECK", "")
    try:
        with open(folder + "/key", "rb") as file:
            key = file.read().strip()
        os.unlink(folder + "/key")
        out = os.open(folder + "/signed", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        return None
    sign, dumps, write, owner, getpid = hmac.new, json.dumps, os.write, os.getpid(), os.getpid
    count = [0]

    def say(**row):
        if getpid() != owner:
            return
        row["n"] = count[0]
        count[0] += 1
        text = dumps(row).encode()
        write(out, text + b"\t" + sign(key, text, hashlib.sha256).hexdigest().encode() + b"\n")

    return say


_say = _reporter()

if _say is not None:
    _say(id="", result="begin")

    def _words(report):
        return "" if report.longrepr is None else str(getattr(report, "longreprtext", report.longrepr))

    def pytest_collectreport(report):
        if report.outcome == "failed":
            _say(id=report.nodeid, result="error", reason=_words(report)[-6000:])

    def pytest_runtest_logreport(report):
        if report.outcome == "failed":
            expected = report.when == "call"
            _say(id=report.nodeid, result="fail" if expected else "error", reason=_words(report)[-6000:])
        elif report.outcome == "skipped":
            _say(id=report.nodeid, result="skip")
        elif report.when == "call":
            _say(id=report.nodeid, result="skip" if hasattr(report, "wasxfail") else "pass")

    def pytest_unconfigure():
        _say(id="", result="end")
