"""Which lines of the project each test runs, statement by statement of the test, and how its functions are called."""

import base64
import io
import itertools
import os
import pickle
import signal
import sys

from _trial import pool

MOST_STEPS = 300
MOST_CALLS = 24
MOST_NEAR = 8
"""Of a function: calls near those whose arguments are no literals, and which nobody else could write."""
MOST_TEXT = 600
MOST_PICKLE = 4000
_PLAIN = (bool, int, float, str, bytes, type(None), complex)


class Tracer:
    """Watches one test after the other. `paths`: the files whose lines count; what lies in other files of the project,
    tests first of all, only divides the steps. `only`: path -> the lines that are told; None for all."""

    def __init__(self, files, paths, only=None):
        self.files = files
        self.wanted = {files.full(path): path for path in paths}
        self._only = only
        self._kinds = {}
        self._names = {}
        self.calls = {}
        self.near = {}
        self.reset()

    def reset(self):
        self.lines = set()
        self.steps = [[0, self.lines]]
        self.broken = None
        """The last step in which an exception reached a test."""

    def begin(self):
        self.reset()
        sys.settrace(self._frame)

    def end(self):
        sys.settrace(None)

    def _kind(self, code):
        full = "" if code.co_filename.startswith("<") else os.path.realpath(code.co_filename)
        if full in self.wanted:
            # A program that is its own test: what runs at its top are steps.
            kind = 2 if code.co_name == "<module>" or code.co_name.startswith("test") else 1
        else:
            kind = 3 if self.files.owns(code.co_filename) else 0
        self._kinds[code] = kind
        return kind

    def _frame(self, frame, event, arg):
        code = frame.f_code
        kind = self._kinds.get(code)
        if kind is None:
            kind = self._kind(code)
        if kind == 0:
            return None
        if kind == 3:
            return self._divide
        if kind == 1:
            self._call(frame, code)
            return self._line
        return self._both

    def _line(self, frame, event, arg):
        if event == "line":
            self.lines.add((frame.f_code, frame.f_lineno))
        return self._line

    def _divide(self, frame, event, arg):
        if event == "exception":
            self.broken = len(self.steps) - 1
        if event == "line" and len(self.steps) < MOST_STEPS:
            if self.lines or len(self.steps) == 1:
                self.lines = set()
                self.steps.append([frame.f_lineno, self.lines])
            else:
                self.steps[-1][0] = frame.f_lineno
        return self._divide

    def _both(self, frame, event, arg):
        self._divide(frame, event, arg)
        self._line(frame, event, arg)
        return self._both

    def _call(self, frame, code):
        symbol = self._names.get(code)
        if symbol is None:
            path = self.wanted[os.path.realpath(code.co_filename)]
            found = [f for f in self.files.functions(path) if f.name == code.co_name and f.first == code.co_firstlineno]
            symbol = self._names[code] = (path, found[0].symbol) if found else ()
            self.calls.setdefault(symbol, {})
            self.near.setdefault(symbol, {})
        if symbol and len(self.calls[symbol]) < MOST_CALLS:
            pair = _arguments(frame, code)
            text = _written(pair)
            if text:
                self.calls[symbol].setdefault(text)
            if text.startswith("pickle:"):
                for other in itertools.islice(_near(pair), MOST_NEAR - len(self.near[symbol])):
                    self.near[symbol].setdefault(_written(other))

    def told(self):
        """Steps as [line, {path: lines}]."""
        found = []
        for line, lines in self.steps:
            row = {}
            for code, number in lines:
                row.setdefault(self.wanted[os.path.realpath(code.co_filename)], set()).add(number)
            if self._only is not None:
                row = {path: numbers & self._only.get(path, set()) for path, numbers in row.items()}
            found.append([line, {path: sorted(numbers) for path, numbers in row.items()}])
        return found


def _arguments(frame, code):
    names = code.co_varnames
    positional, only = code.co_argcount, code.co_kwonlyargcount
    try:
        values = frame.f_locals
        args = tuple(values[name] for name in names[:positional])
        named = {name: values[name] for name in names[positional : positional + only]}
        at = positional + only
        if code.co_flags & 4:
            args += tuple(values[names[at]])
            at += 1
        if code.co_flags & 8:
            named.update(values[names[at]])
        return (args, named)
    except BaseException:
        return None


def _near(pair):
    """The same arguments with one number, text or list a step away."""
    args, named = pair
    for at, value in enumerate(args):
        for other in _steps(value):
            yield ((*args[:at], other, *args[at + 1 :]), named)
    for name, value in named.items():
        for other in _steps(value):
            yield (args, {**named, name: other})


def _steps(value):
    kind = type(value)
    if kind is bool:
        return (not value,)
    if kind is int:
        return (value + 1, -1 if value >= 0 else -value)
    if kind is float:
        return (-value,)
    if kind in (str, bytes, list, tuple):
        return (value[:-1], value * 2) if 0 < len(value) <= MOST_TEXT else ()
    return ()


