"""`assay check`: what this project's own checks say, as a table; or whether a receipt still holds. No model."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from assay.app.compose import open_workspace
from assay.app.flags import Flag, describe, parse
from assay.app.paths import find_paths
from assay.context.instructions import instruction_fragments
from assay.core.check import CheckRun
from assay.core.errors import UsageError
from assay.core.workspace import Workspace
from assay.surfaces.cli.terminal import ascii_json, write_err, write_out
from assay.verify.baseline import Phase
from assay.verify.receipt import read_receipt, recheck
from assay.verify.survey import survey, survey_table
from assay.verify.table import evidence_table

FLAGS = (
    Flag("--check", "repeat", "run this command instead of what is discovered; may be repeated", value="CMD"),
    Flag("--twice", "switch", "run each check twice and tell flaky tests"),
    Flag("--receipt", "text", "run the checks of a receipt again and compare", value="FILE"),
    Flag("--json", "switch", "as JSON"),
    Flag("--no-sandbox", "switch", "run commands unconfined"),
    Flag("--help", "switch", "print this", "-h"),
)
USAGE = "usage: assay check [--check CMD]... [--twice] [--json] [--no-sandbox]\n       assay check --receipt FILE\n"


def run_check(arguments: list[str]) -> int:
    """0 when everything is green (or the receipt holds), 1 when something is red, 10 when nothing could be run."""
    parsed = parse(arguments, FLAGS)
    if parsed.on("help"):
        sys.stdout.write(f"{USAGE}\n{describe(FLAGS)}\n")
        return 0
    if parsed.words:
        raise UsageError(f"assay check takes no '{parsed.words[0]}'; it runs in the current directory")
    return asyncio.run(
        _check(
            parsed.many("check"),
            parsed.text("receipt"),
            twice=parsed.on("twice"),
            as_json=parsed.on("json"),
            no_sandbox=parsed.on("no_sandbox"),
        )
    )


async def _check(commands: list[str], receipt: str | None, *, twice: bool, as_json: bool, no_sandbox: bool) -> int:
    directory = Path.cwd()
    async with open_workspace(directory, find_paths(os.environ), dict(os.environ), no_sandbox=no_sandbox) as workspace:
        if receipt is not None:
            return await _recheck(workspace, receipt)
        fragments = instruction_fragments(directory)
        text = "\n".join(fragment.text for fragment in fragments)
        found = await survey(workspace, text, commands, twice, _progress)
        if as_json:
            import msgspec

            write_out(ascii_json(msgspec.json.format(msgspec.json.encode(found)).decode()) + "\n")
        else:
            write_out("\n".join(survey_table(found, _width())) + "\n")
    return {"pass": 0, "fail": 1, "flaky": 1}.get(found.result, 10)


def _progress(run: CheckRun, phase: Phase) -> None:
    write_err(f"{'✓' if run.passed else '✗'} {phase}: {run.check} [{run.seconds:.1f} s]")


async def _recheck(workspace: Workspace, path: str) -> int:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    receipt = read_receipt(data, path)
    rows = await recheck(workspace, receipt)
    write_out("\n".join(evidence_table([row for row, _ in rows], _width(), [now for _, now in rows])) + "\n")
    broken = [row for row, now in rows if now != row.after]
    holds = "every row holds" if not broken else f"{len(broken)} of {len(rows)} rows no longer hold"
    write_out(f"receipt of tree {receipt.tree[:12]} ({receipt.outcome}): {holds}\n")
    return 1 if broken else 0


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns
