"""The public conformance suite, run on every implementation that is ours."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from assay.core.workspace import Workspace
from assay.testing.conformance.workspace import CommandConformance, FileConformance, TreeConformance
from assay.testing.memory_workspace import MemoryWorkspace
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.port import NoSandbox, Sandbox


@asynccontextmanager
async def local(directory: Path, sandbox: Sandbox | None, path: str | None = None) -> AsyncIterator[LocalWorkspace]:
    root = directory / "project"
    root.mkdir(parents=True)
    environ = dict(os.environ) if path is None else dict(os.environ, PATH=path)
    workspace = LocalWorkspace(root, sandbox=sandbox, state_dir=directory / "state", environ=environ)
    try:
        yield workspace
    finally:
        await workspace.aclose()


class TestMemory(FileConformance, TreeConformance):
    @asynccontextmanager
    async def workspace(self, directory: Path) -> AsyncIterator[Workspace]:
        yield MemoryWorkspace()


class TestLocal(FileConformance, TreeConformance, CommandConformance):
    @asynccontextmanager
    async def workspace(self, directory: Path) -> AsyncIterator[Workspace]:
        async with local(directory, None) as workspace:
            yield workspace


class TestWithoutGit(TreeConformance):
    @asynccontextmanager
    async def workspace(self, directory: Path) -> AsyncIterator[Workspace]:
        async with local(directory, None, path=str(directory / "no-programs")) as workspace:
            yield workspace


class TestSandboxed(CommandConformance):
    @pytest.fixture(autouse=True)
    def sandbox(self, found: Sandbox | NoSandbox) -> None:
        # Where a machine can't sandbox, the port's promises are still kept by the unconfined workspace.
        self.found = None if isinstance(found, NoSandbox) else found

    @asynccontextmanager
    async def workspace(self, directory: Path) -> AsyncIterator[Workspace]:
        async with local(directory, self.found) as workspace:
            yield workspace
