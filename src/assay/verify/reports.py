"""From what a test runner printed or wrote to identities and results. Every parser takes text and never raises.

Sources of the formats: pytest's JUnit XML (family xunit1, which still names the file), `go doc test2json`,
libtest's plain output, TAP 13/14 and the spec reporter of Node's runner, Jest's `--json`, ctest's plain output.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import DecodeError, Struct, json

TestResult = Literal["pass", "fail", "skip", "error"]
RANK: dict[TestResult, int] = {"pass": 0, "skip": 1, "fail": 2, "error": 3}
REASON_LIMIT = 2000


class Report:
    """Results by identity, and for each failing one the words of its failure."""

    def __init__(self) -> None:
        self.tests: dict[str, TestResult] = {}
        self.reasons: dict[str, str] = {}

    def add(self, identity: str, result: TestResult, reason: str = "") -> None:
        """Record a result; of several under one identity (call and teardown, sub-tests) the worst stays."""
        known = self.tests.get(identity)
        if known is None or RANK[result] > RANK[known]:
            self.tests[identity] = result
        if reason and result in ("fail", "error"):
            told = self.reasons.get(identity, "")
            self.reasons[identity] = (f"{told}\n{reason}" if told else reason)[:REASON_LIMIT]


def junit(text: str) -> Report:
    """JUnit XML. Identities read like pytest's node ids (`tests/test_a.py::TestX::test_y[1]`) when a file is named."""
    from xml.etree import ElementTree

    report = Report()
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  (expat from 2.4.1 on bounds entity expansion; external entities are off)
    except (ElementTree.ParseError, ValueError):
        return report
    for case in root.iter("testcase"):
        identity = junit_identity(case.get("classname", ""), case.get("name", ""), case.get("file", ""))
        marks = [child for child in case if child.tag in ("failure", "error", "skipped")]
        if not marks:
            report.add(identity, "pass")
        for mark in marks:
            result: TestResult = "skip" if mark.tag == "skipped" else "fail" if mark.tag == "failure" else "error"
            report.add(identity, result, failure_words(mark.get("message", ""), mark.text or ""))
    return report


def junit_identity(classname: str, name: str, file: str) -> str:
    if not classname:  # a module that could not be collected
        return file or name.replace(".", "/") + ".py"
    module = re.sub(r"\.py$", "", file).replace("/", ".").replace("\\", ".")
    if file and (classname == module or classname.startswith(module + ".")):
        classes = [part for part in classname[len(module) + 1 :].split(".") if part]
        return "::".join([file, *classes, name])
    return f"{classname}::{name}"


def failure_words(message: str, body: str) -> str:
    """What a failure says, without the source that a traceback repeats: pytest's `E` lines, else the last lines."""
    marked = [line[1:].strip() for line in body.splitlines() if line.startswith("E ")]
    lines = marked or [line.strip() for line in body.splitlines() if line.strip()][-4:]
    head = "" if message in ("", "collection failure") or (lines and message in lines[0]) else message
    return "\n".join(part for part in (head, *lines[:12]) if part)[:REASON_LIMIT]


class _GoEvent(Struct, rename="pascal"):
    action: str = ""
    package: str = ""
    test: str = ""
    output: str = ""


def go_events(text: str) -> tuple[Report, str]:
    """`go test -json`: the report, and the plain text that the command would have printed."""
    report, plain = Report(), list[str]()
    outputs: dict[str, str] = {}
    results: dict[str, TestResult] = {"pass": "pass", "fail": "fail", "skip": "skip"}
    for line in text.splitlines(keepends=True):
        try:
            event = json.decode(line, type=_GoEvent)
        except (DecodeError, UnicodeError, RecursionError):
            plain.append(line)
            continue
        identity = f"{event.package}::{event.test}"
        if event.output:
            plain.append(event.output)
            outputs[identity] = (outputs.get(identity, "") + event.output)[-REASON_LIMIT:]
        if event.test and event.action in results:
            report.add(identity, results[event.action], outputs.get(identity, ""))
    return report, "".join(plain)


