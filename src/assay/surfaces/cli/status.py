"""Progress on standard error: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from asyncio import AbstractEventLoop

from assay.core.events import (
    AttemptFinished,
    AttemptSelected,
    CallDecided,
    CallFinished,
    CheckFinished,
    CriteriaDeclared,
    EvidenceRecorded,
    ModelReplied,
    Noticed,
    TurnEnded,
)
from assay.core.messages import Usage
from assay.core.model import Retrying
from assay.core.store import Record
from assay.run.bus import Progress, Seen
from assay.surfaces.cli.terminal import draw, is_live, one_line, write_err

_REDRAW = 0.1


class Status:
    """A watcher of a run. `banner` stays in the live line (an unconfined run says so all the time)."""

    def __init__(self, *, quiet: bool, verbose: bool, banner: str = ""):
        self._live = is_live(sys.stderr) and not quiet
        self._quiet = quiet
        self._verbose = verbose
        self._banner = banner
        self._began = time.monotonic()
        self._step = 0
        self._usage = Usage()
        self._dollars: float | None = 0.0
        self._doing = "thinking"
        self._drawn = 0.0
        self._tools: dict[str, str] = {}

    def __call__(self, seen: Seen) -> None:
        match seen:
            case Record(event=event):
                self._event(event)
            case Progress(text=text):
                self._doing = text
            case Retrying(delay=delay, reason=reason):
                self._say(f"! {reason}; again in {delay:.1f} s")
            case _:
                pass
        self._draw()

    def follow(self, loop: AbstractEventLoop) -> None:
        """Keep the seconds of the live line going between events."""
        if self._live:
            self._draw()
            loop.call_later(1.0, self.follow, loop)

    def _event(self, event: object) -> None:
        match event:
            case ModelReplied(step=step, message=message, dollars=dollars):
                self._step = step or self._step
                self._usage = self._usage + message.usage
                self._dollars = None if dollars is None or self._dollars is None else self._dollars + dollars
                self._doing = "thinking"
                if self._verbose and message.text.strip():
                    self._say(f"  {one_line(message.text, 300)}")
            case CallDecided(call=call, tool=tool, effects=effects):
                target = effects[0].target if effects else ""
                self._tools[call] = self._doing = f"{tool} {one_line(target, 60)}".strip()
            case CallFinished(result=result, display=display):
                name = self._tools.pop(result.call, "call")
                self._doing = next(iter(self._tools.values()), "thinking")
                self._say(f"{'✗' if result.is_error else '·'} {display or name}")
            case CheckFinished(run=run, phase=phase):
                mark = "✓" if run.passed else "✗"
                self._say(f"{mark} check ({phase}): {one_line(run.check, 90)} [{run.seconds:.1f} s]")
            case AttemptFinished(number=number, location=location, result=result, note=note) as ended:
                mark = "✓" if result == "green" else "·"
                where = f" at {location}" if location and not ended.log else f" ({location})" if location else ""
                self._say(f"{mark} attempt {number}{where}: {result} {note}".rstrip())
                self._usage = self._usage + ended.usage
                dollars = ended.dollars
                self._dollars = None if dollars is None or self._dollars is None else self._dollars + dollars
            case AttemptSelected(number=number, why=why, made=made):
                self._say(f"= attempt {number} of {made} is taken: {why}")
            case CriteriaDeclared(criteria=criteria):
                for criterion in criteria:
                    self._say(f"  criterion: {criterion.text}")
            case EvidenceRecorded(evidence=row):
                self._say(f"  evidence {row.cls}: {one_line(row.criterion, 90)}: {row.before} → {row.after}")
            case Noticed(text=text):
                self._say(f"! {text}")
            case TurnEnded():
                self._live = self._clear()
            case _:
                pass

    def _say(self, line: str) -> None:
        if self._quiet:
            return
        self._clear()
        write_err(one_line(line, self._width() if self._live else 400))

    def _draw(self) -> None:
        now = time.monotonic()
        if not self._live or now - self._drawn < _REDRAW:
            return
        self._drawn = now
        parts = [self._banner, f"step {self._step}", self._doing, f"{self._usage.total:,} tokens"]
        if self._dollars:
            parts.append(f"${self._dollars:.4f}")
        parts.append(f"{now - self._began:.0f} s")
        line = one_line(" · ".join(part for part in parts if part), self._width() - 1)
        draw(line)

    def _clear(self) -> bool:
        """Wipe the live line; always False, for whoever ends it."""
        if self._live:
            draw("")
        return False

    def _width(self) -> int:
        with contextlib.suppress(OSError):
            return os.get_terminal_size(sys.stderr.fileno()).columns
        return 80
