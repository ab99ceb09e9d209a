"""A candidate put before the done gate in a copy; only what it accepts is ever written into the workspace."""

from __future__ import annotations

from collections.abc import Mapping

from assay.core.errors import FileMissing, WorkspaceError
from assay.core.events import CallDecided
from assay.core.ids import new_id
from assay.core.messages import Json
from assay.core.policy import Decision, Effect, Question
from assay.core.workspace import Stamp, Workspace
from assay.loop.calls import APPROVED, digest_of
from assay.repair.patch import Patch
from assay.run.run import Run
from assay.search.slots_words import Judged

TOOL = "Write"
"""The tool by whose rules a candidate goes into files."""
MARK = b"\xef\xbb\xbf"


async def keep_if_sound(run: Run, patch: Patch, tree: str, red: bool) -> Judged:
    """Let the done gate judge the candidate in a copy of `tree`, which it was made from; what it accepts is written
    into the workspace, all of it or nothing, where policy allows that and nobody changed these files meanwhile. `red`:
    a check failed before, so that something executable must speak for it."""
    workspace = run.parts.workspace
    accepted = ("verified", "partial") if red else ("verified", "partial", "unverified")
    judged = ""
    try:
        async with workspace.copy(tree) as copy:
            before = _texts(copy, patch)
            texts = patch.apply(before)
            if refused := await _refused(run, texts):
                return Judged(False, refused)
            put_all(copy, texts)
            judged = await copy.snapshot()
            verdict = await run.proof.judge(await run.start_tree(), judged, run.state.criteria, run.state.prompt)
        if verdict.outcome not in accepted:
            return Judged(False, verdict.why[:160], judged)
        if refused := await _refused(run, texts, ask=True):
            return Judged(False, refused, judged)
        if _texts(workspace, patch) != before:
            return Judged(False, f"not kept: {', '.join(sorted(texts))} changed meanwhile", judged)
        put_all(workspace, texts)
    except (WorkspaceError, UnicodeError) as error:
        return Judged(False, f"could not be kept: {error}", judged)
    return Judged(True, "", judged)


async def _refused(run: Run, texts: Mapping[str, str], *, ask: bool = False) -> str:
    """Why policy is against these texts of files; "" when it is not. With `ask` it is the last word before they are
    written: a person is asked where that is needed, and the intent is in the log."""
    for path, text in sorted(texts.items()):
        arguments: dict[str, Json] = {"file_path": path, "content": text}
        effects = (Effect("write", path),)
        word = await run.parts.gate.decide(TOOL, effects, run.label, arguments)
        if not ask:
            if word.verdict == "deny":
                return f"not kept: {word.reason}"
            continue
        call, digest = new_id(), digest_of(TOOL, arguments, effects)
        if word.verdict == "ask":
            question = Question(call, TOOL, dict(arguments), effects, word, digest)
            if (await run.guards.ask(question, run.parts.approver)).allowed:
                word = Decision("allow", "approved by the user", APPROVED, word.weighed, word.label)
        run.record(CallDecided(call, TOOL, effects, word, digest), durable=word.verdict == "allow")
        if word.verdict != "allow":
            return f"not kept: {word.reason}"
    return ""


def _texts(workspace: Workspace, patch: Patch) -> dict[str, str]:
    """The files of a patch as they are; those to come are empty. Raises `WorkspaceError` for one that can't be read,
    `UnicodeDecodeError` for one that is no UTF-8."""
    found: dict[str, str] = {}
    for edit in patch.edits:
        try:
            found[edit.path] = workspace.read_file(edit.path).data.decode("utf-8-sig")
        except FileMissing:
            found[edit.path] = ""
    return found


def put_all(workspace: Workspace, texts: Mapping[str, str]) -> None:
    """Write all of `texts` (path -> text), or, when one can't be written, none. Raises `WorkspaceError`, which also
    tells what could not be put back."""
    done: dict[str, tuple[bytes | None, Stamp]] = {}
    try:
        for path, text in texts.items():
            done[path] = _put(workspace, path, text)
    except (WorkspaceError, UnicodeError) as error:
        left = _taken_back(workspace, done)
        if left:
            raise WorkspaceError(f"{error}; {', '.join(left)} could not be put back") from error
        raise


def _taken_back(workspace: Workspace, done: Mapping[str, tuple[bytes | None, Stamp]]) -> list[str]:
    """Make files what they were before; those for which that failed."""
    left: list[str] = []
    for path, (before, stamp) in done.items():
        try:
            if before is None:
                workspace.delete_file(path, stamp)
            else:
                workspace.write_file(path, before, stamp)
        except WorkspaceError:
            left.append(path)
    return left


def _put(workspace: Workspace, path: str, text: str) -> tuple[bytes | None, Stamp]:
    """Write a file, with a byte order mark if it had one; returns what it held (None: it was not there) and its stamp
    now. Raises `WorkspaceError`."""
    try:
        before = workspace.read_file(path)
    except FileMissing:
        return None, workspace.write_file(path, text.encode(), None)
    mark = MARK if before.data.startswith(MARK) else b""
    return before.data, workspace.write_file(path, mark + text.encode(), before.stamp)
