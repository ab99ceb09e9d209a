"""Where a run lets the hooks of its user speak: around calls, at the start and the end of turns, before a compaction.

What hooks say to the model is put before it between two steps, marked as theirs; what they say to the person is a
notice. A hook that ends the turn does not judge it: the done gate does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from assay.core.events import CallFinished, ContextAdded, Noticed
from assay.core.hooks import SILENT, HookAnswer, HookEvent, Hooks
from assay.core.messages import Failure, Json, Text, ToolCall
from assay.core.policy import WORKSPACE, Approval, Approver, Decision, Question
from assay.core.tool import ToolOutcome
from assay.loop.calls import Guards, Word
from assay.loop.turn import Answered, Inject, Middleware, Stop

if TYPE_CHECKING:
    from assay.run.run import Run

STOP_BLOCKS = 8
"""How often hooks may send a model on that wants to end its turn."""
_FAILURES = {
    "auth": "authentication_failed", "quota": "billing_error", "rate_limit": "rate_limit",
    "bad_request": "invalid_request", "server": "server_error", "overloaded": "server_error",
}  # fmt: skip
Updates = Callable[[Sequence[dict[str, Json]]], object]


class Halting(Guards, Middleware):
    """Ends the turn when a person says so in an answer; what a run has without hooks."""

    async def after_calls(self, answered: Sequence[Answered]) -> Stop | Inject | None:
        del answered
        reason, self.halted = self.halted, ""
        return Stop("interrupted", reason) if reason else None


class Hooked(Halting):
    """The hooks of a run. `source`: startup, resume, fork or clear. `update` carries out the changes of permissions
    that a hook wants."""

    def __init__(self, run: Run, hooks: Hooks, source: str = "startup", update: Updates | None = None) -> None:
        self._run = run
        self._hooks = hooks
        self.update = update
        self.stopped = ""
        """Why a hook ended the turn; empty when none did."""
        self.ended_by = ""
        """How a hook ended the turn, or kept it from beginning: prompt_refused, hook_stopped or stop_hook_prevented;
        empty when none did."""
        self.began = False
        self._source = source
        self._ending: str | None = None
        self._blocks = 0
        self._texts: list[str] = []
        self._greeting = ""
        """What was said at the start of a session that has had no prompt yet."""

    # --- turns ----------------------------------------------------------------------------------------------------

    async def start(self, source: str) -> str:
        """`SessionStart`: `source` is startup, resume, fork, clear or compact. Returns text for the model."""
        self.began = True
        return _text(await self._fire("SessionStart", source, {"source": source}))

    async def begin_anew(self, source: str) -> None:
        """`SessionStart` of a session that goes on in the place of another; the model hears of it with the next
        prompt."""
        self._greeting = await self.start(source)

    async def submit(self, prompt: str) -> tuple[str, str]:
        """What hooks say before anything of a prompt is kept: why it is refused, and text for the model. The first time
        the session starts, too."""
        self.stopped, self.halted, self._ending, self._blocks = "", "", None, 0
        self.ended_by = ""
        texts = [self._greeting if self.began else await self.start(self._source)]
        self._greeting = ""
        answer = await self._fire("UserPromptSubmit", "", {"prompt": prompt}) if prompt else SILENT
        if answer.decision == "block" or answer.stop is not None:
            self.ended_by = "prompt_refused"
            return answer.stop or answer.reason or "a hook refused the prompt", ""
        return "", "\n".join(text for text in (*texts, _text(answer)) if text)

    async def stop(self, last: str) -> str:
        """`Stop`: what the model has to do before its turn ends, or nothing."""
        data: dict[str, Json] = {"stop_hook_active": self._blocks > 0, "last_assistant_message": last}
        answer = await self._fire("Stop", "", data)
        if answer.stop is not None:
            self._end(answer.stop, "stop_hook_prevented")
            return ""
        owed = [answer.reason or "a hook wants you to go on"] if answer.decision == "block" else []
        owed += answer.context
        if not owed:
            return ""
        if self._blocks >= STOP_BLOCKS:
            self._run.record(Noticed(f"hooks sent the model on {STOP_BLOCKS} times; the turn ends all the same"))
            return ""
        self._blocks += 1
        return "\n".join(owed)

    async def failed(self, failure: Failure) -> None:
        kind = _FAILURES.get(failure.kind, "unknown")
        await self._fire("StopFailure", kind, {"error": kind, "error_details": failure.message})

    async def end(self, reason: str) -> None:
        """`SessionEnd`: reason is clear, resume, prompt_input_exit or other. Once, and only after a start."""
        if self.began:
            self.began = False
            await self._fire("SessionEnd", reason, {"reason": reason})

    async def notify(self, kind: str, message: str, title: str = "") -> None:
        """`Notification`: kind is permission_prompt, idle_prompt, agent_completed, …"""
        data: dict[str, Json] = {"message": message, "notification_type": kind}
        await self._fire("Notification", kind, data | ({"title": title} if title else {}))

    # --- the window -----------------------------------------------------------------------------------------------

    async def before_compaction(self, trigger: str, instructions: str = "") -> str:
        """`PreCompact`, trigger manual or auto: why it must not be, or nothing."""
        data: dict[str, Json] = {"trigger": trigger, "custom_instructions": instructions}
        answer = await self._fire("PreCompact", trigger, data)
        return answer.stop or answer.reason or "a hook" if answer.decision == "block" or answer.stop else ""

    async def after_compaction(self, trigger: str, summary: str) -> None:
        await self._fire("PostCompact", trigger, {"trigger": trigger, "compact_summary": summary})
        self.tell("SessionStart", await self.start("compact"))

    # --- sub-agents, for whoever runs them ---------------------------------------------------------------

    async def agent_started(self, agent: str, kind: str) -> str:
        """`SubagentStart`: text for the sub-agent."""
        return _text(await self._fire("SubagentStart", kind, {"agent_id": agent, "agent_type": kind}))

    async def agent_stops(self, agent: str, kind: str, transcript: str, last: str, *, again: bool = False) -> str:
        """`SubagentStop`: what it has to do before it ends, or nothing. `again`: it was sent on before."""
        data: dict[str, Json] = {
            "agent_id": agent,
            "agent_type": kind,
            "agent_transcript_path": transcript,
            "stop_hook_active": again,
            "last_assistant_message": last,
        }
        answer = await self._fire("SubagentStop", kind, data)
        return answer.reason or "a hook wants you to go on" if answer.decision == "block" else ""

    # --- calls ----------------------------------------------------------------------------------------------------

    async def before(self, call: ToolCall) -> Word:
        answer = await self._fire("PreToolUse", call.name, _use(call))
        if answer.stop is not None:
            # The call is still made, as the interface has it; nothing comes after it.
            self._ending = answer.stop
        self._say(f"PreToolUse {call.name}", "\n".join(answer.context))
        match answer.decision:
            case "deny":
                return Word("deny", answer.reason or "no reason given")
            case "allow" | "ask" as verdict:
                return Word(verdict, answer.reason, answer.arguments)
            case _:
                return Word(None, "", answer.arguments)

    async def ask(self, question: Question, approver: Approver) -> Approval:
        """The hooks and the person are asked side by side; the first answer counts, and the other is not waited for."""
        await self.notify("permission_prompt", f"{question.tool} needs approval: {question.decision.reason}")
        if not self._hooks.listens("PermissionRequest"):
            return await super().ask(question, approver)
        person = asyncio.create_task(super().ask(question, approver))
        hooks = asyncio.create_task(self._permission(question))
        try:
            waiting: set[asyncio.Task[Approval | None]] = {cast("asyncio.Task[Approval | None]", person), hooks}
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for answer in sorted((task.result() for task in done), key=_first_no):
                    if answer and (answer.allowed or answer.message):
                        return answer
            return Approval(False)
        finally:
            for task in (person, hooks):
                task.cancel()
            await asyncio.gather(person, hooks, return_exceptions=True)

    async def refused(self, call: ToolCall, decision: Decision) -> None:
        answer = await self._fire("PermissionDenied", call.name, {**_use(call), "reason": decision.reason})
        self._say(f"PermissionDenied {call.name}", "\n".join(answer.context))

    async def after(self, call: ToolCall, outcome: ToolOutcome, seconds: float) -> ToolOutcome:
        event: HookEvent = "PostToolUseFailure" if outcome.is_error else "PostToolUse"
        text = "\n".join(part.text for part in outcome.content if isinstance(part, Text))
        data: dict[str, Json] = {**_use(call), "duration_ms": round(seconds * 1000)}
        data |= {"error": text} if outcome.is_error else {"tool_response": _response(outcome, text)}
        answer = await self._fire(event, call.name, data)
        said = [answer.reason] if answer.decision == "block" and answer.reason else []
        self._say(f"{event} {call.name}", "\n".join([*said, *answer.context]))
        if answer.stop is not None or self._ending is not None:
            self._end(answer.stop if answer.stop is not None else self._ending or "")
        if answer.output is None:
            return outcome
        return ToolOutcome(
            (Text(answer.output),),
            outcome.display,
            outcome.debug,
            outcome.is_error,
            outcome.seen,
            outcome.finish,
            outcome.label.join(WORKSPACE),
            outcome.loads,
        )

    async def after_calls(self, answered: Sequence[Answered]) -> Stop | Inject | None:
        calls: list[Json] = [{**_use(call), "tool_response": _shown(result)} for call, result in answered]
        answer = await self._fire("PostToolBatch", "", {"tool_calls": calls})
        said = [answer.reason] if answer.decision == "block" and answer.reason else []
        self._say("PostToolBatch", "\n".join([*said, *answer.context]))
        texts, self._texts = self._texts, []
        for text in texts:
            self._run.record(ContextAdded("hook", text, label=WORKSPACE))
        if answer.stop is not None:
            self._end(answer.stop)
        elif self._ending is not None:
            self._end(self._ending)
        if self.stopped:
            await self._run.conclude()
            return Stop(None, self.stopped)
        return await super().after_calls(answered)

    # --- together -------------------------------------------------------------------------------------------------

    async def _permission(self, question: Question) -> Approval | None:
        data: dict[str, Json] = {"tool_name": question.tool, "tool_input": question.arguments}
        answer = await self._fire("PermissionRequest", question.tool, data)
        if answer.decision == "allow" and not question.decision.rule.startswith("person"):
            if self.update and answer.updates:
                self.update(answer.updates)
            return Approval(True, arguments=answer.arguments)
        if answer.decision == "deny":
            if answer.interrupt:
                self.halt(answer.reason)
            return Approval(False, answer.reason or "a hook refused it", interrupt=answer.interrupt)
        return None

    async def _fire(self, event: HookEvent, subject: str, data: dict[str, Json]) -> HookAnswer:
        if not self._hooks.listens(event):
            return SILENT
        answer = await self._hooks.fire(event, subject, data)
        for line in answer.messages:
            self._run.record(Noticed(line))
        return answer

    def _end(self, reason: str, how: str = "hook_stopped") -> None:
        """The turn ends after what is under way."""
        if not self.stopped:
            self.ended_by = how
            self.stopped = self.halted = reason or "a hook ended the turn"
            self._run.record(Noticed(f"a hook ended the turn: {self.stopped}"))

    def tell(self, who: str, text: str) -> None:
        """Put what a hook said before the model."""
        if text:
            self._run.record(ContextAdded("hook", f"[{who} hook]\n{text}", label=WORKSPACE))

    def _say(self, who: str, text: str) -> None:
        """The same, but behind the results of the calls that are under way."""
        if text:
            self._texts.append(f"[{who} hook]\n{text}")


def _text(answer: HookAnswer) -> str:
    return "\n".join(answer.context)


def _first_no(answer: Approval | None) -> bool:
    return answer is None or answer.allowed


def _use(call: ToolCall) -> dict[str, Json]:
    fields: dict[str, Json] = {"tool_name": call.name, "tool_input": call.arguments, "tool_use_id": call.id}
    server = call.name.split("__")
    return fields | ({"mcp_server": server[1]} if len(server) > 2 and server[0] == "mcp" else {})


def _response(outcome: ToolOutcome, text: str) -> Json:
    """The result as hooks in use look at it: with what a command printed, or the path that was changed."""
    kept = outcome.debug.get("tool_use_result")
    if kept is not None:
        return kept
    if "exit" in outcome.debug:
        return {"stdout": text, "stderr": "", "interrupted": False, "isImage": False}
    return {"content": text, "success": True}


def _shown(result: CallFinished) -> Json:
    return "\n".join(part.text for part in result.result.content if isinstance(part, Text))
