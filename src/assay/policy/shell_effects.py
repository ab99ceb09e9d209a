"""The effects of a shell command line, from its parse. It errs to the stricter side; what can't be told is `unknown`.

The sandbox is the boundary; effects choose when to ask, and what a rule speaks about."""

from __future__ import annotations

from assay.core.policy import Effect


def effects_of(line: str, cwd: str = "") -> tuple[Effect, ...]:
    """What running `line` by bash in `cwd` (empty: the root of the workspace) would do, as far as the line tells.

    Paths are relative to the root of the workspace or absolute; patterns stay patterns. Every program that is run gives
    an `execute` effect with its words, also those within another command. Never raises. A usual line takes well below a
    millisecond."""
    from assay.policy.shell.expansion import ROOT
    from assay.policy.shell.walker import Walker

    walker = Walker(cwd)
    try:
        if ROOT in line:
            walker.unknown("characters that no command can hold")
        else:
            walker.line(line)
    except Exception as error:  # noqa: BLE001 - the contract: what can't be worked out is unknown
        walker.unknown(f"internal error ({type(error).__name__})")
    return walker.effects()
