"""The slots strategy within a run: what is red, a scratch copy to try candidates in, and the done gate at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from assay.core.errors import FileMissing, WorkspaceError
from assay.core.events import AttemptSelected, Noticed
from assay.core.model import ModelRequest
from assay.core.policy import Effect
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
from assay.search.keep import TOOL, keep_if_sound
from assay.search.located import python_of, read_sources, readable, to_mend
from assay.search.priors import TINY
from assay.search.slots import Search
from assay.search.slots_asks import asks
from assay.search.slots_new import write_missing
from assay.search.slots_plan import plan, slots_of
from assay.search.slots_prompts import PREFILL
from assay.search.slots_red import instructions, no_python, red_check
from assay.search.slots_try import Trial
from assay.search.slots_wish import by_words, is_question, place_named, wants_change
from assay.search.slots_words import Failing, Fate, Found, Judged, Limits, Ports, limits_of
from assay.search.zero import Zero, adopt, repair
from assay.verify.baseline import Baseline

ANSWER_TOKENS = 700
NOTHING_RED = (
    "no failing check was found, so there is nothing to repair by; with a model as small as this one, "
    "name a failing command with --check"
)
NO_PLACE = (
    "nothing was changed: no check fails, and the task names no one function that is there. A model as small as this "
    "one writes new code only against a failing test; name the function, or add a test that fails"
)
NOT_ALLOWED = "nothing is changed, as policy does not allow it: {why}"
NOWHERE = "no Python function could be connected with the failing check `{check}`; name one in the task"
NO_PYTHON = "a model as small as this one repairs Python only, and there is none here; `{check}` fails"


async def take_slots(run: Run, limits: Limits | None = None) -> Stop:
    """A `run.Strategy`. With a red check: repair by it, or write what it misses. Without one: examples in docstrings
    may be red; else a change that was asked for is made at best effort. A question is answered in words, and so is
    everything where policy is against changes. `limits`: instead of those of the effort."""
    if why := await _forbidden(run):
        return await _answer(run, NOT_ALLOWED.format(why=why))
    task, checks = run.state.prompt, run.proof.user_checks
    if is_question(task) and not checks:
        return await _answer(run)
    await run.start_tree()
    # A turn that was cut short keeps its start, and goes on from the files as they are.
    tree = await run.parts.workspace.snapshot()
    effort, attempts = run.options.reasoning.effort, run.options.attempts
    limits = limits or limits_of(dial_of(effort, attempts), attempts, run.parts.model.profile.samples)
    run.progress("check", "looking for what fails")
    sources = python_of((await read_sources(run.parts.workspace))[0])
    red = await red_check(run, tree, sources)
    if red is not None:
        found = await _by_check(run, red, tree, sources, limits)
    elif run.state.touched:
        # What was kept before the turn was cut short is what was asked for.
        await run.conclude()
        return Stop(None)
    elif not wants_change(task):
        return await _answer(run, NOTHING_RED)
    else:
        shown = await _shown(run, sources)
        slot = place_named(task, shown, limits)
        named = slot is not None and slot.location.path.rpartition("/")[2] in task
        if not named and (broken := no_python(shown, task)):
            return Stop("failed", f"nothing was changed: {broken}")
        if slot is None:
            return await _answer(run, NO_PLACE)
        found = _taken(run, await by_words(slot, shown, ports_of(run, tree), limits))
    if found is None:
        return Stop(None)
    if found.patch is None:
        stop = _given_up(run, found)
        run.said = stop.why
        return stop
    # The replies were code, and the last one need not be what was taken: they are no words for a person.
    run.said = (await run.conclude(found.doubts)).why
    return Stop(None)


async def _forbidden(run: Run) -> str:
    """Why policy is against changes as such, as it is while a plan is made; "" where it is not."""
    word = await run.parts.gate.decide(TOOL, (Effect("write", "file"),), run.label, {"file_path": "file"})
    return word.reason if word.verdict == "deny" else ""


async def _shown(run: Run, sources: Mapping[str, str]) -> dict[str, str]:
    """Those of `sources` that the model may read."""
    allowed = await readable(run, sources)
    return {path: text for path, text in sources.items() if path in allowed}


def _taken(run: Run, found: Found) -> Found:
    """`found`, on record before anything else can happen when its patch is in the files."""
    if found.patch is not None:
        number, belief = found.selected, round(found.belief, 3)
        run.record(AttemptSelected(number, found.why, found.attempts, found.first_passed, belief), durable=True)
    return found


async def _by_check(run: Run, red: Baseline, tree: str, sources: Mapping[str, str], limits: Limits) -> Found | None:
    """The end of the search; None when what cost no tokens was adopted already."""
    failing = Failing(red.first.output, to_mend(red, sources))
    task, dial = run.state.prompt, dial_of(run.options.reasoning.effort, run.options.attempts)
    command = red.check.command.partition("\n")[0][:120]
    if not sources:
        return Found(why=NO_PYTHON.format(check=command))
    if missing := await _missing(run, sources, failing):
        return await _written(run, red, tree, missing, limits)
    async with run.parts.workspace.copy(tree) as copy:
        located = await asyncio.to_thread(locate, sources, failing.output, failing.tests, task, limits.locations * 3)
        places = [Place(one.path, one.start, one.end, one.symbol, one.score, {}) for one in located]
        zero = await repair(run, red, tree, sources, places, replace(dial, mutate_seconds=limits.mutate_seconds))
        if zero.accepted and await adopt(run, zero, tree):
            return None
        bench = Bench(copy, red.check, failing.tests, red.passing)
        said = about(sources, zero.places[0].symbol) if zero.places else 0
        ground = replace(zero.ground, assertions=max(zero.ground.assertions, said))
        ports = ports_of(run, tree, Trial(copy, red, sources, bench, zero.calls), ground)
        search = Search(sources, ports, limits, seeds_of(zero))
        lines = {(place.path, place.symbol): place.lines for place in zero.places}
        shown = await _shown(run, sources)
        slots = slots_of(shown, failing, task, limits, ranked(located, zero.places), lines)
        if not slots and not zero.survivors:
            return Found(why=no_python(sources, task, failing.output) or NOWHERE.format(check=command))
        steps = plan(slots, shown, limits, ports.infill)
        return _taken(run, await search.run(asks(steps, shown, ports.prefill)) or await search.over())


async def _missing(run: Run, sources: Mapping[str, str], failing: Failing) -> dict[str, str]:
    """All files that may be shown, those to come as "", where failing tests use what nobody has written; else {}."""
    found = await asyncio.to_thread(unwritten, sources, failing.tests, failing.output)
    if not found:
        return {}
    shown = await _shown(run, sources)
    fresh = {item.path: "" for item in found if item.path not in sources and not _is_there(run, item.path)}
    return {**fresh, **shown} if any(item.path in shown or item.path in fresh for item in found) else {}


def _is_there(run: Run, path: str) -> bool:
    """A file that is there may be missing among the sources: too large, or no UTF-8."""
    try:
        run.parts.workspace.read_file(path, 0)
    except FileMissing:
        return False
    except WorkspaceError:
        return True
    return True


async def _written(run: Run, red: Baseline, tree: str, sources: Mapping[str, str], limits: Limits) -> Found:
    """New code for what failing tests use and nobody has written."""
    failing = Failing(red.first.output, to_mend(red, sources))
    said = assertions(sources, failing.tests, red.check.command)
    ground = Ground("A" if red.check.source == "--check" else "B", said)
    task = run.state.prompt
    text = f"{task}\n\n{await instructions(run, task)}".strip()
    async with run.parts.workspace.copy(tree) as copy:
        ports = ports_of(run, tree, Trial(copy, red, sources, None), ground)
        search = Search(sources, ports, limits)
        return _taken(run, await write_missing(search, failing, text, limits, ports.prefill) or await search.over())


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
        return belief(pool, ground, TINY, number) if ground else 0.0

    def uncertain(pool: Sequence[Candidate]) -> list[str]:
        return doubts(pool, ground, TINY) if ground else []

    async def near(patch: Patch) -> list[tuple[Candidate, Patch]]:
        if trial is None:
            return []
        run.progress("check", "trying small changes of what the model wrote")
        zero = await trial.near(patch, replace(dial, mutate_seconds=dial.mutate_seconds / 3), run.state.prompt)
        return [(replace(one, model=run.parts.model.profile.name), mended) for one, mended in seeds_of(zero)]

    profile = run.parts.model.profile
    return Ports(
        run.ask, try_, judge, run.record, spent, uncertain, weigh, near,
        prefill=PREFILL in profile.quirks, infill=profile.infill is not None,
    )  # fmt: skip


async def _answer(run: Run, notice: str = "") -> Stop:
    """Words are all that such a model can safely give; `notice` tells the person why."""
    if notice:
        run.record(Noticed(notice))
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
