"""The strategy for models too small to drive: the harness does everything and the model fills one slot at a time.

Failing check → places at fault → for each a few wordings, single lines and whole functions → replies are parsed with
good will and tried, many at a time → what turns the check green goes before the done gate. A second independent sample
is worth more than a second turn below 7B parameters, so a reply is only ever argued with when it crashed; places and
wordings are varied instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from assay.core.events import AttemptFinished
from assay.core.messages import AssistantMessage, Failure
from assay.core.model import ModelRequest
from assay.repair.crash import crashed
from assay.repair.normal import normal_key
from assay.repair.patch import Patch, between, union
from assay.search.candidate import Candidate, Vector
from assay.search.slots_words import Fate, Found, Limits, Ports

NAME = "slots"
Result = Literal["green", "red", "invalid", "duplicate", "plausible"]
MOST_AT_ONCE = 64
UNIONS = 4
"""Pairs of partial repairs that are tried together."""
LOST_SAMPLE = frozenset({"empty", "refused", "context_too_long", "cut"})
"""Failures that cost one sample; any other means that the model can't be asked."""
UNFIT = frozenset({"bad_request", "not_found"})
"""Failures of a server that does not take such a request: gaps to fill, or so many samples at once."""


class Ask(Struct, frozen=True):
    """One request to the model, and how its replies are read."""

    where: str
    """PATH:SYMBOL"""
    origin: str
    """The wording."""
    request: Callable[[int], ModelRequest]
    """For a seed."""
    read: Callable[[str], tuple[Patch | None, str]]
    """What a reply proposes, or why it proposes nothing."""
    again: Callable[[str, str], ModelRequest] | None = None
    """A second turn, after this reply has crashed for this reason; None where none makes sense."""


class _Draft(Struct, frozen=True):
    number: int
    where: str
    origin: str
    patch: Patch
    reply: str = ""
    ask: Ask | None = None


