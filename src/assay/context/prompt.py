"""The system text: static, so that the prefix of every request of every session is the same bytes."""

from __future__ import annotations

from pathlib import Path


def system_text(override: str | None = None, append: str = "") -> str:
    """The text before everything else. `override` replaces ours (an empty string means none); `append` follows."""
    base = Path(__file__).with_name("system.md").read_text(encoding="utf-8").strip() if override is None else override
    return "\n\n".join(part for part in (base, append.strip()) if part)


def attachment(attached: str, limit: int = 400_000) -> str:
    """What came in through a pipe, marked as context beside the user's own words; at most `limit` characters of it."""
    if len(attached) > limit:
        left = len(attached) - limit
        attached = f"{attached[:limit]}\n[... {left} more characters of standard input were left out]"
    return f"<stdin>\n{attached.rstrip()}\n</stdin>"
