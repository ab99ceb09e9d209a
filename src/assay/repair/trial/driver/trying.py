"""Trying candidates: each in a child of its own, the tests that failed first."""

import collections
import contextlib
import gc
import os
import shutil
import sys
import tempfile
import threading
import time

from _trial import changing, keeping, observing, pool

START = 60.0
"""Seconds of silence that collecting may take."""
RESTARTS = 6
GROUP = 8
CUTS = 4
"""Children that had to end early before each candidate gets its own."""
LEARNING = 2.0
"""Processor seconds at least that a program gets to be seen as it is, its imports included."""
KEPT_SECONDS = 10.0
"""Processor seconds for what passed before; the done gate runs all of it."""


class Trial:
    """One job: `say` tells the host, `runner` runs tests."""

    def __init__(self, job, runner, files, sources, say):
        self.job, self.runner, self.files, self.sources, self.say = job, runner, files, sources, say
        self.want = job["want"]
        self.took = job["took"]
        self.pool = pool.Pool(job["workers"])
        for path in {edit[0] for edits in job["candidates"] for edit in edits}:
            files.known(path)  # before any candidate may write to it
        self.plausible = 0
        self.after = 0
        """Candidates tried since the first plausible one."""
        self.kills = {}
        self.group = GROUP
        self.finished = set()

    def run(self):
        left = list(range(len(self.job["candidates"])))
        self.pool.kept = keeping.Kept(self.files.root)
        if self.job["kind"] in ("pytest", "unittest"):
            left = self._hot(left)
            if self.plausible and self.want["further"] is not None:
                left = []  # each of these costs as much as fifty of the others, and something was found
        else:
            self._learn()
        self._children(((n, self._cold(n)) for n in left if n not in self.finished), self.pool, self.told)

    def _learn(self):
        """Load beforehand what the program loads from elsewhere, and compile what it loads from the project."""

        def work(say):
            before = set(sys.modules)
            begun = time.process_time()
            self.runner.cold(lambda names: names, lambda row: False, self.limit(say, LEARNING))
            say({"took": time.process_time() - begun})
            say(loaded(before, self.files))

        for _ in range(2):
            for row in self.pool.one(quiet(work), START).rows:
                preload(row, self.sources)
                if pool.counted(row.get("took")):
                    self.took[""] = row["took"]
            if self.took.get("", 0.0) <= self.want["each_seconds"]:
                break  # else once more, now that importing takes no time

    def _hot(self, left):
        """What needs no new import, in a process in which everything is loaded; returns what is left to do."""
        for _ in range(RESTARTS):
            late, modules, started, told = [], [], [], []

            def hear(row):
                if "late" in row:
                    told.append(1)
                    late.extend(row["late"])
                elif "modules" in row:
                    modules.append(row)
                elif "started" in row:
                    started.extend(row["started"])
                elif "row" in row:
                    self.told(row["row"]["index"], None, row["row"])

            outcome = self.pool.one(quiet(lambda say: self._collected(left, say)), START, hear)
            if told and not outcome.why:
                for row in modules if late and not self.enough() else ():
                    preload(row, self.sources)
                return late
            lost = [n for n in started if n not in self.finished]
            # Of a group, anyone may have ended it; alone, it is clear who did.
            alone, self.group = self.group == 1, 1
            for n in lost if alone else ():
                self.told(n, None, {"index": n, "status": "invalid", "why": "ended the process that tried it"})
            left = [n for n in left if n not in self.finished]
            if not lost:
                return left  # it can't be collected here at all
            if self.enough():
                return []
        return left

    def _collected(self, left, tell):
        seen = changing.Started(self.files)
        before = set(sys.modules)
        seen.begin()
        met = []

        def then(session):
            seen.end()
            met.append(1)
            tell(dict(loaded(before, self.files)))
            missing = not set(session.names).issuperset(self.job["failing"])
            if missing or not session.names or threading.active_count() > 1:
                tell({"late": left})
                return
            swaps = changing.Swaps(self.files, seen.seen)  # before the freeze, which hides what it looks for
            gc.collect()
            gc.freeze()
            hot = Hot(self, session, swaps, left, tell)
            hot.run()
            tell({"late": hot.late})
            pool.leave(tell)

        self.runner.warm(then)
        if not met:
            tell({"late": left})

    def _children(self, jobs, where, told):
        def with_patience():
            for n, work in jobs:
                if self.enough(where):
                    return
                yield n, work, START

        where.run(with_patience(), told)

    def enough(self, where=None):
        further = self.want["further"]
        return (
            self.plausible >= self.want["plausible"]
            or (where or self.pool).cpu > self.want["seconds"]
            or (self.plausible and further is not None and self.after > further)
        )

    def told(self, n, outcome, row=None):
        """A result of a child of this process, or one that was handed up; returns whether to go on."""
        if row is None:
            row = self.judged(n, outcome)
        self.count(row)
        self.finished.add(n)
        self.say(row)
        return not self.enough()

    def count(self, row):
        if row["status"] == "plausible":
            self.plausible += 1
        self.after += self.plausible > 0
        for name in row.get("failing", ()):
            self.kills[name] = self.kills.get(name, 0) + 1

    def targets(self, names):
        """The tests to try first, of those collected."""
        failing = self.job["failing"]
        if not failing:
            passing = set(self.job["passing"])
            return [name for name in names if name not in passing] or names
        known = set(names)
        wholes = [name for name in failing if name not in known]
        within = [name for name in names if any(under(name, whole) for whole in wholes)] if wholes else []
        found = [name for name in failing if name in known] + within
        return sorted(found, key=lambda name: (-self.kills.get(name, 0), self.took.get(name, 0.0)))

    def _cold(self, n):
        def work(say):
            try:
                self.sources.use(self.job["candidates"][n])
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                say({"invalid": pool.describe(error)})
                return

            def run(names, tell, allow):
                self.runner.cold(names, tell, allow)

            if self.passes(run, None, None, say):
                self.behaviour(say)

        return quiet(work)

    def passes(self, run, targets, names, say):
        """Targets, then what passed before, until one does not pass. Cold, the names are known late."""
        kept = set(self.job["passing"])
        first = set()
        state = {"since": None, "stop": False}

        def order(collected):
            chosen = self.targets(collected)
            first.update(chosen)
            known = set(collected)
            return chosen + [name for name in self.job["passing"] if name in known and name not in first]

        def tell(row):
            say(row)
            if "test" not in row:
                return False
            if row["test"] not in first:
                if state["since"] is None:
                    state["since"] = time.process_time()
                elif time.process_time() - state["since"] > KEPT_SECONDS:
                    return True
            if row["result"] != "pass" and (row["test"] in first or row["test"] in kept):
                state["stop"] = True
            return state["stop"]

        if targets is None:
            run(order, tell, self.limit(say))
        else:
            say({"collected": targets})
            run(order(names), tell, self.limit(say))
        say({"ran": 1, "stop": state["stop"]})
        return not state["stop"]

    def behaviour(self, say):
        if self.want["calls"]:
            observing.observe(self.files, self.want["calls"], say)

    def limit(self, say, least=0.0):
        @contextlib.contextmanager
        def allow(name):
            pool.allow(say, max(self.want["each_seconds"], least), self.took.get(name, 0.0))
            yield

        return allow

    def judged(self, n, outcome):
        """A row for the host from what a child said; nothing that it said is taken to be complete."""
        row = {"index": n, "status": "red", "seconds": outcome.cpu, "passed": [], "failing": {}, "behaviour": {}}
        collected, ran = [], False
        for said in outcome.rows:
            if "invalid" in said:
                return dict(row, status="invalid", why=str(said["invalid"]))
            if isinstance(said.get("collected"), list):
                collected = [name for name in said["collected"] if isinstance(name, str)]
            elif "test" in said and isinstance(said["test"], str):
                name = said["test"]
                if said.get("result") == "pass":
                    row["passed"].append(name)
                else:
                    row["failing"][name] = str(said.get("why") or said.get("result"))[:300]
            elif "ran" in said:
                ran = not said.get("stop")
            elif isinstance(said.get("call"), str):
                row["behaviour"][said["call"]] = str(said.get("digest"))[:100]
        if outcome.why == "slow":
            return dict(row, status="slow", why="took too long")
        raised = next((str(said["raised"]) for said in outcome.rows if "raised" in said), "")
        watched = set(self.job["failing"]) | set(self.job["passing"])
        targets = self.targets(collected)
        watched.update(targets)
        row["failing"] = {
            name: why
            for name, why in row["failing"].items()
            if not watched or name in watched or any(under(each, name) for each in watched)
        }
        passed = set(row["passed"])
        whole = all(name in passed or any(under(test, name) for test in targets) for name in self.job["failing"])
        if ran and whole and targets and not row["failing"] and passed.issuperset(targets):
            # What went wrong after the tests only costs the answers to calls.
            return dict(row, status="plausible")
        if not row["failing"]:
            row["failing"] = {"": outcome.why or raised or "a failing test was not run"}
        return row


