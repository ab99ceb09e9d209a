"""How tests are run, three ways: pytest, unittest, or a program that ends well or does not.

A runner has `machinery()`, which imports what runs tests and nothing of the project; `warm(then)`, which collects and
calls `then(session)`; and `cold(say, limits)`, which does everything in this process. A session has `names`, and
`run(names, say, allow)`, which says a row `{test, result, why}` for each until `stop(row)`.
"""

import os
import runpy
import sys
import tempfile

from _trial import pool


class Session:
    """Tests that are collected."""

    def __init__(self, names, run):
        self.names, self.run = names, run


class Pytest:
    def __init__(self, job):
        self.arguments = job["arguments"]

    def machinery(self):
        import pytest  # noqa: F401

    def _main(self, plugin):
        import importlib.util

        import pytest

        own = ["-p", "no:randomly", "--maxfail=0", "--tb=line", "-s", "-q"]
        # One candidate's failures are not what `--last-failed` is to run for the next.
        own += ["-o", "cache_dir=" + tempfile.mkdtemp(prefix="pytest-cache-")]
        own.append("--continue-on-collection-errors")
        # In a second run within one process plugins are there already; some projects take that warning for an error.
        own += ["-W", "ignore:Module already imported"]
        if "PYTEST_DISABLE_PLUGIN_AUTOLOAD" not in os.environ:
            for module, off, option in (("xdist", "no:xdist", "-n0"), ("pytest_cov", "no:cov", "--no-cov")):
                if importlib.util.find_spec(module) and not any(off in each for each in self.arguments):
                    own.append(option)
        pytest.main(self.arguments + own, plugins=[plugin])

    def warm(self, then):
        import pytest

        class Plugin:
            @pytest.hookimpl(tryfirst=True)
            def pytest_runtestloop(self, session):
                items = {}
                for item in session.items:
                    items.setdefault(item.nodeid, item)
                then(Session(list(items), lambda names, say, allow: _run_items(names, items, say, allow)))
                return True

        self._main(Plugin())

    def cold(self, names, say, allow):
        """All of it in this process, the tests in the order of `names`."""
        import pytest

        class Plugin:
            def pytest_collectreport(self, report):
                if report.outcome == "failed":
                    say({"test": report.nodeid, "result": "error", "why": _crash(report)})

            @pytest.hookimpl(tryfirst=True)
            def pytest_runtestloop(self, session):
                items = {}
                for item in session.items:
                    items.setdefault(item.nodeid, item)
                say({"collected": list(items)[:20000]})
                _run_items([name for name in names(list(items)) if name in items], items, say, allow)
                return True

        self._main(Plugin())


def _run_items(names, items, say, allow):
    items = [items[name] for name in names]
    config = items[0].config if items else None
    if config is None:
        return
    rows = {}

    class Listener:
        def pytest_runtest_makereport(self, item, call):
            # The usual report of a failure takes longer than the test.
            from _pytest.outcomes import Exit, Skipped
            from _pytest.reports import TestReport

            if call.excinfo is None or isinstance(call.excinfo.value, (Skipped, Exit)):
                return None
            why = pool.describe(call.excinfo.value)
            keywords = {name: 1 for name in item.keywords}
            return TestReport(item.nodeid, item.location, keywords, "failed", why, call.when)

        def pytest_runtest_logreport(self, report):
            row = rows.setdefault(report.nodeid, {"test": report.nodeid, "result": "", "why": ""})
            if report.outcome == "failed":
                if row["result"] not in ("fail", "error"):
                    row["result"] = "fail" if report.when == "call" else "error"
                    row["why"] = _crash(report)
            elif report.outcome == "skipped":
                row["result"] = row["result"] or "skip"
            elif report.when == "call":
                row["result"] = row["result"] or ("skip" if hasattr(report, "wasxfail") else "pass")

    config.pluginmanager.register(Listener(), "trial-listener")
    try:
        for at, item in enumerate(items):
            following = items[at + 1] if at + 1 < len(items) else None
            with allow(item.nodeid):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            row = rows.pop(item.nodeid, None) or {"test": item.nodeid, "result": "skip", "why": ""}
            if say(row):
                if following is not None:
                    _torn_down(item)
                return
    finally:
        config.pluginmanager.unregister(name="trial-listener")


def _torn_down(item):
    """End fixtures that a later test would have shared: the next to run here starts anew."""
    state = item.session._setupstate
    try:
        state.teardown_exact(None)
    except TypeError:  # pytest before 6.3
        state.teardown_all()
    except BaseException:  # a finalizer's: what counts was said
        pass


