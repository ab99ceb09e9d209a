"""The tier that asks no model: small changes of suspicious lines, tried by the thousand, and what survives the checks.

Rescue what does not parse or import, else: watch the failing tests, rank lines by Ochiai's coefficient and changes by
how often people make such mistakes, try them in a scratch copy, and keep those that turn the failing tests green and
break nothing. What several different survivors are worth depends on the checks, so they are told apart by what they
answer to the inputs that tests use and to neighbours of these.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from assay.core.events import AttemptFinished, AttemptSelected, Noticed
from assay.core.workspace import Workspace
from assay.repair.locate import locate
from assay.repair.mutate.change import Place
from assay.repair.mutate.rank import mutations
from assay.repair.patch import Patch
from assay.repair.rescue import rescues
from assay.repair.source import functions, lines_of, parsed, span
from assay.repair.strength import assertions
from assay.repair.suspicion import hit_files, suspicion
from assay.repair.trial import Bench, Call, Traced, Tried, Want
from assay.search.belief import LOOSENESS, belief, doubts
from assay.search.candidate import Candidate, Ground, Vector
from assay.search.clusters import inputs_of
from assay.search.keep import keep_if_sound
from assay.search.located import to_mend
from assay.search.notice import DRAWN_FROM, unnoticed

if TYPE_CHECKING:
    from assay.run.run import Run
    from assay.search.effort import Dial
    from assay.verify.baseline import Baseline

NAME = "zero"
BATCHES = (150, 300, 600, 1_000, 2_000)
"""Candidates of a command of the driver: starting it costs as much as some twenty of them."""
SLOW_BATCH = 12
MOST = 4_000
QUICK = 0.2
"""Processor seconds that a test may take with a candidate, beyond what it took before; a loop costs that much."""
PATIENT = 1.5
"""The same at a second try, for what was too slow, when nothing else was found."""
ENOUGH = 5
"""Assertions from which a green check is believed though others might pass it, too."""
FURTHER, FURTHER_THIN = 40, 150
"""Candidates that are looked at after the first plausible one, to see what else would pass."""
NEAR = 60
"""Small changes to the first survivor that the checks are tried on."""
WEIGHING = 8.0
"""Processor seconds for that."""
KEPT = 8
CALLS = 40
MOST_PLACES = 12
MODULE_WEIGHT = 0.25


class Survivor(Struct, frozen=True):
    """A patch that passes, standing for all that answer alike."""

    patch: Patch
    behaviour: dict[str, str] = {}
    alike: int = 1
    """Patches that answer as this one does."""


class Zero(Struct, frozen=True):
    """What the tier found."""

    survivors: tuple[Survivor, ...] = ()
    """Different in behaviour, the one that most patches agree on first."""
    ground: Ground = Ground()
    accepted: bool = False
    """The first survivor may be taken without asking a model."""
    tried: int = 0
    seconds: float = 0.0
    """Processor seconds."""
    places: tuple[Place, ...] = ()
    """Where it looked, for whoever goes on."""
    calls: tuple[Call, ...] = ()
    """Inputs on which behaviour was compared."""
    loose: float | None = None
    """The part of small changes to the first survivor that the checks let pass; None when nobody looked."""

    @property
    def plausible(self) -> list[Patch]:
        return [survivor.patch for survivor in self.survivors]

    @property
    def candidates(self) -> list[Candidate]:
        """The survivors, as what a selection works on."""
        return candidates(self.survivors, self.loose)


def candidates(survivors: Sequence[Survivor], loose: float | None) -> list[Candidate]:
    vector = Vector(targets={"check": True})
    signs = {} if loose is None else {LOOSENESS: loose}
    return [
        Candidate(
            number, NAME, one.patch.operator, files=1, lines=1, vector=vector, behaviour=one.behaviour, signs=signs
        )
        for number, one in enumerate(survivors, 1)
    ]


async def repair(
    run: Run, red: Baseline, tree: str, sources: Mapping[str, str], places: Sequence[Place], dial: Dial
) -> Zero:
    """Look for patches of `sources` (path -> text of files of `tree`, tests included) that turn the check `red` green,
    within `dial.mutate_seconds`. `places` are functions under suspicion, from `repair.locate`; where tests can be
    watched their lines count more, and without any place they alone. Every survivor is recorded as an attempt. Never
    raises for what the project or the check does; a copy that can't be made is a `WorkspaceError`."""
    run.progress("check", "trying small changes without a model")
    async with run.parts.workspace.copy(tree) as copy:
        zero = await search(copy, red, sources, places, dial, run.state.prompt)
    for number, survivor in enumerate(zero.survivors, 1):
        location = f"{survivor.patch.edits[0].path}:{survivor.patch.line}"
        run.record(AttemptFinished(number, NAME, location, "plausible", survivor.patch.operator))
    return zero


async def search(
    copy: Workspace, red: Baseline, sources: Mapping[str, str], places: Sequence[Place], dial: Dial, task: str = ""
) -> Zero:
    """`repair` in a scratch copy, without a run."""
    work = _Work(copy, red, sources, dial, task)
    await work.rescue()
    if not work.survivors:
        await work.mutate(places)
    return await work.zero()


