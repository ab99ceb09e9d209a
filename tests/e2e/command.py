"""The command as a person starts it: a process of its own, with its own home, against a scripted server."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import assay
from assay.sessions.reader import LogReader
from assay.testing.server import ScriptedServer, SeenRequest, is_extension, prompt_bytes
from assay.testing.server.jobs import PROMPT, write_project

SOURCE = str(Path(assay.__file__).parents[1])
KEY = "sk-e2e-0123456789abcdef"
"""What the key variable holds; it must not turn up anywhere."""
LONGEST = 90.0
DIALECTS = ("anthropic", "openai-chat", "openai-responses")
FULL = """
import os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Starts a program for which no file can grow beyond 60 kB, which looks like a full disk."""
IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")


class Ended:
    """A finished command: exit code, both outputs, seconds."""

    def __init__(self, code: int, out: bytes, err: bytes, seconds: float):
        self.code = code
        self.out = out.decode()
        self.err = err.decode()
        self.seconds = seconds

    @property
    def result(self) -> dict:
        """The only object on standard output."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def outcome(self) -> str:
        return self.result["assay"]["outcome"]

    def expect(self, code: int, outcome: str = "") -> "Ended":
        """The same, if it ended so; the failure of the test tells everything otherwise."""
        met = self.code == code and (not outcome or self.outcome == outcome)
        assert met, f"expected {code} {outcome}, got {self!r}"
        return self

    def __repr__(self) -> str:
        return f"exit {self.code} in {self.seconds:.1f} s\n--- out\n{self.out[-3000:]}\n--- err\n{self.err[-3000:]}"


