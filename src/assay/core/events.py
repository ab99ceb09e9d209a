"""The closed union of what a session's log can hold. History, usage, outcome and every screen are folds of these.

What streams by (deltas of text, progress) is not here: it is shown and forgotten. A record of an unknown kind,
from a newer version, is kept verbatim and skipped by folds.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from assay.core.check import CheckRun, Criterion, Evidence, Verdict
from assay.core.messages import AssistantMessage, Image, Json, Text, ToolResult, Usage
from assay.core.policy import OPERATOR, WORKSPACE, Decision, Effect, Label


class SessionStarted(Struct, frozen=True, tag="session_started", tag_field="kind"):
    session: str
    cwd: str
    version: str
    """Of the program that wrote it."""
    forked_from: str = ""
    """The session whose records come before these, copied."""


class InputReceived(Struct, frozen=True, tag="input", tag_field="kind"):
    """Opens a turn. Written before any work is done for it."""

    turn: str
    parts: tuple[Text | Image, ...]
    model: str = ""
    """PROVIDER/NAME chosen for this turn."""
    label: Label = OPERATOR
    """Lower than the operator's when a part was piped or pasted in."""
    uuid: str = ""
    """What a host program calls this message; rewinding is asked for by it."""
    origin: dict[str, Json] = {}
    """Where a host says that it comes from; handed back with the result."""


class ContextAdded(Struct, frozen=True, tag="context", tag_field="kind"):
    """Text that the harness put before the model (environment card, instructions, nudges, what the gate misses)."""

    owner: str
    text: str
    source: str = ""
    label: Label = WORKSPACE


class Framed(Struct, frozen=True, tag="framed", tag_field="kind"):
    """The tree at the start of a turn: what evidence compares with and rewind returns to."""

    turn: str
    tree: str


class Checkpointed(Struct, frozen=True, tag="checkpoint", tag_field="kind"):
    """All files that are not ignored, as they were right before a call that destroys some."""

    call: str
    tree: str
    refs: dict[str, str] = {}
    """Where git's branches, tags and stashes pointed, when the call changes those: name -> commit. Git keeps what it
    dropped among its objects for a while, and this is how to find it."""


class ModelReplied(Struct, frozen=True, tag="reply", tag_field="kind"):
    step: int
    message: AssistantMessage
    dollars: float | None = None
    seconds: float = 0.0
    role: str = "solver"
    """`solver` speaks in the conversation; what other roles said (`tester`, `comparator`) is beside it: it is counted
    and kept, and no later request shows it."""


class CallDecided(Struct, frozen=True, tag="intent", tag_field="kind"):
    """The gate's word on a call. With `allow` it is the intent, on disk before the effect starts."""

    call: str
    tool: str
    effects: tuple[Effect, ...]
    decision: Decision
    digest: str = ""
    """SHA-256 over tool, arguments and effects, in hex: what an approval is bound to."""


class CallFinished(Struct, frozen=True, tag="result", tag_field="kind"):
    result: ToolResult
    display: str = ""
    debug: dict[str, Json] = {}
    seen: dict[str, str] = {}
    seconds: float = 0.0
    finish: bool = False
    label: Label = WORKSPACE
    loads: tuple[str, ...] = ()


class CriteriaDeclared(Struct, frozen=True, tag="criteria", tag_field="kind"):
    criteria: tuple[Criterion, ...]


class CheckFinished(Struct, frozen=True, tag="check", tag_field="kind"):
    run: CheckRun
    phase: Literal["baseline", "attempt", "final"]


class EvidenceRecorded(Struct, frozen=True, tag="evidence", tag_field="kind"):
    evidence: Evidence


class AttemptFinished(Struct, frozen=True, tag="attempt", tag_field="kind"):
    """One candidate solution of a strategy that makes several."""

    number: int
    strategy: str
    location: str
    result: Literal["green", "red", "invalid", "duplicate"]
    note: str = ""
    tree: str = ""
    model: str = ""
    """PROVIDER/NAME, where it is not the turn's own; empty for a candidate that no model made."""
    steps: int = 0
    """Requests of an attempt that ran beside this log, in one of its own; what it used is told here alone."""
    usage: Usage = Usage()
    dollars: float | None = 0.0
    seconds: float = 0.0
    log: str = ""
    """A file with the records of such an attempt."""


class AttemptSelected(Struct, frozen=True, tag="selected", tag_field="kind"):
    """Which of several attempts was adopted."""

    number: int
    why: str
    """One line."""
    made: int
    """Attempts that were looked at."""
    first_passed: bool = False
    """Attempt 1 alone would have passed what the selected one passed: the honest single-attempt figure."""
    belief: float = 0.0
    """How likely the selected one is right, 0 to 1, as `search.belief` reckons; 0 when it was not reckoned."""


class Compacted(Struct, frozen=True, tag="compacted", tag_field="kind"):
    """From here on, history is `summary` and what follows record `keeps_from`; the log itself keeps everything."""

    summary: str
    keeps_from: int
    """Number of the first record that stays verbatim."""


class Rewound(Struct, frozen=True, tag="rewound", tag_field="kind"):
    """The conversation, the files, or both were taken back. The log keeps what was; history no longer shows it."""

    keeps_to: int | None = None
    """Number of the last record that history still shows; None when the conversation stays."""
    tree: str = ""
    """What the files were made equal to; empty when they stay."""


class ModeChanged(Struct, frozen=True, tag="mode", tag_field="kind"):
    mode: str
    """A permission mode; holds until the next one, and when the session is resumed."""


class TaskStarted(Struct, frozen=True, tag="task_started", tag_field="kind"):
    """Something began that may outlast the call that began it: a sub-agent, or a command in the background."""

    task: str
    what: Literal["agent", "command"]
    description: str
    call: str = ""
    """The call that began it."""
    output: str = ""
    """A file with what it printed, or the log of the sub-agent."""
    agent: str = ""
    """The kind of sub-agent."""
    prompt: str = ""
    background: bool = False


class TaskEnded(Struct, frozen=True, tag="task_ended", tag_field="kind"):
    task: str
    status: Literal["completed", "failed", "stopped"]
    summary: str
    usage: Usage = Usage()
    calls: int = 0
    """Tool calls that it made."""
    seconds: float = 0.0
    dollars: float | None = None
    label: Label = WORKSPACE
    """Of what it knows at its end; the session that began it joins this to its own."""


class Noticed(Struct, frozen=True, tag="notice", tag_field="kind"):
    """Something the person should know: a repaired log, a trimmed file, a fallback, a sandbox switched off."""

    text: str


class TurnEnded(Struct, frozen=True, tag="turn_ended", tag_field="kind"):
    turn: str
    verdict: Verdict
    text: str
    """The last words of the model, or ours when it had none."""
    steps: int
    seconds: float
    dollars: float | None = None
    selected: int = 0
    """Which attempt was adopted (1-based), when there were several."""


Event: TypeAlias = (
    SessionStarted
    | InputReceived
    | ContextAdded
    | Framed
    | Checkpointed
    | ModelReplied
    | CallDecided
    | CallFinished
    | CriteriaDeclared
    | CheckFinished
    | EvidenceRecorded
    | AttemptFinished
    | AttemptSelected
    | Compacted
    | Rewound
    | ModeChanged
    | TaskStarted
    | TaskEnded
    | Noticed
    | TurnEnded
)
