"""The slots strategy within a run: what is red, a scratch copy to try candidates in, and the done gate at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from assay.core.check import Check
from assay.core.errors import WorkspaceError
from assay.core.events import AttemptFinished, Noticed
from assay.core.model import ModelRequest
from assay.core.workspace import Workspace
from assay.loop.turn import Stop, stop_for
from assay.run.run import Run
from assay.search.effort import dial_of
from assay.search.slots import Failing, Found, Limits, Ports, Tried, search
from assay.search.slots_prompts import PREFILL
from assay.search.zero import Zero, adopt, repair
from assay.verify.baseline import Baseline
from assay.verify.runners import check_of, execute

LARGEST_FILE = 400_000
MOST_BYTES = 20_000_000
PATIENCE = 5.0
"""How many times as long as before its change a check may take with a candidate, plus `GRACE` seconds."""
GRACE = 10.0
ANSWER_TOKENS = 700
NOTHING_RED = (
    "no failing check was found, so there is nothing to repair by; with a model as small as this one, "
    "name a failing command with --check"
)


async def take_slots(run: Run, limits: Limits = Limits()) -> Stop:  # noqa: B008 - frozen
    """A `run.Strategy`. With a red check: repair by it. Without one the model is only asked for an answer in words."""
    tree = await run.start_tree()
    run.progress("check", "looking for what fails")
    red = await _red(run, tree)
    if red is None:
        return await _answer(run)
    sources = await _sources(run.parts.workspace)
    failing = Failing(red.first.output, tuple(red.failing or red.first.failing))
    seconds = run.options.budget.seconds
    try:
        async with (
            asyncio.timeout(None if seconds is None else max(seconds - run.spent.seconds, 0.01)),
            run.parts.workspace.copy(tree) as copy,
        ):
            dial = dial_of(run.options.reasoning.effort, run.options.attempts)
            zero = await repair(run, red, sources, [], dial) if limits.zero else Zero()
            if zero.accepted and await adopt(run, zero, sources):
                return Stop(None)
            ports = _ports(run, copy, red, tree, len(zero.survivors))
            found = await search(sources, failing, run.state.prompt, ports, limits)
            if not found.path and await adopt(run, zero, sources):
                return Stop(None)
    except TimeoutError:
        return Stop("budget", f"{run.spent.seconds:.0f} s used, the limit is {seconds:g} s (--max-seconds)")
    if not found.path:
        return await _given_up(run, found)
    await run.conclude()
    return Stop(None)


async def _red(run: Run, tree: str) -> Baseline | None:
    """The baseline of the first check that fails on the start tree: the user's own before the project's."""
    gate = await run.proof.gate(tree, run.state.prompt)
    for line in run.proof.user_checks:
        baseline = await gate.ledger.of(check_of(line, "--check"))
        if baseline.result == "fail":
            return baseline
    for check in await run.proof.discover(tree):
        if check.kind == "test" and (baseline := await gate.ledger.of(check)).result == "fail":
            return baseline
    return None


def _ports(run: Run, copy: Workspace, red: Baseline, tree: str, made: int = 0) -> Ports:
    """`made`: attempts that were recorded before."""
    check = _hurried(red)

    async def try_check(path: str, text: str) -> Tried:
        run.progress("check", f"trying a candidate for {path}")
        return await _in_place(copy, path, text, lambda: _run_check(copy, check, red))

    async def try_suite(path: str, text: str) -> Tried:
        run.progress("check", "the failing check is green; running everything else")
        return await _keep_if_sound(run, copy, path, text, tree)

    def record(event: AttemptFinished) -> None:
        run.record(replace(event, number=event.number + made))

    def spent() -> str:
        return run.spent.exceeds(run.options.budget, next_tokens=400)

    prefill = PREFILL in run.parts.model.profile.quirks
    return Ports(run.ask, try_check, try_suite, record, spent, prefill)


def _hurried(red: Baseline) -> Check:
    """The check with a time-out that a candidate gone into a loop meets soon."""
    return replace(red.check, timeout=min(red.check.timeout, red.first.run.seconds * PATIENCE + GRACE))


async def _run_check(copy: Workspace, check: Check, red: Baseline) -> Tried:
    done = await execute(copy, check, "candidate")
    if done.run.passed:
        return Tried(True)
    if done.run.timed_out:
        return Tried(False, f"did not end within {check.timeout:.0f} s")
    # A project's own check may be red for other reasons too: progress is what failed before and passes now.
    if red.check.source != "--check" and red.failing:
        now = done.run.tests
        if any(now.get(test) == "pass" for test in red.failing) and all(now.get(t) == "pass" for t in red.passing):
            return Tried(True)
    reasons = [reason.splitlines()[0] for reason in done.report.reasons.values() if reason.strip()]
    return Tried(False, (reasons or done.run.tail.splitlines()[-1:] or ["red"])[0][:160])


async def _in_place(copy: Workspace, path: str, text: str, act: Callable[[], Awaitable[Tried]]) -> Tried:
    """Run `act` with the file changed in the scratch copy, which is put right again."""
    try:
        before = copy.read_file(path)
        stamp = copy.write_file(path, _encoded(text, before.data), before.stamp)
        try:
            return await act()
        finally:
            copy.write_file(path, before.data, stamp)
    except WorkspaceError as error:
        return Tried(False, f"could not be tried: {error}")


async def _keep_if_sound(run: Run, copy: Workspace, path: str, text: str, start: str) -> Tried:
    """Let the done gate judge the candidate in the copy; only what it accepts is ever written into the workspace."""
    trees: list[str] = []

    async def snap() -> Tried:
        trees.append(await copy.snapshot())
        return Tried(True)

    tried = await _in_place(copy, path, text, snap)
    if not tried.passed:
        return tried
    verdict = await run.proof.judge(start, trees[0], run.state.criteria, run.state.prompt)
    if verdict.outcome not in ("verified", "partial"):
        return Tried(False, verdict.why[:160])
    try:
        before = run.parts.workspace.read_file(path)
        run.parts.workspace.write_file(path, _encoded(text, before.data), before.stamp)
    except WorkspaceError as error:
        return Tried(False, f"could not be kept: {error}")
    return Tried(True)


async def _sources(workspace: Workspace) -> dict[str, str]:
    """Python files that can be read as UTF-8, within bounds."""
    found: dict[str, str] = {}
    room = MOST_BYTES
    for path in await workspace.list_files():
        if not path.endswith(".py"):
            continue
        try:
            text = workspace.read_file(path, LARGEST_FILE).data.decode("utf-8-sig")
        except (WorkspaceError, UnicodeDecodeError):
            continue
        room -= len(text)
        if room < 0:
            break
        found[path] = text
    return found


def _encoded(text: str, before: bytes) -> bytes:
    mark = b"\xef\xbb\xbf"
    return (mark if before.startswith(mark) else b"") + text.encode("utf-8")


async def _answer(run: Run) -> Stop:
    """Nothing is red: words are all that such a model can safely give."""
    run.record(Noticed(NOTHING_RED))
    # The person's words of this turn with what was piped in beside them; earlier turns would not fit.
    message = await run.ask(ModelRequest("", (), run.state.messages()[-1:], max_output=ANSWER_TOKENS))
    if message.failure is not None:
        return stop_for(message.failure)
    await run.conclude()
    return Stop(None)


async def _given_up(run: Run, found: Found) -> Stop:
    if found.failure is not None:
        return stop_for(found.failure)
    if run.spent.exceeds(run.options.budget, next_tokens=400):
        return Stop("budget", found.why)
    return Stop("failed", found.why)
