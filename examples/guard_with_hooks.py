"""Hooks: functions of yours that are run at points of a session, and have a say.

    python guard_with_hooks.py

One refuses commands that push, one notes every call that was made, one adds a line to every prompt. A hook that fails
where it guards a call refuses the call.
"""

import asyncio

from assay import HookMatcher, Options, ResultMessage, query

CALLS: list[str] = []


async def no_push(data, call, context):
    if "git push" not in data["tool_input"].get("command", ""):
        return {}
    decision = {"permissionDecision": "deny", "permissionDecisionReason": "Pushing is for people."}
    return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **decision}}


async def note(data, call, context):
    CALLS.append(data["tool_name"])
    return {}


async def house_rule(data, call, context):
    return {"hookSpecificOutput": {"hookEventName": "UserPromptSubmit", "additionalContext": "Answer in one line."}}


async def main() -> None:
    hooks = {
        "PreToolUse": [HookMatcher("Bash", [no_push], timeout=10)],
        "PostToolUse": [HookMatcher(hooks=[note])],
        "UserPromptSubmit": [HookMatcher(hooks=[house_rule])],
    }
    async for message in query(prompt="Publish the branch.", options=Options(hooks=hooks, max_turns=10)):
        if isinstance(message, ResultMessage):
            print(message.result)
    print("calls:", ", ".join(CALLS) or "none")


if __name__ == "__main__":
    asyncio.run(main())
