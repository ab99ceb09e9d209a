"""A candidate put before the done gate in a copy; only what it accepts is ever written into the workspace."""

from __future__ import annotations

from contextlib import suppress

from assay.core.errors import FileMissing, WorkspaceError
from assay.core.workspace import Stamp, Workspace
from assay.repair.patch import Patch
from assay.run.run import Run
from assay.search.slots_words import Judged


async def keep_if_sound(run: Run, patch: Patch, start: str, red: bool) -> Judged:
    """Let the done gate judge the candidate in a copy; only what it accepts is ever written into the workspace."""
    workspace = run.parts.workspace
    accepted = ("verified", "partial") if red else ("verified", "partial", "unverified")
    try:
        async with workspace.copy(start) as copy:
            before = _texts(copy, patch)
            texts = patch.apply(before)
            for path, text in texts.items():
                put(copy, path, text)
            tree = await copy.snapshot()
            verdict = await run.proof.judge(start, tree, run.state.criteria, run.state.prompt)
        if verdict.outcome not in accepted:
            return Judged(False, verdict.why[:160], tree)
        if _texts(workspace, patch) != before:
            return Judged(False, f"not kept: {', '.join(sorted(texts))} changed meanwhile", tree)
        for path, text in texts.items():
            put(workspace, path, text)
    except WorkspaceError as error:
        return Judged(False, f"could not be kept: {error}")
    return Judged(True, "", tree)


def _texts(workspace: Workspace, patch: Patch) -> dict[str, str]:
    """The files of a patch as they are; those to come are empty."""
    found: dict[str, str] = {}
    for edit in patch.edits:
        found.setdefault(edit.path, "")
        with suppress(WorkspaceError):
            found[edit.path] = workspace.read_file(edit.path).data.decode("utf-8-sig")
    return found


def put(workspace: Workspace, path: str, text: str) -> tuple[bytes | None, Stamp]:
    """Write a file; returns what it held (None: it was not there) and its stamp now. Raises `WorkspaceError`."""
    try:
        before = workspace.read_file(path)
    except FileMissing:
        return None, workspace.write_file(path, text.encode(), None)
    return before.data, workspace.write_file(path, encoded(text, before.data), before.stamp)


def encoded(text: str, before: bytes) -> bytes:
    mark = b"\xef\xbb\xbf"
    return (mark if before.startswith(mark) else b"") + text.encode("utf-8")
