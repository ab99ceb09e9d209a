"""The slots strategy within a run: what is red, a scratch copy to try candidates in, and the done gate at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from assay.core.events import AttemptSelected, Noticed
from assay.core.model import ModelRequest
from assay.loop.turn import Stop, stop_for
from assay.repair.locate import Location, is_test_path, locate
from assay.repair.mutate.change import Place
from assay.repair.patch import Patch
from assay.repair.strength import about, assertions
from assay.repair.trial import Bench
from assay.repair.unwritten import unwritten
from assay.run.run import Run
from assay.search.belief import belief, doubts
from assay.search.candidate import Candidate, Ground
from assay.search.effort import dial_of
from assay.search.keep import keep_if_sound
from assay.search.located import python_of, read_sources
from assay.search.priors import TINY
from assay.search.slots import Search
from assay.search.slots_asks import asks
from assay.search.slots_new import write_missing
from assay.search.slots_plan import plan, slots_of
from assay.search.slots_prompts import PREFILL
from assay.search.slots_red import instructions, red_check
from assay.search.slots_try import Trial
from assay.search.slots_wish import by_words, wants_change
from assay.search.slots_words import Failing, Fate, Found, Judged, Limits, Ports, limits_of
from assay.search.zero import Zero, adopt, repair
from assay.verify.baseline import Baseline

ANSWER_TOKENS = 700
NOTHING_RED = (
    "no failing check was found, so there is nothing to repair by; with a model as small as this one, "
    "name a failing command with --check"
)
NOWHERE = "no function could be connected with the failing check; name one in the task"


async def take_slots(run: Run, limits: Limits | None = None) -> Stop:
    """A `run.Strategy`. With a red check: repair by it, or write what it misses. Without one: examples in docstrings
    may be red; else a change that was asked for is made at best effort, and a question answered in words."""
    tree = await run.start_tree()
    effort, attempts = run.options.reasoning.effort, run.options.attempts
    limits = limits or limits_of(dial_of(effort, attempts), attempts, run.parts.model.profile.samples)
    run.progress("check", "looking for what fails")
    sources = python_of((await read_sources(run.parts.workspace))[0])
    red = await red_check(run, tree, sources)
    if red is None and not wants_change(run.state.prompt):
        return await _answer(run)
    seconds = run.options.budget.seconds
    try:
        async with asyncio.timeout(None if seconds is None else max(seconds - run.spent.seconds, 0.01)):
            if red is None:
                found = await by_words(run.state.prompt, sources, ports_of(run, tree), limits)
                if found is None:
                    return await _answer(run)
            else:
                found = await _by_check(run, red, tree, sources, limits)
    except TimeoutError:
        return Stop("budget", f"{run.spent.seconds:.0f} s used, the limit is {seconds:g} s (--max-seconds)")
    if found is None:
        return Stop(None)
    if found.patch is None:
        stop = _given_up(run, found)
        run.said = stop.why
        return stop
    chosen = AttemptSelected(found.selected, found.why, found.attempts, found.first_passed, round(found.belief, 3))
    run.record(chosen)
    # The replies were code, and the last one need not be what was taken: they are no words for a person.
    run.said = (await run.conclude(found.doubts)).why
    return Stop(None)


async def _by_check(run: Run, red: Baseline, tree: str, sources: Mapping[str, str], limits: Limits) -> Found | None:
    """The end of the search; None when what cost no tokens was adopted already."""
    failing = Failing(red.first.output, tuple(red.failing or red.first.failing))
    task, dial = run.state.prompt, dial_of(run.options.reasoning.effort, run.options.attempts)
    missing = unwritten(sources, failing.tests, failing.output)
    sources = {**{item.path: "" for item in missing}, **sources}
    async with run.parts.workspace.copy(tree) as copy:
        if missing:
            said = assertions(sources, failing.tests, red.check.command)
            ground = Ground("A" if red.check.source == "--check" else "B", said)
            ports = ports_of(run, tree, Trial(copy, red, sources, None), ground)
            search = Search(sources, ports, limits)
            text = f"{task}\n\n{await instructions(run.parts.workspace, task)}".strip()
            return await write_missing(search, failing, text, limits, ports.prefill) or search.over()
        located = locate(sources, failing.output, failing.tests, task, limit=limits.locations * 3)
        places = [Place(one.path, one.start, one.end, one.symbol, one.score, {}) for one in located]
        zero = await repair(run, red, sources, places, replace(dial, mutate_seconds=limits.mutate_seconds))
        if zero.accepted and await adopt(run, zero):
            return None
        bench = Bench(copy, red.check, failing.tests, red.passing)
        said = max(about(sources, place.symbol) for place in zero.places[:1]) if zero.places else 0
        ground = replace(zero.ground, assertions=max(zero.ground.assertions, said))
        ports = ports_of(run, tree, Trial(copy, red, sources, bench, zero.calls), ground)
        search = Search(sources, ports, limits, seeds_of(zero))
        lines = {(place.path, place.symbol): place.lines for place in zero.places}
        slots = slots_of(sources, failing, task, limits, ranked(located, zero.places), lines)
        if not slots and not zero.survivors:
            return Found(why=NOWHERE)
        steps = plan(slots, sources, limits, ports.infill)
        return await search.run(asks(steps, sources, ports.prefill)) or search.over()


def ranked(located: Sequence[Location], places: Sequence[Place]) -> list[Location]:
    """Functions that failing tests ran, by their suspicion, then the others that clues speak of."""
    known = {(one.path, one.symbol): one for one in located}
    first = [
        known.get((place.path, place.symbol))
        or Location(place.path, place.start, place.end, place.symbol, "", place.weight)
        for place in places
        if place.symbol and not is_test_path(place.path)
    ]
    return [*first, *(one for one in located if one not in first)]


def seeds_of(zero: Zero) -> list[tuple[Candidate, Patch]]:
    """What changes found without a model, as candidates among which those of a model may decide."""
    return list(zip(zero.candidates, zero.plausible, strict=True))


def ports_of(run: Run, tree: str, trial: Trial | None = None, ground: Ground | None = None) -> Ports:
    """What a search may touch in `run`; without a trial everything goes straight before the gate."""
    dial = dial_of(run.options.reasoning.effort, run.options.attempts)

    async def try_(patches: Sequence[Patch]) -> list[Fate]:
        if trial is None:
            return [Fate("plausible") for _ in patches]
        run.progress("check", f"trying {len(patches)} candidates")
        return await trial.try_(patches)

    async def judge(patch: Patch) -> Judged:
        run.progress("check", "the failing check is green; running everything else")
        return await keep_if_sound(run, patch, tree, trial is not None)

    def spent() -> str:
        return run.spent.exceeds(run.options.budget, next_tokens=400)

    def weigh(pool: Sequence[Candidate], number: int) -> float:
        return belief(pool, ground, dial, TINY, number) if ground else 0.0

    def uncertain(pool: Sequence[Candidate]) -> list[str]:
        return doubts(pool, ground, dial, TINY) if ground else []

    profile = run.parts.model.profile
    return Ports(
        run.ask, try_, judge, run.record, spent, uncertain, weigh,
        prefill=PREFILL in profile.quirks, infill=profile.infill is not None,
    )  # fmt: skip


async def _answer(run: Run) -> Stop:
    """Nothing is red: words are all that such a model can safely give."""
    run.record(Noticed(NOTHING_RED))
    # The person's words of this turn with what was piped in beside them; earlier turns would not fit.
    message = await run.ask(ModelRequest("", (), run.state.messages()[-1:], max_output=ANSWER_TOKENS))
    if message.failure is not None:
        return stop_for(message.failure)
    await run.conclude()
    return Stop(None)


def _given_up(run: Run, found: Found) -> Stop:
    if found.failure is not None:
        return stop_for(found.failure)
    why = "; ".join((found.why, *found.hints))
    if run.spent.exceeds(run.options.budget, next_tokens=400):
        return Stop("budget", found.why)
    return Stop("failed", why)
