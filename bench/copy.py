"""Scratch copies of a repository with 10,000 files: laid as an overlay against made whole, in the same run."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

import msgspec

from assay.core.workspace import Command
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.find import find_sandbox
from assay.workspace.sandbox.port import NoSandbox
from bench.report import Report, middle

DIRECTORIES, FILES, LINES = 500, 20, 120
CHANGED = 3
COLUMNS = ["way", "files that differ", "copy ms, median (min)", "first command ms", "removal ms", "why not cheap"]


class Timing(msgspec.Struct):
    """Seconds."""

    copy: float
    command: float
    removal: float


def measure(runs: int) -> Report:
    """Makes the repository in the temporary directory and removes it again; needs no agent and no server."""
    with tempfile.TemporaryDirectory(prefix="bench-copy-") as place:
        size = _repository(Path(place, "repo"))
        return asyncio.run(_measured(Path(place), size, runs))


def _repository(root: Path) -> int:
    """Returns its size in bytes, git's directory included."""
    chance = random.Random(1)
    for number in range(DIRECTORIES):
        directory = root / f"p{number % 25}" / f"q{number}"
        directory.mkdir(parents=True)
        for file in range(FILES):
            lines = "".join(f"x{line} = {chance.random()}\n" for line in range(LINES))
            (directory / f"f{file}.py").write_text(f"# {number} {file}\n{lines}")
    env = dict(os.environ, GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1")
    for line in ("init -q", "add -A", "-c user.name=n -c user.email=n@example.org commit -qm all"):
        subprocess.run(("git", *line.split()), cwd=root, env=env, check=True)
    return sum(path.lstat().st_size for path in root.rglob("*") if path.is_file())


async def _measured(place: Path, size: int, runs: int) -> Report:
    found = find_sandbox(place / "proof")
    if isinstance(found, NoSandbox):
        return Report("copy", "Scratch copies", COLUMNS, [], {}, [f"not measured: {found.reason}"])
    root = place / "repo"
    rows: list[list[str]] = []
    data: dict[str, object] = {}
    for way, sandbox in (("overlay", found), ("whole", None)):
        live = LocalWorkspace(root, sandbox=sandbox, state_dir=place / way)
        start = await live.snapshot()
        for differing in (0, CHANGED):
            for number in range(differing):
                path = root / "p0" / "q0" / f"f{number}.py"
                path.write_bytes(path.read_bytes() + b"# changed\n")
            async with live.copy(start):
                pass  # the proof that an overlay can be mounted here, and caches, belong to no single copy
            taken = [await _once(live, start) for _ in range(runs)]
            data[f"{way}, {differing}"] = taken
            copies = [each.copy * 1000 for each in taken]
            command, removal = (middle([getattr(t, name) * 1000 for t in taken]) for name in ("command", "removal"))
            figures = [f"{middle(copies):.0f} ({min(copies):.0f})", f"{command:.0f}", f"{removal:.0f}"]
            rows.append([way, str(differing), *figures, live.whole_copies.partition(":")[0] or "-"])
        await live.aclose()
        subprocess.run(("git", "checkout", "-q", "--", "."), cwd=root, check=True)
    notes = [
        f"{DIRECTORIES * FILES:,} files in {DIRECTORIES:,} directories, {size / 1e6:.0f} MB with git's; {runs} rounds.",
        "Copy: until the copy can be used, with the snapshot of the live files that it is bound to. First command: "
        "`true` in it, and for the overlay the look whether the live files stayed as they were.",
    ]
    return Report("copy", "Scratch copies", COLUMNS, rows, data, notes)


async def _once(live: LocalWorkspace, tree: str) -> Timing:
    began = time.perf_counter()
    async with live.copy(tree) as copy:
        made = time.perf_counter()
        await copy.run(Command(("true",)))
        ran = time.perf_counter()
    return Timing(made - began, ran - made, time.perf_counter() - ran)
