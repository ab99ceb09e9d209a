"""What a candidate may leave behind for the next one: files of the project, and state of its modules."""

import os
import signal
import stat
import sys
import threading
import types

MOST_FILES = 1000
MOST_BYTES = 32 << 20
SKIPPED = frozenset({
    ".git", ".hg", ".svn", ".tox", ".venv", "venv", "node_modules", "site-packages", "__pycache__", ".pytest_cache",
    ".hypothesis",
})  # fmt: skip


class Kept:
    """The files of the project as they lie there now, to be put back. Does nothing for a project that is too large:
    there, what one candidate writes is seen by the next."""

    def __init__(self, root):
        self.root = root
        self._texts = {}
        self._seen = self._look(MOST_FILES)
        try:
            self._read()
        except OSError:
            self._seen = None

    def changed(self):
        """Whether anything is other than it was. A file that was put back by hand counts as changed."""
        return self._seen is not None and self._look(MOST_FILES * 2) != self._seen

    def put_back(self):
        """Only while no child is at work."""
        now = self._look(MOST_FILES * 20)
        if self._seen is None or now is None:
            return
        try:
            for path in sorted(now, reverse=True):
                if path not in self._seen or now[path][0] != self._seen[path][0]:
                    os.rmdir(path) if now[path][0] == "folder" else os.unlink(path)
                    del now[path]
            for path in sorted(self._seen):
                if now.get(path) != self._seen[path]:
                    self._restore(path, *self._seen[path])
        except OSError:
            pass
        # A file that was written anew has a number of its own.
        self._seen = self._look(MOST_FILES)

    def _look(self, most):
        """Path -> kind and what tells a change of it; None when there is too much."""
        found, folders = {}, [self.root]
        try:
            while folders:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.name in SKIPPED:
                            continue
                        if entry.is_symlink():
                            found[entry.path] = "link", os.readlink(entry.path)
                        elif entry.is_dir():
                            found[entry.path] = "folder", 0
                            folders.append(entry.path)
                        else:
                            about = entry.stat(follow_symlinks=False)
                            found[entry.path] = "file", (about.st_mtime_ns, about.st_size, about.st_ino, about.st_mode)
                        if len(found) > most:
                            return None
        except OSError:
            return None
        return found

    def _read(self):
        room = MOST_BYTES
        for path, (kind, about) in (self._seen or {}).items():
            if kind == "file" and not stat.S_ISREG(about[3]):
                continue
            if kind == "file":
                room -= about[1]
                if room < 0:
                    self._seen = None
                    return
                with open(path, "rb") as file:
                    self._texts[path] = file.read()

    def _restore(self, path, kind, about):
        if kind == "folder":
            os.mkdir(path)
        elif kind == "link":
            if os.path.lexists(path):
                os.unlink(path)
            os.symlink(about, path)
        elif path in self._texts:
            if os.path.lexists(path):
                os.unlink(path)
            with open(path, "wb") as file:
                file.write(self._texts[path])
            os.chmod(path, stat.S_IMODE(about[3]))
            os.utime(path, ns=(about[0], about[0]))


def surroundings(files):
    """What a test may leave changed in the process, as far as it can be seen at little cost."""
    found = [os.getcwd(), list(sys.path), dict(os.environ), threading.active_count(), len(sys.modules)]
    found.append((sys.getrecursionlimit(), sys.gettrace(), sys.stdout, sys.stderr, signal.getsignal(signal.SIGALRM)))
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if isinstance(name, str) and files.owns(name):
            for key, value in list(vars(module).items()):
                if key != "__builtins__":
                    found.append((key, _held(value)))
                if type(value) is types.FunctionType:
                    found.append([_held(each) for each in value.__defaults__ or ()])
                elif isinstance(value, type) and value.__module__ == module.__name__:
                    found.append([(name, _held(each)) for name, each in list(vars(value).items())])
    return found


def _held(value):
    kind = type(value)
    if kind in (list, set, tuple):
        return id(value), [id(each) for each in value]
    if kind is dict:
        return id(value), [(id(each), id(other)) for each, other in value.items()]
    return id(value)
