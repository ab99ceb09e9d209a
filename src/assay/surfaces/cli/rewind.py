"""`assay rewind`: take a session back to before one of its turns, in files, in the conversation, or both."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from msgspec import Struct

from assay.app.compose import open_workspace
from assay.app.flags import Flag, describe, parse
from assay.app.paths import find_paths
from assay.core.errors import UsageError
from assay.core.events import Event
from assay.core.messages import Text
from assay.core.workspace import Workspace
from assay.run.rewind import Rewinding, rewind, turns_of
from assay.sessions.index import Sessions
from assay.sessions.log import SessionLog
from assay.surfaces.cli.terminal import one_line, write_out

FLAGS = (
    Flag("--session", "text", "another session than the newest of this directory", value="ID"),
    Flag("--list", "switch", "show the turns that can be gone back to"),
    Flag("--files", "switch", "put the files back, and leave the conversation"),
    Flag("--conversation", "switch", "take back the conversation, and leave the files"),
    Flag("--dry-run", "switch", "only say what would be done"),
    Flag("--help", "switch", "print this", "-h"),
)
USAGE = "usage: assay rewind [TURN] [OPTIONS]\n\nTURN: its number from --list, -1 for the last (default)\n"


class _Session(Struct):
    store: SessionLog
    workspace: Workspace

    def record(self, event: Event, durable: bool = False) -> object:
        return self.store.append(event, durable=durable)


def run_rewind(arguments: list[str]) -> int:
    """Carry out `assay rewind ...`; returns the exit code."""
    # A number behind a minus counts from the end; it is no option.
    to = [word for word in arguments if word.lstrip("-").isdecimal()]
    parsed = parse([word for word in arguments if word not in to], FLAGS)
    if parsed.on("help"):
        sys.stdout.write(f"{USAGE}\n{describe(FLAGS)}\n")
        return 0
    words = [*to, *parsed.words]
    if len(words) > 1:
        raise UsageError(f"assay rewind takes one turn; got '{one_line(words[1], 80)}' as well")
    paths = find_paths(os.environ)
    sessions = Sessions(paths.state)
    store = sessions.open(parsed.text("session") or sessions.latest(str(Path.cwd())))
    try:
        if parsed.on("list"):
            return _list(store)
        only = (parsed.on("files"), parsed.on("conversation"))
        files, conversation = (True, True) if only[0] == only[1] else only
        done = asyncio.run(_rewind(store, words[0] if words else "", files, conversation, parsed.on("dry_run")))
    finally:
        store.close()
    _tell(done, "would be" if parsed.on("dry_run") else "was", conversation=conversation)
    return 0


async def _rewind(store: SessionLog, to: str, files: bool, conversation: bool, dry: bool) -> Rewinding:
    paths = find_paths(os.environ)
    # No command is run: what confines commands plays no part.
    async with open_workspace(Path.cwd(), paths, os.environ, no_sandbox=True) as workspace:
        return await rewind(_Session(store, workspace), to, files=files, conversation=conversation, dry=dry)


def _list(store: SessionLog) -> int:
    turns = turns_of(store.records())
    for place, turn in enumerate(turns, 1):
        words = next((part.text for part in turn.event.parts if isinstance(part, Text)), "[image]")
        write_out(f"{place:>3}  {one_line(words, 100)}{'' if turn.start else '  (changed nothing)'}\n")
    if not turns:
        write_out("this session has no turn\n")
    return 0


def _tell(done: Rewinding, word: str, *, conversation: bool) -> None:
    first = next((part.text for part in done.turn.parts if isinstance(part, Text)), "[image]")
    if conversation:
        write_out(f"the conversation {word} taken back to before: {one_line(first, 100)}\n")
    for change in done.files:
        kind = {"added": "comes back", "deleted": "goes", "modified": "is as before"}[change.kind]
        write_out(f"  {one_line(change.path, 160)} {kind}\n")
    if not done.files:
        write_out("no file had to be put back\n")
    if done.others:
        write_out(f"changed by someone else since: {one_line(', '.join(done.others), 300)}\n")
    if done.checkpoint and word == "was":
        write_out(f"the files as they were: tree {done.checkpoint}\n")