class Hot:
    """Candidates that need no import, several to a child: one after the other, as long as nothing that can be seen has
    changed in it. Whoever passes, ends the child, or ran where files were written is tried again in a fresh one unless
    it was the first."""

    def __init__(self, trial, session, swaps, left, tell):
        self.trial, self.session, self.swaps, self.tell = trial, session, swaps, tell
        self.queue = collections.deque(left)
        self.pool = pool.Pool(trial.job["workers"])
        self.pool.spent = trial.pool.spent
        # What importing wrote belongs to what tests find.
        self.pool.kept = keeping.Kept(trial.files.root)
        self.alone = set()
        self.late = []
        self.cuts = 0

    def run(self):
        self._measure()
        while self.queue and not self.trial.enough(self.pool):
            self.pool.run(self._jobs(), self._heard)

    def _measure(self):
        """How long the failing tests take as they are, unwatched; one that never ends takes no time."""
        trial = self.trial

        def work(say):
            def tell(row):
                say({"name": row["test"], "took": time.process_time() - state["begun"]})
                state["begun"] = time.process_time()
                return False

            state = {"begun": time.process_time()}
            self.session.run(trial.targets(self.session.names), tell, trial.limit(say))

        for name in trial.job["failing"]:
            trial.took[name] = 0.0
        for row in self.pool.one(quiet(work), START).rows:
            if row.get("name") in trial.job["failing"] and pool.counted(row.get("took")):
                trial.took[row["name"]] = row["took"]

    def _jobs(self):
        while self.queue and not self.trial.enough(self.pool):
            group = []
            while self.queue and len(group) < (self.trial.group if self.cuts < CUTS else 1):
                if group and self.queue[0] in self.alone:
                    break
                n = self.queue.popleft()
                swap = self._swap(n)
                if swap is not None:
                    group.append((n, swap))
                if n in self.alone:
                    break
            if group:
                self.tell({"started": [n for n, _ in group]})
                yield [n for n, _ in group], self._work(group), START

    def _swap(self, n):
        try:
            swap = self.swaps.of(self.trial.job["candidates"][n])
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self._row({"index": n, "status": "invalid", "why": pool.describe(error)})
            return None
        if swap is None:
            self.late.append(n)
        return swap

    def _row(self, row):
        self.trial.count(row)
        self.tell({"row": row})

    def _work(self, group):
        trial, session = self.trial, self.session

        def work(say):
            before = keeping.surroundings(trial.files)
            for at, (n, swap) in enumerate(group):
                say({"candidate": n})
                swap.apply()
                if trial.passes(session.run, trial.targets(session.names), session.names, say):
                    if at == 0:
                        trial.behaviour(say)
                    return
                swap.undo()
                if at + 1 < len(group) and keeping.surroundings(trial.files) != before:
                    say({"changed": 1})
                    return

        return quiet(work)

    def _heard(self, numbers, outcome):
        said, changed = [], False
        for row in outcome.rows:
            if row.get("candidate") in numbers:
                said.append((row["candidate"], []))
            elif said:
                said[-1][1].append(row)
                changed = changed or "changed" in row
        said = said or [(numbers[0], [])]
        again = []
        for at, (n, rows) in enumerate(said):
            ran = [row for row in rows if "ran" in row]
            why = "" if ran else outcome.why
            passed = bool(ran) and not ran[0].get("stop")
            if at and (passed or outcome.wrote or (not ran and why != "slow")):
                self.alone.add(n)
                again.append(n)
                changed = changed or outcome.wrote or not ran
                continue
            self._row(self.trial.judged(n, pool.Outcome(rows, why, outcome.cpu / len(said))))
        reached = {n for n, _ in said}
        self.cuts += changed
        self.queue.extendleft(reversed(again + [n for n in numbers if n not in reached]))
        return not self.trial.enough(self.pool)


