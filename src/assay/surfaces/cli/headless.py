"""One task without a terminal: `assay -p`. Result on standard output, progress on standard error, exit by outcome."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from msgspec.structs import replace

from assay.app.compose import open_task
from assay.app.flags import Parsed
from assay.app.messages.announce import announce
from assay.app.messages.result import failure_object
from assay.app.task import Task, Wish
from assay.app.wishes import read_wish
from assay.core.check import EXIT_CODES, Verdict
from assay.core.errors import AssayError, UsageError
from assay.core.events import TurnEnded
from assay.core.messages import Json, Text
from assay.surfaces.cli.status import Status
from assay.surfaces.cli.terminal import ascii_json, write_err, write_out

STDIN_CAP = 10_000_000
"""Bytes of standard input that are read at most."""
STDIN_PATIENCE = 3.0
"""Seconds that a pipe beside a prompt may stay silent."""


def run_headless(parsed: Parsed, prompt: str | None) -> int:
    """Carry out the task; returns the exit code. Raises `AssayError` for what went wrong before a turn could begin."""
    began = time.monotonic()
    try:
        wish = read_wish(parsed, Path.cwd())
        attached = read_stdin(optional=prompt is not None or wish.session is not None)
        if prompt is None:
            prompt, attached = attached, ""
            wish = replace(wish, piped=True)
        if not prompt.strip() and wish.session is None:
            raise UsageError('no prompt: give one after -p, or on standard input: assay -p "fix the failing test"')
        return asyncio.run(_carry_out(parsed, wish, readable(prompt), attached))
    except AssayError as error:
        # Whoever reads JSON gets its one result object whatever happens; the line for people comes besides.
        if parsed.text("output_format") in ("json", "stream-json"):
            put_json(failure_object(error, time.monotonic() - began))
        raise
    finally:
        # How it ended is settled; a signal while the interpreter goes down must not change the exit code.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def read_stdin(*, optional: bool) -> str:
    """What comes in through a pipe; nothing from a terminal. With `optional`, nothing either from a pipe that somebody
    holds open without a word, as programs do that start us and think nothing of it."""
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return ""
    try:
        if optional and not _speaks(sys.stdin.fileno()):
            write_err(f"! nothing came from standard input within {STDIN_PATIENCE:g} s; going on without it")
            return ""
        return sys.stdin.buffer.read(STDIN_CAP).decode("utf-8", "replace")
    except OSError:
        return ""


def _speaks(descriptor: int) -> bool:
    """Whether there is something to read, or the end, before patience runs out."""
    import select

    return bool(select.select([descriptor], [], [], STDIN_PATIENCE)[0])


def readable(prompt: str) -> str:
    """`prompt` as UTF-8 has it, whatever the locale took its bytes for; what is no text shows as U+FFFD."""
    try:
        prompt.encode()
    except UnicodeEncodeError:
        return os.fsencode(prompt).decode("utf-8", "replace")
    return prompt


async def _carry_out(parsed: Parsed, wish: Wish, prompt: str, attached: str) -> int:
    style = parsed.text("output_format") or "text"
    verbose = parsed.on("verbose")
    async with open_task(wish) as task:
        for notice in task.notices:
            write_err(f"! {notice}")
        banner = "" if task.confined else "UNCONFINED"
        output = Output(task, style, partial=parsed.on("include_partial_messages"))
        status = Status(quiet=style == "stream-json", verbose=verbose, banner=banner)
        status.follow(asyncio.get_running_loop())
        task.run.bus.subscribe(status)
        task.interrupt_on_signals()
        output.begin()
        ended = await _turn(task, prompt, attached, piped=wish.piped)
        while ended.verdict.outcome != "interrupted" and (wake := await task.next_wake()):
            output.between(ended)
            output.begin()
            ended = await task.say((Text(wake.prompt),), origin=wake.origin, label=wake.label)
        output.end(ended)
    return EXIT_CODES[ended.verdict.outcome]


async def _turn(task: Task, prompt: str, attached: str, *, piped: bool) -> TurnEnded:
    """The turn for `prompt`; a command that is answered here makes none."""
    began = time.monotonic()
    if task.library is None or not prompt.strip():
        return await task.turn(prompt, attached)
    # What came in through a pipe may be by anyone.
    said = await task.library.expand(prompt, human=not piped)
    if said.answer is not None:
        seconds = round(time.monotonic() - began, 3)
        return TurnEnded("", Verdict("answered", f"/{said.command}: no model was asked"), said.answer, 0, seconds, 0.0)
    with task.library.during(said):
        return await task.turn(said.text, attached)


class Output:
    """Standard output of a turn, in one of the three formats."""

    def __init__(self, task: Task, style: str, *, partial: bool):
        self._task = task
        self._style = style
        if style == "stream-json":
            task.messages.partial = partial
            task.messages.subscribe(_put_line)

    def begin(self) -> None:
        if self._style == "stream-json":
            announce(self._task)

    def between(self, ended: TurnEnded) -> None:
        """A turn has ended, and another one follows by itself; who gets one result gets that of the last."""
        if self._style == "stream-json":
            self._task.conclude(ended)

    def end(self, ended: TurnEnded) -> None:
        held = self._task.messages.totals.held
        result = self._task.conclude(ended)
        if self._style == "json":
            put_json(result)
        if self._style != "text":
            return
        # Words of the model, not ours about what went wrong, and no half-finished ones.
        if ended.text != ended.verdict.why and ended.verdict.outcome != "interrupted":
            write_out(ended.text.rstrip() + "\n")
        for line in self._task.summary(ended):
            write_err(line)
        if held:
            write_err(f"held for review, not in the workspace: {', '.join(held)} (assay held list)")


def _put_line(frame: dict[str, Json]) -> None:
    if not frame.get("isReplay"):
        put_json(frame)


def put_json(value: dict[str, Json]) -> None:
    # ASCII only: a line must stay a line for readers that split at U+2028, and lone surrogates must survive.
    import json

    write_out(ascii_json(json.dumps(value, separators=(",", ":"))) + "\n")