class _Work:
    def __init__(self, copy: Workspace, red: Baseline, sources: Mapping[str, str], dial: Dial, task: str) -> None:
        self.red, self.sources, self.dial, self.task = red, sources, dial, task
        failing = to_mend(red, sources)
        self.bench = Bench(copy, red.check, failing, red.passing)
        self.failing = failing
        self.survivors: list[tuple[Patch, Tried]] = []
        self.tried = 0
        self.slow: list[Patch] = []
        self.places: list[Place] = []
        self.calls: tuple[Call, ...] = ()
        self.traced = Traced()
        self._assertions: int | None = None

    async def rescue(self) -> None:
        """What does not parse or import, or misses a name: mended from what the check printed."""
        found = list(itertools.islice(rescues(self.sources, self.red.first.output), 40))
        if found:
            await self._batch(found, replace(self._want(), plausible=2))

    async def mutate(self, places: Sequence[Place]) -> None:
        paths = [path for path in self.sources if path.endswith(".py")]
        self.traced = await self.bench.trace(paths)
        if not self.traced.trouble and self.traced.coverage and not hit_files(self.traced):
            # What fails runs in a process of its own, which the driver does not see.
            self.bench.slow_down()
        output = self.red.first.output
        self.places = suspects(self.sources, self.traced, output, places or self._located(), self.bench.named)
        self.calls = tuple(self._inputs())
        self._assertions = None
        texts = [self.red.first.output[-4_000:], self.task[:4_000]]
        stream = mutations(self.sources, self.places, MOST, texts)
        sizes = iter(BATCHES) if self.bench.fast else itertools.repeat(SLOW_BATCH)
        for size in sizes:
            batch = list(itertools.islice(stream, size))
            if not batch or not self._room():
                break
            await self._batch(batch, self._want())
            if self.survivors:
                return
        if self.slow and self._room():
            await self._batch(self.slow, replace(self._want(), each_seconds=PATIENT))

    def _located(self) -> list[Place]:
        found = locate(self.sources, self.red.first.output, self.failing, self.task, limit=MOST_PLACES)
        return [Place(each.path, each.start, each.end, each.symbol, each.score) for each in found]

    def _room(self) -> bool:
        return self.bench.seconds < self.dial.mutate_seconds and len(self.survivors) < KEPT

    def _want(self) -> Want:
        further = FURTHER if self.strength() >= ENOUGH else FURTHER_THIN
        left = max(self.dial.mutate_seconds - self.bench.seconds, 1.0)
        return Want(left, KEPT * 3, QUICK, further, self.calls)

    async def _batch(self, patches: Sequence[Patch], want: Want) -> None:
        done = await self.bench.try_(patches, want)
        self.tried += len(done)
        for tried in sorted(done, key=lambda tried: tried.index):
            if tried.status == "plausible":
                self.survivors.append((patches[tried.index], tried))
            elif tried.status == "slow":
                self.slow.append(patches[tried.index])

    def _inputs(self) -> Iterator[Call]:
        """Calls that tests made of the likeliest functions, and neighbours of these."""
        named = [place for place in self.places if place.symbol][:4]
        recorded = [(place, self.traced.calls.get(f"{place.path}:{place.symbol}", ())) for place in named]
        recorded = [(place, calls) for place, calls in recorded if calls]
        for place, calls in recorded:
            most = CALLS // len(recorded)
            opaque = [call for call in calls if call.arguments.startswith("pickle:")][:most]
            text = "\n".join(lines_of(self.sources[place.path])[place.start - 1 : place.end])
            plain = inputs_of([call.arguments for call in calls], text, most - len(opaque))
            yield from (*opaque, *(Call(place.path, place.symbol, arguments) for arguments in plain))

    def strength(self) -> int:
        """Assertions of the failing tests, and of others that run the same places."""
        if self._assertions is not None:
            return self._assertions
        near = [
            test
            for test, files in self.traced.coverage.items()
            if test not in self.traced.failed and any(_meets(files, place) for place in self.places[:3])
        ]
        self._assertions = assertions(self.sources, [*self.failing, *near], self.red.check.command)
        return self._assertions

    def _standing_for(self, group: Sequence[tuple[Patch, Tried]]) -> Survivor:
        """Of patches that answer alike, the one that changes the text's length least: it reads like a repair."""
        patch, tried = min(group, key=lambda pair: _growth(pair[0]))
        return Survivor(patch, tried.behaviour, len(group))

    async def loose(self, survivor: Patch) -> float | None:
        """The part of small changes to `survivor` that the checks let pass."""
        changed = survivor.apply(self.sources)
        near = [place for path, text in changed.items() for place in functions_at(path, text, survivor.line)]
        if not near or not self.bench.fast:
            return None
        further = mutations({**self.sources, **changed}, near, NEAR * DRAWN_FROM)
        want = Want(WEIGHING, NEAR + 1, QUICK)

        async def passing(patches: Sequence[Patch]) -> int:
            return sum(one.status == "plausible" for one in await self.bench.try_(patches, want))

        return await unnoticed(self.sources, survivor, further, passing, NEAR)

    async def zero(self) -> Zero:
        grouped: dict[tuple[tuple[str, str], ...], list[tuple[Patch, Tried]]] = {}
        for patch, tried in self.survivors:
            grouped.setdefault(tuple(sorted(tried.behaviour.items())), []).append((patch, tried))
        standing = [self._standing_for(group) for group in grouped.values()]
        survivors = tuple(sorted(standing, key=lambda each: (-each.alike, _growth(each.patch)))[:KEPT])
        strength = self.strength()
        cls = "A" if self.red.check.source == "--check" else "B"
        ground = Ground(cls, strength)
        loose = await self.loose(survivors[0].patch) if survivors else None
        accepted = bool(survivors) and (strength >= ENOUGH or len(survivors) == 1)
        return Zero(
            survivors,
            ground,
            accepted,
            self.tried,
            round(self.bench.seconds, 3),
            tuple(self.places),
            self.calls,
            loose,
        )