class Place:
    """A home and a project below `root`, and the way to run the command there."""

    def __init__(self, root: Path):
        self.root = root
        self.patience = LONGEST
        """Seconds after which a command is taken for hanging."""
        self.damaged = False
        """Set by a test that damages logs itself, so that nobody else is blamed for it."""
        self._started: list[subprocess.Popen[bytes]] = []
        self.home = root / "home"
        self.project = root / "project"
        self.program = root / "bin/assay"
        """As an installer makes it: unlike `python -m`, it takes no module from the directory it is started in."""
        self.program.parent.mkdir()
        self.program.write_text("import sys\n\nfrom assay.__main__ import main\n\nsys.exit(main())\n")
        self.home.mkdir()
        self.project.mkdir()
        self.variables = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": SOURCE,
            "LANG": "C.UTF-8",
            "TMPDIR": str(self._made("tmp")),
            "K": KEY,
        }

    def _made(self, name: str) -> Path:
        (self.root / name).mkdir()
        return self.root / name

    @property
    def state(self) -> Path:
        return self.home / ".local/state/assay"

    @property
    def logs(self) -> list[Path]:
        """Session logs, oldest first."""
        return sorted(self.state.glob("sessions/*/*.jsonl"), key=lambda path: path.stat().st_mtime_ns)

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Files of the project by relative path."""
        for name, content in files.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self) -> None:
        """Make the project a repository with one commit."""
        for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "start")):
            subprocess.run(("git", *IDENTITY, *words), cwd=self.project, check=True, env=self.variables)

    def five_step(self) -> None:
        """The project of the scripted five-step job."""
        write_project(self.project)
        self.commit()

    def argv(self, server: ScriptedServer | str | None, words: Sequence[str], dialect: str = "anthropic") -> list[str]:
        url = server.url if isinstance(server, ScriptedServer) else server
        if url is None:
            return [sys.executable, str(self.program), *words]
        base = url if dialect == "anthropic" else f"{url}/v1"
        there = ("--model", "bench-model", "--base-url", base, "--dialect", dialect, "--api-key-env", "K")
        return [sys.executable, str(self.program), *words, *there]

    def start(
        self,
        server: ScriptedServer | str | None,
        *words: str,
        dialect: str = "anthropic",
        stdin: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        full: bool = False,
    ) -> "subprocess.Popen[bytes]":
        """The command under way. `stdin`: it gets a pipe. `full`: as if on a full disk (see FULL)."""
        before = [sys.executable, "-c", FULL] if full else []
        process = subprocess.Popen(
            [*before, *self.argv(server, words, dialect)],
            cwd=cwd or self.project,
            env={**self.variables, **(env or {})},
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """End what a test left running."""
        for process in self._started:
            process.kill()
            with contextlib.suppress(ValueError):  # a test may have closed a stream of its own accord
                process.communicate()

    def left_well(self) -> None:
        """What must hold after every test, also one that killed the command: no process, and logs that verify, but for
        a record that was cut off at the very end, which going on would seal."""
        found = self.survivors()
        assert not found, f"{found} survived"
        assert not self.broken(torn=True), self.broken(torn=True)

    def broken(self, *, torn: bool = False) -> list[str]:
        """What is wrong with the session logs; nothing in a place that a test damaged. `torn`: a cut tail is fine."""
        found: list[str] = []
        for log in [] if self.damaged else self.logs:
            reader = LogReader(log)
            assert sum(1 for _ in reader.records()) or torn, f"{log} is empty"
            found += [note for note in reader.notices if not (torn and ("cut off" in note or "not ended" in note))]
        return found

    def run(self, server: ScriptedServer | str | None, *words: str, stdin: str | None = None, **more) -> Ended:
        """Run the command to its end, and see that it leaves no process, shows no traceback and no key, keeps logs that
        verify, and in JSON mode gives one result object. `more` goes to `start`."""
        began = time.monotonic()
        process = self.start(server, *words, stdin=stdin is not None, **more)
        return self.finish(process, began, stdin)

    def task(self, server: ScriptedServer | str | None, *words: str, prompt: str = PROMPT, **more) -> Ended:
        """`assay -p PROMPT --output-format json`."""
        return self.run(server, "-p", prompt, "--output-format", "json", *words, **more)

    def finish(
        self, process: "subprocess.Popen[bytes]", began: float, stdin: str | None = None, *, alone: bool = True
    ) -> Ended:
        """Wait for `process`; the same assertions as `run`. Unless it is `alone`, others may still live and write."""
        try:
            out, err = process.communicate(None if stdin is None else stdin.encode(), timeout=self.patience)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"no end within {self.patience:g} s: {Ended(-1, out, err, self.patience)!r}") from None
        ended = Ended(process.returncode, out, err, time.monotonic() - began)
        assert "Traceback" not in ended.err, repr(ended)
        assert KEY not in ended.out + ended.err, repr(ended)
        found = self.survivors() if alone else []
        assert not found, f"{found} survived {ended!r}"
        assert not self.broken(torn=not alone or ended.code == 9), f"{self.broken()} after {ended!r}"
        words = [*process.args] if isinstance(process.args, list) else []
        if "-p" in words and "json" in words and "--output-format" in words:
            assert ended.result["type"] == "result", repr(ended)
        return ended

    def kept(self, needle: str) -> list[Path]:
        """Files below the home that contain `needle`."""
        files = (path for path in self.home.rglob("*") if path.is_file())
        return [path for path in files if needle.encode() in path.read_bytes()]

    def events(self, kind: str = "", log: Path | None = None) -> list[dict]:
        """The events of a session log (the newest), all or of one kind, as `sessions export` gives them."""
        lines = self.run(None, "sessions", "export", (log or self.logs[-1]).stem).expect(0).lines
        return [line["event"] for line in lines if kind in ("", line["event"]["kind"])]

    def survivors(self, seconds: float = 5.0) -> list[str]:
        """Processes that have to do with this place, those of ourselves aside, after at most `seconds` of grace."""
        limit = time.monotonic() + seconds
        while (found := [*_related(str(self.root))]) and time.monotonic() < limit:
            time.sleep(0.02)
        return found


def _related(place: str) -> Iterator[str]:
    """Command lines of living processes whose environment, arguments or directory name `place`."""
    needle = place.encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            named = needle in words or needle in (entry / "environ").read_bytes()
            if words and (named or os.readlink(entry / "cwd").startswith(place)):
                yield words.replace(b"\0", b" ").decode("utf-8", "replace")


def across(*cases: str) -> list:
    """Parameters `case, dialect`: each case with one dialect in the fast tier, and with the others in the whole one."""
    return [
        pytest.param(case, dialect, marks=() if (row + column) % 3 == 0 else pytest.mark.slow)
        for row, case in enumerate(cases)
        for column, dialect in enumerate(DIALECTS)
    ]


EACH = [DIALECTS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in DIALECTS[1:])]
"""Dialects, of which the first is enough for the fast tier."""


def wait_for(what, seconds: float = 20.0) -> None:
    """Wait until `what()` is true; fail after `seconds`."""
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit, "it did not come to pass"
        time.sleep(0.005)


THRICE = pytest.mark.parametrize(
    "time", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
"""For what depends on the moment: three times, of which the fast tier takes the first."""


def interrupt(process: "subprocess.Popen[bytes]", number: int = signal.SIGINT) -> None:
    process.send_signal(number)


def unbroken(requests: Sequence[SeenRequest]) -> bool:
    """Whether each request extends the one before it, byte for byte."""
    return all(is_extension(one.parts, two.parts) for one, two in itertools.pairwise(requests))


def tokens_sent(requests: Sequence[SeenRequest]) -> int:
    """All prompts together, four bytes a token."""
    return sum(prompt_bytes(seen.parts) for seen in requests) // 4
