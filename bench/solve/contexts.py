"""A pytest plugin for `bench.solve.locate`: which test ran which lines, into the file that COVERAGE_OUT names.

Needs coverage.py. COVERAGE_ROOT is the folder whose files count. Written as `{"tests": {id: outcome}, "lines": {id:
{path: [lines]}}}` in JSON.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import coverage
import pytest


class Contexts:
    def __init__(self) -> None:
        self.root = os.environ["COVERAGE_ROOT"]
        self.cover = coverage.Coverage(data_file=None, include=[f"{self.root}/*"], config_file=False)
        self.tests: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        self.cover.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.cover.switch_context(item.nodeid)
        done = yield
        self.cover.switch_context("")
        return done

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "call" or report.failed:
            worse = self.tests.get(report.nodeid, report.outcome)
            self.tests[report.nodeid] = "failed" if "failed" in (worse, report.outcome) else report.outcome

    def pytest_sessionfinish(self) -> None:
        self.cover.stop()
        data = self.cover.get_data()
        lines: dict[str, dict[str, list[int]]] = {}
        for path in data.measured_files():
            for line, contexts in data.contexts_by_lineno(path).items():
                for context in contexts:
                    if context:
                        lines.setdefault(context, {}).setdefault(os.path.relpath(path, self.root), []).append(line)
        Path(os.environ["COVERAGE_OUT"]).write_text(json.dumps({"tests": self.tests, "lines": lines}))


def pytest_configure(config) -> None:
    config.pluginmanager.register(Contexts(), "line-contexts")
