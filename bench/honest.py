"""How often the done gate's static rules would hold up an honest change: `python -m bench.honest --repo DIR...`.

Each commit of a project's history is taken as if an agent had made it: the diff against its parent goes through the
protected paths, the rule for what only adds, and the detectors. A detector that speaks there is a false alarm. A commit
that edits existing tests is *supposed* to need the user's leave, so it is counted apart, as held.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.core.workspace import Change
from assay.verify.detect import detect, telling
from assay.verify.detect_script import SUFFIXES
from assay.verify.findings import Finding
from assay.verify.protect import divide, path_kind

SOURCES = (".py", *SUFFIXES)


class History:
    """The part of a workspace that static rules need, over the commits of a repository; nothing is checked out."""

    def __init__(self, repository: str) -> None:
        self.repository = repository

    def git(self, *arguments: str) -> bytes:
        line = ["git", "-C", self.repository, "-c", "core.quotePath=true", "-c", "diff.renames=false", *arguments]
        return subprocess.run(line, check=True, capture_output=True, timeout=120).stdout

    async def changes(self, before: str, after: str) -> list[Change]:
        kinds = dict[str, str]()
        fields = (
            self.git("diff", "--no-renames", "--name-status", "-z", before, after)
            .decode("utf-8", "replace")
            .split("\0")
        )
        for letter, path in zip(fields[::2], fields[1::2], strict=False):
            kinds[path] = {"A": "added", "D": "deleted"}.get(letter, "modified")
        found: list[Change] = []
        for row in (
            self.git("diff", "--no-renames", "--numstat", "-z", before, after).decode("utf-8", "replace").split("\0")
        ):
            if not row:
                continue
            added, removed, path = row.split("\t", 2)
            count = [-1 if number == "-" else int(number) for number in (added, removed)]
            found.append(Change(path, kinds[path], *count))  # type: ignore[arg-type]
        return found

    async def patch(self, before: str, after: str) -> str:
        return self.git("diff", "--no-renames", "--no-color", "--no-ext-diff", before, after).decode(
            "utf-8", "surrogateescape"
        )

    async def read_at(self, tree: str, path: str) -> bytes | None:
        try:
            return self.git("cat-file", "blob", f"{tree}:{path}")
        except subprocess.CalledProcessError:
            return None

    def commits(self, most: int) -> list[str]:
        """The newest commits that change source files and are no merges, newest first."""
        rows = self.git("log", "--no-merges", "--min-parents=1", "--format=%x00%H", "--name-only", "HEAD").decode(
            "utf-8", "replace"
        )
        chosen: list[str] = []
        for row in rows.split("\0")[1:]:
            commit, *paths = row.split()
            if any(path.endswith(SOURCES) and path_kind(path) == "other" for path in paths):
                chosen.append(commit)
            if len(chosen) == most:
                break
        return chosen


@dataclass
class Count:
    commits: int = 0
    alarmed: int = 0
    """Commits on which some detector spoke."""
    held: int = 0
    """Commits that change protected paths."""
    rules: Counter[str] = field(default_factory=Counter[str])
    """Commits on which a detector spoke, by its name."""
    told: list[str] = field(default_factory=list[str])
    first: str = ""
    last: str = ""


async def judge(history: History, commit: str) -> tuple[list[Finding], tuple[str, ...]]:
    """What the detectors say about one commit, and which protected paths it changes."""
    before = f"{commit}^"
    changes = await history.changes(before, commit)
    division = await divide(history, before, commit, changes)  # type: ignore[arg-type]
    findings = await detect(history, before, commit, changes)  # type: ignore[arg-type]
    return telling(findings, division), division.violations


async def measure(repository: str, most: int) -> Count:
    history = History(repository)
    count = Count()
    for commit in history.commits(most):
        findings, held = await judge(history, commit)
        # What is said of a protected path is no alarm of its own: the change needs leave already.
        findings = [finding for finding in findings if finding.path not in held]
        count.commits += 1
        count.alarmed += bool(findings)
        count.held += bool(held)
        count.rules.update({finding.rule for finding in findings})
        date = history.git("show", "-s", "--format=%cs", commit).decode().strip()
        count.first, count.last = f"{commit[:10]} of {date}", count.last or f"{commit[:10]} of {date}"
        count.told += [f"{commit[:10]} {finding.rule} {finding}" for finding in findings]
    return count


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.honest", description=__doc__)
    parser.add_argument("--repo", action="append", required=True, metavar="DIR", help="a git repository; repeatable")
    parser.add_argument("--commits", type=int, default=50, metavar="N", help="of each repository, the newest (50)")
    parser.add_argument("--tell", action="store_true", help="print every finding")
    asked = parser.parse_args(arguments)
    total = Count()
    lines = [
        "| project | commits | from | to | alarms | by detector | hold for protected paths |",
        "|---|---|---|---|---|---|---|",
    ]
    for repository in asked.repo:
        count = asyncio.run(measure(repository, asked.commits))
        name = next((part for part in reversed(repository.split("/")) if part not in ("", ".git", "repo")), repository)
        rules = ", ".join(f"{rule} {number}" for rule, number in count.rules.most_common()) or "-"
        cells = (name.replace("+", "/"), count.commits, count.first, count.last, count.alarmed, rules, count.held)
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
        total.commits += count.commits
        total.alarmed += count.alarmed
        total.held += count.held
        total.rules += count.rules
        total.told += count.told
    rules = ", ".join(f"{rule} {number}" for rule, number in total.rules.most_common()) or "-"
    share = f"{100 * total.alarmed / max(total.commits, 1):.1f} %"
    lines.append(f"| **all** | **{total.commits}** | | | **{total.alarmed} ({share})** | {rules} | {total.held} |")
    sys.stdout.write("\n".join([*lines, *(total.told if asked.tell else [])]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
