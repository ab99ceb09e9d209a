"""`assay held`: what commands did to protected names here and was taken back, for the user to look at and decide."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from assay.app.flags import Flag, describe, parse
from assay.app.paths import find_paths
from assay.core.errors import UsageError
from assay.sessions.index import project_key
from assay.surfaces.cli.terminal import ascii_json, harmless, one_line, write_out
from assay.workspace.copies import discard
from assay.workspace.held import bring_back, contents, folders

FLAGS = (Flag("--json", "switch", "list: as JSON"), Flag("--help", "switch", "print this", "-h"))
USAGE = """usage: assay held list [--json]
       assay held show NAME
       assay held apply NAME
       assay held drop NAME
"""
SHOWN = 20_000
"""Bytes of one file that are shown."""


def run_held(arguments: list[str]) -> int:
    """Carry out `assay held ...` for this directory; returns the exit code."""
    parsed = parse(arguments, FLAGS)
    if parsed.on("help") or not parsed.words:
        sys.stdout.write(f"{USAGE}\n{describe(FLAGS)}\n")
        return 0 if parsed.on("help") else 2
    action, *words = parsed.words
    held = find_paths(os.environ).state / "workspaces" / project_key(str(Path.cwd())) / "held"
    match action:
        case "list":
            return _list(held, as_json=parsed.on("json"))
        case "show":
            return _show(_one(held, words, action))
        case "apply":
            return _apply(_one(held, words, action))
        case "drop":
            discard(_one(held, words, action))
            return 0
        case _:
            raise UsageError(f"assay held has no '{action}'; it has list, show, apply, drop")


def _one(held: Path, words: list[str], action: str) -> Path:
    found = [folder for folder in folders(held) if len(words) == 1 and folder.name == words[0]]
    if not found:
        raise UsageError(f"assay held {action} takes one name; `assay held list` shows them")
    return found[0]


def _list(held: Path, *, as_json: bool) -> int:
    rows = [(folder, contents(folder)) for folder in folders(held)]
    if as_json:
        import msgspec

        found = [{"name": folder.name, "folder": str(folder), "paths": paths} for folder, paths in rows]
        write_out(ascii_json(msgspec.json.format(msgspec.json.encode(found)).decode()) + "\n")
        return 0
    for folder, paths in rows:
        write_out(f"{folder.name}  {one_line(', '.join(paths), 160)}\n")
    if not rows:
        write_out("nothing is held for this directory\n")
    return 0


def _show(folder: Path) -> int:
    for path in contents(folder):
        file = folder / path
        write_out(f"--- {one_line(path, 200)}\n")
        if file.is_symlink():
            write_out(f"a link to {one_line(str(file.readlink()), 200)}\n")
        elif file.is_file():
            with file.open("rb") as opened:
                data = opened.read(SHOWN + 1)
            for line in data[:SHOWN].decode("utf-8", "replace").splitlines():
                write_out(f"{harmless(line)}\n")
            if len(data) > SHOWN:
                write_out(f"[more of it: {file}]\n")
        else:
            write_out("neither a file nor a link\n")
    return 0


def _apply(folder: Path) -> int:
    """1 when something stays held."""
    done, taken = bring_back(str(Path.cwd()), folder)
    for path in done:
        write_out(f"put back: {one_line(path, 200)}\n")
    for path in taken:
        write_out(f"still held, its place is taken: {one_line(path, 200)} ({folder / path})\n")
    return 1 if taken else 0
