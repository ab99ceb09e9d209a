"""Variables of the `claude` command that say how long and how much, read the same way everywhere. What makes no sense
counts as not set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from assay.core.tool import Tool


def whole(environ: Mapping[str, str], name: str) -> int | None:
    """A whole number from 1, of at most nine digits."""
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) else None


def on(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")


def bounded(tools: Iterable[Tool], environ: Mapping[str, str]) -> tuple[Tool, ...]:
    """`tools`; what runs commands gives them the time that the user's variables say."""
    found = tuple(tools)
    default, longest = whole(environ, "BASH_DEFAULT_TIMEOUT_MS"), whole(environ, "BASH_MAX_TIMEOUT_MS")
    if default or longest:
        from assay.tools.bash import LONGEST, PATIENCE, BashTool

        for tool in found:
            if isinstance(tool, BashTool):
                tool.use_timeouts(default or min(PATIENCE, longest or PATIENCE), longest or LONGEST)
    return found