def cargo(text: str) -> Report:
    """libtest's plain lines, prefixed by the binary that ran them."""
    report, target = Report(), ""
    words = failure_blocks(text)
    results: dict[str, TestResult] = {"ok": "pass", "FAILED": "fail", "ignored": "skip"}
    for line in text.splitlines():
        if header := re.match(r"\s*(?:Running (?:unittests )?(\S+)|Doc-tests (\S+))", line):
            target = header[1] or f"doc {header[2]}"
        elif row := re.match(r"test (.+?) (?:- should panic )?\.\.\. (ok|FAILED|ignored)", line):
            report.add(f"{target}::{row[1]}", results[row[2]], words.get(row[1], ""))
    return report


def failure_blocks(text: str) -> dict[str, str]:
    """`---- name stdout ----` blocks of libtest."""
    parts = re.split(r"^---- (.+?) stdout ----$", text, flags=re.M)
    return {name: body.strip()[:600] for name, body in zip(parts[1::2], parts[2::2], strict=False)}


def node(text: str) -> Report:
    """Node's runner in its TAP or its spec form. Names are nested by indentation; a suite counts by its own line."""
    report, path = Report(), dict[int, str]()
    for line in text.splitlines():
        if opened := re.match(r"(\s*)(?:# Subtest: |▶ )(.+?)(?: \([\d.]+ms\))?$", line):
            path = {depth: name for depth, name in path.items() if depth < len(opened[1])}
            path[len(opened[1])] = opened[2]
            continue
        row = re.match(r"(\s*)(ok|not ok|✔|✖|﹣) (?:\d+ - )?(.+?)(?: \([\d.]+ms\))?(\s+# (?:SKIP|TODO).*)?$", line)
        if row is None:
            continue
        if line.startswith("✖ failing tests"):
            break
        parents = [path[depth] for depth in sorted(path) if depth < len(row[1])]
        skipped = bool(row[4]) or row[2] == "﹣"
        report.add(" > ".join([*parents, row[3]]), "skip" if skipped else "pass" if row[2] in ("ok", "✔") else "fail")
    return report


class _JestCase(Struct, rename="camel"):
    full_name: str
    status: str = ""
    failure_messages: list[str] = []


class _JestFile(Struct, rename="camel"):
    name: str = ""
    status: str = ""
    message: str = ""
    assertion_results: list[_JestCase] = []


class _Jest(Struct, rename="camel"):
    test_results: list[_JestFile] = []


def jest(text: str, root: str) -> Report:
    """Jest's `--json`, which vitest's json reporter follows; file names are made relative to `root`."""
    report = Report()
    try:
        found = json.decode(text, type=_Jest)
    except (DecodeError, UnicodeError, RecursionError):
        return report
    results: dict[str, TestResult] = {"passed": "pass", "failed": "fail"}
    for file in found.test_results:
        name = file.name.removeprefix(root).lstrip("/")
        if not file.assertion_results and file.status == "failed":
            report.add(name, "error", strip_colours(file.message)[-600:])
        for case in file.assertion_results:
            reason = strip_colours("\n".join(case.failure_messages))[:600]
            report.add(f"{name}::{case.full_name}", results.get(case.status, "skip"), reason)
    return report


def ctest(text: str) -> Report:
    report = Report()
    for row in re.finditer(r"^\s*\d+/\d+ Test\s+#\d+: (\S+) \.+\s*(?:\*\*\*)?(Passed|Failed|Not Run|\w+)", text, re.M):
        report.add(row[1], "pass" if row[2] == "Passed" else "skip" if row[2] in ("Not Run", "Skipped") else "fail")
    return report


def strip_colours(text: str) -> str:
    """Without terminal escape sequences and control characters other than newline and tab."""
    text = re.sub(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])", "", text)
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text)
