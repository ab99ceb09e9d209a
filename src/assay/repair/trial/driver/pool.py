"""Forked children, a few at a time, each with limits; what they say comes by a pipe, and none of them is trusted."""

import itertools
import json
import os
import resource
import selectors
import signal
import time

_exit, _write, _read, _kill, _killpg, _dumps = os._exit, os.write, os.read, os.kill, os.killpg, json.dumps
_getpid = os.getpid
_setitimer, _signal = signal.setitimer, signal.signal

MOST_SAID = 4_000_000
"""Bytes that one child may say."""
MEMORY = 1 << 30
"""Bytes that a child may have beyond what its parent has."""
FILE_SIZE = 64 << 20
LONGEST_WAIT = 600.0
"""Seconds of silence that a child may ask for."""
private = []
"""Descriptors of this process that lead to whoever started it: children have no business with them."""


class Outcome:
    """How a child ended: what it said, `why` ("" when it came to its own end), and whether files were written to
    meanwhile."""

    def __init__(self, rows, why, cpu, wrote=False):
        self.rows, self.why, self.cpu, self.wrote = rows, why, cpu, wrote


class _Child:
    def __init__(self, tag, pid, pipe, wall, hear):
        self.tag, self.pid, self.pipe, self.wall, self.hear = tag, pid, pipe, wall, hear
        self.heard = time.monotonic()
        self.text = b""
        self.size = 0
        self.rows = []
        self.done = False

    def take(self, data):
        self.size += len(data)
        *lines, self.text = (self.text + data).split(b"\n")
        for line in lines:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                self.heard = time.monotonic()
                if "patience" in row:
                    if counted(row["patience"]):
                        self.wall = min(row["patience"], LONGEST_WAIT)
                elif row.get("done"):
                    self.done = True
                elif self.hear:
                    self.hear(row)
                else:
                    self.rows.append(row)


class Pool:
    """Runs `work(say)` in children. `cpu` is the processor time that all of them and this process used."""

    def __init__(self, workers):
        self.workers = workers
        self.spent = 0.0
        self.kept = None
        """The project's files (`keeping.Kept`): put back when a child wrote to them, and from then on children run one
        at a time."""
        self._dirty = False

    @property
    def cpu(self):
        own = os.times()
        return own.user + own.system + self.spent

    def run(self, jobs, finished, hear=None):
        """`jobs`: an iterator of (tag, work, seconds of silence that are borne). `finished(tag, outcome)` says whether
        to go on; when not, what still runs is ended and not told. `hear` gets rows at once, instead of `Outcome`."""
        living = {}
        with selectors.DefaultSelector() as selector:
            more, go_on = True, True
            while go_on and (more or living):
                while more and len(living) < self.workers and not (self._dirty and living):
                    self._put_back()
                    job = next(jobs, None)
                    if job is None:
                        more = False
                        break
                    try:
                        child = self._start(*job, hear, list(living))
                    except OSError:
                        if not living:
                            raise
                        # What runs took all processes that there are; it will be ended, and then there is room.
                        jobs = itertools.chain([job], jobs)
                        break
                    living[child.pipe] = child
                    selector.register(child.pipe, selectors.EVENT_READ)
                for key, _ in selector.select(0.05 if living else 0):
                    child = living[key.fd]
                    data = _read(key.fd, 1 << 16)
                    child.take(data)
                    why = None
                    if child.done or not data:
                        why = ""
                    elif child.size > MOST_SAID:
                        why = "said too much"
                    if why is not None:
                        go_on = finished(child.tag, self._end(child, living, selector, why)) and go_on
                now = time.monotonic()
                for child in [child for child in living.values() if now - child.heard > child.wall]:
                    go_on = finished(child.tag, self._end(child, living, selector, "slow")) and go_on
            for child in list(living.values()):
                self._end(child, living, selector, "stopped")
            self._put_back()

    def _put_back(self):
        if self._dirty:
            self.kept.put_back()
            self._dirty = False

    def one(self, work, wall, hear=None):
        """A single child."""
        found = []
        self.run(iter([(0, work, wall)]), lambda _, outcome: found.append(outcome) or True, hear)
        return found[0]

    def _start(self, tag, work, wall, hear, others):
        reading, writing = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            raise
        if pid == 0:
            _become(work, writing, [reading, *others, *private])
        os.close(writing)
        return _Child(tag, pid, reading, wall, hear)

    def _end(self, child, living, selector, why):
        selector.unregister(child.pipe)
        del living[child.pipe]
        before, ended = _used(), None
        if not child.done and not why:
            # Its end of the pipe is closed: it is about to be gone, or hides.
            for _ in range(40):
                ended = _waited(child.pid, os.WNOHANG)
                if ended is not None:
                    break
                time.sleep(0.005)
        for end, what in ((_killpg, child.pid), (_kill, child.pid)):
            try:
                end(what, signal.SIGKILL)
            except OSError:
                pass
            if ended is not None:
                break
        status = _waited(child.pid, 0) if ended is None else ended
        os.close(child.pipe)
        if self.kept is not None and self.kept.changed():
            self._dirty, self.workers = True, 1
        cpu = _used() - before
        self.spent += cpu
        if not why and not child.done:
            why = _words(status)
        return Outcome(child.rows, why, cpu, self._dirty)


