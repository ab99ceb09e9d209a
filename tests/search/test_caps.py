"""Caps that evidence extends, and the end of what leads nowhere."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from assay.core.budget import Spent
from assay.core.check import Check, CheckRun
from assay.core.messages import Usage
from assay.core.model import EFFORTS, Profile, Reasoning
from assay.loop.turn import Inject, Stop
from assay.search.caps import END_AT, EXTENSIONS, NUDGE_AT, SPREAD, Caps, Look, improved, in_vain, look_at, weighed
from assay.search.effort import dial_of
from assay.search.reasoning import FREE, reasoning_for
from assay.verify.reports import Report
from assay.verify.runners import Execution

DIAL = replace(dial_of("low"), turns=4, extension=2, tokens=1_000)
SAME = Look("a", 2, 3)


class Bench:
    def __init__(self, *, strict: bool = True) -> None:
        self.looks = [SAME]
        self.spent = Spent()
        self.caps = Caps(DIAL, self.looks, lambda: self.spent, self.end, strict=strict)

    async def end(self, why: str) -> Stop:
        return Stop("failed", why)

    async def steps(self, *looks: Look | None) -> Stop | None:
        """Steps, each with the look that its edits gave, if it made any; the first wish to stop."""
        for look in looks:
            if isinstance(stop := await self.caps.before_step(), Stop):
                return stop
            if look:
                self.looks.append(look)
            if isinstance(stop := await self.caps.after_calls([]), Stop):
                return stop
        return None


async def test_without_anything_new_the_cap_holds() -> None:
    bench = Bench()
    assert await bench.steps(*[None] * DIAL.turns) is None
    stop = await bench.steps(None)
    assert stop == Stop("failed", "4 steps without anything new that passes")


async def test_new_evidence_extends_it_and_only_so_often() -> None:
    bench = Bench()
    better = [Look(str(n), 2, 3 + n) for n in range(1, 9)]
    assert await bench.steps(None, None, None, better[0], None, better[1], None, better[2]) is None
    stop = await bench.steps(better[3])
    assert stop and EXTENSIONS == 2 and stop.why.startswith("8 steps")


async def test_evidence_of_an_earlier_stretch_does_not_count_again() -> None:
    bench = Bench()
    stop = await bench.steps(None, Look("b", 1, 4), *[None] * 5)
    assert stop and stop.why.startswith("6 steps")


async def test_edits_that_change_nothing_are_told_once_and_then_end_it() -> None:
    bench = Bench()
    said: list[object] = []
    for _ in range(END_AT):
        bench.looks.append(SAME)
        said.append(await bench.caps.after_calls([]))
        assert await bench.caps.after_calls([]) is None  # a step without edits says nothing new
    assert [type(each) for each in said] == [type(None)] * 2 + [Inject] + [type(None)] * 2 + [Stop]
    assert isinstance(said[NUDGE_AT - 1], Inject)


async def test_who_did_not_ask_for_thrift_is_never_ended() -> None:
    bench = Bench(strict=False)
    bench.spent = Spent(usage=Usage(10**9))
    assert await bench.steps(*[SAME] * 60) is None


async def test_tokens_have_a_ceiling_in_which_cached_ones_count_little() -> None:
    bench = Bench()
    bench.spent = Spent(usage=Usage(input=100, cache_read=9 * DIAL.tokens * SPREAD, output=100))
    assert await bench.steps(None) is None
    bench.spent = Spent(usage=Usage(input=DIAL.tokens * SPREAD, output=1))
    stop = await bench.steps(None)
    assert stop and "5,000 tokens" in stop.why
    assert weighed(Usage(100, 1000, 10, 1)) == 211


def test_what_counts_as_better() -> None:
    assert improved([SAME], [Look("b", 1, 3)])
    assert improved([SAME], [Look("b", 5, 4)])  # more tests run, and more pass
    assert improved([SAME], [Look("", 0, 5)])
    assert not improved([SAME], [SAME, Look("b", 2, 3), Look("c", 1, 2)])
    assert improved([Look("a", 0, 0)], [Look("b", 0, 0)])  # no runner tells more
    assert not improved([Look("a", 0, 0), Look("b", 0, 0)], [Look("a", 0, 0)])
    assert not improved([SAME], [])


def test_edits_in_vain_are_those_at_the_end_on_known_ground() -> None:
    new = replace(SAME, new_ground=True)
    assert in_vain([SAME]) == 0
    assert in_vain([SAME, SAME, SAME]) == 2
    assert in_vain([SAME, new, SAME]) == 1
    assert in_vain([SAME, SAME, Look("b", 2, 3)]) == 0


def test_a_look_is_blind_to_what_changes_from_run_to_run() -> None:
    def look(reason: str, tail: str = "", **tests: str) -> Look:
        run = CheckRun("pytest", "t", False, 1, 0.1, "", tail, tests)  # type: ignore[arg-type]
        report = Report()
        for name, result in run.tests.items():
            report.add(name, "fail" if result == "fail" else "pass", reason)
        return look_at(Execution(Check("c", "c", "test"), run, "", report, True))

    first = look("<A object at 0x7f00> took 1.25s in /tmp/check.x/a", one="fail", two="pass")
    assert first == look("<A object at 0x8e11> took 0.5s in /tmp/check.y/b", one="fail", two="pass")
    assert (first.failing, first.passing) == (1, 1)
    assert first.signature != look("assert 1 == 2", one="fail", two="pass").signature
    assert look("", "boom in 3 ms").signature == look("", "boom in 4 ms").signature != look("", "bang").signature


PROFILE = Profile("p/m", "m", "openai-chat", reasoning="effort", quirks=frozenset({FREE}))


@pytest.mark.parametrize("effort", EFFORTS)
def test_between_decisions_less_is_thought_and_never_more(effort: str) -> None:
    asked = Reasoning(effort=effort)  # type: ignore[arg-type]
    levels = {phase: reasoning_for(phase, asked, PROFILE).effort for phase in ("diagnose", "act", "review")}
    assert levels["diagnose"] == levels["review"]
    order = list(EFFORTS)
    assert order.index(levels["act"] or "") <= order.index(effort) <= order.index(levels["diagnose"] or "")


@pytest.mark.parametrize(
    ("asked", "profile"),
    [
        (Reasoning(), PROFILE),
        (Reasoning("off", effort="high"), PROFILE),
        (Reasoning("budget", 2048, "high"), PROFILE),
        (Reasoning(effort="high"), replace(PROFILE, quirks=frozenset())),
        (Reasoning(effort="high"), replace(PROFILE, reasoning="none")),
    ],
    ids=["no effort", "thinking off", "a budget", "not free", "no control"],
)
def test_what_is_not_ours_to_vary_stays(asked: Reasoning, profile: Profile) -> None:
    for phase in ("diagnose", "act", "review"):
        assert reasoning_for(phase, asked, profile) is asked
