"""`python -m assay.safety`: make every attempt against this installation and print what came of it.

Exit code: 0 when all were made and none succeeded, 1 otherwise, 2 for a bad argument.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import cast

import msgspec

from assay.safety.range import run_suite
from assay.safety.report import table


def main(arguments: list[str] | None = None) -> int:
    """Run the suite; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m assay.safety",
        description="What a compromised model and a hostile repository try, in throw-away directories on loopback.",
    )
    parser.add_argument("--family", action="append", default=[], metavar="NAME", help="only this family; repeatable")
    parser.add_argument("--json", action="store_true", help="every result as JSON")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="families at a time (2)")
    parser.add_argument(
        "--no-sandbox",
        action="store_true",
        help="the positive control: only the harmless attempts, unconfined; they are expected to succeed",
    )
    given = parser.parse_args(arguments)
    if sys.platform != "linux":
        sys.stderr.write("error: the range is built on Linux only; there is nothing to measure here\n")
        return 2
    began = time.monotonic()
    try:
        results = run_suite(
            tuple(cast("list[str]", given.family)),
            confined=not cast(bool, given.no_sandbox),
            workers=max(cast(int, given.workers), 1),
        )
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if given.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(results)).decode() + "\n")
    else:
        sys.stdout.write("\n".join(table(results)) + f"\n{time.monotonic() - began:.0f} s\n")
    return 1 if any(result.succeeded or not result.made for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
