"""What a hook said: its output as an answer, and the answers of several as one.

Source of the fields: the public reference of hooks of the `claude` command.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, cast

from msgspec.structs import replace

from assay.core.hooks import SILENT, HookAnswer, HookEvent
from assay.core.messages import Json

CAP = 10_000
"""Characters of each text that a hook hands over."""
_CUT = "\n[… cut: a hook may say at most 10,000 characters]"
_SPEAKS: frozenset[HookEvent] = frozenset({"SessionStart", "UserPromptSubmit", "UserPromptExpansion"})
"""Where plain output is text for the model."""
Said = Literal["", "allow", "ask", "block", "deny"]
_STRICTNESS: tuple[Said, ...] = ("", "allow", "ask", "block", "deny")
_DENIES: frozenset[HookEvent] = frozenset({"PreToolUse", "PermissionRequest"})
_BLOCKS: frozenset[HookEvent] = frozenset({
    "UserPromptSubmit", "UserPromptExpansion", "Stop", "SubagentStop", "PostToolUse", "PostToolUseFailure",
    "PreCompact",
})  # fmt: skip


class Unreadable(Exception):
    """Output that is no answer; its text says why."""


def of_process(event: HookEvent, exit_code: int, stdout: str, stderr: str) -> HookAnswer:
    """The answer of a command. Raises `Unreadable` when it failed or makes no sense."""
    if exit_code == 2:
        return refusal(event, capped(stderr.strip()) or "a hook refused it without a reason")
    if exit_code:
        told = stderr.strip().partition("\n")[0][:200]
        raise Unreadable(f"exit {exit_code}{': ' + told if told else ''}")
    text = stdout.strip()
    if not text.startswith("{"):
        return HookAnswer(context=(capped(text),)) if text and event in _SPEAKS else SILENT
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"its output is not valid JSON ({str(error)[:120]})") from None
    return of_output(event, value)


def refusal(event: HookEvent, reason: str) -> HookAnswer:
    """What exit code 2 means at `event`, and a hook that failed where it closes."""
    if event in _DENIES:
        return HookAnswer("deny", reason)
    if event in _BLOCKS:
        return HookAnswer("block", reason)
    if event == "PostToolBatch":
        return HookAnswer(stop=reason)
    return HookAnswer(messages=(reason,))


def of_output(event: HookEvent, value: Json) -> HookAnswer:
    """The answer in a JSON object. Raises `Unreadable` for a field that is not what it should be."""
    said = _object(value, "its output")
    special = _object(said.get("hookSpecificOutput"), "hookSpecificOutput")
    named = special.get("hookEventName")
    if named is not None and named != event:
        raise Unreadable(f"hookEventName is {str(named)[:40]!r}, but this is {event}")
    answer = _common(event, said)
    if event == "PreToolUse":
        answer = _before_call(said, special, answer)
    elif event == "PermissionRequest":
        answer = _on_question(special, answer)
    elif event == "PermissionDenied" and special.get("retry") is True:
        answer = replace(answer, context=("A hook says that this call may be tried again.",))
    elif event == "PostToolUse":
        output = special.get("updatedToolOutput", special.get("updatedMCPToolOutput"))
        answer = answer if output is None else replace(answer, output=capped(_plain(output)))
    if text := _text(special, "additionalContext"):
        answer = replace(answer, context=(*answer.context, text))
    return answer


def merged(answers: Sequence[HookAnswer]) -> HookAnswer:
    """All answers as one, in the order of their hooks: the strictest decision counts, with the reasons of all who made
    it. Who wants a call changed in different ways gets it denied."""
    if len(answers) < 2:
        return answers[0] if answers else SILENT
    decision: Said = _STRICTNESS[max(_STRICTNESS.index(answer.decision) for answer in answers)]
    reasons = [answer.reason for answer in answers if answer.decision == decision and answer.reason]
    wanted = [answer.arguments for answer in answers if answer.arguments is not None]
    if any(each != wanted[0] for each in wanted[1:]):
        decision, reasons = "deny", ["two hooks want different arguments for this call"]
    return HookAnswer(
        decision,
        capped("\n".join(dict.fromkeys(reasons))),
        wanted[0] if wanted else None,
        next((answer.output for answer in reversed(answers) if answer.output is not None), None),
        tuple(text for answer in answers for text in answer.context),
        next((answer.stop for answer in answers if answer.stop is not None), None),
        tuple(text for answer in answers for text in answer.messages),
        tuple(update for answer in answers for update in answer.updates),
        any(answer.interrupt and answer.decision == decision for answer in answers),
    )


def capped(text: str) -> str:
    return text if len(text) <= CAP else text[: CAP - len(_CUT)] + _CUT


def _common(event: HookEvent, said: dict[str, Json]) -> HookAnswer:
    goes_on = said.get("continue", True)
    if not isinstance(goes_on, bool):
        raise Unreadable("continue is not true or false")
    stop = None if goes_on else _text(said, "stopReason") or "a hook ended the turn"
    message = _text(said, "systemMessage")
    decision = said.get("decision")
    if decision not in (None, "block", "approve"):
        raise Unreadable(f"decision is {str(decision)[:40]!r}, not 'block'")
    reason = _text(said, "reason")
    verdict: Literal["", "block"] = "block" if decision == "block" and event in _BLOCKS else ""
    answer = HookAnswer(verdict, reason, stop=stop, messages=(message,) if message else ())
    if decision == "block" and event == "PostToolBatch" and stop is None:
        return replace(answer, stop=reason or "a hook ended the turn")
    return answer


def _before_call(said: dict[str, Json], special: dict[str, Json], answer: HookAnswer) -> HookAnswer:
    decision = special.get("permissionDecision")
    # The older form, which hooks in use still speak.
    older = {"block": "deny", "approve": "allow"}.get(str(said.get("decision")))
    decision = older if decision is None else decision
    if decision is not None and decision not in ("allow", "deny", "ask", "defer"):
        raise Unreadable(f"permissionDecision is {str(decision)[:40]!r}, not allow, deny or ask")
    verdict: Literal["", "allow", "ask", "deny"] = ""
    if decision in ("ask", "defer"):
        # To defer is to leave it to whoever is in charge, which is what a question does.
        verdict = "ask"
    elif decision in ("allow", "deny"):
        verdict = "allow" if decision == "allow" else "deny"
    reason = _text(special, "permissionDecisionReason") or answer.reason
    return replace(answer, decision=verdict, reason=reason, arguments=_arguments(special))


def _on_question(special: dict[str, Json], answer: HookAnswer) -> HookAnswer:
    if special.get("decision") is None:
        return answer
    said = _object(special["decision"], "decision")
    behavior = said.get("behavior")
    if behavior not in ("allow", "deny"):
        raise Unreadable(f"decision.behavior is {str(behavior)[:40]!r}, not allow or deny")
    if behavior == "deny":
        return replace(answer, decision="deny", reason=_text(said, "message"), interrupt=said.get("interrupt") is True)
    updates = said.get("updatedPermissions")
    if updates is not None and not isinstance(updates, list):
        raise Unreadable("updatedPermissions is not a list")
    listed = tuple(_object(each, "updatedPermissions") for each in cast("list[Json]", updates or []))
    return replace(answer, decision="allow", arguments=_arguments(said), updates=listed)


def _arguments(said: dict[str, Json]) -> dict[str, Json] | None:
    given = said.get("updatedInput")
    return None if given is None else _object(given, "updatedInput")


def _object(value: Json, where: str) -> dict[str, Json]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unreadable(f"{where} is not an object")
    return cast("dict[str, Json]", value)


def _text(said: dict[str, Json], key: str) -> str:
    value = said.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unreadable(f"{key} is not text")
    return capped(value)


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
