"""From a model's calls to results: validate, weigh effects, ask the gate, log the intent, run, log the result.

Every call gets exactly one result, also when it is refused, invalid or cut short, so history is well-formed at birth.
Calls that only read run side by side; the rest run alone, in the order in which they came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from assay.core.clock import Clock
from assay.core.errors import AssayError, InvalidArguments, StorageError
from assay.core.events import CallDecided, CallFinished
from assay.core.messages import Json, Text, ToolCall, ToolResult
from assay.core.policy import WORKSPACE, Approver, Decision, Effect, Gate, Label, Question
from assay.core.tool import Tool, ToolContext, ToolOutcome, failed

CONCURRENT_READS = 8
APPROVED = "approved"
"""The rule of a decision that a person made: leave for one call, used up when this is in the log."""
_QUIET = frozenset({"read", "none"})


class CallPorts(Struct, frozen=True):
    tools: Mapping[str, Tool]
    gate: Gate
    label: Callable[[], Label]
    """Of the session so far."""
    clock: Clock
    context: Callable[[ToolCall], ToolContext]
    record: Callable[[CallDecided | CallFinished, bool], None]
    """Append to the log; True asks that it be on disk on return."""
    approver: Approver
    before_effect: Callable[[ToolCall, Decision], Awaitable[None]]
    """Called before anything that may change the world: a checkpoint exists when it returns."""


class _Ready(Struct, frozen=True):
    call: ToolCall
    tool: Tool
    effects: tuple[Effect, ...]

    @property
    def quiet(self) -> bool:
        return all(effect.kind in _QUIET for effect in self.effects)


def digest_of(tool: str, arguments: dict[str, Json], effects: Sequence[Effect]) -> str:
    """What leave for a call is bound to: SHA-256, in hex, over tool, arguments and effects as canonical JSON (keys
    sorted, ASCII, no spaces)."""
    import json
    from hashlib import sha256

    named = [tool, arguments, [[effect.kind, effect.target] for effect in effects]]
    return sha256(json.dumps(named, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


async def run_calls(ports: CallPorts, calls: Sequence[ToolCall]) -> list[CallFinished]:
    """Answer `calls`; results in the same order. When it is cancelled, or can't go on because no frame can be taken,
    the unanswered calls are logged as cut short first."""
    done: dict[int, CallFinished] = {}
    begun: set[str] = set()
    calls = [_well_named(ports.tools, call) for call in calls]
    try:
        position = 0
        while position < len(calls):
            group = _group(ports, calls, position)
            if len(group) == 1:
                done[position] = await _answer(ports, *group[0], begun)
            else:
                await _together(ports, group, position, done)
            position += len(group)
    except StorageError:
        raise
    except (asyncio.CancelledError, AssayError):
        for index, call in enumerate(calls):
            if index not in done:
                word = "whether it had its effect is unknown" if call.id in begun else "it changed nothing"
                _finish(ports, call, failed(f"stopped before it was done; {word}"), 0.0)
        raise
    return [done[index] for index in range(len(calls))]


def _well_named(tools: Mapping[str, Tool], call: ToolCall) -> ToolCall:
    """`call` by the name of the tool that it means: weak models write `bash` for `Bash`, and rules know the latter."""
    if call.name in tools:
        return call
    meant = [name for name in tools if name.casefold() == call.name.casefold()]
    return replace(call, name=meant[0]) if len(meant) == 1 else call


_Prepared = tuple[ToolCall, "_Ready | ToolOutcome"]


def _group(ports: CallPorts, calls: Sequence[ToolCall], start: int) -> list[_Prepared]:
    """The next call, with the reading calls right behind it when it only reads itself."""
    group: list[_Prepared] = []
    for call in calls[start:]:
        ready = _prepare(ports, call)
        quiet = isinstance(ready, _Ready) and ready.quiet
        if group and not quiet:
            break
        group.append((call, ready))
        if not quiet:
            break
    return group


async def _together(ports: CallPorts, group: list[_Prepared], start: int, done: dict[int, CallFinished]) -> None:
    slots = asyncio.Semaphore(CONCURRENT_READS)

    async def one(offset: int) -> None:
        async with slots:
            done[start + offset] = await _answer(ports, *group[offset], set())

    try:
        async with asyncio.TaskGroup() as tasks:
            for offset in range(len(group)):
                tasks.create_task(one(offset))
    except BaseExceptionGroup as errors:
        # A log that can't be written must be met as what it is by whoever ends the turn.
        raise errors.exceptions[0] from errors


def _prepare(ports: CallPorts, call: ToolCall) -> _Ready | ToolOutcome:
    if call.invalid:
        return failed(
            f"the arguments of {call.name} could not be read: {call.invalid}. Nothing was run; call it again."
        )
    tool = ports.tools.get(call.name)
    if tool is None:
        return failed(f"there is no tool '{call.name}'. Tools: {', '.join(ports.tools)}")
    try:
        return _Ready(call, tool, tool.effects(call.arguments))
    except InvalidArguments as error:
        return failed(str(error))
    except Exception as error:  # noqa: BLE001 - a tool's defect is told to the model like any other trouble
        return failed(f"{call.name} could not make sense of these arguments ({error!r}). Nothing was run.")


async def _answer(ports: CallPorts, call: ToolCall, ready: _Ready | ToolOutcome, begun: set[str]) -> CallFinished:
    """One call to its result; a call that may change the world is put into `begun` when it starts."""
    if isinstance(ready, ToolOutcome):
        return _finish(ports, call, ready, 0.0)
    decision = await ports.gate.decide(call.name, ready.effects, ports.label())
    digest = digest_of(call.name, call.arguments, ready.effects)
    question = Question(call.id, call.name, call.arguments, ready.effects, decision, digest)
    if decision.verdict == "ask" and (await ports.approver.approve(question)).allowed:
        decision = replace(decision, verdict="allow", rule=APPROVED, reason="approved by the user")
    allowed = decision.verdict == "allow"
    if allowed and not ready.quiet:
        await ports.before_effect(call, decision)
    ports.record(CallDecided(call.id, call.name, ready.effects, decision, digest), allowed and not ready.quiet)
    if not allowed:
        word = "needs the user's approval and nobody can give it" if decision.verdict == "ask" else "was denied"
        return _finish(ports, call, failed(f"{call.name} {word}: {decision.reason}"), 0.0)
    if not ready.quiet:
        begun.add(call.id)
    began = ports.clock.monotonic()
    try:
        outcome = await ready.tool.run(call.arguments, ports.context(call))
    except StorageError:
        raise
    except (AssayError, OSError, ValueError) as error:
        outcome = failed(f"{call.name} failed: {error}", label=WORKSPACE)
    except Exception as error:  # noqa: BLE001 - a tool's defect must not cost the turn
        outcome = failed(f"{call.name} failed: {error!r}", label=WORKSPACE)
    outcome = replace(outcome, label=outcome.label.join(decision.label))
    return _finish(ports, call, outcome, ports.clock.monotonic() - began, durable=not ready.quiet)


def _finish(
    ports: CallPorts, call: ToolCall, outcome: ToolOutcome, seconds: float, *, durable: bool = False
) -> CallFinished:
    result = ToolResult(call.id, outcome.content or (Text("(no output)"),), outcome.is_error)
    finished = CallFinished(
        result,
        outcome.display,
        outcome.debug,
        outcome.seen,
        round(seconds, 3),
        outcome.finish,
        outcome.label,
        outcome.loads,
    )
    ports.record(finished, durable)
    return finished
