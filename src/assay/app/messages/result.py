"""The public projection of a turn: the result object, and the lines of `stream-json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import msgspec
from msgspec import Struct

from assay.core.check import Verdict
from assay.core.errors import AssayError
from assay.core.events import CallFinished, ModelReplied, TurnEnded
from assay.core.ids import new_id
from assay.core.messages import AssistantMessage, Image, Json, Text, Thinking, ToolCall, Usage
from assay.core.model import CallDelta, Profile, TextDelta, ThinkingDelta
from assay.core.store import Record
from assay.run.bus import Seen

_FINE = frozenset({"answered", "verified", "partial", "unverified"})


class Totals(Struct):
    """Sums over a turn for the result object, by model and by role."""

    usage: Usage = Usage()
    by_role: dict[str, int] = {}
    by_model: dict[str, Usage] = {}
    dollars: dict[str, float | None] = {}
    api_seconds: float = 0.0
    stop: str = ""
    attempts: int = 0
    first_passed: bool = False
    held: list[str] = []
    """Protected paths that commands made or changed and that were taken back."""
    reason: Literal["completed", "api_error"] = "completed"

    def add(self, event: ModelReplied, fallback: str) -> None:
        message = event.message
        name = message.model or fallback
        self.usage = self.usage + message.usage
        self.by_role[event.role] = self.by_role.get(event.role, 0) + message.usage.total
        self.by_model[name] = self.by_model.get(name, Usage()) + message.usage
        before = self.dollars.get(name, 0.0)
        self.dollars[name] = None if event.dollars is None or before is None else before + event.dollars
        self.api_seconds += event.seconds
        self.stop = message.stop
        self.reason = "api_error" if message.failure else "completed"

    def add_held(self, debug: dict[str, Json]) -> None:
        """From what a finished call tells of itself."""
        found = cast("list[Json]", debug.get("held") or [])
        self.held += [path for path in found if isinstance(path, str) and path not in self.held]


_STOP = {"end": "end_turn", "calls": "tool_use", "length": "max_tokens", "refused": "refusal"}


def usage_object(usage: Usage) -> dict[str, Json]:
    return {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }


def result_object(
    ended: TurnEnded, totals: Totals, session: str, profile: Profile, denials: list[ToolCall], structured: Json = None
) -> dict[str, Json]:
    """One object with every key of the field's result objects, and `assay`: outcome, criteria, evidence, diff."""
    verdict = ended.verdict
    fine = verdict.outcome in _FINE
    subtype = "success"
    if verdict.outcome == "budget":
        subtype = "error_max_turns" if "--max-turns" in verdict.why else "error_max_budget_usd"
    elif not fine and verdict.outcome not in ("auth", "unavailable", "usage"):
        subtype = "error_during_execution"
    result: dict[str, Json] = {
        "type": "result",
        "subtype": subtype,
        "is_error": not fine,
        "duration_ms": round(ended.seconds * 1000),
        "duration_api_ms": round(totals.api_seconds * 1000),
        "num_turns": ended.steps,
        "result": ended.text,
        "stop_reason": _STOP.get(totals.stop),
        "terminal_reason": totals.reason if verdict.outcome != "budget" else "budget_exhausted",
        "session_id": session,
        "total_cost_usd": ended.dollars or 0.0,
        "usage": usage_object(totals.usage),
        "modelUsage": {name: _model_usage(name, totals, profile) for name in totals.by_model},
        "permission_denials": [
            {"tool_name": call.name, "tool_use_id": call.id, "tool_input": call.arguments} for call in denials
        ],
        "uuid": new_id(),
        "assay": proof_object(verdict, ended, totals),
    }
    if not fine:
        result["errors"] = [verdict.why]
    if structured is not None:
        result["structured_output"] = structured
    return result


def with_questions(result: dict[str, Json], questions: Sequence[dict[str, Json]]) -> dict[str, Json]:
    """`result` with what was asked in vain under `assay.questions`."""
    proof = cast("dict[str, Json]", result["assay"])
    return {**result, "assay": {**proof, "questions": list(questions)}}


def failure_object(error: AssayError, seconds: float) -> dict[str, Json]:
    """The result object of a run that could not begin, or whose end could not be written down."""
    verdict = Verdict(error.outcome, str(error))
    ended = TurnEnded("", verdict, str(error), 0, seconds, None)
    return result_object(ended, Totals(), "", Profile("", "", ""), [])


