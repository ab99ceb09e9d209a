"""The command's entry point: as little as possible before we know what was asked."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the `assay` command; returns its exit code."""
    from assay.surfaces.cli.main import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
