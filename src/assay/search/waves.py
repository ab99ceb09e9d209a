"""Waves of attempts behind a turn that its own attempt did not bring to a proved end.

The turn's own attempt comes first, alone, in the session's files, and is what a run without any of this would have
done; when the gate is content with it, nothing here happens. Else further attempts are made on copies, a few at a time,
until one is good enough or nothing new comes of them; then models that the user named for it have a try. The best by
evidence is adopted, and the gate judges it like any other work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct, structs

from assay.core.budget import Budget
from assay.core.check import Verdict
from assay.core.errors import AssayError, StorageError, WorkspaceError
from assay.core.events import AttemptFinished, AttemptSelected, Noticed
from assay.core.messages import Usage
from assay.core.model import Model, Profile
from assay.core.policy import Label
from assay.loop.turn import Stop
from assay.run.attempt import OWNER, STRATEGY, Made, Opened, Order, Prepare, carry_out, shared_records
from assay.run.run import Run, Strategy, tool_loop
from assay.search.adopt import Taken, adopt, keep_patches, put_back
from assay.search.belief import belief, doubts, futile
from assay.search.candidate import Candidate, Ground
from assay.search.distill import distill
from assay.search.effort import Dial
from assay.search.places import places_of
from assay.search.plan import Failed, Plan, handed_on, plans
from assay.search.select import Selection, leader, select
from assay.search.single import OWNER as SHOT
from assay.search.single import Attempt
from assay.search.tied import Tied
from assay.search.vector import vector_of
from assay.search.votes import Votes
from assay.search.written import Written
from assay.sessions.reader import LogReader
from assay.verify.baseline import Baseline

_JUDGED = frozenset({None, "failed", "stuck"})
"""Ends of an attempt after which its work can be judged and another one makes sense."""
_UNHEARD = frozenset({"auth", "unavailable"})
"""Ends of an attempt to which nobody replied: another one at the same provider would wait in vain, too."""
UNKNOWN = Label("external", "secret")
"""Of an attempt of which nobody remembers what it read."""
TIME = 0.75
"""Of the time left, what attempts may use."""
LEFT = "the program ended before it did"


class Lost(Struct, frozen=True):
    """The log of an attempt that an earlier process began in this turn and did not end."""

    log: str
    model: str
    steps: int
    usage: Usage
    dollars: float | None


class Ports(Struct, frozen=True):
    """What waves need of the house."""

    fork: Callable[[int], Opened]
    """A log for the next attempt, beginning with the session's records up to this number."""
    lost: Callable[[], Sequence[Lost]]
    prepare: Prepare
    strategy: Callable[[Profile], Strategy | None]
    open_model: Callable[[str], Model]
    """Raises `AssayError` for one that can't be had."""
    others: tuple[str, ...] = ()
    """Further models for attempts, by name."""
    cascade: tuple[str, ...] = ()
    """Models that follow when the gate is not content, each with one attempt."""
    at_once: int = 4


class _Entry(Struct, frozen=True):
    """A candidate with what its adoption or its successors need."""

    candidate: Candidate
    verdict: Verdict
    taken: Taken
    distillate: str = ""


def wanted(run: Run, verdict: Verdict, dial: Dial, said: bool) -> bool:
    """Whether more attempts are worth their price: the gate wants better, there is evidence to choose by, and the user
    asked for it (`said`: by the effort or a number) or gave a check that decides."""
    if dial.candidates < 2 or (verdict.diff.protected and verdict.outcome == "partial"):
        return False
    if verdict.outcome == "failed":
        # Who only asked something gets no second answer because a check happens to be red.
        checked = bool(run.proof.user_checks) and (said or run.state.touched)
        return checked or (said and evident(verdict))
    # Where nothing executable speaks yet, checks may be written that do.
    return said and verdict.outcome in ("partial", "unverified")