def _waited(pid, options):
    """The status of a child that is gone; None when it is not. `os.wait4` would import `resource`, perhaps not ours."""
    try:
        pid, status = os.waitpid(pid, options)
    except ChildProcessError:  # the project has the system collect them
        return 0
    return status if pid else None


def _used():
    """Processor seconds of the children that are gone."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _words(status):
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "slow" if number in (signal.SIGPROF, signal.SIGXCPU) else "ended by signal %d" % number
    return "exited with %d before its tests ended" % os.WEXITSTATUS(status)


def _become(work, writing, foreign):
    """In the child: limits, then the work; never returns."""

    owner = _getpid()

    def say(row):
        if _getpid() != owner:
            _exit(0)  # a copy of this process that a test made, and that came back from it
        data = _dumps(row).encode() + b"\n"
        while data:
            data = data[_write(writing, data) :]

    try:
        for number in foreign:
            try:
                os.close(number)
            except OSError:
                pass
        private[:] = [writing]
        os.setsid()
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_FSIZE, FILE_SIZE)
        _limit(resource.RLIMIT_AS, _size() + MEMORY)
        for number in (signal.SIGPROF, signal.SIGTERM, signal.SIGINT):
            _signal(number, signal.SIG_DFL)
        work(say)
        say({"done": 1})
    except BaseException as error:  # whatever candidates raise ends here
        try:
            say({"raised": describe(error)})
            say({"done": 1})
        except BaseException:
            pass
    finally:
        _exit(0)


def _limit(which, value):
    try:
        _, hard = resource.getrlimit(which)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(which, (value, hard))
    except (OSError, ValueError):
        pass


def _size():
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 4 << 30


def allow(say, seconds, base=0.0):
    """From now on: so many processor seconds until this process is ended, and some more of silence."""
    limit = seconds + 5 * base
    say({"patience": 4 * limit + 2})
    _signal(signal.SIGPROF, signal.SIG_DFL)
    _setitimer(signal.ITIMER_PROF, limit)


def leave(say):
    """End this child at once: what its runner would still do at its end is nobody's business."""
    say({"done": 1})
    _exit(0)


def counted(said):
    """What a child said is a number that can be counted with."""
    return type(said) in (int, float) and 0 <= said < 1e9


def describe(error):
    """An exception in one line."""
    try:
        text = " ".join(str(error).split())[:240]
    except BaseException:
        text = ""
    return (type(error).__name__ + (": " + text if text else ""))[:300]
