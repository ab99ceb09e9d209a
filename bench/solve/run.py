"""One run: one agent, one task, one seed; and the record that is kept of it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.process import run as run_process
from bench.solve.grade import grade
from bench.solve.peers import Given, Harness
from bench.solve.proxy import Proxy
from bench.solve.room import Room
from bench.solve.task import Task, collect, lay_out


class Limits(msgspec.Struct, frozen=True):
    """`model`: seconds of the model on the reference machine (`Policy.read_speed`, `write_speed`), so that a busy
    machine takes nothing from an agent. `wall`: seconds on the clock, a guard only."""

    model: float = 150.0
    wall: float = 1_800.0


class Record(msgspec.Struct):
    """Everything a table needs. Kept for every run, whatever came of it."""

    harness: str
    version: str
    model: str
    task: str
    set: str
    split: str
    kind: str
    seed: int
    solved: bool = False
    why: str = ""
    outcome: str = ""
    """What the agent itself said, in its own word, where it says one: `verified` and the like."""
    calls: int = 0
    prompt: int = 0
    """Tokens of all prompts, cached ones too."""
    cached: int = 0
    output: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    model_seconds: float = 0.0
    exit: int | None = None
    limited: bool = False
    """Stopped by a limit. What it had done by then is graded all the same."""
    overflows: int = 0
    """Requests that were longer than the model's context."""
    uncounted: int = 0
    """Requests whose tokens neither the server told nor the tokenizer could count."""
    refused: list[str] = []
    left: list[str] = []
    lines: int = 0
    """Lines of the diff that add or remove."""
    diff: str = ""
    said: str = ""
    """The end of what the agent printed."""
    time: str = ""
    room: bool = True
    """It had no network but the model's."""

    @property
    def tokens(self) -> int:
        """What is counted: every token that was sent or written."""
        return self.prompt + self.output


class Bench(msgspec.Struct):
    """What all runs share. `python` is the interpreter of the environment in which the tasks' tests run."""

    proxy: Proxy
    room: Room
    folder: Path
    python: dict[str, str]
    model: str
    limits: Limits = Limits()

    def run(self, one: Harness, program: str, version: str, task: Task, seed: int) -> Record:
        """One run in a fresh repository and a fresh home, at the same place each time (so that a prompt that names its
        folder is the same in every run, and the server's prefix cache serves each agent equally)."""
        root, home = self.folder / "project", self.folder / "home"
        base = lay_out(task, root)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        proxy = self.proxy
        proxy.policy = msgspec.structs.replace(proxy.policy, seed=seed)
        proxy.begin(f"{one.name}|{task.id}|{seed}", self.limits.model)
        command, variables = one.command(program, Given(proxy.url, self.model, task, home))
        environment = {"HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb", **self.python, **variables}
        finished = self.room.do(
            lambda: run_process(
                command, environment, root, self.limits.wall, stop=lambda: proxy.spent() >= self.limits.model
            )
        )
        proxy.hang_up()
        proxy.settle()
        calls = list(proxy.calls)
        diff = collect(root, base)
        # What an agent wrote is executed: it must not see the answers, nor a network, either.
        verdict = self.room.do(lambda: grade(task, diff, self.python))
        return Record(
            one.name,
            version,
            self.model,
            task.id,
            task.set,
            task.split,
            task.kind,
            seed,
            solved=verdict.solved,
            why=verdict.why,
            outcome=_outcome(finished.output) if one.ours else "",
            calls=len(calls),
            prompt=sum(call.prompt for call in calls),
            cached=sum(call.cached for call in calls),
            output=sum(call.output for call in calls),
            wall=round(finished.wall, 2),
            cpu=round(finished.cpu, 2),
            model_seconds=round(proxy.spent(), 2),
            exit=finished.exit,
            limited=finished.exit is None,
            overflows=sum(call.status == 400 and "context" in call.error for call in calls),
            uncounted=sum(call.counted == "nobody" for call in calls),
            refused=sorted(set(proxy.refused))[:5],
            left=finished.left,
            lines=sum(line[:1] in "+-" and line[:3] not in ("+++", "---") for line in diff.splitlines() if line),
            diff=diff[:100_000],
            said=finished.output[-3_000:],
            time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            room=self.room.closed,
        )


def _outcome(output: str) -> str:
    """The outcome in the result that ours prints as JSON."""
    for line in reversed(output.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and isinstance(found.get("assay"), dict):
            return str(found["assay"].get("outcome", ""))
    return ""


def append(path: Path, record: Record) -> None:
    """Add a record to a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = msgspec.json.encode(record) + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


def stored(*paths: Path) -> Iterator[Record]:
    """The records of files, or of all *.jsonl in folders whose rows are records."""
    for path in paths:
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        for file in files:
            for line in file.read_bytes().splitlines():
                if line.startswith(b'{"harness"'):
                    yield msgspec.json.decode(line, type=Record)
