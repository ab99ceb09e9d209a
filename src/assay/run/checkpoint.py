"""What a checkpoint remembers beside the files."""

from __future__ import annotations

from assay.core.errors import WorkspaceError
from assay.core.policy import Decision
from assay.core.workspace import Command, Workspace

_MOST = 2_000
"""Names that are kept."""
_LINE = (
    "git for-each-ref --format='%(objectname) %(refname)'; git rev-parse HEAD | sed 's/$/ HEAD/'; "
    "git stash list --format='%H %gd'"
)


async def refs_before(decision: Decision, workspace: Workspace) -> dict[str, str]:
    """Where git's names point, if the call that was decided on loses some of git's own; empty without git."""
    if not any(each.sink == "destroy" and not each.effect.target for each in decision.weighed):
        return {}
    try:
        result = await workspace.run(Command(("/bin/sh", "-c", _LINE), timeout=20, limit=400_000, read_only=True))
    except WorkspaceError:
        return {}
    pairs = (line.partition(" ") for line in result.output.splitlines()[:_MOST])
    return {name: commit for commit, _, name in pairs if name and len(commit) >= 40 and commit.isalnum()}
