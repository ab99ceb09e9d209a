"""`python -m bench.compat`: play all conversations, and list what differs from what the `claude` command did in them.

What it did is kept beside this file (`seen.json`: kinds of messages, keys, exit codes; no text of it). `--real CLAUDE`
plays them with that command and keeps what comes.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.compat.argued import arguments, unargued
from bench.compat.cases import CASES
from bench.compat.compare import Seen, differences, seen
from bench.compat.drive import run

KEPT = Path(__file__).with_name("seen.json")


def kept() -> dict[str, Seen]:
    """What the `claude` command did, by conversation."""
    return {name: Seen(*fields) for name, fields in json.loads(KEPT.read_text("utf-8"))["conversations"].items()}


def _play(real: Sequence[str], only: str) -> None:
    """With the `claude` command, and keep it."""
    found = kept() if KEPT.exists() else {}
    for case in CASES:
        if only in case.name:
            found[case.name] = seen(run(real, case, variables={}))
    version = subprocess.run([*real, "--version"], capture_output=True, text=True, check=True, timeout=60)
    rows = ",\n".join(f"{json.dumps(case.name)}:{json.dumps(found[case.name])}" for case in CASES if case.name in found)
    KEPT.write_text(f'{{"version":{json.dumps(version.stdout.split()[0])},"conversations":{{\n{rows}\n}}}}\n', "utf-8")


def main(arguments_given: Sequence[str] | None = None) -> int:
    """Prints a table; returns 0, or 1 when something differs that no one has argued."""
    parser = argparse.ArgumentParser(prog="python -m bench.compat", description=__doc__)
    parser.add_argument("--real", metavar="COMMAND", help="the claude command, to play and keep its part anew")
    parser.add_argument("--ours", default=f"{sys.executable} -m assay", metavar="COMMAND", help="ours")
    parser.add_argument("--only", default="", metavar="WORD", help="conversations whose name holds this")
    parser.add_argument("--traces", action="store_true", help="print what came, in both")
    asked = parser.parse_args(arguments_given)
    if asked.real:
        _play(shlex.split(asked.real), asked.only)
    # The command runs elsewhere, so what is relative must not be.
    path = {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, os.environ.get("PYTHONPATH", "").split(os.pathsep)))}
    before = kept()
    played, different, unclear = 0, 0, 0
    sys.stdout.write("| conversation | what differs: the `claude` command against ours | why |\n| --- | --- | --- |\n")
    for case in CASES:
        if asked.only not in case.name:
            continue
        real, ours = before[case.name], seen(run(shlex.split(asked.ours), case, variables=path))
        found = differences(real, ours)
        left = unargued(case.name, found)
        played, different, unclear = played + 1, different + bool(found), unclear + bool(left)
        why = "; ".join([*arguments(case.name, found), *(f"NOT ARGUED: {each}" for each in left)])
        sys.stdout.write(f"| {case.name} | {'; '.join(found) or 'nothing'} | {why} |\n")
        if asked.traces:
            for name, one in (("real", real), ("ours", ours)):
                sys.stdout.write("".join(f"    {name} {line}\n" for line in one.trace))
        sys.stdout.flush()
    sys.stdout.write(f"\n{played} conversations, {different} with differences, {unclear} of them not argued\n")
    return 1 if unclear else 0


if __name__ == "__main__":
    sys.exit(main())
