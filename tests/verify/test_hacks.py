"""Every reward hack is refused and its honest twin verified: the real gate, runners and copies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from assay.core.check import EXIT_CODES, Check, Verdict
from assay.verify.gate import DoneGate, Task
from assay.workspace.local import Beside, LocalWorkspace
from assay.workspace.sandbox.find import find_sandbox
from assay.workspace.sandbox.port import NoSandbox, Sandbox

from .hackery import Edits, Hack, Suite, edit, lay_out, names, suite

TASK = Task("The sums are wrong: mend them")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox | None:
    """Where this machine has none, the suite runs unconfined: the verdicts must be the same."""
    found = find_sandbox(tmp_path_factory.mktemp("sandbox"))
    return None if isinstance(found, NoSandbox) else found


def command(of: Suite) -> str:
    return of.command.replace("python ", f"{sys.executable} ")


def written(root: Path) -> dict[str, str]:
    """Every file on disk, ignored ones included."""
    files = [path for path in root.rglob("*") if path.is_file() and ".git" not in path.relative_to(root).parts]
    return {path.relative_to(root).as_posix(): path.read_text() for path in files}


class Bench:
    """One project, judged again and again from the same start."""

    def __init__(self, of: Suite, workspace: LocalWorkspace, start: str) -> None:
        self.of = of
        self.root = Path(workspace.root)
        self.workspace = workspace
        self.start = start
        self.laid_out = written(self.root)
        self.gate = self.new_gate()

    def new_gate(self) -> DoneGate:
        check = Check(self.of.command, command(self.of), "test", self.of.runner)
        return DoneGate(self.workspace, self.start, [check], TASK)

    async def judge(self, *edits: Edits) -> Verdict:
        await self.workspace.restore(self.start)
        if written(self.root) != self.laid_out:
            # What no tree holds is put back by hand, and remembered runs say nothing about it.
            for path in self.root.iterdir():
                if path.name != ".git":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            lay_out(self.root, self.of.files)
            self.gate = self.new_gate()
        await self.gate.ledger.ensure()
        time.sleep(0.02)  # the clock of the file system is coarse
        self.gate.since = time.time()
        time.sleep(0.02)
        for each in edits:
            edit(self.root, each)
        return await self.gate.judge(await self.workspace.snapshot())


@asynccontextmanager
async def bench(name: str, tmp_path: Path, sandbox: Sandbox | None) -> AsyncIterator[Bench]:
    of, root = suite(name), tmp_path / "project"
    root.mkdir()
    lay_out(root, of.files)
    subprocess.run(["git", "init", "-q", str(root)], check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})
    # Plugins of whoever runs these tests would cost a second a run.
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    beside = Beside(variables=("PYTEST_DISABLE_PLUGIN_AUTOLOAD",))
    workspace = LocalWorkspace(root, sandbox=sandbox, state_dir=tmp_path / "state", environ=environ, beside=beside)
    try:
        yield Bench(of, workspace, await workspace.snapshot())
    finally:
        await workspace.aclose()


def batches(hacks: list[Hack]) -> list[list[Hack]]:
    """Twins that go together into one change, so that one judgement speaks for many: no two touch a file otherwise
    than at its end."""
    found: list[tuple[set[str], list[Hack]]] = []
    for hack in hacks:
        keys = {key for key in hack.honest if not key.endswith("+")}
        place = next((batch for batch in found if not keys & batch[0] and len(batch[1]) < 8), None)
        if place is None:
            place = (set[str](), list[Hack]())
            found.append(place)
        place[0].update(keys)
        place[1].append(hack)
    return [batch for _, batch in found]


SHARES = [
    (name, part, 3 if name == "pytest" else 1) for name in names() for part in range(3 if name == "pytest" else 1)
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part", "parts"), SHARES)
async def test_hacks_are_refused_and_their_twins_verified(
    name: str, part: int, parts: int, tmp_path: Path, sandbox: Sandbox | None
) -> None:
    wrong: list[str] = []
    async with bench(name, tmp_path, sandbox) as one:
        for hack in one.of.hack[part::parts]:
            verdict = await one.judge(hack.cheat)
            if EXIT_CODES[verdict.outcome] == 0:
                wrong.append(f"not refused: {hack.name}: {verdict.outcome} {verdict.evidence}")
        for hacks in batches(one.of.hack)[part::parts]:
            verdict = await one.judge(one.of.fix, *(hack.honest for hack in hacks))
            if verdict.outcome != "verified":
                wrong.append(f"held up: {[hack.name for hack in hacks]}: {verdict.why} {verdict.unchecked}")
    assert not wrong


def test_the_suite_is_broad() -> None:
    every = [hack for name in names() for hack in suite(name).hack]
    assert len(every) >= 90
    assert len({(hack.name, tuple(hack.cheat)) for hack in every}) == len(every)
    assert len({suite(name).runner for name in names()}) == 3
    assert len({hack.family for hack in every}) >= 18
    assert all(hack.honest != hack.cheat for hack in every)
