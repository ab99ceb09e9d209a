from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.messages import Failure, FailureKind
from assay.models.failures import one_line, retry_after
from assay.models.retry import Retries, RetryPolicy

KINDS = get_args(FailureKind)


def pauses(kind: FailureKind, random: float = 0.5, **more) -> list[float]:
    retries = Retries(RetryPolicy(), 0.0, lambda: random)
    now, found = 0.0, []
    while (pause := retries.pause(Failure(kind, "why", **more), now)) is not None:
        found.append(pause)
        now += pause
    return found


TWENTY = {"min_size": 20, "max_size": 20}


@given(
    kinds=st.lists(st.sampled_from(KINDS), **TWENTY),
    chances=st.lists(st.floats(0, 1), **TWENTY),
    asked=st.none() | st.floats(0, 100),
)
def test_all_ends_within_a_minute_and_eight_requests(kinds, chances, asked):
    chance = iter(chances)
    retries = Retries(RetryPolicy(), 0.0, lambda: next(chance))
    now = 0.0
    for kind in kinds:
        pause = retries.pause(Failure(kind, "why", retry_after=asked), now)
        if pause is None:
            break
        assert pause > 0 and (asked is None or pause >= asked)
        now += pause
    else:
        raise AssertionError("it never gave up")
    assert retries.requests <= 8
    assert now <= 60 or "timeout" in kinds


@pytest.mark.parametrize("kind", ["auth", "quota", "bad_request", "not_found", "context_too_long", "refused", "empty"])
def test_what_no_retry_can_mend(kind):
    assert pauses(kind) == []


def test_pauses_grow_and_differ():
    calm, wild = pauses("overloaded", 0.1), pauses("overloaded", 0.9)
    assert calm != wild and len(calm) == 7
    assert all(a < b for a, b in pairwise(calm[:5]))
    assert sum(pauses("network")) < 3, "a server that is not there is told soon"


def test_waits_that_servers_ask_for():
    assert 3 <= pauses("rate_limit", retry_after=3.0)[0] <= 4.5
    assert pauses("rate_limit", retry_after=46.0) == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "x"}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after(headers, 10.0) == seconds


def test_messages_are_one_clean_line():
    assert one_line("a\x1b[31m\n b\t\x00c") == "a [31m b c"
    assert len(one_line("x" * 10_000)) == 300
