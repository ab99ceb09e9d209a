"""A run of the strategy for tiny models: real files, real checks, the real done gate, a scripted model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from assay.core.clock import SystemClock
from assay.core.events import Noticed
from assay.core.policy import NOBODY, Approval, Decision, Effect, Gate, Label, Question
from assay.loop.turn import Stop
from assay.run.run import Run, RunOptions, RunParts
from assay.search.slots_run import take_slots
from assay.search.slots_words import Limits
from assay.testing.models import PROFILE, Reply, ScriptedModel
from assay.testing.store import MemoryStore
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.find import find_sandbox
from assay.workspace.sandbox.port import NoSandbox


class Permissive:
    async def decide(self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: object = None) -> Decision:
        return Decision("allow")


class Nobody:
    async def approve(self, question: Question) -> Approval:
        return NOBODY


@asynccontextmanager
async def open_run(
    folder: Path,
    files: Mapping[str, str | bytes],
    *replies: Reply,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
    gate: Gate | None = None,
    boxed: bool = False,
) -> AsyncGenerator[Run]:
    """A run over `files` (path -> content) in `folder`. `boxed`: its commands run in the sandbox."""
    project = folder / "project"
    project.mkdir(exist_ok=True)
    for path, text in files.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_bytes(text if isinstance(text, bytes) else text.encode())
    sandbox = find_sandbox(folder / "sandbox") if boxed else None
    assert not isinstance(sandbox, NoSandbox), sandbox.reason
    workspace = LocalWorkspace(project, sandbox=sandbox, state_dir=folder / "state")
    model = ScriptedModel(replies, replace(PROFILE, strategy="slots"))
    parts = RunParts(MemoryStore(), model, workspace, {}, gate or Permissive(), SystemClock(), Nobody())
    try:
        yield Run(parts, options)
    finally:
        await workspace.aclose()


async def quick(run: Run) -> Stop:
    """Hardly any time for repairs without a model: what is tested is what comes behind them."""
    return await take_slots(run, Limits(mutate_seconds=0.5))


def events(run: Run, kind: type) -> list:
    return [record.event for record in run.parts.store.records() if isinstance(record.event, kind)]


def notices(run: Run) -> list[str]:
    return [event.text for event in events(run, Noticed)]


def bytes_of(run: Run, path: str) -> bytes:
    return Path(run.parts.workspace.root, path).read_bytes()


def text_of(run: Run, path: str) -> str:
    return bytes_of(run, path).decode()
