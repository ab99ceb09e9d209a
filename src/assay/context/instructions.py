"""Instruction files: what people already wrote for agents, from the outermost folder down to the working directory."""

from __future__ import annotations

import os
from pathlib import Path

from assay.core.context import Fragment
from assay.core.policy import OPERATOR, WORKSPACE

NAMES = ("AGENTS.md", "CLAUDE.md")
CAP = 8_000
"""Characters of one file; human-written guidance beyond that is read on demand, not carried along."""
TOTAL_CAP = 24_000


def instruction_fragments(directory: Path, user_file: Path | None = None) -> list[Fragment]:
    """`AGENTS.md` and `CLAUDE.md` of every folder from the project's root (the nearest parent with `.git`, or the
    directory itself) down to `directory`, and the user's own file first. Equal texts are shown once; a file over the
    cap is cut and says so; a file that cannot be read is skipped, and so is a link of the project's that leads out of
    it: a repository could name any file of the person's."""
    paths = [(user_file, OPERATOR)] if user_file else []
    paths += [(folder / name, WORKSPACE) for folder in _from_root(directory) for name in NAMES]
    found: list[Fragment] = []
    texts: set[str] = set()
    total = 0
    top = Path(os.path.realpath(_from_root(directory)[0]))
    for path, label in paths:
        text = _read(path) if path == user_file or Path(os.path.realpath(path)).is_relative_to(top) else ""
        if not text or text in texts:
            continue
        texts.add(text)
        room = min(CAP, TOTAL_CAP - total)
        cut = len(text) > room
        if cut:
            room = max(room, 0)
            text = f"{text[:room]}\n[... cut at {room} of {len(text)} characters; read {path} for the rest]"
        total += len(text)
        found.append(
            Fragment("instructions", f'<instructions from="{path}">\n{text}\n</instructions>', str(path), cut, label)
        )
    return found


def _from_root(directory: Path) -> list[Path]:
    chain = [directory, *directory.parents]
    for index, folder in enumerate(chain):
        if (folder / ".git").exists():
            return chain[index::-1]
    return [directory]


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(4 * TOTAL_CAP).decode("utf-8-sig", "replace").strip()
    except OSError:
        return ""