def evident(verdict: Verdict) -> bool:
    """Something executable speaks for or against the work: a red check, or a criterion with a check of its own."""
    red = any(row.after == "fail" or row.cls in ("A", "B", "C") for row in verdict.evidence)
    return red or any(criterion.check for criterion in verdict.criteria)


async def resumed(run: Run, first: Strategy) -> Stop:
    """The turn's own attempt when an earlier process stopped in this turn: one that had ended is not made again."""
    made = [event for event in run.state.attempts if event.strategy == STRATEGY]
    if not made:
        return await first(run)
    if not run.state.choice:
        own = next((event.tree for event in made if not event.log), "")
        await put_back(run, own, [event.tree for event in made if event.log and event.tree] if own else [])
    await run.conclude()
    return Stop(None)


async def go_on(run: Run, stop: Stop, dial: Dial, said: bool, ports: Ports) -> Stop:
    """What follows a turn's own attempt, which ended with `stop`; how the turn ends."""
    if stop.outcome not in _JUDGED or run.state.choice:
        return stop
    verdict = run.verdict if stop.outcome is None and run.verdict else await run.conclude()
    if stop.outcome is not None and verdict.outcome != "verified":
        verdict = structs.replace(verdict, outcome="failed", why=stop.why)
    grow = wanted(run, verdict, dial, said)
    cascade = ports.cascade if verdict.outcome in ("failed", "unverified") else ()
    if not (grow or cascade) or (run.tasks and run.tasks.pending) or run.state.asked_in_vain:
        return stop
    if not run.workspace.confined:
        run.record(Noticed("no further attempts: without a sandbox, commands of one could change the files of another"))
        return stop
    shared = shared_records(run.parts.store.records(), run.state.turn)
    if not shared:
        return stop
    waves = Waves(run, dial, ports, shared)
    await waves.begin(verdict)
    if grow:
        await waves.grow()
    await waves.climb(cascade)
    return await waves.end(stop)


