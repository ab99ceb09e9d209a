"""`assay demo`: the main job, end to end, on a real project, before your eyes."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from assay.app.compose import open_task
from assay.app.demo import Case, find_case, load_cases, prepare, test_environment
from assay.app.flags import Flag, describe, parse
from assay.app.paths import find_paths
from assay.app.task import Wish
from assay.core.check import EXIT_CODES
from assay.core.errors import UsageError
from assay.surfaces.cli.status import Status
from assay.surfaces.cli.terminal import write_err, write_out

FLAGS = (
    Flag("--list", "switch", "the cases, and what the embedded model was seen to do with each"),
    Flag("--model", "text", "PROVIDER/NAME or an alias (default: $ASSAY_MODEL, else the embedded one)", value="MODEL"),
    Flag("--keep", "text", "work in this new folder and leave it there", value="DIR"),
    Flag("--no-sandbox", "switch", "run commands unconfined"),
    Flag("--help", "switch", "print this", "-h"),
)


def run_demo(arguments: list[str]) -> int:
    """The exit code is that of the task: 0 when the repair was verified, 1 when it honestly failed."""
    parsed = parse(arguments, FLAGS)
    if parsed.on("help"):
        sys.stdout.write(f"usage: assay demo [CASE] [OPTIONS]\n       assay demo --list\n\n{describe(FLAGS)}\n")
        return 0
    cases = load_cases()
    if parsed.on("list"):
        for case in cases:
            write_out(f"{case.name:<12} {case.package} {case.broken}: {case.task}\n{'':<12} {case.outlook}\n")
        return 0
    if len(parsed.words) > 1:
        raise UsageError("assay demo takes one case; `assay demo --list` shows them")
    case = find_case(cases, parsed.words[0] if parsed.words else None)
    model = parsed.text("model") or os.environ.get("ASSAY_MODEL") or "local"
    keep = parsed.text("keep")
    if keep:
        folder = Path(keep).absolute()
        if folder.exists():
            raise UsageError(f"--keep: {folder} exists already; name a new folder")
        folder.mkdir(parents=True)
        return asyncio.run(_show(case, folder, model, no_sandbox=parsed.on("no_sandbox")))
    with tempfile.TemporaryDirectory(prefix="assay-demo-", ignore_cleanup_errors=True) as scratch:
        return asyncio.run(_show(case, Path(scratch), model, no_sandbox=parsed.on("no_sandbox")))


async def _show(case: Case, folder: Path, model: str, *, no_sandbox: bool) -> int:
    paths = find_paths(os.environ)
    store = paths.data / "demo"
    store.mkdir(parents=True, exist_ok=True)
    venv = await test_environment(case, store, write_err)
    project = await prepare(case, folder, store, venv / "bin" / "python", write_err)
    environ = {
        **os.environ,
        "VIRTUAL_ENV": str(venv),
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    write_out(f"\n{case.package} {case.broken} ({case.about})\n  {case.task}\n  check: {case.check}\n\n")
    wish = Wish(directory=project, environ=environ, model=model, checks=(case.check,), no_sandbox=no_sandbox)
    async with open_task(wish) as task:
        for notice in task.notices:
            write_err(f"! {notice}")
        write_err(f"model: {task.profile.name}")
        status = Status(quiet=False, verbose=False, banner="" if task.confined else "UNCONFINED")
        status.follow(asyncio.get_running_loop())
        task.run.bus.subscribe(status)
        task.interrupt_on_signals()
        ended = await task.turn(case.task)
        if ended.verdict.diff.files:
            start = await task.run.start_tree()
            write_out("\n" + await task.run.parts.workspace.patch(start, ended.verdict.tree) + "\n")
        write_out("\n".join(task.summary(ended)) + "\n")
    return EXIT_CODES[ended.verdict.outcome]
