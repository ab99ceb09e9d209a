"""Taking a session back to what it was before one of its turns: the conversation, the files, or both.

What turns changed is known from snapshots, so it does not matter who changed it within a turn: an edit, a command, a
sub-agent. Files that only others changed, between turns, are left alone. Nothing is lost by it: the log keeps the
conversation, and a checkpoint of the files as they were is recorded before any is put back. Ignored files and git's own
names (branches, the index) stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from assay.core.errors import UsageError
from assay.core.events import (
    Checkpointed,
    Event,
    Framed,
    InputReceived,
    Noticed,
    Rewound,
    TaskEnded,
    TaskStarted,
    TurnEnded,
)
from assay.core.store import EventStore, Record
from assay.core.workspace import Change, Workspace


class Turned(Struct):
    """One turn, as far as going back needs it."""

    number: int
    """Of the record of its input."""
    event: InputReceived
    start: str = ""
    """The tree before its first effect; empty when it had none."""
    end: str = ""
    """The tree it left; empty when that is not known."""


class Rewinding(Struct, frozen=True):
    """What going back did, or would do."""

    turn: InputReceived
    """Its input is the first thing that is taken back."""
    files: tuple[Change, ...] = ()
    """As seen from the files now: what is put back."""
    others: tuple[str, ...] = ()
    """Files among them that someone changed after the last turn; the checkpoint holds that state."""
    checkpoint: str = ""
    """The tree before; empty when no file was put back."""


def turns_of(records: Iterator[Record]) -> list[Turned]:
    """The turns of a session, oldest first, without those that were taken back."""
    found: list[Turned] = []
    running: set[str] = set()
    begun = False
    for record in records:
        match record.event:
            case InputReceived() as event:
                begun = True
                found.append(Turned(record.number, event))
            case Framed(tree=tree) | Checkpointed(call="", tree=tree) if begun and not found[-1].start:
                found[-1].start = tree
            case TaskStarted(task=task):
                running.add(task)
            case TaskEnded(task=task):
                running.discard(task)
            case TurnEnded(verdict=verdict) if begun:
                found[-1].end = "" if running else verdict.tree
                begun = False
            case Rewound(keeps_to=int(keeps)):
                found = [turn for turn in found if turn.number <= keeps]
            case _:
                pass
    return found


def find_turn(turns: list[Turned], name: str) -> int:
    """The position of the turn whose message has the id `name`, whose own id begins with it, or whose place it is,
    counted from 1, or from the end with a minus; the last one when empty. Raises `UsageError`."""
    if not turns:
        raise UsageError("nothing to rewind: this session has no turn yet")
    if not name:
        return len(turns) - 1
    for index, turn in enumerate(turns):
        if name in (turn.event.uuid, turn.event.turn):
            return index
    if name.lstrip("-").isdecimal() and len(name) < 8:
        place = int(name) - 1 if int(name) > 0 else len(turns) + int(name)
        if 0 <= place < len(turns):
            return place
    close = [index for index, turn in enumerate(turns) if len(name) >= 4 and turn.event.turn.startswith(name)]
    if len(close) == 1:
        return close[0]
    raise UsageError(f"nothing to rewind to: no message {name[:80]!r} in this session; it has {len(turns)} turns")


class Ports(Protocol):
    """What going back needs of a run, or of a log and a workspace without one."""

    @property
    def store(self) -> EventStore: ...

    @property
    def workspace(self) -> Workspace: ...

    def record(self, event: Event, durable: bool = False) -> object: ...


async def rewind(
    ports: Ports, to: str = "", *, files: bool = True, conversation: bool = True, dry: bool = False
) -> Rewinding:
    """Take a session, with no turn under way, back to what was before the turn `to` (`find_turn`). With `dry` nothing
    is changed. Raises `UsageError` for a turn that is not there, and `WorkspaceError`."""
    turns = turns_of(ports.store.records())
    index = find_turn(turns, to)
    workspace = ports.workspace
    plan, target = Rewinding(turns[index].event), ""
    if files:
        plan, target = await _plan(workspace, turns[index:])
    if dry:
        return plan
    if target and plan.files:
        # Durable before any file changes: who regrets it, or is stopped in the middle, finds everything there.
        ports.record(Checkpointed("", plan.checkpoint), durable=True)
        await workspace.restore(target)
        if plan.others:
            names = ", ".join(plan.others[:8])
            ports.record(Noticed(f"rewound over changes by others, kept in tree {plan.checkpoint}: {names}"))
    keeps_to = turns[index].number - 1 if conversation else None
    if conversation or plan.files:
        ports.record(Rewound(keeps_to, target if plan.files else ""), durable=True)
    return plan


async def _plan(workspace: Workspace, turns: list[Turned]) -> tuple[Rewinding, str]:
    """What putting the files back would change, and the tree that they would be equal to."""
    event = turns[0].event
    acted = [turn for turn in turns if turn.start]
    if not acted:
        return Rewinding(event), ""
    now = await workspace.snapshot()
    touched: dict[str, str] = {}
    last = ""
    for turn, following in zip(acted, [*acted[1:], None], strict=True):
        last = turn.end or (following.start if following else now)
        for change in await workspace.changes(turn.start, last):
            touched[change.path] = last
    paths = sorted(touched)
    target = await workspace.compose(now, paths, acted[0].start)
    if target == now:
        return Rewinding(event), ""
    since = {change.path for change in await workspace.changes(last, now)} if last != now else set[str]()
    changes = await workspace.changes(now, target)
    others = tuple(change.path for change in changes if change.path in since)
    return Rewinding(event, tuple(changes), others, now), target
