"""From a model's calls to results: validate, weigh effects, ask the gate, log the intent, run, log the result.

Every call gets exactly one result, also when it is refused, invalid or cut short, so history is well-formed at birth.
Calls that only read run side by side; the rest run alone, in the order in which they came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from assay.core.clock import Clock
from assay.core.errors import AssayError, InvalidArguments, StorageError
from assay.core.events import CallDecided, CallFinished
from assay.core.messages import Json, Text, ToolCall, ToolResult
from assay.core.policy import WORKSPACE, Approval, Approver, Decision, Effect, Gate, Label, Question, Verdict
from assay.core.tool import Tool, ToolContext, ToolOutcome, failed

CONCURRENT_READS = 8
NAMED = 40
"""Names of tools that are told to whoever called one that there is not."""
APPROVED = "approved"
"""The rule of a decision that a person made: leave for one call, used up when this is in the log."""
BY_HOOK = "hook PreToolUse"
REFUSED = "refused"
"""The rule of a decision by which a person refused a call, in words for the model."""
_PERSONS = ("ask ", "person")
"""Rules of questions that only a person answers: the user's own ask rules, and tools that are questions themselves."""
_QUIET = frozenset({"read", "none"})


class Word(Struct, frozen=True):
    """What was said about a call before the gate weighs it."""

    verdict: Verdict | None = None
    """`deny` refuses it whatever the gate says, `ask` has a person decide, `allow` answers what the gate would ask."""
    reason: str = ""
    arguments: dict[str, Json] | None = None
    """The call as it is to be made instead."""


class Guards:
    """Who has a say in calls besides the gate; a subclass overrides what it needs. This one leaves it all to gate and
    approver. No method raises."""

    halted = ""
    """Why no further call of the batch is to be made; empty to go on."""

    async def before(self, call: ToolCall) -> Word:  # noqa: ARG002 - to be overridden
        return Word()

    async def ask(self, question: Question, approver: Approver) -> Approval:
        """The answer to what the gate leaves to a person."""
        approval = await approver.approve(question)
        if approval.interrupt and not approval.allowed:
            self.halt(approval.message)
        return approval

    def halt(self, reason: str) -> None:
        self.halted = reason or "the user stopped it"

    async def refused(self, call: ToolCall, decision: Decision) -> None:
        """Told of a call that is not made."""

    async def after(self, call: ToolCall, outcome: ToolOutcome, seconds: float) -> ToolOutcome:  # noqa: ARG002
        """The outcome that the model gets."""
        return outcome


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
    guards: Guards = field(default_factory=Guards)


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
    begun = _Begun()
    calls = [_well_named(ports.tools, call) for call in calls]
    try:
        position = 0
        while position < len(calls):
            group = _group(ports, calls, position)
            if len(group) == 1:
                done[position] = await _answer(ports, *group[0], begun)
            else:
                await _together(ports, group, position, done, begun)
            position += len(group)
    except StorageError:
        raise
    except (asyncio.CancelledError, AssayError):
        for index, call in enumerate(calls):
            if index not in done:
                word = "whether it had its effect is unknown" if call.id in begun.calls else "it changed nothing"
                _finish(ports, call, failed(f"stopped before it was done; {word}"), 0.0)
        raise
    return [done[index] for index in range(len(calls))]


def _well_named(tools: Mapping[str, Tool], call: ToolCall) -> ToolCall:
    """`call` by the name of the tool that it means: weak models write `bash` for `Bash`, others learnt `Task` for
    `Agent`, and rules know the latter."""
    if call.name in tools:
        return call
    if call.name == "Task" and "Agent" in tools:
        return replace(call, name="Agent")
    meant = [name for name in tools if name.casefold() == call.name.casefold()]
    return replace(call, name=meant[0]) if len(meant) == 1 else call


_Prepared = tuple[ToolCall, "_Ready | ToolOutcome"]


class _Begun:
    """The calls of a batch that may have changed the world, of which only one is under way at a time."""

    def __init__(self) -> None:
        self.calls: set[str] = set()
        self.alone = asyncio.Lock()


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


async def _together(
    ports: CallPorts, group: list[_Prepared], start: int, done: dict[int, CallFinished], begun: _Begun
) -> None:
    slots = asyncio.Semaphore(CONCURRENT_READS)

    async def one(offset: int) -> None:
        async with slots:
            done[start + offset] = await _answer(ports, *group[offset], begun)

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
        return failed(f"there is no tool '{call.name}'. Tools: {_named(ports.tools)}")
    try:
        return _Ready(call, tool, tool.effects(call.arguments))
    except InvalidArguments as error:
        return failed(str(error))
    except Exception as error:  # noqa: BLE001 - a tool's defect is told to the model like any other trouble
        return failed(f"{call.name} could not make sense of these arguments ({error!r}). Nothing was run.")


