"""What holds for every test: no network beyond loopback, no look into the real HOME, no luck in CI."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests.effort import NIGHTLY, inputs

# A deadline in a property test measures the machine; and what CI finds must be found again by whoever looks.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
# `make nightly`: many more, and each time others.
settings.register_profile("nightly", deadline=None, max_examples=inputs(100), print_blob=True)
settings.load_profile("nightly" if NIGHTLY else "ci" if os.environ.get("CI") else "here")

_OURS = ("ASSAY_HOME", "ASSAY_MODEL", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Put how many inputs a property test tried into the report; `tests/docs/reliability.py` reads it there."""
    tried = getattr(item, "hypothesis_statistics", "")
    if tried:
        item.user_properties.append(("hypothesis", tried))


@pytest.fixture(scope="session", autouse=True)
def _own_home() -> Iterator[None]:
    """A HOME of our own, and none of the person's keys or folders in the environment."""
    home = tempfile.mkdtemp(prefix="assay-tests-")
    before = dict(os.environ)
    for name in [*_OURS, *(name for name in os.environ if name.endswith(("_API_KEY", "_AUTH_TOKEN", "_BASE_URL")))]:
        os.environ.pop(name, None)
    os.environ["HOME"] = home
    yield
    os.environ.clear()
    os.environ.update(before)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Connections leave this process for loopback only."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
            host = str(address[0])
            if not host.startswith("127.") and host not in ("localhost", "::1"):
                raise AssertionError(f"a test tried to reach {host}: tests stay on loopback")
        connect(self, address)  # type: ignore[arg-type]

    socket.socket.connect = guarded  # type: ignore[method-assign]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]
