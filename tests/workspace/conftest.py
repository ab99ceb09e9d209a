"""Fixtures for the workspace's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.find import find_sandbox
from assay.workspace.sandbox.port import NoSandbox, Sandbox


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> Sandbox | NoSandbox:
    return find_sandbox(tmp_path_factory.mktemp("sandbox"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    return directory


@pytest.fixture
async def plain(root: Path, tmp_path: Path) -> AsyncIterator[LocalWorkspace]:
    """Without a sandbox."""
    workspace = LocalWorkspace(root, sandbox=None, state_dir=tmp_path / "state")
    yield workspace
    await workspace.aclose()


@pytest.fixture
async def boxed(root: Path, tmp_path: Path, found: Sandbox | NoSandbox) -> AsyncIterator[LocalWorkspace | NoSandbox]:
    """In a sandbox, or why there is none on this machine: each test says what must hold then."""
    if isinstance(found, NoSandbox):
        yield found
        return
    workspace = LocalWorkspace(root, sandbox=found, state_dir=tmp_path / "state")
    yield workspace
    await workspace.aclose()
