"""`python -m bench.compat --real CLAUDE`: play all conversations with both commands, and list what differs."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.compat.cases import CASES
from bench.compat.compare import differences, trace
from bench.compat.drive import Ran, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table; returns 0, or 1 when something differs that no one has argued."""
    parser = argparse.ArgumentParser(prog="python -m bench.compat", description=__doc__)
    parser.add_argument("--real", required=True, metavar="COMMAND", help="the claude command")
    parser.add_argument("--ours", default=f"{sys.executable} -m assay", metavar="COMMAND", help="ours")
    parser.add_argument("--only", default="", metavar="WORD", help="conversations whose name holds this")
    parser.add_argument(
        "--keep", metavar="FILE", help="what the claude command said: written, or read when it is there"
    )
    parser.add_argument("--traces", action="store_true", help="print both traces")
    asked = parser.parse_args(arguments)
    # The commands run elsewhere, so what is relative must not be.
    path = {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, os.environ.get("PYTHONPATH", "").split(os.pathsep)))}
    kept = Path(asked.keep) if asked.keep else None
    before = json.loads(kept.read_text()) if kept and kept.exists() else {}
    played, different = 0, 0
    sys.stdout.write("| conversation | what differs |\n| --- | --- |\n")
    for case in CASES:
        if asked.only not in case.name:
            continue
        real = Ran(*before[case.name]) if case.name in before else run(shlex.split(asked.real), case, variables={})
        before[case.name] = real
        if kept:
            kept.write_text(json.dumps(before))
        ours = run(shlex.split(asked.ours), case, variables=path)
        found = differences(real, ours)
        played += 1
        different += bool(found)
        sys.stdout.write(f"| {case.name} | {'; '.join(found) or 'nothing'} |\n")
        if asked.traces:
            for name, ran in (("real", real), ("ours", ours)):
                rows = [*trace(ran), f"stderr {ran.error[-400:]!r}"]
                sys.stdout.write("".join(f"    {name} {line}\n" for line in rows))
        sys.stdout.flush()
    sys.stdout.write(f"\n{played} conversations, {different} with differences\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