def _written(pair):
    if pair is None:
        return ""
    try:
        room = [400]
        if _literal(pair, room):
            text = repr(pair)
            return text if len(text) <= MOST_TEXT else ""
        if room[0] <= 0:
            return ""
        file = _Short()
        pickle.Pickler(file, 4).dump(pair)
        data = file.getvalue()
        return "pickle:" + base64.b64encode(data).decode() if len(data) <= MOST_PICKLE else ""
    except BaseException:
        return ""


class _Short(io.BytesIO):
    """Large objects are not pickled to their end."""

    def write(self, data):
        if self.tell() > MOST_PICKLE:
            raise ValueError
        return super().write(data)


def _literal(value, room):
    room[0] -= 1
    if room[0] <= 0:
        return False
    kind = type(value)
    if kind in _PLAIN:
        return kind is not float or value - value == 0.0
    if kind in (list, tuple):
        return all(_literal(each, room) for each in value)
    if kind is set:
        return bool(value) and all(_literal(each, room) for each in value)
    if kind is dict:
        return all(_literal(key, room) and _literal(each, room) for key, each in value.items())
    return False


class Tracing:
    """One job: every failing test in a child of its own, then those that pass, together."""

    def __init__(self, job, runner, files, say):
        self.job, self.runner, self.files, self.say = job, runner, files, say
        self.pool = pool.Pool(job["workers"])
        self.seconds = job["want"]["each_seconds"]
        self.hit = None
        """Lines that failing tests ran, once these are known: of the others nothing is asked."""

    def run(self):
        failing = self.job["failing"]
        if self.job["kind"] not in ("pytest", "unittest"):
            self._cold([""])
            return
        heard = []

        def hear(row):
            heard.append(row)
            self.say(row)

        def work(say):
            def then(session):
                known = set(session.names)
                if not session.names or not known.issuperset(failing):
                    return
                passing = [name for name in self.job["passing"] if name in known]
                say({"warm": 1})
                inner = pool.Pool(self.job["workers"])
                groups = [[name] for name in failing] or [list(session.names)]
                self._groups(groups, lambda names: self._watched(session, names), inner, say)
                if self.hit:
                    self.job["paths"] = list(self.hit)
                self._groups([passing] if passing else [], lambda names: self._watched(session, names), inner, say)

                pool.leave(say)

            self.runner.warm(then)

        self.pool.one(work, 60.0, hear)
        if not heard:
            self._cold(failing)

    def _groups(self, groups, work, where, say):
        """A child for each group; when one does not come to its end, another for what is left of the group."""
        budget = where.cpu + self.job["want"]["seconds"]
        left = [list(group) for group in groups]

        def jobs():
            while left and where.cpu < budget:
                group = left.pop(0)
                yield group, work(group), 30.0

        def finished(group, outcome):
            done = set()
            for row in outcome.rows:
                say(row)
                if "test" in row:
                    done.add(row["test"])
                    self._hits(row)
            rest = [name for name in group if name not in done]
            if done and rest:  # one of them took too long, or ended the child
                left.append(rest)
            elif outcome.why and group and group[0] not in done:
                say({"test": group[0], "result": "late", "why": outcome.why, "steps": [], "took": 0.0})
            return True

        # More may be left when the first round has ended.
        while left and where.cpu < budget:
            where.run(jobs(), finished)

    def _hits(self, row):
        if row["test"] in self.job["failing"]:
            self.hit = {} if self.hit is None else self.hit
            for _, seen in row.get("steps", ()):
                for path, lines in seen.items():
                    self.hit.setdefault(path, set()).update(lines)

    def _watched(self, session, names):
        return lambda say: self._watch(session.run, names, say)

    def _cold(self, failing):
        def work(say):
            def run(names, tell, allow):
                self.runner.cold(lambda collected: [n for n in collected if n in failing] or collected, tell, allow)

            self._watch(run, failing, say)

        outcome = self.pool.one(work, 60.0)
        for row in outcome.rows:
            self.say(row)
        if outcome.why and not any("test" in row for row in outcome.rows):
            self.say({"test": (failing or [""])[0], "result": "late", "why": outcome.why, "steps": [], "took": 0.0})

    def _watch(self, run, names, say):
        tracer = Tracer(self.files, self.job["paths"], self.hit)
        state = {"name": "", "begun": sum(os.times()[:2])}

        def tell(row):
            if "test" in row:
                say(dict(row, steps=tracer.told(), broken=tracer.broken, took=sum(os.times()[:2]) - state["begun"]))
            return False

        def late(*_):
            sys.settrace(None)
            tell({"test": state["name"], "result": "late", "why": "did not end in time"})
            self._calls(tracer, say)
            pool.leave(say)

        class Watched:
            def __init__(self, name):
                state["name"] = name

            def __enter__(self):
                state["begun"] = sum(os.times()[:2])
                say({"patience": 8 * limit + 4})
                pool._signal(signal.SIGPROF, late)
                pool._setitimer(signal.ITIMER_PROF, limit)
                tracer.begin()

            def __exit__(self, *_):
                tracer.end()
                pool._setitimer(signal.ITIMER_PROF, 0)

        limit = self.seconds
        run(names, tell, Watched)
        self._calls(tracer, say)

    def _calls(self, tracer, say):
        for symbol, texts in tracer.calls.items():
            if symbol:
                say({"symbol": symbol, "calls": list(filter(None, {**texts, **tracer.near[symbol]}))})
