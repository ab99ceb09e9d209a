"""Damaged samples of all that we read from others: never a crash, never an endless wait."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import inputs

from assay.workspace.ignores import Ignores

from .targets import TARGETS

PATIENCE = 30
"""Seconds after which one input counts as endless; a hang is meant, not a slow machine."""
TOKENS = (
    b"", b"\0", b"\n", b"\r\n", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\\ud800",
    b'"', b"\\", b"{", b"[", b"]", b"}",
    b"null", b"-1", b"1e999", b"99999999999999999999", b"\xb2", b"\x1b[", b"data: ", b"event: ", b"@@ -0,0 +1,9 @@\n",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"(" * 300, b"[" * 3000, b"{\"a\":" * 3000,
    b"File \"", b", line 0", b"```", b"*" * 40, b"\\777",
)  # fmt: skip


@contextmanager
def bounded() -> Iterator[None]:
    """Raises in the middle of whatever takes too long."""

    def late(_number: int, _frame: object) -> None:
        raise AssertionError(f"no end within {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@st.composite
def damaged(draw: st.DrawFn, samples: tuple[bytes, ...]) -> bytes:
    """A sample with some bytes cut, doubled, repeated or replaced."""
    data = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        piece = draw(st.sampled_from(TOKENS) | st.binary(max_size=8) | st.just(data[start:end]))
        times = draw(st.sampled_from((1, 1, 1, 2, 50, 400)))
        data = data[:start] + piece * times + data[draw(st.sampled_from((start, end))) :]
    return data[:200_000]


@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_sample_never_makes_it_crash(name: str) -> None:
    target = TARGETS[name]
    for sample in target.samples:
        target.feed(sample)

    @settings(max_examples=inputs(100))
    @given(damaged(target.samples) | st.binary(max_size=200))
    def feed(data: bytes) -> None:
        with bounded():
            target.feed(data)

    feed()


def test_a_pattern_of_any_length_is_judged_soon() -> None:
    with bounded():
        ignores = Ignores(("[" * 1_000_000, "*a" * 200, "kept.txt"))
        assert ignores.match("kept.txt", directory=False)
        assert not ignores.match("a" * 200 + "b", directory=False)
