"""`assay sessions`: list, show, export, delete."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from assay.app.flags import Flag, describe, parse
from assay.app.paths import find_paths
from assay.core.errors import UsageError
from assay.core.events import AttemptFinished, AttemptSelected, EvidenceRecorded, ModelReplied, TurnEnded
from assay.sessions.fold import Ledger, Status, fold
from assay.sessions.index import Sessions
from assay.sessions.summary import Summary
from assay.sessions.transcript import export_events, export_markdown
from assay.surfaces.cli.terminal import ascii_json, one_line, write_err, write_out

FLAGS = (
    Flag("--all", "switch", "list: sessions of every project; delete: every session"),
    Flag("--json", "switch", "list, show: as JSON"),
    Flag("--format", "choice", "export: events, a transcript, or the log as it is", "", ("jsonl", "md", "raw")),
    Flag("--output", "text", "export: into a file instead of standard output", "-o", value="FILE"),
    Flag("--older-than", "float", "delete: those not used for that many days", value="DAYS"),
    Flag("--help", "switch", "print this", "-h"),
)
USAGE = """usage: assay sessions list [--all] [--json]
       assay sessions show ID [--json]
       assay sessions export ID [--format jsonl|md|raw] [--output FILE]
       assay sessions delete ID... | --older-than DAYS | --all
"""


def run_sessions(arguments: list[str]) -> int:
    """Carry out `assay sessions ...`; returns the exit code."""
    parsed = parse(arguments, FLAGS)
    if parsed.on("help") or not parsed.words:
        sys.stdout.write(f"{USAGE}\n{describe(FLAGS)}\n")
        return 0 if parsed.on("help") else 2
    action, *words = parsed.words
    sessions = Sessions(find_paths(os.environ).state)
    match action:
        case "list":
            return _list(sessions, everywhere=parsed.on("all"), as_json=parsed.on("json"))
        case "show":
            return _show(sessions, _one(words, action), as_json=parsed.on("json"))
        case "export":
            return _export(sessions, _one(words, action), parsed.text("format") or "jsonl", parsed.text("output"))
        case "delete":
            return _delete(sessions, words, parsed.number("older_than"), everything=parsed.on("all"))
        case _:
            raise UsageError(f"assay sessions has no '{action}'; it has list, show, export, delete")


def _one(words: list[str], action: str) -> str:
    if len(words) != 1:
        raise UsageError(f"assay sessions {action} takes one session ID; `assay sessions list` shows them")
    return words[0]


def _list(sessions: Sessions, *, everywhere: bool, as_json: bool) -> int:
    found = sessions.summaries("" if everywhere else str(Path.cwd()))
    if as_json:
        write_out(ascii_json(msgspec.json.encode(found).decode()) + "\n")
        return 0
    if not found:
        write_err("no sessions" if everywhere else "no sessions in this directory; --all lists those of every project")
    for row in found:
        write_out(_row(row, everywhere=everywhere) + "\n")
    return 0


def _row(row: Summary, *, everywhere: bool) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.updated))
    where = f"  {one_line(row.cwd, 60)}" if everywhere else ""
    return f"{row.session}  {when}  {row.outcome or 'open':<14}  {one_line(row.title, 70)}{where}"


def _show(sessions: Sessions, identity: str, *, as_json: bool) -> int:
    reader = sessions.read(identity)
    status, ledger = Status(), Ledger()
    records = list(reader.records())
    fold(records, status, ledger)
    ends = [record.event for record in records if isinstance(record.event, TurnEnded)]
    if as_json:
        attempts = [each.event for each in records if isinstance(each.event, AttemptFinished | AttemptSelected)]
        told = {"session": reader.path.stem, "turns": ends, "cwd": status.cwd, "attempts": attempts}
        write_out(ascii_json(msgspec.json.encode(told).decode()) + "\n")
        return 0
    write_out(f"session   {reader.path.stem}\ndirectory {one_line(status.cwd, 200)}\nlog       {reader.path}\n")
    steps = sum(isinstance(record.event, ModelReplied) for record in records)
    rows = sum(isinstance(record.event, EvidenceRecorded) for record in records)
    write_out(f"records   {len(records)} ({steps} replies, rows of evidence: {rows})\n")
    number = 0
    for record in records:
        match record.event:
            case TurnEnded() as end:
                number += 1
                write_out(_turn_row(number, end))
            case AttemptFinished() | AttemptSelected() as event:
                write_out(_attempt_row(event))
            case _:
                pass
    for notice in reader.notices:
        write_err(f"! {notice}")
    return 0


def _turn_row(number: int, end: TurnEnded) -> str:
    cost = "cost unknown" if end.dollars is None else f"${end.dollars:.4f}"
    verdict = end.verdict
    told = f"{end.steps} steps, {end.seconds:.0f} s, {cost}"
    return f"turn {number}    {verdict.outcome}: {one_line(verdict.why, 100)} ({told})\n"


def _attempt_row(event: AttemptFinished | AttemptSelected) -> str:
    if isinstance(event, AttemptSelected):
        return f"  taken   attempt {event.number} of {event.made}: {one_line(event.why, 100)}\n"
    own = f", {event.steps} steps, {event.usage.total:,} tokens, {event.seconds:.0f} s" if event.log else ""
    what = f" ({one_line(event.location, 60)})" if event.location else ""
    log = f"\n          {event.log}" if event.log else ""
    return f"  attempt {event.number}{what}: {event.result}{own}; {one_line(event.note, 100)}{log}\n"


def _export(sessions: Sessions, identity: str, style: str, output: str | None) -> int:
    reader = sessions.read(identity)
    if style == "raw":
        data = reader.path.read_bytes()
    elif style == "md":
        data = "".join(export_markdown(reader.records())).encode("utf-8", "replace")
    else:
        data = "".join(f"{ascii_json(line)}\n" for line in export_events(reader.lines())).encode()
    if output is None:
        write_out(data.decode("utf-8", "replace"))
    else:
        try:
            Path(output).write_bytes(data)
        except OSError as error:
            raise UsageError(f"cannot write {output}: {error.strerror}") from error
    for notice in reader.notices:
        write_err(f"! {notice}")
    return 0


def _delete(sessions: Sessions, words: list[str], days: float | None, *, everything: bool) -> int:
    if sum((bool(words), days is not None, everything)) != 1:
        raise UsageError("assay sessions delete takes IDs, or --older-than DAYS, or --all")
    if words:
        gone = [sessions.delete(word) for word in words]
    else:
        gone = sessions.delete_older((days or 0) * 86_400 if days is not None else -1.0)
    write_err(f"deleted {len(gone)} session{'s' if len(gone) != 1 else ''}")
    return 0