def under(name, whole):
    """`name` belongs to the file or class `whole`, which could not be collected."""
    return name.startswith((whole + "::", whole + ".")) if whole else False


def quiet(work):
    """`work` in a directory for temporary files of its own."""

    def inside(say):
        folder = tempfile.mkdtemp(prefix="trial-")
        tempfile.tempdir = folder
        os.environ.update(TMPDIR=folder)
        try:
            work(say)
        finally:
            pool._setitimer(pool.signal.ITIMER_PROF, 0)
            shutil.rmtree(folder, ignore_errors=True)

    return inside


def loaded(before, files):
    """What was loaded since: names from elsewhere, files of the project."""
    names, own = [], []
    for name, module in list(sys.modules.items()):
        if name in before or name in ("__main__", "__mp_main__"):
            continue
        path = getattr(module, "__file__", None)
        full = os.path.realpath(path) if isinstance(path, str) else ""
        if full and files.relative(full):
            own.append(full)
        elif getattr(module, "__spec__", None) is not None and not name.startswith("_trial"):
            # Plugins of pytest want to be loaded by it alone.
            if "pytest" not in name and "plugin" not in name and "conftest" not in name:
                names.append(name)
    return {"modules": names[:3000], "own": own[:3000]}


def preload(row, sources):
    """Import what a child found it needs, as long as nothing but importing happens."""
    import importlib

    sources.keep(row.get("own", ()))
    for name in row.get("modules", ()):
        if threading.active_count() > 1:
            return
        try:
            importlib.import_module(name)
        except BaseException:  # it is somebody's code, and not needed here
            continue
