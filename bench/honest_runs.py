"""The whole gate on real commits that mend something: `python -m bench.honest_runs --repo DIR --commits N`.

The start is the parent's sources with the commit's tests, as if the user had written the failing tests; the change is
the rest of the commit. A commit counts when some of the test files that it touches fail before. It should be verified;
what a detector or a probe says against it is a false alarm, and told.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from assay.core.check import Check, Verdict
from assay.core.workspace import Change
from assay.verify.gate import DoneGate, Task
from assay.verify.protect import path_kind
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.find import find_sandbox
from assay.workspace.sandbox.port import NoSandbox, Sandbox
from bench.honest import History


async def judge(
    clone: Path, state: Path, commit: str, changes: Sequence[Change], sandbox: Sandbox | None
) -> Verdict | None:
    """The verdict on one commit; None when nothing that it touches fails before."""

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(clone), *arguments], check=True, capture_output=True, timeout=60)

    git("checkout", "-qf", f"{commit}^")
    git("clean", "-qfdx")
    given = [change.path for change in changes if path_kind(change.path) != "other" and change.kind != "deleted"]
    git("checkout", commit, "--", *given)
    names = [path for path in given if path.endswith(".py") and Path(path).name.startswith("test_")]
    workspace = LocalWorkspace(clone, sandbox=sandbox, state_dir=state)
    try:
        line = f"{sys.executable} -m pytest {' '.join(names)}"
        check = Check(line, line, "test", "pytest", timeout=60.0)
        gate = DoneGate(workspace, await workspace.snapshot(), [check], Task("mend it"))
        before = await gate.ledger.of(check)
        if not before.failing or (not before.passing and before.result != "fail"):
            return None
        git("checkout", "-qf", commit)
        return await gate.judge(await workspace.snapshot())
    finally:
        await workspace.aclose()


async def measure(repository: str, most: int) -> tuple[Counter[str], list[str]]:
    history, outcomes, told = History(repository), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "-q", "--shared", repository, str(clone)], check=True, timeout=120)
        found = find_sandbox(Path(folder, "sandbox"))
        sandbox = None if isinstance(found, NoSandbox) else found
        for commit in history.commits(most * 40):
            if sum(outcomes.values()) >= most:
                break
            changes = await history.changes(f"{commit}^", commit)
            tests = [
                c for c in changes if path_kind(c.path) == "test" and c.path.endswith(".py") and c.kind != "deleted"
            ]
            if not any(Path(c.path).name.startswith("test_") for c in tests):
                continue
            verdict = await judge(clone, Path(folder, "state"), commit, changes, sandbox)
            if verdict is None:
                continue
            outcomes[verdict.outcome] += 1
            line = f"{commit[:10]} {verdict.outcome}: {verdict.why} {[*verdict.unchecked][:3]}"
            sys.stderr.write(line + "\n")
            told += [line] if verdict.outcome != "verified" else []
    return outcomes, told


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.honest_runs", description=__doc__)
    parser.add_argument("--repo", action="append", required=True, metavar="DIR", help="a git repository; repeatable")
    parser.add_argument("--commits", type=int, default=10, metavar="N", help="judged commits of each repository (10)")
    asked = parser.parse_args(arguments)
    for repository in asked.repo:
        outcomes, told = asyncio.run(measure(repository, asked.commits))
        words = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
        sys.stdout.write("\n".join([f"{repository}: {words or 'none'}", *told]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
