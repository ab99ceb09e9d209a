"""The fast path of a model that drives: one reply with the edits, judged at once, before any loop.

Where a check is red when a session begins, its first request carries the code that the failure most likely comes from.
When a reply is edits and nothing else, the harness runs that check itself, and the done gate behind it; what is granted
ends the turn without another request. What is refused goes on as the ordinary tool loop, in the same conversation: same
system text, same tools, only ever appended to.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence

from assay.core.errors import WorkspaceError
from assay.core.events import CallFinished, ContextAdded, InputReceived, ModelReplied
from assay.core.messages import ToolCall
from assay.core.policy import OPERATOR, Effect
from assay.core.store import Record
from assay.loop.turn import Answered, Inject, Middleware, Stop
from assay.run.run import Run, tool_loop
from assay.run.steps import GATE_ROUNDS, Steps
from assay.search.caps import Caps, Look, look_at
from assay.search.distill import distill
from assay.search.effort import dial_of
from assay.search.located import SLOW, located, python_of, read_sources
from assay.search.reasoning import Uneven, reasoning_for
from assay.search.zero import hint, search
from assay.tools.paths import relative, tidy
from assay.verify.baseline import Baseline
from assay.verify.evidence import listed
from assay.verify.runners import Execution, first_words

OWNER = "single"
EDITS = frozenset({"Edit", "Write", "NotebookEdit"})
PATIENCE = 60.0
"""Seconds: a check that takes longer is run by us after the first reply only."""
HINT_PATIENCE = 5.0
"""Seconds that a model which did not do it at once waits for what is found by trying."""
DIGEST = 1_050
"""Characters of what goes back when the check stays red: about 300 tokens."""
LEAST = 300
"""Characters of the output's end, however long the command."""
WITH_CODE = (
    "`{check}` fails now. Above is the code it most likely comes from, as it is in the files: it may be edited without "
    "reading it first. If it suffices, make the whole change in this reply, with edits and no other call; otherwise "
    "look further first. {rule}"
)
WITHOUT = "`{check}` fails now. {rule}"
RULE = (
    "For this request, the checks are run for you after each reply that only edits: if they are green, the work is "
    "over, else you are shown what fails."
)
REPAIRING = re.compile(
    r"\b(?:fix|repair|mend|correct|solve|resolve|debug|broken|bug|fail(?:s|ed|ing|ure)?|wrong|error|crash|regress\w*|"
    r"tests?\b.{0,30}\b(?:pass|green))",
    re.I | re.S,
)


async def take_single(run: Run) -> Stop:
    """A `run.Strategy` for models that drive: the fast path where a check is red, else the tool loop as it is."""
    red = await find_red(run)
    if red is None:
        return await tool_loop(run)
    async with small_changes(run, red) as found:
        attempt = Attempt(run, red, found=found)
        if not run.state.has_context:
            await attempt.begin()
        return await attempt.take()


Found = Callable[[], Awaitable[str]]


@contextlib.asynccontextmanager
async def small_changes(run: Run, red: Baseline) -> AsyncGenerator[Found]:
    """Meanwhile try small changes to the code at fault without a model (`zero`), at the least effort. Yields what tells
    a model that did not do it at once of those that turn `red` green: "" when none did, or none yet."""

    async def look() -> str:
        try:
            async with run.parts.workspace.copy(await run.start_tree()) as copy:
                # Of a turn that goes on, the files themselves are edited already.
                sources, _ = await read_sources(copy)
                python = python_of(sources)
                return hint(await search(copy, red, python, (), dial_of("low"), run.state.prompt), python)
        except WorkspaceError:
            return ""

    looking: asyncio.Task[str] | None = None
    if red.first.run.seconds <= SLOW and red.check.runner in ("pytest", "unittest"):
        looking = asyncio.create_task(look())

    async def found() -> str:
        done, _ = await asyncio.wait({looking}, timeout=HINT_PATIENCE) if looking else (set[asyncio.Task[str]](), None)
        # A defect in what is only a hint must not cost the turn.
        return next((one.result() for one in done if not one.cancelled() and one.exception() is None), "")

    try:
        yield found
    finally:
        if looking:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)


