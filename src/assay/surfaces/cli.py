"""The command line."""

from __future__ import annotations


def run(arguments: list[str]) -> int:
    """Carry out the command; returns the exit code."""
    return 2 if arguments else 0
