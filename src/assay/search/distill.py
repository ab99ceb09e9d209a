"""What is worth knowing of an attempt that did not do it: idea, place, what was tried, what fails, what to avoid.

A fold of the attempt's log, without a model: a restart, a second wave or a stronger model begins with this instead of
the attempt's conversation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from assay.core.check import CheckRun
from assay.core.events import AttemptFinished, CallFinished, CheckFinished, ContextAdded, InputReceived, ModelReplied
from assay.core.model import estimate_tokens
from assay.core.store import Record

TOKENS = 200
_IDEA, _LINE, _EVIDENCE = 220, 70, 260
_TRIED = 4
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)")
_REASON = re.compile(r"^(?:E\s+)?((?:[\w.]+\.)?\w*(?:Error|Exception|Failure|Warning|Interrupt)\b.*|assert .*)$")
_NOTHING = frozenset({"", "...", "pass"})


class Distillate(Struct, frozen=True):
    """One attempt, part by part; each may be empty. `str()` is what a model is shown."""

    idea: str = ""
    """The last thing that the model said about what it was doing."""
    places: tuple[str, ...] = ()
    """`path:line` of what it changed."""
    tried: tuple[str, ...] = ()
    """Changes, oldest first: what was taken away and what was put there."""
    failing: str = ""
    """The exact evidence against it, at the end."""
    avoid: tuple[str, ...] = ()

    def __str__(self) -> str:
        """At most `TOKENS` tokens; what was tried is cut first, the evidence last. Empty for an attempt of nothing."""
        tried = list(self.tried)
        idea = self.idea
        while estimate_tokens(text := self._text(idea, tried)) > TOKENS and (tried or idea):
            if tried:
                tried.pop(0)
            else:
                idea = idea[: len(idea) // 2]
        while estimate_tokens(text) > TOKENS:
            text = text[: len(text) * TOKENS // estimate_tokens(text) - 4] + "…"
        return text

    def _text(self, idea: str, tried: list[str]) -> str:
        rows = {
            "still failing": self.failing,
            "idea": idea,
            "place": ", ".join(self.places),
            "tried": " | ".join(tried),
            "avoid": "; ".join(self.avoid),
        }
        return "\n".join(f"{name}: {value}" for name, value in rows.items() if value)


def distill(records: Iterable[Record]) -> Distillate:
    """The distillate of the last turn in `records`, oldest first."""
    fold = _Fold()
    for record in records:
        fold.apply(record)
    return fold.done()


class _Fold:
    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.idea = ""
        self.tried: list[str] = []
        self.places: dict[str, None] = {}
        self.red: dict[str, str] = {}
        """What fails in each check that is red, the latest last."""
        self.since = 0
        """Edits since the failure looks as it does."""
        self.files: Counter[str] = Counter()
        self.refused: dict[str, None] = {}

    def apply(self, record: Record) -> None:
        match record.event:
            case InputReceived():
                self._begin()
            case ModelReplied(message=message, role="solver") if message.failure is None:
                self.idea = _clip(_prose(message.text), _IDEA) or self.idea
            case CallFinished(debug=debug, result=result, display=display):
                if isinstance(diff := debug.get("diff"), str) and not result.is_error:
                    self._edited(diff, display)
                elif result.is_error and display:
                    self.refused[_clip(display, _LINE)] = None
            case CheckFinished(run=run):
                self._checked(run)
            case ContextAdded(owner="gate", text=text) if not self.red:
                self.red[""] = _clip(text.partition("\n")[2] or text, _EVIDENCE)
            case AttemptFinished(result="red" | "invalid", log="") as event if event.location:
                self.tried.append(_clip(f"{event.strategy} at {event.location}: {event.note or event.result}", 120))
                self.places[event.location] = None
            case _:
                pass

    def _edited(self, diff: str, display: str) -> None:
        self.since += 1
        rows = diff.splitlines()
        named = display.partition(" ")[2].partition(" ")[0].rstrip(":")
        path = next((row[6:] for row in rows if row.startswith("+++ b/")), named)
        if not path:
            return
        self.files[path] += 1
        body = rows[next((number for number, row in enumerate(rows) if row.startswith("@@")), len(rows)) :]
        gone = _first(row[1:].strip() for row in body if row.startswith("-"))
        new = _first(row[1:].strip() for row in body if row.startswith("+"))
        self.places[path + _line(rows)] = None
        change = " ".join(
            [*([f"-`{_clip(gone, _LINE)}`"] if gone else []), *([f"+`{_clip(new, _LINE)}`"] if new else [])]
        )
        if change:
            self.tried.append(f"{path} {change}")

    def _checked(self, run: CheckRun) -> None:
        before = self.red.pop(run.check, "")
        if run.passed:
            return
        self.red.pop("", None)
        self.red[run.check] = evidence(run)
        if self.red[run.check] != before:
            # It is not known of the last edits that they were in vain.
            self.since = 0

    def done(self) -> Distillate:
        avoid = list(self.refused)[:2]
        red = next(reversed(self.red.values()), "")
        if red and self.since > 1:
            names = ", ".join(name for name, _ in self.files.most_common(2))
            avoid.insert(0, f"{self.since} edits of {names} left this failure as it was")
        return Distillate(self.idea, tuple(self.places)[-_TRIED:], tuple(self.tried[-_TRIED:]), red, tuple(avoid))


def evidence(run: CheckRun, limit: int = _EVIDENCE) -> str:
    """Which tests of a red run fail, and why, in at most `limit` characters on one line."""
    failing = [test for test, result in run.tests.items() if result in ("fail", "error")]
    rows = [row.strip() for row in run.tail.splitlines() if row.strip()]
    reasons = list(dict.fromkeys(found[1] for row in rows if (found := _REASON.match(row))))
    if run.timed_out:
        reasons = ["did not end in time"]
    why = "; ".join(reasons[:2]) or (rows[-1] if rows else f"exit {run.exit_code}")
    names = ", ".join(failing[:3]) + (f" and {len(failing) - 3} more" if len(failing) > 3 else "")
    return _clip(f"{names or f'`{run.check}`'}: {why}", limit)


def _prose(text: str) -> str:
    """What is said between pieces of code, on one line."""
    plain = re.sub(r"```.*?(?:```|\Z)", " ", text, flags=re.S)
    return " ".join(plain.split())


def _line(rows: list[str]) -> str:
    """`:N` for the first line that a diff changes; empty when it does not tell."""
    for number, row in enumerate(rows):
        if at := _HUNK.match(row):
            same = next((n for n, line in enumerate(rows[number + 1 :]) if line[:1] in ("+", "-")), 0)
            return f":{int(at[1]) + same}"
    return ""


def _first(lines: Iterable[str]) -> str:
    return next((line for line in lines if line not in _NOTHING), "")


def _clip(text: str, limit: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
