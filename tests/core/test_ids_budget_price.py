"""Names, sums and limits."""

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.budget import Budget, Spent
from assay.core.clock import SystemClock
from assay.core.ids import new_id
from assay.core.messages import Usage
from assay.core.model import Price, estimate_tokens
from assay.core.tool import failed

COUNTS = st.integers(0, 10**9)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.booleans())


def test_an_id_is_a_uuid_of_version_seven_that_holds_the_time() -> None:
    before = time.time_ns() // 1_000_000
    identity = uuid.UUID(new_id())
    after = time.time_ns() // 1_000_000
    assert identity.version == 7
    assert identity.variant == uuid.RFC_4122
    assert before <= identity.int >> 80 <= after


def test_ids_differ_and_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({new_id() for _ in range(2_000)}) == 2_000
    moments = iter(range(1_700_000_000_000, 1_700_000_000_050))
    monkeypatch.setattr(time, "time_ns", lambda: next(moments) * 1_000_000)
    made = [new_id() for _ in range(50)]
    assert made == sorted(made)


@given(USAGES, USAGES, USAGES)
def test_usage_is_a_sum(one: Usage, two: Usage, three: Usage) -> None:
    assert (one + two) + three == one + (two + three)
    assert one + Usage() == one
    assert (one + two).total == one.total + two.total
    assert one.total == one.sent + one.output, "what was reasoned is part of the output"


@given(USAGES, st.floats(0, 100), st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_a_price_is_for_a_million_tokens(usage: Usage, sent: float, got: float, read: float, write: float) -> None:
    price = Price(sent, got, read, write)
    assert price.cost(Usage()) == 0
    assert price.cost(usage + usage) == pytest.approx(2 * price.cost(usage))
    assert Price(3.0, 15.0, 0.3, 3.75).cost(Usage(1_000_000, 1_000_000, 1_000_000, 1_000_000)) == pytest.approx(22.05)


@pytest.mark.parametrize(
    ("budget", "fits", "over", "flag"),
    [
        (Budget(steps=2), Spent(steps=1), Spent(steps=2), "--max-turns"),
        (
            Budget(tokens=100),
            Spent(usage=Usage(60, output=40)),
            Spent(usage=Usage(61, output=40)),
            "--max-tokens-total",
        ),
        (Budget(dollars=0.5), Spent(dollars=0.5), Spent(dollars=0.51), "--max-budget-usd"),
        (Budget(seconds=3), Spent(seconds=2.9), Spent(seconds=3.0), "--max-seconds"),
    ],
)
def test_a_limit_names_its_flag(budget: Budget, fits: Spent, over: Spent, flag: str) -> None:
    assert fits.exceeds(budget) == ""
    assert flag in over.exceeds(budget)
    assert "\n" not in over.exceeds(budget)
    assert over.exceeds(Budget()) == "", "None means no limit"


def test_the_least_that_the_next_request_costs_counts() -> None:
    spent = Spent(usage=Usage(50), dollars=0.2)
    assert spent.exceeds(Budget(tokens=100), next_tokens=50) == ""
    assert spent.exceeds(Budget(tokens=100), next_tokens=51)
    assert spent.exceeds(Budget(dollars=0.5), next_dollars=0.3) == ""
    assert spent.exceeds(Budget(dollars=0.5), next_dollars=0.31)


@given(st.text(st.characters(exclude_categories=[])), st.text())
def test_an_estimate_of_tokens_grows_with_the_text(one: str, two: str) -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens(one + two) >= max(estimate_tokens(one), estimate_tokens(two))
    assert estimate_tokens(one + two) <= estimate_tokens(one) + estimate_tokens(two)


async def test_the_system_clock_passes() -> None:
    clock = SystemClock()
    before, wall = clock.monotonic(), clock.now()
    await clock.sleep(0.002)
    assert clock.monotonic() - before >= 0.002
    assert abs(wall - time.time()) < 60


def test_a_failure_shows_the_person_its_first_line() -> None:
    outcome = failed("no such file: a.py\nlook for it with search")
    assert outcome.is_error
    assert outcome.display == "no such file: a.py"
    assert len(failed("long " * 100).display) <= 160
