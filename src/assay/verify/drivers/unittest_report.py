"""Runs `python -m unittest` with a result class that signs what it reports. Given to `python -c`, so that it is in
charge before any code of the project is loaded; the key is read and removed first."""

import hashlib
import hmac
import json
import os
import sys
import unittest


def _reporter():
    folder = os.environ.pop("ASSAY_CHECK", "")
    try:
        with open(folder + "/key", "rb") as file:
            key = file.read().strip()
        os.unlink(folder + "/key")
        out = os.open(folder + "/signed", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        return lambda **_: None
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


def _result(say):
    class Result(unittest.TextTestResult):
        def put(self, test, result, err=None):
            name = test.id().removeprefix("unittest.loader._FailedTest.")
            reason = "" if err is None else (err[0].__name__ + ": " + str(err[1]))[:1500]
            say(id=name, result=result, reason=reason)

        def addSuccess(self, test):
            super().addSuccess(test)
            self.put(test, "pass")

        def addFailure(self, test, err):
            super().addFailure(test, err)
            self.put(test, "fail", err)

        def addError(self, test, err):
            super().addError(test, err)
            self.put(test, "error", err)

        def addSkip(self, test, reason):
            super().addSkip(test, reason)
            self.put(test, "skip")

        def addExpectedFailure(self, test, err):
            super().addExpectedFailure(test, err)
            self.put(test, "skip")

        def addUnexpectedSuccess(self, test):
            super().addUnexpectedSuccess(test)
            self.put(test, "fail")

        def addSubTest(self, test, subtest, err):
            super().addSubTest(test, subtest, err)
            if err is not None:
                self.put(test, "fail" if issubclass(err[0], test.failureException) else "error", err)

    return Result


def _main():
    say = _reporter()
    say(id="", result="begin")

    class Runner(unittest.TextTestRunner):
        resultclass = _result(say)

    done = unittest.main(module=None, testRunner=Runner, argv=["python -m unittest", *sys.argv[1:]], exit=False).result
    say(id="", result="end")
    sys.stderr.flush()
    none = getattr(done, "testsRun", 1) == 0 and not getattr(done, "skipped", None) and sys.version_info >= (3, 12)
    sys.exit(5 if none else not done.wasSuccessful())


_main()