def _crash(report):
    long = report.longrepr
    crash = getattr(long, "reprcrash", None)
    text = getattr(crash, "message", "") or str(getattr(report, "longreprtext", long))[-300:]
    return " | ".join(line.strip() for line in str(text).splitlines()[:3] if line.strip())[:300]


class Unittest:
    def __init__(self, job):
        self.arguments = job["arguments"]

    def machinery(self):
        import unittest
        import unittest.mock  # noqa: F401

    def _main(self, then):
        import unittest

        class Runner:
            def __init__(self, *_, **__):
                pass

            def run(self, suite):
                then(suite)
                return unittest.TestResult()

        unittest.TestProgram(module=None, argv=["python -m unittest", *self.arguments], testRunner=Runner(), exit=False)

    def warm(self, then):
        def collected(suite):
            tests = {}
            for test in _flat(suite):
                tests.setdefault(_identity(test), test)
            then(Session(list(tests), lambda names, say, allow: _run_cases(names, tests, say, allow)))

        self._main(collected)

    def cold(self, names, say, allow):
        def collected(suite):
            tests = {}
            for test in _flat(suite):
                tests.setdefault(_identity(test), test)
            say({"collected": list(tests)[:20000]})
            _run_cases([name for name in names(list(tests)) if name in tests], tests, say, allow)

        self._main(collected)


def _flat(suite):
    for test in suite:
        if hasattr(test, "__iter__"):
            yield from _flat(test)
        else:
            yield test


def _identity(test):
    """For what a class or a module sets up for its tests, the name of that."""
    name = test.id()
    if name.startswith(("setUp", "tearDown")) and name.endswith(")"):
        return name[name.index("(") + 1 : -1] if "(" in name else name
    return name[len("unittest.loader._FailedTest.") :] if name.startswith("unittest.loader._FailedTest.") else name


def _run_cases(names, tests, say, allow):
    import unittest

    class Result(unittest.TestResult):
        now = None

        def startTest(self, test):
            super().startTest(test)
            self.row = {"test": _identity(test), "result": "", "why": ""}
            self.now = allow(self.row["test"])
            self.now.__enter__()

        def stopTest(self, test):
            super().stopTest(test)
            self.now.__exit__(None, None, None)
            self.now = None
            if say(self.row):
                self.stop()

        def _put(self, result, err=None, test=None):
            why = "" if err is None else pool.describe(err[1])
            if self.now is None:  # a fixture of a class or a module
                if say({"test": _identity(test), "result": result, "why": why}):
                    self.stop()
            elif self.row["result"] not in ("fail", "error"):
                self.row.update(result=result, why=why)

        def addSuccess(self, test):
            self._put("pass")

        def addFailure(self, test, err):
            self._put("fail", err)

        def addError(self, test, err):
            self._put("error", err, test)

        def addSkip(self, test, reason):
            if self.now is not None:
                self._put("skip")

        def addExpectedFailure(self, test, err):
            self._put("skip")

        def addUnexpectedSuccess(self, test):
            self._put("fail")

        def addSubTest(self, test, subtest, err):
            if err is not None:
                self._put("fail" if issubclass(err[0], test.failureException) else "error", err)

    unittest.TestSuite([tests[name] for name in names]).run(Result())


class Program:
    """A file, a module or a piece of code; its one test has no name."""

    def __init__(self, job):
        self.kind, self.target, self.arguments = job["kind"], job["target"], job["arguments"]
        self.sources = None

    def machinery(self):
        pass

    def warm(self, then):
        """There is nothing to collect: each child runs the program from its start."""

    def cold(self, names, say, allow):
        say({"collected": names([""])})
        row = {"test": "", "result": "pass", "why": ""}
        with allow(""):
            try:
                self.execute()
            except SystemExit as end:
                if end.code not in (None, 0):
                    row.update(result="fail", why="exited with " + str(end.code)[:200])
            except BaseException as error:
                row.update(result="fail", why=pool.describe(error))
        say(row)

    def execute(self):
        import builtins
        import types

        sys.argv = [self.target, *self.arguments]
        if self.kind == "module":
            runpy.run_module(self.target, run_name="__main__", alter_sys=True)
            return
        main = types.ModuleType("__main__")
        main.__dict__["__builtins__"] = builtins
        if self.kind == "code":
            sys.argv = ["-c", *self.arguments]
            code = compile(self.target, "<string>", "exec", 0, True)
        else:
            full = os.path.realpath(self.target)
            main.__file__ = self.target
            code = self.sources.code(full)
            if code is None:
                with open(full, "rb") as file:
                    code = compile(file.read(), full, "exec", 0, True)
        sys.modules["__main__"] = main
        exec(code, main.__dict__)


def runner_of(job):
    return {"pytest": Pytest, "unittest": Unittest}.get(job["kind"], Program)(job)
