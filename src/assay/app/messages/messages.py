"""A session as public messages: what every surface shows, and transcripts are made of. One projection of events.

Each message is a dictionary with `type`, `session_id` and `uuid`. Listeners get all of them, sub-agents' included
(those have a `parent_tool_use_id`), in order and before the work goes on; what a listener does not want, it leaves.
"""

from __future__ import annotations

from collections.abc import Callable

from assay.app.messages.blocks import STOPS, assistant, block, blocks
from assay.app.messages.partial import Draft
from assay.app.messages.result import API_ERROR, PROMPT_REFUSED, Totals, api_failure, hosted_result, result_object
from assay.app.messages.tooluse import tool_use_result
from assay.core.check import Verdict
from assay.core.events import (
    AttemptFinished,
    AttemptSelected,
    CallFinished,
    Compacted,
    InputReceived,
    ModeChanged,
    ModelReplied,
    Noticed,
    TaskEnded,
    TaskStarted,
    TurnEnded,
)
from assay.core.hooks import HookReport
from assay.core.ids import message_uuid, new_id
from assay.core.messages import AssistantMessage, Json, Text, ToolCall, Usage
from assay.core.model import CallDelta, Profile, Retrying, TextDelta, ThinkingDelta
from assay.core.store import Record
from assay.run.bus import Bus, ChildSeen, Progress, Seen

Frame = dict[str, Json]
Listener = Callable[[Frame], None]
SYNTHETIC = "<synthetic>"
"""The model of messages that no model wrote."""
TASK_TYPES = {"agent": "local_agent", "command": "local_bash"}


class Messages:
    """`session`: its id, `profile`: of the model that is used now."""

    def __init__(self, session: str, profile: Callable[[], Profile]) -> None:
        self.session = session
        self.profile = profile
        self.partial = False
        """Replies are shown while they are written, too."""
        self.hosted = False
        """Results are worded as programs that know the `claude` command expect them."""
        self.totals = Totals()
        """Of the turn."""
        self.whole = Totals()
        """Of this process, sub-agents included."""
        self._listeners: list[Listener] = []
        self._main: Voice | None = None

    def name(self, model: str) -> str:
        """What a model is called: for hosts, one of Anthropic's as they know it, without the provider."""
        return model.removeprefix("anthropic/") if self.hosted else model

    @property
    def heard(self) -> bool:
        return bool(self._listeners)

    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def follow(self, bus: Bus, parent: str = "", more: Frame | None = None) -> None:
        """Show what happens on `bus`: that of the session's own run, or of a sub-agent that the call `parent` started;
        `more` are fields of all its messages (`agent_id`, `subagent_type`)."""
        voice = Voice(self, parent, more or {})
        if not parent:
            self._main = voice
        bus.subscribe(voice)

    def emit(self, kind: str, fields: Frame, uuid: str = "", session: str = "") -> Frame:
        """Hand a message of type `kind` to all listeners; returns it. `session`: if it is another one's."""
        frame: Frame = {"type": kind, **fields, "session_id": session or self.session, "uuid": uuid or new_id()}
        for listener in self._listeners:
            listener(frame)
        return frame

    def system(self, subtype: str, **fields: Json) -> Frame:
        return self.emit("system", {"subtype": subtype, **fields})

    def say(self, text: str, *, error: str = "", uuid: str = "") -> Frame:
        """Words of ours in the place of the model's."""
        message = assistant(f"msg_{new_id().replace('-', '')}", SYNTHETIC, [block(Text(text))], "end_turn", Usage())
        fields: Frame = {"message": message, "parent_tool_use_id": None}
        return self.emit("assistant", {**fields, "error": error} if error else fields, uuid)

    def end(
        self,
        ended: TurnEnded,
        denials: list[ToolCall],
        structured: Json = None,
        questions: list[Frame] | None = None,
        *,
        hook: str = "",
    ) -> Frame:
        """The result of a turn. What it cost counts from the start of this process; tokens are those of the turn.
        `hook`: how a hook ended it (`Hooked.ended_by`)."""
        if self._main:
            self._main.stopped(ended)
        totals, self.totals = self.totals, Totals()
        result = result_object(ended, totals, self.session, self.profile(), denials, structured, questions=questions)
        if hook and result["terminal_reason"] == "completed":
            result["terminal_reason"] = hook
        if self.hosted:
            result = hosted_result(result, ended, totals)
            if self._main and hook != PROMPT_REFUSED:
                result["num_turns"] = max(ended.steps, 1 + self._main.heard)
        if said := self._main.said if self._main else None:
            result["user_message_uuid"] = said.uuid
            if said.origin:
                result["origin"] = said.origin
        return self._result(result)

    def local(self, text: str, command: str, origin: Frame) -> Frame:
        """The result of a slash command of ours that needed no model."""
        ended = TurnEnded("", Verdict("answered", "a command of the session"), text, 0, 0.0, 0.0)
        result = result_object(ended, Totals(), self.session, self.profile(), [])
        if self.hosted:
            del result["terminal_reason"]
        return self._result({**result, "local_command": command, **({"origin": origin} if origin else {})})

    def _result(self, result: Frame) -> Frame:
        result["total_cost_usd"] = self.whole.cost
        usage = self.whole.by_model_object(self.profile())
        result["modelUsage"] = {self.name(model): told for model, told in usage.items()}
        return self.emit("result", {key: value for key, value in result.items() if key != "type"})

    def count(self, event: ModelReplied, *, main: bool, agent: str = "") -> None:
        fallback = self.profile().model
        self.whole.add(event, fallback)
        if main:
            self.totals.add(event, fallback)
        else:
            self.totals.add_agent(event, agent)

    def count_attempt(self, event: AttemptFinished) -> None:
        model = self.profile().model
        self.whole.add_attempt(event, model)
        self.totals.add_attempt(event, model)


