"""What a person needs to see to answer a question: what would be done, and how to allow just that."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from assay.core.errors import WorkspaceError
from assay.core.messages import Json
from assay.core.policy import Question
from assay.core.workspace import Workspace

LINES = 60
"""Of a diff that are shown; all of it is in the log, and the digest covers all of it."""
_LARGEST = 2_000_000


def question_object(question: Question, session: str, workspace: Workspace) -> dict[str, Json]:
    """For programs: the call, what it would do, and the command that allows it once."""
    return {
        "call": question.call,
        "tool": question.tool,
        "effects": [f"{effect.kind} {effect.target}".strip() for effect in question.effects],
        "reason": question.decision.reason,
        "rule": question.decision.rule,
        "digest": question.digest,
        "shown": "\n".join(shown(question, workspace)),
        "allow": allowing(question, session),
    }


def question_lines(question: Question, session: str, workspace: Workspace) -> list[str]:
    """For people: the same as lines."""
    lines = [f"needs approval: {question.tool}: {question.decision.reason}"]
    # Marked, so that nothing in it passes for a line of ours.
    lines += [f"  | {line}" for line in shown(question, workspace)]
    return [*lines, f"  digest {question.digest}", f"  allow this once: {allowing(question, session)}"]


def allowing(question: Question, session: str) -> str:
    return f"assay -p --resume {session} --approve {question.digest[:16]}"


def shown(question: Question, workspace: Workspace) -> list[str]:
    """The diff of an edit, else what the gate weighed: destinations, paths and command lines."""
    if question.tool.lower() in ("edit", "write"):
        return _some(_diff(question.arguments, workspace))
    told = [
        f"{each.effect.kind} {each.effect.target[:400]}".strip()
        for each in question.decision.weighed
        if each.verdict != "allow"
    ]
    command = question.arguments.get("command")
    return _some(iter([*([f"$ {command}"] if isinstance(command, str) else []), *dict.fromkeys(told)]))


def _some(texts: Iterator[str]) -> list[str]:
    lines = list(islice((line for text in texts for line in text.splitlines() or [""]), LINES + 1))
    return lines if len(lines) <= LINES else [*lines[:LINES], "[… more; `assay sessions export` has all of it]"]


def _diff(arguments: dict[str, Json], workspace: Workspace) -> Iterator[str]:
    from difflib import unified_diff

    # Sessions of earlier versions named these otherwise.
    path = str(arguments.get("file_path") or arguments.get("path") or "")
    if "content" in arguments:
        before, after = _text(path, workspace), str(arguments["content"])
    else:
        before = str(arguments.get("old_string") or arguments.get("old") or "")
        after = str(arguments.get("new_string") or arguments.get("new") or "")
    diff = unified_diff(before.splitlines(), after.splitlines(), f"a/{path}", f"b/{path}", lineterm="")
    yield from diff


def _text(path: str, workspace: Workspace) -> str:
    try:
        return workspace.read_file(path, _LARGEST).data.decode("utf-8", "replace")
    except WorkspaceError:
        return ""
