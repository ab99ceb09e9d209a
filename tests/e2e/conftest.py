from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from assay.testing.server import ScriptedServer, serve_in_thread

from .command import Place

Serve = Callable[..., ScriptedServer]


@pytest.fixture(autouse=True)
def hearing() -> Iterator[None]:
    """Commands hear a hang-up even where the tests themselves run under nohup."""
    before = signal.getsignal(signal.SIGHUP)
    if before == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with closing(Place(tmp_path)) as place:
        yield place
    place.left_well()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts scripted servers that end with the test; arguments as `serve_in_thread` takes them."""
    with ExitStack() as stack:
        yield lambda *words, **more: stack.enter_context(serve_in_thread(*words, **more))