def _named(tools: Mapping[str, Tool]) -> str:
    """As many names as one needs to see a slip; servers may offer thousands."""
    names = list(tools)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


async def _answer(ports: CallPorts, call: ToolCall, ready: _Ready | ToolOutcome, begun: _Begun) -> CallFinished:
    """One call to its result; a call that may change the world is put into `begun` when it starts."""
    if isinstance(ready, ToolOutcome):
        return _finish(ports, call, ready, 0.0)
    if ports.guards.halted:
        return _finish(ports, call, failed(f"not run: {ports.guards.halted}"), 0.0)
    settled = await _settle(ports, ready)
    if isinstance(settled, ToolOutcome):
        return _finish(ports, call, settled, 0.0)
    ready, decision, refusal = settled
    allowed = decision.verdict == "allow"
    if not allowed or ready.quiet:
        return await _carry_out(ports, ready, decision, refusal, begun)
    async with begun.alone:
        await ports.before_effect(ready.call, decision)
        return await _carry_out(ports, ready, decision, refusal, begun)


_Settled = tuple[_Ready, Decision, str]
"""The call as it is to be made, the word on it, and what the model is told when that is not `allow`."""


async def _settle(ports: CallPorts, ready: _Ready) -> _Settled | ToolOutcome:
    """Ask who has a say: guards first, then the gate about what they left of the call, then a person."""
    name = ready.call.name
    word = await ports.guards.before(ready.call)
    if word.verdict == "deny":
        return ready, Decision("deny", word.reason, BY_HOOK), f"a PreToolUse hook denied {name}: {word.reason}"
    if word.arguments is not None:
        changed = _changed(ports, ready.call, word.arguments)
        if isinstance(changed, ToolOutcome):
            return changed
        ready = changed
    decision = weighed(word, await ports.gate.decide(name, ready.effects, ports.label(), ready.call.arguments))
    if decision.verdict == "deny":
        return ready, decision, f"{name} was denied: {decision.reason}"
    return await _asked(ports, ready, decision) if decision.verdict == "ask" else (ready, decision, "")


def weighed(word: Word, decision: Decision) -> Decision:
    """The gate's `decision` on a call of which guards said `word`, which is not `deny`."""
    if word.verdict == "allow" and decision.verdict == "ask" and not decision.rule.startswith(_PERSONS):
        return replace(decision, verdict="allow", rule=BY_HOOK, reason=word.reason or "allowed by a hook")
    if word.verdict == "ask" and decision.verdict == "allow":
        return replace(decision, verdict="ask", rule=BY_HOOK, reason=word.reason or "a hook wants it asked")
    return decision


async def _asked(ports: CallPorts, ready: _Ready, decision: Decision) -> _Settled | ToolOutcome:
    """A person's word. What they want done instead is weighed as well, and what is denied stays so."""
    name, arguments = ready.call.name, ready.call.arguments
    digest = digest_of(name, arguments, ready.effects)
    question = Question(ready.call.id, name, arguments, ready.effects, decision, digest)
    approval = await ports.guards.ask(question, ports.approver)
    if not approval.allowed:
        alone = f"{name} needs the user's approval and nobody can give it: {decision.reason}"
        return ready, decision if not approval.message else _refused(decision, approval), approval.message or alone
    if approval.arguments is not None and approval.arguments != arguments:
        changed = _changed(ports, ready.call, approval.arguments)
        if isinstance(changed, ToolOutcome):
            return changed
        ready = changed
        decision = await ports.gate.decide(name, ready.effects, ports.label(), ready.call.arguments)
        if decision.verdict == "deny":
            return ready, decision, f"{name} was denied: {decision.reason}"
    return ready, replace(decision, verdict="allow", rule=APPROVED, reason="approved by the user"), ""


def _refused(decision: Decision, approval: Approval) -> Decision:
    return replace(decision, verdict="deny", rule=REFUSED, reason=approval.message.partition("\n")[0][:200])


def _changed(ports: CallPorts, call: ToolCall, arguments: dict[str, Json]) -> _Ready | ToolOutcome:
    return _prepare(ports, replace(call, arguments=arguments))


async def _carry_out(ports: CallPorts, ready: _Ready, decision: Decision, refusal: str, begun: _Begun) -> CallFinished:
    call, loud = ready.call, not ready.quiet
    allowed = decision.verdict == "allow"
    digest = digest_of(call.name, call.arguments, ready.effects)
    ports.record(CallDecided(call.id, call.name, ready.effects, decision, digest), allowed and loud)
    if not allowed:
        await ports.guards.refused(call, decision)
        return _finish(ports, call, failed(refusal), 0.0)
    if loud:
        begun.calls.add(call.id)
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
    seconds = ports.clock.monotonic() - began
    return _finish(ports, call, await ports.guards.after(call, outcome, seconds), seconds, durable=loud)


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