async def find_red(run: Run) -> Baseline | None:
    """What is to be mended: the first of the user's own checks that is red as a session begins. Where the user named an
    effort or a number of attempts and asks for a repair, also a test of the project that is red. The same for a turn
    that began so, was cut short and goes on."""
    began_so = run.state.spent.steps > 0 and (OWNER, "") in run.state.sources
    if run.child or run.options.schema is not None or (run.state.has_context and not began_so):
        return None
    wanted = asked_for_effort(run) and REPAIRING.search(run.state.prompt) is not None
    if (not run.proof.user_checks and not wanted) or not await may_edit(run):
        return None
    from assay.verify.runners import check_of

    start = await run.start_tree()
    ledger = (await run.proof.gate(start, run.state.prompt)).ledger
    for line in run.proof.user_checks:
        if (baseline := await ledger.of(check_of(line, "--check"))).result == "fail":
            return baseline
    for check in await run.proof.discover(start, untouched=True) if wanted else ():
        if check.kind == "test" and (baseline := await ledger.of(check)).result == "fail":
            return baseline
    return None


async def may_edit(run: Run) -> bool:
    """It has the tool for it, and policy is not against edits as such, as it is while a plan is made."""
    if "Edit" not in run.tools:
        return False
    word = await run.parts.gate.decide("Edit", (Effect("write", "file"),), run.label, {"file_path": "file"})
    return word.verdict != "deny"


def asked_for_effort(run: Run) -> bool:
    return run.options.reasoning.effort is not None or run.options.attempts is not None


class Attempt:
    """One attempt of a tool loop at a red check: code in hand, judged after each reply that only edits, capped.

    `strict`: caps end it. That is so when the user named an effort or a number of attempts, or the attempt is one of
    several.
    """

    def __init__(self, run: Run, red: Baseline, *, strict: bool | None = None, found: Found | None = None) -> None:
        self.run, self.red, self.found = run, red, found
        self.looks: list[Look] = [look_at(red.first)]
        strict = asked_for_effort(run) if strict is None else strict
        dial = dial_of(run.options.reasoning.effort, run.options.attempts)
        self._caps = Caps(dial, self.looks, lambda: run.spent, self.give_up, strict=strict)

    async def begin(self, *more: ContextAdded) -> None:
        """Put the environment, the located code and the rule before the model; `more` comes last."""
        run = self.run
        await Steps(run).introduce()
        found = await located(run, self.red)
        if found.text:
            run.record(ContextAdded("located", f"<located>\n{found.text}\n</located>", seen=found.seen))
        said = (WITH_CODE if found.seen else WITHOUT).format(check=self.red.check.command, rule=RULE)
        run.record(ContextAdded(OWNER, said, label=OPERATOR))
        for each in more:
            run.record(each)

    async def take(self) -> Stop:
        run, shot = self.run, Shot(self)
        if answered := unjudged(run.parts.store.records()):
            # Stopped between the edits and the word on them: the model has done what it had to do.
            wish = await shot.after_calls(answered)
            if isinstance(wish, Stop):
                return wish
            if wish:
                run.record(ContextAdded(wish.owner, wish.text, label=OPERATOR))
        own: list[Middleware] = [shot, self._caps]
        if reasoning_for("act", run.options.reasoning, run.parts.model.profile) != run.options.reasoning:
            own.append(uneven := Uneven(run))
            try:
                return await Steps(run, own).take()
            finally:
                uneven.done()
        return await Steps(run, own).take()

    async def look(self, *, new_ground: bool) -> Execution:
        """Run the red check on the files as they are, in a clean copy."""
        run = self.run
        run.progress("check", f"running {self.red.check.command}")
        gate = await run.proof.gate(await run.start_tree(), run.state.prompt)
        done = await gate.runs.get(self.red.check, await run.parts.workspace.snapshot(), "attempt")
        self.looks.append(look_at(done, new_ground=new_ground))
        return done

    def better(self, done: Execution) -> bool:
        """The gate is worth asking. A check of the project's may be red for other reasons too: there it is enough that
        something which failed passes now, and nothing that passed fails."""
        if done.run.passed:
            return True
        now = done.run.tests
        fixed = any(now.get(test) == "pass" for test in self.red.failing)
        return self.red.check.source != "--check" and fixed and all(now.get(t) == "pass" for t in self.red.passing)

    async def give_up(self, why: str) -> Stop:
        """The end of an attempt that leads nowhere: the gate's verdict all the same, our reason, and the distillate as
        last words."""
        verdict = await self.run.conclude()
        if verdict.outcome == "verified":
            return Stop(None)
        self.run.said = f"Stopped: {why}.\n{distill(self.run.parts.store.records())}".strip()
        if verdict.outcome == "answered":
            return Stop("failed", why)
        await self.run.conclude((why,))
        return Stop(None)


