"""The result object of a turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import Struct

from assay.app.messages.blocks import STOPS, usage_object
from assay.core.check import Verdict
from assay.core.errors import AssayError
from assay.core.events import AttemptFinished, AttemptSelected, ModelReplied, TurnEnded
from assay.core.ids import new_id
from assay.core.messages import Failure, Json, ToolCall, Usage
from assay.core.model import Profile
from assay.run.answer import NO_ANSWER

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
    each: list[dict[str, Json]] = []
    """The attempts, as programs are told of them."""
    chosen: AttemptSelected | None = None
    replies: int = 0
    told: tuple[int, int] = (0, 0)
    """Requests and tokens of this log that attempts before were told with."""
    agents: int = 0
    """Tokens that sub-agents used."""
    held: list[str] = []
    """Protected paths that commands made or changed and that were taken back."""
    failure: Failure | None = None
    """Why the last request had no reply."""
    last_sent: int = 0
    """Tokens of the last request."""

    def add(self, event: ModelReplied, fallback: str) -> None:
        message = event.message
        name = message.model or fallback
        self.usage = self.usage + message.usage
        self.by_role[event.role] = self.by_role.get(event.role, 0) + message.usage.total
        self.by_model[name] = self.by_model.get(name, Usage()) + message.usage
        before = self.dollars.get(name, 0.0)
        self.dollars[name] = None if event.dollars is None or before is None else before + event.dollars
        self.api_seconds += event.seconds
        self.replies += event.step > 0
        self.stop = message.stop
        self.failure = message.failure
        self.last_sent = message.usage.sent

    def add_agent(self, event: ModelReplied, kind: str) -> None:
        """What a sub-agent used: part of all tokens, under a role of its own."""
        tokens = event.message.usage.total
        role = f"agent {kind}"
        self.by_role[role] = self.by_role.get(role, 0) + tokens
        self.agents += tokens

    def add_attempt(self, event: AttemptFinished, fallback: str) -> None:
        """One attempt. What one with a log of its own used is part of all tokens, under a role of its own; of others,
        the requests since the one before are counted already."""
        self.attempts = event.number
        self.first_passed = self.first_passed or (event.number == 1 and event.result == "green")
        steps, tokens = event.steps, event.usage.total
        if event.log:
            name = event.model or fallback
            self.by_role[ATTEMPT] = self.by_role.get(ATTEMPT, 0) + tokens
            self.agents += tokens
            self.by_model[name] = self.by_model.get(name, Usage()) + event.usage
            before = self.dollars.get(name, 0.0)
            self.dollars[name] = None if event.dollars is None or before is None else before + event.dollars
        else:
            steps, tokens = self.replies - self.told[0], self.usage.total - self.told[1]
            self.told = (self.replies, self.usage.total)
        row: dict[str, Json] = {"number": event.number, "result": event.result, "model": event.model or fallback}
        self.each.append({**row, "tokens": tokens, "steps": steps, "why": event.note})

    @property
    def cost(self) -> float:
        """Dollars, as far as prices are known."""
        return sum(each or 0.0 for each in self.dollars.values())

    def by_model_object(self, profile: Profile) -> dict[str, Json]:
        return {name: _model_usage(name, self, profile) for name in self.by_model}

    def add_held(self, debug: dict[str, Json]) -> None:
        """From what a finished call tells of itself."""
        found = cast("list[Json]", debug.get("held") or [])
        self.held += [path for path in found if isinstance(path, str) and path not in self.held]


ATTEMPT = "attempt"
"""The role of what attempts beside the turn's own used."""
PROMPT_REFUSED = "prompt_refused"
"""A hook kept the turn from beginning."""
_API_FAILURES = frozenset({"auth", "unavailable", "usage"})
API_ERROR = "API Error: "
"""How the text of a result begins that the provider is to blame for; hosts match on it."""