class Waves:
    """The attempts at one turn."""

    def __init__(self, run: Run, dial: Dial, ports: Ports, shared: int) -> None:
        self.run = run
        self.dial = dial
        self.ports = ports
        self._shared = shared
        self._pool: dict[int, _Entry] = {}
        self._own = 0
        """The number of the turn's own attempt; 0 when it left nothing that could be taken."""
        self._made = 0
        """Attempts so far, those that came to nothing included."""
        self._live = ""
        """What the turn's own attempt left."""
        self._start = ""
        self._places: list[str] = []
        self._ground = Ground()
        self._turned = False
        """Another way was tried already."""
        self._unheard = False
        """None of the last wave had a provider that replied."""
        self._votes: Votes | None = None
        """Checks written for want of others."""

    @property
    def _candidates(self) -> list[Candidate]:
        return [entry.candidate for entry in self._pool.values()]

    async def begin(self, verdict: Verdict) -> None:
        """Take in the turn's own attempt, and what an earlier process made in this turn."""
        run = self.run
        self._start = await run.start_tree()
        earlier = [event for event in run.state.attempts if event.strategy == STRATEGY]
        self._made = max((event.number for event in run.state.attempts), default=0)
        own = next((event for event in earlier if not event.log), None)
        self._live = own.tree if own else await run.workspace.snapshot()
        if own or run.parts.model.profile.strategy != "slots":
            await self._take_in(self._first(own, verdict))
        for event in earlier:
            if event.log:
                await self._again(event)
        for lost in self.ports.lost():
            self._lost(lost)
        self._places = await places_of(run)
        red = await _red(run)
        kind = "A" if red and red.check.command in run.proof.user_checks else "B" if red else None
        self._ground = Ground(kind)

    def _first(self, recorded: AttemptFinished | None, verdict: Verdict) -> Made:
        """The turn's own attempt, which is in the log from now on."""
        state = self.run.state
        if recorded is None:
            self._made += 1
            note = verdict.why[:200]
            recorded = AttemptFinished(self._made, STRATEGY, "", "red", note, self._live)
            self.run.record(recorded, durable=True)
        self._own = recorded.number
        return Made(
            recorded.number,
            recorded.result,
            recorded.note,
            model=self.run.parts.model.profile.name,
            tree=self._live,
            verdict=verdict,
            words=state.last_text,
            criteria=state.criteria,
            label=state.label,
        )

    async def _again(self, event: AttemptFinished) -> None:
        """A candidate of an earlier process: its tree is judged, no model is asked."""
        if not event.tree:
            return
        run = self.run
        try:
            verdict = await run.proof.judge(self._start, event.tree, (), run.state.prompt)
        except WorkspaceError as error:
            run.record(Noticed(f"attempt {event.number} of an earlier process is lost: {error}"))
            return
        made = Made(event.number, event.result, event.note, event.location, event.model, event.tree, verdict)
        await self._take_in(structs.replace(made, label=UNKNOWN, log=event.log))

    def _lost(self, lost: Lost) -> None:
        self._made += 1
        event = AttemptFinished(self._made, STRATEGY, "", "invalid", LEFT, "", lost.model, lost.steps, lost.usage)
        self.run.record(structs.replace(event, dollars=lost.dollars, log=lost.log), durable=True)
        self.run.record(Noticed(f"attempt {self._made} was cut short when {LEFT}; it is not made again"))

    async def _take_in(self, made: Made) -> None:
        if made.verdict is None or (made.tree == self._start and made.number != self._own):
            return
        run, verdict = self.run, made.verdict
        vector = await vector_of(run, made.tree, made.criteria, verdict)
        changes = await run.workspace.changes(self._start, made.tree)
        candidate = Candidate(
            made.number,
            STRATEGY,
            made.origin,
            made.model,
            made.tree,
            await run.workspace.patch(self._start, made.tree),
            len(changes),
            sum(max(each.added, 0) + max(each.removed, 0) for each in changes),
            bool(verdict.diff.protected),
            vector,
            usage=made.spent.usage,
            steps=made.spent.steps,
            seconds=made.spent.seconds,
        )
        taken = Taken(made.number, made.tree, made.words, made.model, made.criteria, made.label)
        self._pool[made.number] = _Entry(candidate, verdict, taken, self._distillate(made))

    def _distillate(self, made: Made) -> str:
        """What others may learn of it, from its log."""
        records = LogReader(Path(made.log)).records() if made.log else self.run.parts.store.records()
        try:
            found = distill(records)
        except AssayError:
            return ""
        # Checks are heard of in the session's log alone; what the gate said is as good.
        said = " ".join((made.verdict.missing if made.verdict else "").partition("\n")[2].split())
        return str(structs.replace(found, failing=said[:260]) if made.log and said else found)

    # --- growing -----------------------------------------------------------------------------------------------------

    async def grow(self) -> None:
        """Wave after wave, within what the dial allows."""
        if self._ground.cls is None and self.dial.written_checks:
            self._votes = Votes(self.run, self._start, self._shared)
            await self._votes.write(self.dial.written_checks)
            await self._vote()
        left = self.dial.candidates - self._made
        # The first wave's other attempts follow the turn's own, which may make them needless.
        sizes = [self.dial.waves[0] - 1, *self.dial.waves[1:]]
        for size in sizes:
            count = min(size, left)
            if count < 1:
                continue
            stale = futile(self._candidates)
            if self._enough() or (stale and self._turned):
                return
            self._turned = self._turned or stale
            if not await self._wave(plans(self._made + 1, count, self._places, self._failed(), anew=stale)):
                return
            if self._unheard:
                self.run.record(Noticed("no further attempts: the provider does not reply"))
                return
            left -= count

    async def _vote(self) -> None:
        """Let written checks speak about all that was made so far."""
        for each in await self._votes.cast(self._candidates) if self._votes else ():
            self._pool[each.number] = structs.replace(self._pool[each.number], candidate=each)

    def _enough(self) -> bool:
        if any(entry.verdict.outcome == "verified" for entry in self._pool.values()):
            return True
        return belief(self._candidates, self._ground) >= self.dial.belief

    def _failed(self) -> Failed | None:
        """The attempt that came furthest without being right, for others to learn from."""
        best = leader([each for each in self._candidates if not each.vector.green])
        if best is None:
            return None
        entry = self._pool[best.number]
        return Failed(best.number, entry.distillate, entry.verdict.missing, entry.taken.label)

    async def climb(self, cascade: Sequence[str]) -> None:
        """One attempt with each model of the cascade, until the gate is content."""
        for name in cascade:
            if self._content():
                return
            if (model := self._model(name)) is None:
                continue
            number = self._made + 1
            self.run.record(Noticed(f"attempt {number} goes to {model.profile.name} (settings: cascade)"))
            if not await self._wave([handed_on(self._failed(), self._places)], model):
                return

    def _content(self) -> bool:
        return any(entry.verdict.outcome in ("verified", "partial") for entry in self._pool.values())

    def _model(self, name: str) -> Model | None:
        try:
            return self.ports.open_model(name)
        except AssayError as error:
            self.run.record(Noticed(f"no attempt with {name}: {error}"))
            return None

    async def _wave(self, planned: Sequence[Plan], model: Model | None = None) -> bool:
        """Make attempts side by side; False when the budget has no room for them."""
        using = [model or self._mixed(plan.model) for plan in planned]
        local = any(each.profile.name.startswith("local/") for each in using)
        at_once = 1 if local else self.ports.at_once
        budget = share(self.run, len(planned), self.dial, -(-len(planned) // at_once))
        if budget is None:
            return False
        orders: list[Order] = []
        for plan, its_model in zip(planned, using, strict=True):
            self._made += 1
            known = frozenset(each.tree for each in self._candidates)
            orders.append(Order(self._made, its_model, budget, plan.text, plan.origin, plan.label, known))
        first, last = orders[0].number, orders[-1].number
        name = f"attempt {first}" if first == last else f"attempts {first} to {last}"
        self.run.progress(OWNER, f"{name}: {'; '.join(order.origin for order in orders)}")
        slots = asyncio.Semaphore(at_once)
        made: dict[int, Made] = {}

        async def one(order: Order) -> None:
            async with slots:
                strategy = _beside(self.ports.strategy(order.model.profile))
                opened = self.ports.fork(self._shared)
                made[order.number] = await carry_out(self.run, order, opened, strategy, self.ports.prepare)

        try:
            async with asyncio.TaskGroup() as tasks:
                for order in orders:
                    tasks.create_task(one(order))
        except BaseExceptionGroup as errors:
            # A log that can't be written must be met as what it is by whoever ends the turn.
            raise next((e for e in errors.exceptions if isinstance(e, StorageError)), errors.exceptions[0]) from errors
        self._unheard = all(each.ended in _UNHEARD for each in made.values())
        for _, each in sorted(made.items()):
            await self._take_in(each)
        await self._vote()
        return True

    def _mixed(self, nth: int) -> Model:
        """The models of the turn go round; one that can't be had is told, and the turn's own takes its place."""
        names = ("", *self.ports.others)
        name = names[nth % len(names)]
        return (self._model(name) if name else None) or self.run.parts.model

    # --- the end -----------------------------------------------------------------------------------------------------

    async def end(self, stop: Stop) -> Stop:
        """Adopt the best, and let the gate speak."""
        run, pool = self.run, self._candidates
        if not any(event.log for event in run.state.attempts) and not any(each.vector.written for each in pool):
            return stop  # none but the turn's own was made, and nothing new is known of it
        # One that changed protected paths is nobody's to take over.
        fit = [each for each in pool if not each.protected or each.number == self._own]
        tied = Tied(run, self._start)
        fit = await tied.observed(fit)
        choice = await (select(fit, tied.ports, tied.question()) if self.dial.compares else select(fit))
        own = self._pool.get(self._own)
        first_passed = own is not None and own.candidate.vector.green and not own.candidate.protected
        sure = belief(fit, self._ground, chosen=choice.number)
        why = _reason(choice, fit)
        selected = AttemptSelected(choice.number, why, self._made, first_passed, round(sure, 3))
        doubtful = doubts(fit, self._ground, chosen=choice.number)
        entry = self._pool.get(choice.number)
        kept = await self._votes.kept(entry.candidate) if self._votes and entry else []
        if entry is None or choice.number == self._own:
            if own:
                run.record(structs.replace(selected, number=self._own), durable=True)
            if stop.outcome is None and (doubtful or kept):
                await self._conclude(doubtful, kept)
            return stop
        if not await adopt(run, entry.taken, self._live, selected):
            line = await self._refused(choice.number)
            run.record(AttemptSelected(self._own, line, self._made, first_passed), durable=True)
            await run.conclude([line])
            return Stop(None)
        await self._conclude(doubtful, kept)
        return Stop(None)

    async def _conclude(self, doubtful: Sequence[str], kept: Sequence[Written]) -> None:
        if self._votes:
            await self._votes.plant(kept)
            for path, why in self._votes.dropped.items():
                self.run.record(Noticed(f"the written check {path} has no vote: {why}"))
        await self.run.conclude(doubtful)

    async def _refused(self, number: int) -> str:
        """Files are not what they were, so the candidates are kept beside them; the line that says so."""
        trees = {each: entry.candidate.tree for each, entry in self._pool.items() if each != self._own}
        kept = await keep_patches(self.run, trees)
        line = f"files were changed meanwhile, so attempt {number} was not taken over"
        self.run.record(Noticed(f"{line}; patches: {', '.join(kept)}" if kept else line))
        return line


def share(run: Run, among: int, dial: Dial, rounds: int = 1) -> Budget | None:
    """What each of `among` attempts, made in so many `rounds` of several at once, may spend of what is left; None when
    that is not enough for one request. Time is left to judge what they made: a turn that is out of it takes nothing."""
    budget, spent = run.options.budget, run.spent
    most = dial.turns + dial.extension
    steps = most if budget.steps is None else min((budget.steps - spent.steps) // among, most)
    tokens = None if budget.tokens is None else (budget.tokens - spent.usage.total) // among
    dollars = None if budget.dollars is None else (budget.dollars - spent.dollars) / among
    seconds = None if budget.seconds is None else (budget.seconds - spent.seconds) * TIME / rounds
    if steps < 1 or (tokens is not None and tokens < 400) or (dollars is not None and dollars <= 0):
        return None
    return Budget(steps, tokens, dollars, seconds) if seconds is None or seconds > 0 else None


async def _red(run: Run) -> Baseline | None:
    """What was red at the start of the turn, as far as it is known: a check of the user before one of the project."""
    known = (await run.proof.gate(await run.start_tree(), run.state.prompt)).ledger.known()
    red = [each for each in known if each.result == "fail" and (each.check.source == "--check" or each.failing)]
    return next((each for each in red if each.check.command in run.proof.user_checks), next(iter(red), None))


def _beside(strategy: Strategy | None) -> Strategy:
    """How an attempt is made that begins as the turn's own did: where that had the code at fault in hand, this one has
    it, too, and is judged and capped in the same way."""

    async def take(run: Run) -> Stop:
        if any(owner == SHOT for owner, _ in run.state.sources) and (red := await _red(run)):
            return await Attempt(run, red, strict=True).take()
        return await (strategy or tool_loop)(run)

    return take


def _reason(choice: Selection, pool: Sequence[Candidate]) -> str:
    green = [each.number for each in pool if each.vector.green]
    if choice.number not in green:
        return f"none is green; {choice.why}" if pool else choice.why
    return "the only one that turns the checks green" if len(green) == 1 else choice.why
