"""A candidate put before the done gate in a copy; only what it accepts is ever written into the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from assay.core.errors import FileMissing, WorkspaceError
from assay.core.events import CallDecided
from assay.core.ids import new_id
from assay.core.messages import Json, Text, ToolCall
from assay.core.policy import Decision, Effect, Question
from assay.core.tool import ToolOutcome
from assay.core.workspace import Stamp, Workspace
from assay.loop.calls import APPROVED, BY_HOOK, digest_of, weighed
from assay.repair.patch import Patch
from assay.run.run import Run
from assay.search.examples import guard_examples
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
            if refused := await _denied(run, texts):
                return Judged(False, refused)
            put_all(copy, texts)
            judged = await copy.snapshot()
            start = await run.start_tree()
            if red:
                await guard_examples(run, start, texts)
            verdict = await run.proof.judge(start, judged, run.state.criteria, run.state.prompt)
        if verdict.outcome not in accepted:
            return Judged(False, verdict.why[:160], judged)
        calls: list[ToolCall] = []
        if refused := await _refused(run, texts, calls):
            return Judged(False, refused, judged)
        if _texts(workspace, patch) != before:
            return Judged(False, f"not kept: {', '.join(sorted(texts))} changed meanwhile", judged)
        began = run.parts.clock.monotonic()
        put_all(workspace, texts)
    except (WorkspaceError, UnicodeError) as error:
        return Judged(False, f"could not be kept: {error}", judged)
    for call in calls:
        done = ToolOutcome((Text("written"),), label=run.label)
        await run.guards.after(call, done, run.parts.clock.monotonic() - began)
    return Judged(True, "", judged)


async def _denied(run: Run, texts: Mapping[str, str]) -> str:
    """Why policy is against these texts of files; "" when it is not, or a person has to be asked."""
    for path, text in sorted(texts.items()):
        word = await run.parts.gate.decide(TOOL, (Effect("write", path),), run.label, _arguments(path, text))
        if word.verdict == "deny":
            return f"not kept: {word.reason}"
    return ""


async def _refused(run: Run, texts: Mapping[str, str], calls: list[ToolCall]) -> str:
    """The last word before these texts of files are written: hooks, policy, and a person where that is needed; the
    intent is in the log. Why it must not be, or "" and the `calls` that hooks are to hear the end of."""
    for path, text in sorted(texts.items()):
        arguments, effects = _arguments(path, text), (Effect("write", path),)
        # Hooks in use expect whole paths.
        call = ToolCall(new_id(), TOOL, _arguments(str(Path(run.parts.workspace.root, path)), text))
        word = await run.guards.before(call)
        if word.verdict == "deny":
            decision = Decision("deny", word.reason, BY_HOOK)
        elif word.arguments is not None and word.arguments != call.arguments:
            decision = Decision("deny", "a hook would have something else written than what was judged", BY_HOOK)
        else:
            decision = weighed(word, await run.parts.gate.decide(TOOL, effects, run.label, arguments))
        digest = digest_of(TOOL, arguments, effects)
        if decision.verdict == "ask":
            question = Question(call.id, TOOL, arguments, effects, decision, digest)
            if (await run.guards.ask(question, run.parts.approver)).allowed:
                decision = replace(decision, verdict="allow", reason="approved by the user", rule=APPROVED)
        run.record(CallDecided(call.id, TOOL, effects, decision, digest), durable=decision.verdict == "allow")
        if decision.verdict != "allow":
            await run.guards.refused(call, decision)
            return f"not kept: {decision.reason}"
        calls.append(call)
    return ""


def _arguments(path: str, text: str) -> dict[str, Json]:
    return {"file_path": path, "content": text}


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
