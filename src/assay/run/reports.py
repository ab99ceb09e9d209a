"""How tasks are told of: to models, and from what a log or a file still says."""

from __future__ import annotations

import os
from pathlib import Path

from assay.core.errors import AssayError
from assay.core.events import CallFinished, ContextAdded, InputReceived, ModelReplied, TaskEnded, TaskStarted
from assay.core.messages import Usage
from assay.core.policy import EXTERNAL, WORKSPACE, Label
from assay.core.spawn import Report

SHOWN = 30_000
"""Characters of what a task said that are kept in the log and shown to a model."""
_UNKNOWN = Label("external", "secret")


def told(started: TaskStarted, ended: TaskEnded) -> Report:
    """What the log says of a task that ended."""
    return Report(
        started.task,
        started.what,
        ended.status,
        started.description,
        ended.summary,
        started.agent,
        started.output,
        started.call,
        started.background,
        "",
        ended.usage,
        ended.calls,
        ended.seconds,
        ended.dollars,
        ended.label,
    )


def notice_of(report: Report) -> str:
    """For the model: a task of the background has ended."""
    kind = f"agent {report.kind}" if report.what == "agent" else "command"
    where = f"\n[all of it: {report.output}]" if report.output and report.what == "command" else ""
    head = f"Task {report.task} ({kind}: {report.description}) {report.status} after {report.seconds:.0f} s."
    return f"[background]\n{head}\n{report.text or '(no output)'}{where}"


def task_type(started: TaskStarted) -> str:
    return "local_agent" if started.what == "agent" else "local_bash"


def printed(path: str, limit: int = SHOWN) -> str:
    """The end of what is in a file of ours, as a terminal would show it; empty when it can't be read."""
    from assay.tools.bound import plain

    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 2 * limit, 0))
            text = plain(file.read(2 * limit).decode("utf-8", "replace")).strip("\n")
    except (OSError, ValueError):
        return ""
    return text[-limit:]


def bounded(text: str, where: str) -> str:
    from assay.tools.bound import head_tail, plain

    return head_tail(plain(text), SHOWN, 0, where)


def left_by(started: TaskStarted) -> tuple[Usage, Label]:
    """What a lost task had spent, and what it can have known: its own log tells, if there is one."""
    if started.what == "command":
        return Usage(), WORKSPACE.join(EXTERNAL)
    from assay.sessions.reader import LogReader

    usage, label, seen = Usage(), WORKSPACE, False
    try:
        for record in LogReader(Path(started.output)).records():
            seen = True
            if isinstance(record.event, ModelReplied):
                usage = usage + record.event.message.usage
            elif isinstance(record.event, InputReceived | ContextAdded | CallFinished | TaskEnded):
                label = label.join(record.event.label)
    except (OSError, AssayError):
        return usage, _UNKNOWN
    return usage, label if seen else _UNKNOWN