def _growth(patch: Patch) -> int:
    return sum(abs(len(edit.text) - (edit.end - edit.start)) for edit in patch.edits)


def functions_at(path: str, text: str, line: int) -> list[Place]:
    """The functions of `text` that line `line` is in."""
    tree = parsed(text)
    spans = [(symbol, *span(node)) for symbol, node in functions(tree)] if tree else []
    return [Place(path, start, end, symbol) for symbol, start, end in spans if start <= line <= end]


def suspects(
    sources: Mapping[str, str], traced: Traced, output: str, places: Sequence[Place], judges: Collection[str] = ()
) -> list[Place]:
    """Where to change something: functions that failing tests ran, by the suspicion of their lines and the order of
    `places`; then what stands outside of functions in these files. Without coverage, `places` as they are. `judges` are
    files that the check itself names: they are left alone, but for functions of theirs when nothing else was run."""
    lines = suspicion(traced, output, sources)
    others = {path: marked for path, marked in lines.items() if path not in judges}
    lines = others or lines
    most = max((place.weight for place in places), default=0.0) or 1.0
    known = {(place.path, place.symbol): place.weight / most for place in places}
    found: list[Place] = []
    for path, marked in lines.items():
        tree = parsed(sources.get(path, ""))
        if tree is None or not marked:
            continue
        for symbol, node in functions(tree):
            start, end = span(node)
            if path in judges and symbol.rsplit(".", 1)[-1].startswith("test"):
                continue
            own = {line: value for line, value in marked.items() if start <= line <= end}
            if own:
                share = known.get((path, symbol), 0.0)
                found.append(Place(path, start, end, symbol, max(own.values()) * (0.6 + 0.4 * share), own))
        if path in judges:
            continue
        last = sources[path].count("\n") + 1
        spans = [(each.start, each.end) for each in found if each.path == path]
        outside = {line: value for line, value in marked.items() if not any(a <= line <= b for a, b in spans)}
        found.append(Place(path, 1, last, "", MODULE_WEIGHT * max(marked.values()), outside))
    ranked = sorted(found, key=lambda place: -place.weight)[:MOST_PLACES]
    return ranked or [place for place in places if place.path not in judges][:MOST_PLACES]


def _meets(files: Mapping[str, Sequence[int]], place: Place) -> bool:
    return any(place.start <= line <= place.end for line in files.get(place.path, ()))


async def adopt(run: Run, zero: Zero, tree: str) -> bool:
    """Write the first survivor that the done gate accepts into the workspace, and conclude the turn with the doubts.
    False when it accepts none, or there is none; then nothing was written."""
    for number, survivor in enumerate(zero.survivors[:4], 1):
        judged = await keep_if_sound(run, survivor.patch, tree, True)
        if judged.kept:
            made = len(zero.survivors)
            why = "the only repair found that passes" if made == 1 else f"most alike of {made} repairs that pass"
            why = why if number == 1 else f"the first that the gate accepts of {made} repairs that pass"
            sure = belief(zero.candidates, zero.ground, chosen=number)
            run.record(AttemptSelected(number, why, made, number == 1, round(sure, 3)), durable=True)
            await run.conclude(doubts(zero.candidates, zero.ground, chosen=number))
            return True
        run.record(Noticed(f"attempt {number} passes what failed, and is refused: {judged.note}"))
    return False


def hint(zero: Zero, sources: Mapping[str, str], most: int = 4) -> str:
    """For a model that goes on: what was found, as changes of lines; "" when nothing was."""
    import difflib

    shown: list[str] = []
    for survivor in zero.survivors[:most]:
        for path, text in survivor.patch.apply(sources).items():
            delta = difflib.unified_diff(sources[path].splitlines(), text.splitlines(), path, path, lineterm="", n=1)
            shown.append("\n".join([*delta][2:][:30]).replace("@@", f"@@ {path}", 1))
    if not shown:
        return ""
    head = (
        "These small changes, found by trying, each turn the failing check green; pick one, improve it, or reject all:"
    )
    return "\n".join([head, *shown])
