"""What hooks say: JSON of any shape, exit codes, and several answers as one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.hooks import SILENT, HookAnswer
from assay.policy.hooks.config import EVENTS
from assay.policy.hooks.said import CAP, Unreadable, merged, of_output, of_process

from .test_hook_config import JSON

KEYS = st.sampled_from([
    "continue", "stopReason", "systemMessage", "decision", "reason", "hookSpecificOutput", "permissionDecision",
    "permissionDecisionReason", "updatedInput", "additionalContext", "updatedToolOutput", "behavior", "message",
    "updatedPermissions", "interrupt", "hookEventName", "retry",
])  # fmt: skip
SAID = st.recursive(
    JSON | st.sampled_from([True, False, "allow", "deny", "ask", "block", *EVENTS]),
    lambda inner: st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)
ORDER = ("", "allow", "ask", "block", "deny")
ANSWERS = st.builds(HookAnswer, st.sampled_from(ORDER), st.text(max_size=5), st.none() | st.just({"a": 1}))


def special(event: str, **fields: object) -> dict:
    return {"hookSpecificOutput": {"hookEventName": event, **fields}}


@given(st.sampled_from(EVENTS), SAID)
def test_any_output_is_an_answer_or_unreadable(event, value: object) -> None:
    try:
        answer = of_output(event, value)
    except Unreadable as error:
        assert str(error)
        return
    assert answer.decision in ORDER
    assert all(len(text) <= CAP for text in (answer.reason, *answer.context, *answer.messages, answer.stop or ""))


@given(st.sampled_from(EVENTS), st.integers(0, 255), st.text(max_size=200), st.text(max_size=50))
def test_any_process_is_an_answer_or_unreadable(event, code: int, out: str, err: str) -> None:
    try:
        answer = of_process(event, code, out, err)
    except Unreadable:
        return
    assert code in (0, 2)
    assert answer.decision not in ("allow", "ask") or out.strip().startswith("{")


@given(st.lists(ANSWERS, max_size=5))
def test_the_strictest_counts(answers: list[HookAnswer]) -> None:
    whole = merged(answers)
    assert ORDER.index(whole.decision) == max((ORDER.index(each.decision) for each in answers), default=0)


@given(st.lists(ANSWERS, max_size=4), ANSWERS)
def test_one_more_hook_never_loosens(answers: list[HookAnswer], more: HookAnswer) -> None:
    assert ORDER.index(merged([*answers, more]).decision) >= ORDER.index(merged(answers).decision)


def test_hooks_that_want_different_arguments_get_the_call_denied() -> None:
    wanted = [HookAnswer("allow", arguments={"a": 1}), HookAnswer("allow", arguments={"a": 2})]
    assert merged(wanted).decision == "deny"
    assert merged([wanted[0], wanted[0]]).arguments == {"a": 1}


@pytest.mark.parametrize(
    ("event", "said", "expected"),
    [
        ("PreToolUse", special("PreToolUse", permissionDecision="deny", permissionDecisionReason="no"),
         HookAnswer("deny", "no")),
        ("PreToolUse", special("PreToolUse", permissionDecision="allow", updatedInput={"command": "ls"}),
         HookAnswer("allow", arguments={"command": "ls"})),
        ("PreToolUse", special("PreToolUse", permissionDecision="ask"), HookAnswer("ask")),
        ("PreToolUse", special("PreToolUse", permissionDecision="defer"), HookAnswer("ask")),
        ("PreToolUse", {"decision": "block", "reason": "old form"}, HookAnswer("deny", "old form")),
        ("PreToolUse", {"decision": "approve"}, HookAnswer("allow")),
        ("PreToolUse", {}, SILENT),
        ("PreToolUse", {"continue": False, "stopReason": "enough"}, HookAnswer(stop="enough")),
        ("PreToolUse", {"systemMessage": "hear"}, HookAnswer(messages=("hear",))),
        ("PermissionRequest",
         special("PermissionRequest", decision={"behavior": "deny", "message": "m", "interrupt": True}),
         HookAnswer("deny", "m", interrupt=True)),
        ("PermissionRequest",
         special("PermissionRequest",
                 decision={"behavior": "allow", "updatedInput": {}, "updatedPermissions": [{"a": 1}]}),
         HookAnswer("allow", arguments={}, updates=({"a": 1},))),
        ("PostToolUse", special("PostToolUse", updatedToolOutput={"x": 1}), HookAnswer(output='{"x": 1}')),
        ("PostToolUse", {"decision": "block", "reason": "bad"}, HookAnswer("block", "bad")),
        ("UserPromptSubmit", special("UserPromptSubmit", additionalContext="c"), HookAnswer(context=("c",))),
        ("Stop", {"decision": "block", "reason": "more"}, HookAnswer("block", "more")),
        ("PostToolBatch", {"decision": "block", "reason": "enough"}, HookAnswer("", "enough", stop="enough")),
        ("Notification", {"decision": "block"}, SILENT),
        ("PermissionDenied", special("PermissionDenied", retry=True),
         HookAnswer(context=("A hook says that this call may be tried again.",))),
    ],
)  # fmt: skip
def test_rows(event, said: dict, expected: HookAnswer) -> None:
    assert of_output(event, said) == expected
    assert of_process(event, 0, json.dumps(said), "") == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("PreToolUse", HookAnswer("deny", "why")),
        ("PermissionRequest", HookAnswer("deny", "why")),
        ("UserPromptSubmit", HookAnswer("block", "why")),
        ("Stop", HookAnswer("block", "why")),
        ("SubagentStop", HookAnswer("block", "why")),
        ("PostToolUse", HookAnswer("block", "why")),
        ("PreCompact", HookAnswer("block", "why")),
        ("PostToolBatch", HookAnswer(stop="why")),
        ("SessionStart", HookAnswer(messages=("why",))),
        ("Notification", HookAnswer(messages=("why",))),
    ],
)
def test_exit_code_two(event, expected: HookAnswer) -> None:
    assert of_process(event, 2, '{"hookSpecificOutput": {"permissionDecision": "allow"}}', " why\n") == expected


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("PreToolUse", special("PreToolUse", permissionDecision="maybe")),
        ("PreToolUse", special("PreToolUse", permissionDecision=["deny"])),
        ("PreToolUse", special("PreToolUse", updatedInput="ls")),
        ("PreToolUse", special("PostToolUse", permissionDecision="deny")),
        ("PreToolUse", {"hookSpecificOutput": []}),
        ("PreToolUse", {"continue": "no"}),
        ("PreToolUse", {"decision": "deny"}),
        ("PreToolUse", {"systemMessage": 3}),
        ("PreToolUse", []),
        ("PermissionRequest", special("PermissionRequest", decision={"behavior": "perhaps"})),
        ("PermissionRequest", special("PermissionRequest", decision={"behavior": "allow", "updatedPermissions": 3})),
        ("Stop", {"reason": {}}),
    ],
)
def test_what_is_no_answer(event, said: object) -> None:
    with pytest.raises(Unreadable):
        of_output(event, said)


def test_plain_output_is_context_where_that_is_meant() -> None:
    assert of_process("SessionStart", 0, "hello\n", "").context == ("hello",)
    assert of_process("PreToolUse", 0, "hello\n", "") == SILENT
    assert len(of_process("UserPromptSubmit", 0, "x" * 50_000, "").context[0]) == CAP
    with pytest.raises(Unreadable, match="not valid JSON"):
        of_process("PreToolUse", 0, "{oops", "")
    with pytest.raises(Unreadable, match="exit 1: boom"):
        of_process("PreToolUse", 1, "", "boom\nmore")