def unjudged(records: Iterable[Record]) -> list[Answered]:
    """The calls of the last reply with their results, where all have one and nothing was said to the model since."""
    calls: dict[str, ToolCall] = {}
    found: list[Answered] = []
    for record in records:
        match record.event:
            case ModelReplied(message=message, role="solver") if message.failure is None:
                calls, found = {call.id: call for call in message.calls}, []
            case CallFinished(result=result) as event if result.call in calls:
                found.append((calls[result.call], event))
            case ContextAdded() | InputReceived():
                calls, found = {}, []
            case _:
                pass
    return found if len(found) == len(calls) else []


class Shot(Middleware):
    """Judges replies that only edit, and ends the turn with the first that the done gate grants."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._touched: set[str] = set()
        self._refused = 0

    async def after_calls(self, answered: Sequence[Answered]) -> Stop | Inject | None:
        edits = [call for call, done in answered if call.name in EDITS and not done.result.is_error]
        paths = {tidy(str(call.arguments.get("file_path") or call.arguments.get("notebook_path"))) for call in edits}
        new_ground, self._touched = bool(paths - self._touched and self._touched), self._touched | paths
        slow = self._attempt.red.first.run.seconds > PATIENCE and len(self._attempt.looks) > 1
        if len(edits) < len(answered) or slow or self._refused >= GATE_ROUNDS:
            return None
        done = await self._attempt.look(new_ground=new_ground)
        if not self._attempt.better(done):
            return Inject("check", "\n\n".join([self._red(done), *await self._changes()]))
        return await self._judged()

    async def _changes(self) -> list[str]:
        """What was found by trying meanwhile, told once."""
        look, self._attempt.found = self._attempt.found, None
        found = await look() if look else ""
        return [found] if found else []

    def _red(self, done: Execution) -> str:
        looks = self._attempt.looks
        if looks[-1].signature == looks[-2].signature:
            return f"`{done.check.command}` fails as before, for the same reasons."
        return digest(done)

    async def _judged(self) -> Stop | Inject:
        run = self._attempt.run
        words = run.state.last_reply.text.strip() if run.state.last_reply else ""
        verdict = await run.conclude()
        if verdict.missing:
            self._refused += 1
            return Inject("gate", verdict.missing)
        if run.hooked and (owed := await run.hooked.stop(words)):
            return Inject("hook", owed)
        run.said = "" if words else self._summary()
        return Stop(None)

    def _summary(self) -> str:
        """What was done, for whoever reads the result of a model that only made calls."""
        run, check = self._attempt.run, self._attempt.red.check.command
        changed = sorted(relative(path, run.parts.workspace.root) for path in self._touched)
        if self._attempt.looks[-1].signature:
            return f"Changed {listed(changed)}. `{check}` still fails, but some of what failed passes now."
        return f"Changed {listed(changed)}. `{check}` failed before and passes now."


def digest(done: Execution, limit: int = DIGEST) -> str:
    """What a red run says, at most `limit` characters but for a long command: each failing test with its reason, or the
    end of the output."""
    tests = done.run.tests
    count = f" ({len(done.failing)} of {len(tests)} tests)" if done.failing else ""
    text = f"After these edits `{done.check.command}` still fails{count}:"
    if done.run.timed_out:
        return f"{text} it did not end within {done.check.timeout:g} s"
    rows = [f"{test}: {first_words(done.report.reasons.get(test, ''), 240)}".rstrip(": ") for test in done.failing]
    if not rows:
        tail = done.run.tail.strip()
        return f"{text}\n{tail[-max(limit - len(text) - 2, LEAST) :]}"
    for number, row in enumerate(rows):
        if len(text) + len(row) > limit - 20:
            return f"{text}\n- … {len(rows) - number} more"
        text += f"\n- {row}"
    return text
