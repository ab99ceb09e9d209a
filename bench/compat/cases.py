"""The conversations: what the model says, what the host says, and how the host answers when it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from assay.testing.server import Call, Fault, Reply
from assay.testing.server.script import Match, Rule, Script

Step = tuple[str, object]
"""`user` TEXT, `control` REQUEST (waits for its answer), `send` REQUEST (doesn't), `raw` LINE, `wait` KIND (the next
message of that type), `pause` SECONDS, `close` (the host ends its output)."""

FILES = {"a.txt": "alpha\nbeta\n", "b.txt": "beta\nbeta\n", "src/m.py": "def f():\n    return 1\n"}
AGENTS = {"scout": {"description": "looks around", "prompt": "You look around.", "tools": ["Read"]}}
SCHEMA = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'
BYPASS = ("--permission-mode", "bypassPermissions")
ASK = ("--permission-prompt-tool", "stdio")


class Case(NamedTuple):
    name: str
    script: Script | Sequence[Reply]
    steps: Sequence[Step] = (("user", "go"), ("wait", "result"), ("close", None))
    argv: Sequence[str] = BYPASS
    hooks: Mapping[str, object] | None = None
    """Event -> what the callback answers; registered by `initialize`."""
    permission: Mapping[str, object] | None = None
    """What the host answers when it is asked for leave; None refuses."""
    agents: Mapping[str, object] | None = None
    initialize: bool = True
    env: Mapping[str, str] = {}


def _calls(*calls: Call, then: str = "Done.") -> list[Reply]:
    return [Reply("", calls=calls), Reply(then)]


def _bash(command: str, **more: object) -> Call:
    return Call("Bash", {"command": command, "description": "run", **more})


def _read(path: str) -> Call:
    return Call("Read", {"file_path": path})


def _edit(path: str, old: str, new: str) -> Call:
    return Call("Edit", {"file_path": path, "old_string": old, "new_string": new})


ALLOW = {"behavior": "allow"}
DENY = {"behavior": "deny", "message": "not today"}
TWICE = (("user", "one"), ("wait", "result"), ("user", "two"), ("wait", "result"), ("close", None))
QUEUED = (("user", "one"), ("user", "two"), ("wait", "result"), ("wait", "result"), ("close", None))
SLOW = Reply("word " * 400, pace=0.05)
WORDS = (("wait", "stream_event"),) * 6
STOP = (("control", {"subtype": "interrupt"}), ("wait", "result"))


def _controls(*requests: dict[str, object]) -> tuple[Step, ...]:
    return (*(("control", request) for request in requests), ("user", "go"), ("wait", "result"), ("close", None))


CASES: tuple[Case, ...] = (
    Case("text", [Reply("Hello.")]),
    Case("thinking", [Reply("Hello.", thinking="Hm.")]),
    Case("two turns", [Reply("One."), Reply("Two.")], TWICE),
    Case("two messages at once", [Reply("One."), Reply("Two."), Reply("Three.")], QUEUED),
    Case("partial messages", [Reply("Hello.", thinking="Hm.")], argv=(*BYPASS, "--include-partial-messages")),
    Case("command", _calls(_bash("echo seen"))),
    Case("command fails", _calls(_bash("echo lost; exit 3"))),
    Case("command asks, allowed", _calls(_bash("touch made.txt")), argv=ASK, permission=ALLOW),
    Case("command asks, denied", _calls(_bash("touch made.txt")), argv=ASK, permission=DENY),
    Case(
        "command asks, interrupted",
        _calls(_bash("touch made.txt")),
        argv=ASK,
        permission={**DENY, "interrupt": True},
    ),
    Case(
        "command asks, changed",
        _calls(_bash("touch made.txt")),
        argv=ASK,
        permission={**ALLOW, "updatedInput": {"command": "touch other.txt"}},
    ),
    Case("read", _calls(_read("a.txt"))),
    Case("read what is not there", _calls(_read("missing.txt"))),
    Case("edit", [Reply("", calls=(_read("a.txt"),)), *_calls(_edit("a.txt", "alpha", "gamma"))]),
    Case("edit twice there", [Reply("", calls=(_read("b.txt"),)), *_calls(_edit("b.txt", "beta", "x"))]),
    Case("write", _calls(Call("Write", {"file_path": "new.txt", "content": "new\n"}))),
    Case("write over unread", _calls(Call("Write", {"file_path": "a.txt", "content": "new\n"}))),
    Case("parallel reads", _calls(_read("a.txt"), _read("b.txt"))),
    Case("unknown tool", _calls(Call("Fly", {"to": "x"}))),
    Case("wrong arguments", _calls(Call("Read", {"path_to": 1}))),
    Case("sub-agent", Script(
        (Reply("", calls=(Call("Agent", {"description": "look", "prompt": "SCOUT now", "subagent_type": "scout",
                                         "run_in_background": False}),)), Reply("Done.")),
        rules=(Rule(Match(text="You look around."), Reply("Seen.")),)), agents=AGENTS),
    Case("plan mode", _calls(Call("Write", {"file_path": "n.txt", "content": "x"})),
         argv=("--permission-mode", "plan")),
    Case("max turns", [Reply("", calls=(_bash(f"echo {n}"),)) for n in range(6)], argv=(*BYPASS, "--max-turns", "2")),
    Case("structured", [Reply("", calls=(Call("StructuredOutput", {"n": 3}),)), Reply("Done.")],
         argv=(*BYPASS, "--json-schema", SCHEMA)),
    Case("no such model", [Reply("x", fault=Fault("status", times=None, status=404))]),
    Case("key refused", [Reply("x", fault=Fault("status", times=None, status=401))]),
    Case("overloaded once", [Reply("Hello.", fault=Fault("status", times=1, status=529))]),
    Case("interrupt", [SLOW], (("user", "go"), *WORDS, *STOP, ("close", None)),
         argv=(*BYPASS, "--include-partial-messages")),
    Case("interrupt, then go on", Script((SLOW,), rules=(Rule(Match(text="GO ON"), Reply("Hello.")),)),
         (("user", "go"), *WORDS, *STOP, ("user", "GO ON"), ("wait", "result"), ("close", None)),
         argv=(*BYPASS, "--include-partial-messages")),
    Case("interrupt a command", _calls(_bash("sleep 30")),
         (("user", "go"), ("wait", "assistant"), ("pause", 0.7), *STOP, ("close", None))),
    Case("set model and mode", [Reply("Hello.")], _controls(
        {"subtype": "set_model", "model": "claude-haiku-4-5"},
        {"subtype": "set_permission_mode", "mode": "acceptEdits"}, {"subtype": "mcp_status"},
        {"subtype": "get_context_usage"})),
    Case("wrong requests", [Reply("Hello.")], _controls(
        {"subtype": "fly"}, {"subtype": "set_permission_mode", "mode": "nonsense"},
        {"subtype": "mcp_reconnect", "serverName": "none"}, {"subtype": "stop_task", "task_id": "none"},
        {"subtype": "rewind_files", "user_message_id": "none"})),
    Case("a hook denies", _calls(_bash("echo seen")), hooks={"PreToolUse": {"hookSpecificOutput": {
        "hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": "no"}}}),
    Case("a hook adds context", [Reply("Hello.")], hooks={"UserPromptSubmit": {"hookSpecificOutput": {
        "hookEventName": "UserPromptSubmit", "additionalContext": "the sky is green"}}}),
    Case("a hook blocks the prompt", [Reply("Hello.")], hooks={
        "UserPromptSubmit": {"decision": "block", "reason": "not this"}}),
    Case("a hook stops", _calls(_bash("echo seen")), hooks={
        "PostToolUse": {"continue": False, "stopReason": "enough"}}),
    Case("a hook changes a call", _calls(_bash("touch made.txt")), hooks={"PreToolUse": {"hookSpecificOutput": {
        "hookEventName": "PreToolUse", "permissionDecision": "allow",
        "updatedInput": {"command": "touch other.txt", "description": "run"}}}}),
    Case("a Stop hook ends", [Reply("Hello.")], hooks={"Stop": {"continue": False, "stopReason": "enough"}}),
    Case("session states", _calls(_bash("touch made.txt")), argv=ASK, permission=ALLOW,
         env={"CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1"}),
    Case("replayed words", [Reply("Hello.")], argv=(*BYPASS, "--replay-user-messages")),
    Case("blocks", [Reply("Hello.")], (("user", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]),
                                       ("wait", "result"), ("close", None))),
    Case("command of the session", [Reply("Hello.")], (("user", "/cost"), ("wait", "result"), ("close", None))),
    Case("command that is none", [Reply("Hello.")], (("user", "/nosuch"), ("wait", "result"), ("close", None))),
    Case("allowed by a flag", _calls(_bash("touch made.txt")), argv=(*ASK, "--allowedTools", "Bash(touch:*)")),
    Case("forbidden by a flag", _calls(_bash("touch made.txt")), argv=(*BYPASS, "--disallowedTools", "Bash")),
    Case("nobody to ask", _calls(_bash("curl -s http://127.0.0.1:9/")), argv=()),
    Case("never asks", _calls(_bash("touch made.txt")), argv=(*ASK, "--permission-mode", "dontAsk")),
    Case("structured, wrong once", [Reply("", calls=(Call("StructuredOutput", {"n": "x"}),)),
                                    Reply("", calls=(Call("StructuredOutput", {"n": 3}),)), Reply("Done.")],
         argv=(*BYPASS, "--json-schema", SCHEMA)),
    Case("glob and grep", _calls(Call("Glob", {"pattern": "**/*.py"}), Call("Grep", {"pattern": "alpha"}))),
    Case("todo", _calls(Call("TodoWrite", {"todos": [
        {"content": "Look", "status": "in_progress", "activeForm": "Looking"}]}))),
    Case("no initialize", [Reply("Hello.")], initialize=False),
    Case("input ends early", [Reply("Hello.")], (("user", "go"), ("close", None))),
    Case("clear", [Reply("Hello.")], (("user", "/clear"), *TWICE[:2], ("close", None))),
    Case("unknown option", [Reply("Hello.")], (("close", None),), argv=("--no-such-option",), initialize=False),
    Case("unknown session", [Reply("Hello.")], (("user", "go"), ("close", None)),
         argv=("--resume=00000000-0000-4000-8000-000000000000",), initialize=False),
    Case("malformed line", [Reply("Hello.")], (("raw", '{"type":'), ("close", None)), initialize=False),
)  # fmt: skip