class Search:
    """Candidates as they come, and what became of them.

    `run` may be called for one plan after the other: what was seen, spent and found stays. `seeds` are green candidates
    that cost no tokens.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        ports: Ports,
        limits: Limits,
        seeds: Sequence[tuple[Candidate, Patch]] = (),
    ) -> None:
        self._start = sources
        self.sources: Mapping[str, str] = sources
        """The files that candidates start from."""
        self._ports = ports
        self._limits = limits
        self._seen: set[str] = set()
        self._green: dict[int, Candidate] = {candidate.number: candidate for candidate, _ in seeds}
        self._patches: dict[int, Patch] = {candidate.number: patch for candidate, patch in seeds}
        self._places: dict[int, str] = {candidate.number: candidate.origin for candidate, _ in seeds}
        self._partial: list[tuple[_Draft, frozenset[str]]] = []
        self._paired = 0
        """Of `_partial`: those that were put together with all before them."""
        self._unions = 0
        self._further = 0
        self._repaired = 0
        self._neighbourhoods = 0
        self._at_once = limits.total
        self._fills = True
        self._last = max(self._green, default=0)
        self._first_passed = bool(seeds)
        self._enough: Callable[[Fate], bool] = lambda _: False
        self._near = True
        self.replies = 0
        """Samples that came."""
        self.written = 0
        """Tokens that the model has written."""
        self.best: Fate | None = None
        """Of the candidates that stay red, the one with most tests passed."""
        self.best_patch: Patch | None = None
        self._best_place = ""
        self._furthest: tuple[Fate, _Draft] | None = None

    async def run(
        self, asks: Iterable[Ask], enough: Callable[[Fate], bool] = lambda _: False, near: bool = True
    ) -> Found | None:
        """Work through `asks` until a candidate is accepted, something ends it, `enough` is said of the best one, or
        nothing is left (None). With `near`, small changes of the best candidates are tried, too."""
        self._enough, self._near = enough, near
        if self._green and (found := await self._settle(wait=True)):
            return found
        for ask in asks:
            if self._skipped(ask):
                continue
            if why := self._ended():
                return await self._settle() or await self.over(why)
            message = await self._asked(ask.request(self.replies + 1))
            if ask.origin == "hole" and message.failure is not None and message.failure.kind in UNFIT:
                self._fills = False
                continue
            if message.failure is not None and message.failure.kind not in LOST_SAMPLE:
                return await self._settle() or self._over(message.failure.message, message.failure)
            drafts = self._drafts(ask, message)
            await self._offer(drafts)
            await self._joined()
            if self._green and (found := await self._settle(wait=True)):
                return found
            if self.best is not None and not self._green and enough(self.best):
                break
        return await self._settle()

    def rebase(self) -> bool:
        """Go on from the best candidate so far, although it is not green; False when there is none."""
        if self.best_patch is None:
            return False
        self.sources = {**self.sources, **self.best_patch.apply(self.sources)}
        self._seen.clear()
        self._partial.clear()
        self._paired = 0
        self.best = self.best_patch = None
        return True

    def _lifted(self, patch: Patch) -> Patch:
        """`patch`, from the files as they were at the very start."""
        if self.sources is self._start:
            return patch
        now = {**self.sources, **patch.apply(self.sources)}
        edits = [
            edit
            for path, text in now.items()
            if text != self._start[path]
            for edit in between(path, self._start[path], text).edits
        ]
        return Patch(tuple(edits), patch.operator, patch.line)

    async def over(self, why: str = "") -> Found:
        """The end, without a green candidate: what mends most of the failing tests, if the gate lets it pass."""
        if self._furthest is not None:
            fate, draft = self._furthest
            judged = await self._ports.judge(draft.patch)
            if judged.kept:
                most = f"none turned the check green; this one mends most, {len(fate.passed)} of the failing tests"
                left = f"still red: {', '.join([*fate.failing][:3]) or 'the check'}"
                return Found(draft.patch, draft.where, max(self._last, 1), draft.number, False, most, doubts=(left,))
        return self._over(why or f"none of {self.replies} candidates turned the check green")

    # --- asking -----------------------------------------------------------------------------------------------------

    def _ended(self) -> str:
        if self.replies >= self._limits.total:
            return f"{self.replies} candidates were made, as many as wanted"
        if self.written >= self._limits.output_tokens:
            return f"the model has written {self.written} tokens, the effort allows {self._limits.output_tokens}"
        return self._ports.spent()

    def _skipped(self, ask: Ask) -> bool:
        """While something is green already, only what came about in another way can add to it."""
        if ask.origin == "hole":
            return bool(self._green) or not self._fills
        return ask.origin in {one.origin for one in self._green.values()}

    async def _asked(self, request: ModelRequest) -> AssistantMessage:
        left = max(self._limits.total - self.replies, 1)
        while True:
            samples = min(request.samples, left, self._at_once)
            message = await self._ports.ask(replace(request, samples=samples))
            if samples == 1 or message.failure is None or message.failure.kind not in UNFIT:
                break
            # Some servers give fewer samples of a request than their profile promises, and refuse more.
            self._at_once = samples // 2
        self.written += message.usage.output
        self._further += bool(self._green)
        return message

    def _drafts(self, ask: Ask, message: AssistantMessage) -> list[_Draft]:
        """The fresh candidates of a reply; the others are only recorded."""
        drafts: list[_Draft] = []
        for text in (message.text, *message.others):
            self.replies += 1
            self._last += 1
            patch, reason = ask.read(text) if text else (None, "")
            if patch is None:
                reason = message.failure.message if message.failure else reason or "the reply is empty"
                self._note(_Draft(self._last, ask.where, ask.origin, Patch(()), text, ask), "invalid", reason)
                continue
            draft = _Draft(self._last, ask.where, ask.origin, patch, text, ask)
            if self._known(patch):
                self._note(draft, "duplicate", "")
            else:
                drafts.append(draft)
        return drafts

    def _known(self, patch: Patch) -> bool:
        """It changes nothing, or was tried before; remembers it."""
        changed = {path: normal_key(text) for path, text in patch.apply(self.sources).items()}
        key = repr(sorted(changed.items()))
        if key in self._seen or all(normal_key(self.sources[path]) == value for path, value in changed.items()):
            return True
        self._seen.add(key)
        return False

    # --- trying -----------------------------------------------------------------------------------------------------

    async def _offer(self, drafts: Sequence[_Draft]) -> None:
        """Try them together and keep what is green or half so; one that crashed may be asked for again."""
        fates = await self._ports.try_([self._lifted(draft.patch) for draft in drafts]) if drafts else []
        crash: tuple[_Draft, str] | None = None
        best: _Draft | None = None
        for draft, fate in zip(drafts, fates, strict=True):
            if draft.number == 1 and fate.status == "plausible":
                self._first_passed = True
            if fate.status == "plausible":
                vector = Vector(targets=dict.fromkeys(fate.passed or ("check",), True))
                changed = sum(edit.text.count("\n") + 1 for edit in draft.patch.edits)
                self._green[draft.number] = Candidate(
                    draft.number, NAME, draft.origin, files=len({edit.path for edit in draft.patch.edits}),
                    lines=changed, vector=vector, behaviour=fate.behaviour,
                )  # fmt: skip
                self._patches[draft.number], self._places[draft.number] = self._lifted(draft.patch), draft.where
                continue
            self._note(draft, "invalid" if fate.status == "invalid" else "red", fate.note)
            if fate.passed:
                self._partial.append((draft, frozenset(fate.passed)))
                if self._furthest is None or len(fate.passed) > len(self._furthest[0].passed):
                    self._furthest = fate, replace(draft, patch=self._lifted(draft.patch))
            if fate.status != "invalid" and (self.best is None or _worth(fate) > _worth(self.best)):
                self.best, self.best_patch, self._best_place, best = fate, draft.patch, draft.where, draft
            if crash is None and draft.ask and draft.ask.again and crashed(fate.note) and not self._enough(fate):
                crash = draft, fate.note
        if best is not None and not self._green:
            await self._look_near(best)
        if crash and not self._green and self._repaired < self._limits.repairs and not self._ended():
            self._repaired += 1
            await self._second_turn(*crash)

    async def _look_near(self, draft: _Draft) -> None:
        """A small mistake in what the model wrote is mended without asking it again. Single lines are left out: their
        neighbours were tried before the model was asked."""
        lines = draft.origin == "hole" or draft.origin.startswith("line")
        done = self.best is None or self._enough(self.best) or self._neighbourhoods >= self._limits.near
        if not self._near or self._ports.near is None or lines or done:
            return
        self._neighbourhoods += 1
        for candidate, patch in await self._ports.near(self._lifted(draft.patch)):
            self._last += 1
            self._green[self._last] = replace(candidate, number=self._last)
            self._patches[self._last], self._places[self._last] = patch, draft.where
            why = f"attempt {draft.number} with another change: {candidate.origin}"
            self._ports.record(AttemptFinished(self._last, candidate.strategy, draft.where, "plausible", why))

    async def _second_turn(self, draft: _Draft, note: str) -> None:
        ask = draft.ask
        assert ask is not None and ask.again is not None, "only what can be asked again gets here"
        message = await self._asked(ask.again(draft.reply, note))
        if message.failure is None:
            once = Ask(ask.where, f"{ask.origin}-again", ask.request, ask.read)
            await self._offer(self._drafts(once, message))

    async def _joined(self) -> None:
        """Two candidates that mend different failing tests, put together."""
        while self._paired < len(self._partial) and not self._green:
            right, mended = self._partial[self._paired]
            for left, others in self._partial[: self._paired]:
                if self._unions >= UNIONS:
                    return
                if mended <= others or others <= mended:
                    continue
                both = union([left.patch, right.patch])
                if both is None or self._known(both):
                    continue
                self._unions += 1
                self._last += 1
                await self._offer([_Draft(self._last, right.where, "union", both)])
                if self._green:
                    return
            self._paired += 1

    # --- deciding ---------------------------------------------------------------------------------------------------

    async def _settle(self, wait: bool = False) -> Found | None:
        """Put the green ones before the gate, the likeliest first. With `wait`, not while checks are thin and more may
        be asked for agreement."""
        if wait and self._doubts() and self._further < self._limits.further and not self._ended():
            return None
        made = max(self._last, 1)
        while self._green:
            pool = list(self._green.values())
            doubts = self._doubts()
            number = max(self._green, key=lambda each: (self._ports.weigh(pool, each), -each))
            belief = self._ports.weigh(pool, number)
            judged = await self._ports.judge(self._patches[number])
            self._decided(number, "green" if judged.kept else "red", judged.note, judged.tree)
            where, patch = self._places[number], self._patches[number]
            del self._green[number]
            if judged.kept:
                for other in sorted(self._green):
                    self._decided(other, "plausible", "another was taken")
                why = "the check is green" if len(pool) == 1 else f"the likeliest of {len(pool)} that pass"
                return Found(patch, where, made, number, self._first_passed, why, belief, tuple(doubts))
            self._first_passed = self._first_passed and number != 1
        return None

    def _doubts(self) -> list[str]:
        return self._ports.doubts(list(self._green.values())) if self._green else []

    def _decided(self, number: int, result: Result, note: str, tree: str = "") -> None:
        """What cost nothing was recorded when it was made."""
        one = self._green[number]
        if one.strategy == NAME:
            self._note(_Draft(number, self._places[number], one.origin, self._patches[number]), result, note, tree)

    def _over(self, why: str, failure: Failure | None = None) -> Found:
        hints = [f"looked at {self._best_place}"] if self._best_place else []
        if self.best is not None and self.best.passed:
            hints.append(f"the best candidate passes {', '.join(self.best.passed[:6])}")
        if self.best is not None and self.best.failing:
            hints.append(f"and leaves red {', '.join(list(self.best.failing)[:6])}")
        return Found(attempts=self.replies, why=why, hints=tuple(hints), failure=failure)

    def _note(self, draft: _Draft, result: Result, note: str, tree: str = "") -> None:
        self._ports.record(AttemptFinished(draft.number, NAME, draft.where, result, note[:160], tree))


def _worth(fate: Fate) -> tuple[int, bool]:
    """More tests passed is better; then to have failed by an answer, not by a crash."""
    return len(fate.passed), not crashed(fate.note)