class Voice:
    """One run as messages."""

    def __init__(self, messages: Messages, parent: str, more: Frame, log: str = "") -> None:
        self._out = messages
        self._log = log
        """The session that a sub-agent's log names; its messages are named after that."""
        self._parent = parent
        self._more = more
        self._draft: Draft | None = None
        self._calls: dict[str, ToolCall] = {}
        self._tasks: dict[str, TaskStarted] = {}
        self.said: InputReceived | None = None
        """What opened the turn."""
        self.heard = 0
        """Messages to the model in this turn, beside the one that opened it."""
        self._children: dict[str, Voice] = {}

    def __call__(self, seen: Seen) -> None:
        if isinstance(seen, ChildSeen):
            if seen.task not in self._children:
                more: Frame = {"agent_id": seen.task, "subagent_type": seen.agent}
                self._children[seen.task] = Voice(self._out, seen.call, more, f"agent-{seen.task}")
            self._children[seen.task](seen.seen)
            return
        self._count(seen)
        if not self._out.heard:
            return
        match seen:
            case Record():
                self._record(seen)
            case TextDelta() | ThinkingDelta() | CallDelta():
                self._delta(seen)
            case Retrying():
                self._retry(seen)
            case HookReport():
                self._hook(seen)
            case Progress(phase="think") if not self._parent:
                self._out.system("status", status="requesting")
            case _:
                pass

    def _hook(self, report: HookReport) -> None:
        fields: Frame = {"hook_id": report.hook, "hook_name": report.name, "hook_event": report.event}
        if report.ended:
            fields |= {"output": report.stdout, "stdout": report.stdout, "stderr": report.stderr}
            fields |= {"exit_code": report.exit_code, "outcome": report.outcome}
        self._out.system("hook_response" if report.ended else "hook_started", **fields)

    def _count(self, seen: Seen) -> None:
        totals = self._out.totals
        match seen:
            case Record(event=InputReceived() as event):
                self.said, self.heard = event, 0
            case Record(event=ModelReplied() as event):
                self._out.count(event, main=not self._parent, agent=str(self._more.get("subagent_type") or ""))
            case Record(event=CallFinished(debug=debug)) if not self._parent:
                self.heard += 1
                totals.add_held(debug)
            case Record(event=AttemptFinished() as event) if not self._parent:
                self._out.count_attempt(event)
            case Record(event=AttemptSelected() as event) if not self._parent:
                totals.chosen = event
            case _:
                pass

    def stopped(self, ended: TurnEnded) -> None:
        """The turn is over: what was cut off in the middle of a word, or never came, is said."""
        out, draft = self._out, self._draft
        if draft is not None and ended.verdict.outcome == "interrupted":
            self._close(None)
            if draft.text:
                content: list[Json] = [block(Text(draft.text))]
                message = assistant(draft.id, out.name(out.profile().name), content, None, Usage())
                self._emit("assistant", message=message, aborted=True)
        if ended.verdict.outcome == "interrupted":
            self.heard += 1
            said: list[Json] = [block(Text("[The user stopped this turn.]"))]
            self._emit("user", message={"role": "user", "content": said}, isSynthetic=True)
        elif failure := api_failure(ended, out.totals):
            out.say(f"{API_ERROR}{failure.message}", error=ERRORS.get(failure.kind, "unknown"))

    def _emit(self, kind: str, uuid: str = "", **fields: Json) -> None:
        self._out.emit(kind, {**fields, "parent_tool_use_id": self._parent or None, **self._more}, uuid)

    # --- streams ------------------------------------------------------------------------------------------------------

    def _delta(self, delta: TextDelta | ThinkingDelta | CallDelta) -> None:
        draft = self._draft = self._draft or Draft(self._out.name(self._out.profile().name))
        for event in draft.delta(delta):
            self._event(event)

    def _event(self, event: Frame) -> None:
        if self._out.partial:
            self._emit("stream_event", event=event)

    def _close(self, message: AssistantMessage | None) -> Draft:
        draft = self._draft or Draft(self._out.name(self._out.profile().name))
        self._draft = None
        for event in draft.end(message):
            self._event(event)
        return draft

    def _retry(self, seen: Retrying) -> None:
        if self._draft:
            self._close(None)
        self._out.system(
            "api_retry",
            attempt=max(seen.attempt, 1),
            max_retries=7,
            retry_delay_ms=round(seen.delay * 1000),
            error_status=None,
            error=seen.reason,
            parent_tool_use_id=self._parent or None,
        )

    # --- records ------------------------------------------------------------------------------------------------------

    def _record(self, record: Record) -> None:
        out, event = self._out, record.event
        match event:
            case ModelReplied(message=message, role="solver"):
                self._reply(record, message)
            case CallFinished():
                self._result(record, event)
            case InputReceived():
                self._input(record, event)
            case Compacted():
                meta: Frame = {"trigger": "auto", "pre_tokens": out.totals.last_sent}
                out.system("compact_boundary", compact_metadata=meta)
            case ModeChanged(mode=mode):
                out.system("status", status=None, permissionMode=mode)
            case TaskStarted():
                self._started(event)
            case TaskEnded():
                self._ended(event)
            case Noticed(text=text):
                out.system("informational", content=text, level="info")
            case _:
                pass

    def _name(self, record: Record, part: int = 0) -> str:
        return message_uuid(self._log or self._out.session, record.number, record.time, part)

    def _reply(self, record: Record, message: AssistantMessage) -> None:
        draft = self._close(None if message.failure else message)
        if message.failure:
            return
        self._calls.update((call.id, call) for call in message.calls)
        for part, piece in enumerate(message.parts):
            made = assistant(
                draft.id,
                self._out.name(message.model) or SYNTHETIC,
                [block(piece)],
                STOPS.get(message.stop),
                message.usage,
            )
            self._emit("assistant", self._name(record, part), message=made)

    def _result(self, record: Record, event: CallFinished) -> None:
        result = event.result
        call = self._calls.pop(result.call, None)
        answer: Frame = {
            "type": "tool_result",
            "tool_use_id": result.call,
            "content": blocks(result.content),
            "is_error": result.is_error,
        }
        more: Frame = {}
        if (told := tool_use_result(call, event)) is not None:
            more["tool_use_result"] = told
        self._emit("user", self._name(record), message={"role": "user", "content": [answer]}, **more)

    def _input(self, record: Record, event: InputReceived) -> None:
        only = event.parts[0] if len(event.parts) == 1 else None
        content: Json = only.text if isinstance(only, Text) else blocks(event.parts)
        more: Frame = {"origin": event.origin} if event.origin else {}
        identity = event.uuid or self._name(record)
        self._emit("user", identity, message={"role": "user", "content": content}, isReplay=True, **more)

    def _started(self, event: TaskStarted) -> None:
        self._tasks[event.task] = event
        more: Frame = {}
        if event.agent:
            more["subagent_type"] = event.agent
        if event.prompt:
            more["prompt"] = event.prompt
        self._out.system(
            "task_started",
            task_id=event.task,
            description=event.description,
            task_type=TASK_TYPES[event.what],
            tool_use_id=event.call or None,
            is_backgrounded=event.background,
            **more,
        )

    def _ended(self, event: TaskEnded) -> None:
        begun = self._tasks.pop(event.task, None)
        usage: Frame = {
            "total_tokens": event.usage.total,
            "tool_uses": event.calls,
            "duration_ms": round(event.seconds * 1000),
        }
        self._out.system(
            "task_notification",
            task_id=event.task,
            status=event.status,
            output_file=begun.output if begun else "",
            summary=event.summary,
            tool_use_id=begun.call or None if begun else None,
            usage=usage,
        )


ERRORS = {
    "auth": "authentication_failed",
    "quota": "billing_error",
    "rate_limit": "rate_limit",
    "bad_request": "invalid_request",
    "not_found": "invalid_request",
    "context_too_long": "invalid_request",
    "overloaded": "server_error",
    "server": "server_error",
    "network": "server_error",
    "timeout": "server_error",
    "cut": "server_error",
}
"""A failure in the words of `assistant.error`."""