def result_object(
    ended: TurnEnded,
    totals: Totals,
    session: str,
    profile: Profile,
    denials: list[ToolCall],
    structured: Json = None,
    *,
    questions: Sequence[dict[str, Json]] | None = None,
) -> dict[str, Json]:
    """One object with every key of the field's result objects, and `assay`: outcome, criteria, evidence, diff, and what
    was asked in vain."""
    verdict = ended.verdict
    fine = verdict.outcome in _FINE
    subtype = "success"
    if verdict.outcome == "budget":
        subtype = "error_max_turns" if "--max-turns" in verdict.why else "error_max_budget_usd"
    elif not fine and verdict.outcome not in _API_FAILURES:
        subtype = "error_during_execution"
        if verdict.why == NO_ANSWER:
            subtype = "error_max_structured_output_retries"
    result: dict[str, Json] = {
        "type": "result",
        "subtype": subtype,
        "is_error": not fine,
        "duration_ms": round(ended.seconds * 1000),
        "duration_api_ms": round(totals.api_seconds * 1000),
        # One request more than the limit allows was wanted.
        "num_turns": ended.steps + (subtype == "error_max_turns"),
        "result": ended.text,
        "stop_reason": STOPS.get(totals.stop),
        "terminal_reason": _terminal_reason(ended, totals, subtype),
        "session_id": session,
        "total_cost_usd": ended.dollars or 0.0,
        "usage": usage_object(totals.usage),
        "modelUsage": totals.by_model_object(profile),
        "permission_denials": [
            {"tool_name": call.name, "tool_use_id": call.id, "tool_input": call.arguments} for call in denials
        ],
        "uuid": new_id(),
        "assay": proof_object(verdict, ended, totals) | {"questions": list(questions or ())},
    }
    if totals.failure and verdict.outcome in _API_FAILURES:
        result["api_error_status"] = totals.failure.status
    if not fine:
        result["errors"] = [verdict.why]
    if structured is not None:
        result["structured_output"] = structured
    return result


def api_failure(ended: TurnEnded, totals: Totals) -> Failure | None:
    """What the provider did wrong, when that is how the turn ended."""
    return totals.failure if ended.verdict.outcome in (*_API_FAILURES, "failed") else None


def hosted_result(result: dict[str, Json], ended: TurnEnded, totals: Totals) -> dict[str, Json]:
    """`result` as programs expect it that know the `claude` command: what a provider did is a success with `is_error`,
    and a prompt or a call that was refused is no error of the turn. `assay` says what we make of it, unchanged."""
    if failure := api_failure(ended, totals):
        said = f"{API_ERROR}{failure.message}"
        # The words stand for a reply, and one of ours ends at a stop sequence.
        return {
            **result,
            "subtype": "success",
            "result": said,
            "errors": [],
            "api_error_status": failure.status,
            "stop_reason": "stop_sequence",
        }
    refused = result["terminal_reason"] == PROMPT_REFUSED
    if refused or ended.verdict.outcome == "needs_approval":
        left_out = {"errors", "terminal_reason"} if refused else {"errors"}
        fine: dict[str, Json] = {"subtype": "success", "is_error": False}
        return {key: value for key, value in result.items() if key not in left_out} | fine
    return result


def _terminal_reason(ended: TurnEnded, totals: Totals, subtype: str) -> str:
    match ended.verdict.outcome:
        case "budget":
            return "max_turns" if subtype == "error_max_turns" else "budget_exhausted"
        case "interrupted":
            return "aborted_tools" if totals.stop == "calls" else "aborted_streaming"
        case _ if totals.failure is None:
            stuck = subtype == "error_max_structured_output_retries"
            return "structured_output_retry_exhausted" if stuck else "completed"
        case _:
            return "prompt_too_long" if totals.failure.kind == "context_too_long" else "api_error"


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
            "made": totals.chosen.made if totals.chosen else max(totals.attempts, 1),
            "first_passed": _first_passed(verdict, totals),
            "selected": ended.selected,
            "why": totals.chosen.why if totals.chosen else verdict.why,
            "each": list(totals.each),
        },
        "tokens": {"total": totals.usage.total + totals.agents, "by_role": totals.by_role},
        "cost_known": ended.dollars is not None,
        "unchecked": list(verdict.unchecked),
        "questions": [],
    }


def _first_passed(verdict: Verdict, totals: Totals) -> bool:
    if totals.chosen:
        return totals.chosen.first_passed
    return totals.first_passed or (not totals.attempts and verdict.outcome == "verified")


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
