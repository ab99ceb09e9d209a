"""Making a candidate's tree the session's files, once, and only if nobody else has touched them meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from assay.core.check import Criterion
from assay.core.errors import WorkspaceError
from assay.core.events import AttemptSelected, Checkpointed, ContextAdded, CriteriaDeclared, ModelReplied, Noticed
from assay.core.messages import AssistantMessage, Text
from assay.core.policy import Label
from assay.run.attempt import OWNER
from assay.run.run import Run

SHOWN = 12
"""Changed files that the model is told by name."""


class Taken(Struct, frozen=True):
    """What is to be adopted."""

    number: int
    tree: str
    words: str
    """The last ones of its model."""
    model: str
    criteria: tuple[Criterion, ...]
    label: Label
    """Of all that it read: what it left is no better."""


async def adopt(run: Run, taken: Taken, before: str, choice: AttemptSelected) -> bool:
    """Make the files equal to `taken.tree` if they still are the tree `before`, and tell the conversation. What was
    there stays in the log as a checkpoint. False when somebody changed files meanwhile: then nothing is touched."""
    workspace = run.workspace
    now = await workspace.snapshot()
    if now not in (before, taken.tree):
        return False
    if now != taken.tree:
        # Durable before any file changes: who is stopped in the middle finds everything there.
        run.record(Checkpointed("", now), durable=True)
        await workspace.restore(taken.tree)
    run.record(choice, durable=True)
    if taken.criteria != run.state.criteria:
        run.record(CriteriaDeclared(taken.criteria))
    changes = await workspace.changes(await run.start_tree(), taken.tree)
    names = ", ".join(f"{each.path} ({each.kind})" for each in changes[:SHOWN])
    more = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    text = (
        f"What you left was set aside: attempt {taken.number}, made on a copy, was taken in its place. The files are "
        f"as it left them. Against the start of this turn changed: {names}{more}. Its last words follow."
    )
    run.record(ContextAdded(OWNER, text, f"attempt {taken.number}", taken.label))
    words = taken.words or f"Attempt {taken.number} was taken: {choice.why}"
    message = AssistantMessage((Text(words),), "end", taken.model)
    run.record(ModelReplied(0, message, 0.0))
    run.said = ""
    return True


async def put_back(run: Run, before: str, trees: Sequence[str]) -> None:
    """Undo an adoption of one of `trees` that was cut short, so that it can be made again: where every file is as that
    tree or as the tree `before` has it, and nobody else has touched any, the files are made equal to `before`."""
    workspace = run.workspace
    now = await workspace.snapshot()
    if now == before or now in trees:
        return
    changed = {each.path for each in await workspace.changes(before, now)}
    for tree in trees:
        if changed.isdisjoint(each.path for each in await workspace.changes(tree, now)):
            run.record(Checkpointed("", now), durable=True)
            run.record(Noticed("files were half taken over from an attempt; they are put back first"))
            await workspace.restore(before)
            return


async def keep_patches(run: Run, trees: dict[int, str]) -> list[str]:
    """The candidates as files beside the session's log, for a person to take over; their paths. Files that can't be
    written are left out."""
    folder, start = run.parts.spill, await run.start_tree()
    kept: list[str] = []
    for number, tree in trees.items() if folder else ():
        path = Path(folder) / "attempts" / f"attempt-{number}.patch"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes((await run.workspace.patch(start, tree)).encode("utf-8", "surrogateescape"))
        except (OSError, WorkspaceError) as error:
            run.record(Noticed(f"attempt {number}: its patch can't be kept: {error}"))
            continue
        kept.append(str(path))
    return kept
