"""An end to work that the interpreter can't be talked out of: a regex that backtracks, a parser led in circles."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class TooSlow(Exception):
    pass


@contextmanager
def bounded(seconds: float) -> Generator[None]:
    """Raises `TooSlow` in the body after `seconds`. Only a signal gets through to such work, and only in the main
    thread; elsewhere the body runs unbounded."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signum: int, _frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
