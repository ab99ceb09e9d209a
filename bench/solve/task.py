"""A task: a small repository, words for the agent, a check that it may see, and tests that it may not."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import msgspec

CHECK = "python -m pytest -q"
CONFTEST = """import signal

import pytest


def _stop(*_):
    raise TimeoutError("the test ran for 3 seconds of CPU time")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call():
    signal.signal(signal.SIGVTALRM, _stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, 3)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
"""
"""A limit for each test: wrong programs run for ever. Of CPU time, so that a busy machine fails no test."""
DATE = "2024-01-01T00:00:00+0000"


class Task(msgspec.Struct, frozen=True):
    """`files` lie in the repository; `hidden` are put over them when the work is graded. Keys are POSIX paths."""

    id: str
    """SET/NAME, unique."""
    set: str
    prompt: str
    files: dict[str, str]
    check: str
    """A shell line that the agent is told of."""
    hidden: dict[str, str]
    grade: str
    """A shell line with the hidden tests in place; pytest's arguments may be added to it."""
    subject: tuple[str, ...] = ()
    """The files that the prompt names, for agents that must be told what to edit."""
    kind: str = ""
    """What sort of bug or feature it is, for tables by kind."""
    reference: dict[str, str] = {}
    """Files that solve it, to prove that it can be solved; no agent sees them."""
    seconds: float = 120.0
    """The longest that grading may take."""

    @property
    def split(self) -> str:
        """`dev` or `held`, by the id alone: every variant of a task (SET/NAME) falls on the same side."""
        return split(self.id.partition("/")[2])


def split(name: str) -> str:
    """`dev` or `held`."""
    return "held" if hashlib.sha256(name.encode()).digest()[0] & 1 else "dev"


def lay_out(task: Task, root: Path) -> str:
    """Make the task's repository in `root`, which is emptied: one commit, no remote, no date of today. Returns the
    commit."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for path, text in task.files.items():
        write(root, path, text)
    git(root, "init", "-q", "-b", "main", ".")
    exclude = root / ".git" / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_text("__pycache__/\n*.pyc\n.pytest_cache/\n.aider*\n.hypothesis/\n")
    git(root, "add", "-A", "-f", ".")
    git(root, "commit", "-q", "-m", "start")
    return git(root, "rev-parse", "HEAD").strip()


def collect(root: Path, base: str) -> str:
    """What changed since `base`, committed or not, as a diff that `git apply` takes. The agent's words play no part."""
    (root / ".git" / "index.lock").unlink(missing_ok=True)
    git(root, "add", "-A", ".")
    return git(root, "diff", "--cached", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", base)


def write(root: Path, path: str, text: str) -> None:
    """Write one file below `root`. Raises ValueError for a path that leads out."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"{path}: not a path inside the task")
    target = root / pure
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8", newline="")


def git(root: Path, *words: str, stdin: str | None = None) -> str:
    """Git without anyone's configuration or hooks. Raises subprocess.CalledProcessError."""
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    dates = {"GIT_AUTHOR_DATE": DATE, "GIT_COMMITTER_DATE": DATE}
    who = {f"GIT_{role}_{part}": "dev@localhost" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    settings = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=", "-c", "core.autocrlf=false"]
    done = subprocess.run(
        ["git", *settings, *words],
        cwd=root,
        env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **quiet, **dates, **who},
        input=(stdin or "").encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode("utf-8", "surrogateescape")
