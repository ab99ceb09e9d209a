"""The default strategy: the model drives, through tools."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from assay.context.card import environment_card
from assay.core.budget import Spent
from assay.core.check import Criterion
from assay.core.events import CallDecided, CallFinished, Checkpointed, ContextAdded, CriteriaDeclared
from assay.core.messages import AssistantMessage, Failure, Json, ToolCall, Usage
from assay.core.model import ModelRequest
from assay.core.policy import OPERATOR, Decision
from assay.core.tool import ToolContext
from assay.loop.calls import APPROVED, CallPorts, run_calls
from assay.loop.limits import LEAST_OUTPUT, Limits, least_dollars
from assay.loop.stuck import Stuck
from assay.loop.turn import Answered, Middleware, Stop, TurnPorts, run_turn
from assay.run.answer import ATTEMPTS, NO_ANSWER, TOOL
from assay.run.checkpoint import refs_before
from assay.run.masked import mask_file

if TYPE_CHECKING:
    from assay.run.run import Run

GATE_ROUNDS = 2
"""How often missing evidence goes back to the model before the turn ends as it is."""
_ANY_FORM = "The final answer may be in any form again."
_CONTINUATIONS = 3
_COMPACTIONS = 3


class Steps:
    """The tool loop of one turn, with what it counts; `middleware` is asked first."""

    def __init__(self, run: Run, middleware: Sequence[Middleware] = ()) -> None:
        self.run = run
        self._own = tuple(middleware)
        self._rounds = self._continuations = self._compactions = self._nudges = 0

    async def take(self) -> Stop:
        run = self.run
        await self.introduce()
        if (text := run.schema.instruction(TOOL in run.tools) or (run.state.schema and _ANY_FORM)) != run.state.schema:
            run.record(ContextAdded("schema", text, label=OPERATOR))
        if not run.state.frame and not run.child:
            run.framing()
        if pending := run.state.pending:
            await self._answer(pending)
        if final := run.state.unjudged:
            # Stopped between the last reply and the verdict: the model has said what it had to say.
            owed = await self._judge(final)
            if not owed:
                return Stop(None)
            run.record(ContextAdded("gate", owed))
        middleware: list[Middleware] = [
            *self._own,
            *(run.tasks.middleware(run) if run.tasks else ()),
            *run.middleware,
            Limits(run.options.budget, lambda: run.spent, run.next_input, run.parts.model.profile.price),
            run.window,
            Stuck(),
            Answers(),
            run.guards,
            *run.watchers,
        ]
        return await run_turn(
            TurnPorts(
                model=run.parts.model,
                clock=run.parts.clock,
                request=self._request,
                record=run.record,
                show=run.bus.emit,
                calls=self._answer,
                recover=self._recover,
                judge=self._judge,
                middleware=middleware,
            )
        )

    async def introduce(self) -> None:
        """The first context of a session, once: the environment, with what fails now, and the instruction files."""
        run = self.run
        if run.state.has_context:
            return
        names = await run.parts.workspace.list_files(100_000)
        checks = run.proof.suggest(names)
        red = await run.proof.red_now(await run.start_tree(), run.state.prompt) if run.proof.user_checks else []
        card = environment_card(run.parts.workspace, names, checks, red)
        for fragment in (card, *run.options.instructions):
            run.record(ContextAdded(fragment.owner, fragment.text, fragment.source, fragment.label))

    def _request(self) -> ModelRequest:
        self.run.progress("think", "thinking")
        profile, budget, spent = self.run.parts.model.profile, self.run.options.budget, self.run.spent
        room, price = [profile.max_output], profile.price
        others = self.run.tasks.promised(self.run) if self.run.tasks else Spent()
        if self.run.options.max_output is not None:
            room.append(self.run.options.max_output)
        if budget.tokens is not None:
            room.append(budget.tokens - spent.usage.total - others.usage.total - self.run.next_input())
        if budget.dollars is not None and price and price.output:
            left = budget.dollars - spent.dollars - others.dollars - least_dollars(self.run.next_input(), price)
            room.append(LEAST_OUTPUT + int(left / price.output * 1_000_000))
        if self.run.tasks and len(room) > 1:
            self.run.tasks.promise(self.run, Usage(self.run.next_input(), output=max(min(room), LEAST_OUTPUT)), price)
        return ModelRequest(
            self.run.options.system,
            self.run.tools.specs(self.run.state.loaded),
            self.run.state.messages(),
            session=self.run.parts.store.session,
            max_output=max(min(room), LEAST_OUTPUT) if len(room) > 1 else None,
            reasoning=self.run.options.reasoning,
        )

    async def _answer(self, calls: Sequence[ToolCall]) -> list[CallFinished]:
        self.run.progress("call", ", ".join(call.name for call in calls[:4]))
        answered = await run_calls(
            CallPorts(
                self.run.tools,
                self.run.parts.gate,
                lambda: self.run.label,
                self.run.parts.clock,
                self._context,
                self._record_call,
                self.run.parts.approver,
                self._before_effect,
                self.run.guards,
            ),
            calls,
        )
        for spill in (finished.debug.get("spill") for finished in answered):
            if self.run.parts.mask and isinstance(spill, str):
                await asyncio.to_thread(mask_file, self.run.parts.mask, spill)
        return answered

    def _context(self, call: ToolCall) -> ToolContext:
        run = self.run
        return ToolContext(
            run.parts.workspace,
            run.state.seen,
            run.parts.spill,
            call.id,
            run.label,
            lambda text: run.progress("call", text),
        )

    def _record_call(self, event: CallDecided | CallFinished, durable: bool) -> None:
        self.run.record(event, durable)
        self.run.may_send = isinstance(event, CallDecided) and _gives_leave_to_send(event.decision)
        if isinstance(event, CallFinished) and event.finish and (criteria := _criteria(event.debug)):
            self.run.record(CriteriaDeclared(criteria))

    async def _before_effect(self, call: ToolCall, decision: Decision) -> None:
        if self.run.tasks and self.run.child:
            await self.run.tasks.before_effect(self.run)
        else:
            await self.run.proof.discover(await self.run.start_tree(), untouched=not self.run.state.touched)
        if any(weighed.sink == "destroy" for weighed in decision.weighed):
            # What this session has done since the start of the turn is in no other snapshot.
            tree = await self.run.parts.workspace.snapshot()
            self.run.record(
                Checkpointed(call.id, tree, await refs_before(decision, self.run.parts.workspace)), durable=True
            )

    async def _recover(self, failure: Failure) -> bool:
        if failure.kind == "context_too_long" and self._compactions < _COMPACTIONS:
            self._compactions += 1
            keep = self.run.parts.model.profile.context // (4 << self._compactions)
            return await self.run.window.compact(min(keep, max(self.run.next_input() // (2 << self._compactions), 500)))
        if failure.kind == "empty" and self._nudges < 1:
            self._nudges += 1
            self.run.record(ContextAdded("nudge", "Your last reply was empty. Make a call, or answer.", label=OPERATOR))
            return True
        if self.run.hooked:
            await self.run.hooked.failed(failure)
        return False

    async def _judge(self, message: AssistantMessage) -> str:
        """What the model still owes before the turn may end; "" once there is a verdict."""
        if message.stop == "length" and not message.calls and self._continuations < _CONTINUATIONS:
            self._continuations += 1
            return "Your reply was cut off by the output limit. Go on exactly where it stopped."
        verdict = await self.run.conclude()
        owed = verdict.missing or self.run.owed_answer(message.text)
        if owed and self._rounds < GATE_ROUNDS:
            self._rounds += 1
            return owed
        return await self.run.hooked.stop(message.text) if self.run.hooked else ""


class Answers(Middleware):
    """Ends a turn whose answer never comes in the shape that was asked for."""

    def __init__(self) -> None:
        self._wrong = 0

    async def after_calls(self, answered: Sequence[Answered]) -> Stop | None:
        self._wrong += sum(call.name == TOOL and done.result.is_error for call, done in answered)
        return Stop("failed", NO_ANSWER) if self._wrong >= ATTEMPTS else None


def _gives_leave_to_send(decision: Decision) -> bool:
    sent = [weighed for weighed in decision.weighed if weighed.sink == "egress"]
    by_rule = all(weighed.rule.startswith("allow ") for weighed in sent)
    return bool(sent) and decision.verdict == "allow" and (decision.rule == APPROVED or by_rule)


def _criteria(debug: dict[str, Json]) -> tuple[Criterion, ...]:
    declared = debug.get("criteria")
    if not isinstance(declared, list):
        return ()
    rows = (cast("dict[str, Json]", item) for item in cast("list[Json]", declared) if isinstance(item, dict))
    return tuple(
        Criterion(str(row["text"]), str(row.get("check") or ""), str(row.get("expect") or ""))
        for row in rows
        if row.get("text")
    )