def proof_object(verdict: Verdict, ended: TurnEnded, totals: Totals) -> dict[str, Json]:
    """What only we have, schema 1 (contract, section 4)."""
    return {
        "schema": 1,
        "outcome": verdict.outcome,
        "why": verdict.why,
        "criteria": [msgspec.to_builtins(criterion) for criterion in verdict.criteria],
        "evidence": [
            {
                "criterion": row.criterion,
                "command": row.command,
                "class": row.cls,
                "before": row.before,
                "after": row.after,
                "tree": row.tree,
                "log": row.log,
                "seconds": row.seconds,
                "note": row.note,
            }
            for row in verdict.evidence
        ],
        "tree": verdict.tree,
        "diff": msgspec.to_builtins(verdict.diff),
        "held": list(totals.held),
        "attempts": {
            "made": max(totals.attempts, 1),
            "first_passed": totals.first_passed or (not totals.attempts and verdict.outcome == "verified"),
            "selected": ended.selected,
            "why": verdict.why,
        },
        "tokens": {"total": totals.usage.total, "by_role": totals.by_role},
        "cost_known": ended.dollars is not None,
        "unchecked": list(verdict.unchecked),
        "questions": [],
    }


def _model_usage(name: str, totals: Totals, profile: Profile) -> dict[str, Json]:
    usage = totals.by_model[name]
    return {
        "inputTokens": usage.input,
        "outputTokens": usage.output,
        "cacheReadInputTokens": usage.cache_read,
        "cacheCreationInputTokens": usage.cache_write,
        "webSearchRequests": 0,
        "costUSD": totals.dollars.get(name) or 0.0,
        "contextWindow": profile.context,
        "maxOutputTokens": profile.max_output,
    }


def stream_line(seen: Seen, session: str, *, partial: bool) -> dict[str, Json] | None:
    """The stream-json object for what was seen, or None when it has none."""
    match seen:
        case Record(event=ModelReplied(message=message)) if message.failure is None:
            return _line("assistant", session, message=_assistant(message))
        case Record(event=CallFinished(result=result)):
            block: dict[str, Json] = {
                "type": "tool_result",
                "tool_use_id": result.call,
                "content": [_block(part) for part in result.content],
                "is_error": result.is_error,
            }
            return _line("user", session, message={"role": "user", "content": [block]})
        case TextDelta(text) if partial:
            return _delta(session, {"type": "text_delta", "text": text})
        case ThinkingDelta(text) if partial:
            return _delta(session, {"type": "thinking_delta", "thinking": text})
        case CallDelta(arguments=arguments) if partial:
            return _delta(session, {"type": "input_json_delta", "partial_json": arguments})
        case _:
            return None


def init_line(session: str, cwd: str, model: str, tools: list[str], mode: str, version: str) -> dict[str, Json]:
    return {
        "type": "system",
        "subtype": "init",
        "cwd": cwd,
        "session_id": session,
        "uuid": new_id(),
        "tools": tools,
        "mcp_servers": [],
        "model": model,
        "permissionMode": mode,
        "slash_commands": [],
        "agents": [],
        "skills": [],
        "plugins": [],
        "output_style": "default",
        "assay_version": version,
    }


def _line(kind: str, session: str, **fields: Json) -> dict[str, Json]:
    return {"type": kind, **fields, "parent_tool_use_id": None, "session_id": session, "uuid": new_id()}


def _delta(session: str, delta: dict[str, Json]) -> dict[str, Json]:
    return _line("stream_event", session, event={"type": "content_block_delta", "index": 0, "delta": delta})


def _assistant(message: AssistantMessage) -> dict[str, Json]:
    return {
        "type": "message",
        "role": "assistant",
        "model": message.model,
        "content": [_block(part) for part in message.parts],
        "stop_reason": _STOP.get(message.stop),
        "usage": usage_object(message.usage),
    }


def _block(part: Text | Image | Thinking | ToolCall) -> dict[str, Json]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Image(media_type, data):
            return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
        case Thinking(text, signature):
            return {"type": "thinking", "thinking": text, "signature": signature}
        case ToolCall(id, name, arguments):
            return {"type": "tool_use", "id": id, "name": name, "input": arguments}
