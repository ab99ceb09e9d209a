"""The environment card: what an engineer sees at a glance on sitting down, in a few hundred tokens, once."""

from __future__ import annotations

import sys
from collections import Counter

from assay.core.check import Check, CheckRun
from assay.core.context import Fragment
from assay.core.errors import WorkspaceError
from assay.core.workspace import Workspace

CAP = 2_000
"""Characters of the card; failing checks get their own cap."""
TAIL_CAP = 2_400
_TOP = 40


def environment_card(workspace: Workspace, names: list[str], checks: list[Check], red: list[CheckRun]) -> Fragment:
    """Directory, platform, files two levels deep (`names`: all), how to run the checks, and the end of each check
    that is red now."""
    lines = [
        f"directory: {workspace.root} ({_git_state(workspace)}; {sys.platform})",
        f"files ({len(names)}): {_outline(names)}",
    ]
    if checks:
        lines.append("checks: " + "; ".join(f"`{check.command}`" for check in checks[:4]))
    if workspace.confined:
        lines.append("commands are confined: no network; only this directory can be written")
    text = "\n".join(lines)
    cut = len(text) > CAP
    if cut:
        text = text[: CAP - 20] + " [... cut]"
    for run in red[:3]:
        text += f"\nfails now: `{run.check}`\n{run.tail.strip()[-TAIL_CAP:]}"
    return Fragment("environment", f"<environment>\n{text}\n</environment>", cut=cut)


def _outline(names: list[str]) -> str:
    """Top-level files by name, folders with the number of files below and their own subfolders."""
    tops: Counter[str] = Counter()
    below: dict[str, set[str]] = {}
    for name in names:
        head, slash, rest = name.partition("/")
        tops[head + slash] += 1
        if slash and "/" in rest:
            below.setdefault(head + slash, set()).add(rest.split("/", 1)[0])
    shown: list[str] = []
    for top, count in sorted(tops.items(), key=lambda item: (not item[0].endswith("/"), item[0]))[:_TOP]:
        inner = sorted(below.get(top, ()))[:6]
        detail = f" ({count}{': ' + ' '.join(inner) if inner else ''})" if top.endswith("/") else ""
        shown.append(_printable(top) + _printable(detail))
    if len(tops) > _TOP:
        shown.append(f"[{len(tops) - _TOP} more]")
    return ", ".join(shown) or "none"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def _git_state(workspace: Workspace) -> str:
    head = _start_of(workspace, ".git/HEAD")
    if head.startswith("ref:"):
        return f"git, branch {_printable(head.removeprefix('ref:').strip().removeprefix('refs/heads/'))}"
    if head:
        return "git, detached"
    return "a git worktree" if _start_of(workspace, ".git").startswith("gitdir:") else "no .git in it"


def _start_of(workspace: Workspace, path: str) -> str:
    """The first line of a small file; empty when there is none."""
    try:
        return workspace.read_file(path, 1_000).data.decode("utf-8", "replace").partition("\n")[0].strip()
    except (WorkspaceError, OSError):
        return ""
