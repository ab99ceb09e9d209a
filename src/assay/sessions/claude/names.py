"""Names in that format: the folders of a project and the ids of lines.

Format: what the public client reads (`claude_agent_sdk`, module `sessions`), which is its only written definition.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_LONGEST = 200
"""Characters of a folder's name before its hash."""


def project_folder(directory: str) -> str:
    """The folder name of a project directory: its real path with every character but letters and digits of ASCII
    replaced; a long one is cut and ends with a hash."""
    import unicodedata

    real = unicodedata.normalize("NFC", os.path.realpath(directory))
    plain = re.sub(r"[^a-zA-Z0-9]", "-", real)
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}-{_hash(real)}"


def _hash(text: str) -> str:
    """The 32-bit rolling hash of the reference, its absolute value in base 36."""
    value = 0
    for char in text:
        value = (value * 31 + ord(char)) & 0xFFFFFFFF
    value = abs(value - (1 << 32) if value >= 1 << 31 else value)
    digits = ""
    while value:
        value, digit = divmod(value, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"


class Place(Struct, frozen=True):
    """Where the transcripts of one project lie."""

    root: Path
    """The folder `projects`."""
    folder: str
    """Of the project in it."""
    writable: bool
    """False when nobody named the folder: a person's own is read for what they ask for, and never written."""

    def transcript(self, session: str) -> Path:
        """Of a session: where it lies already, in whichever project, else where it belongs."""
        here = self.root / self.folder / f"{session}.jsonl"
        if here.exists() or not UUID.fullmatch(session):
            return here
        return next(iter(sorted(self.root.glob(f"*/{session}.jsonl"))), here)

    def newest(self) -> tuple[str, float]:
        """The session of this project that was written last, and when (seconds since the epoch); "" for none."""
        found: list[tuple[float, str]] = []
        for path in (self.root / self.folder).glob("*.jsonl"):
            if UUID.fullmatch(path.stem):
                try:
                    found.append((path.stat().st_mtime, path.stem))
                except OSError:
                    continue
        when, session = max(found, default=(0.0, ""))
        return session, when


def find_place(environ: Mapping[str, str], directory: str) -> Place | None:
    """The transcripts of the project in `directory`; None when there is no home to have them in."""
    named = environ.get("CLAUDE_CONFIG_DIR", "")
    home = environ.get("HOME", "")
    if not named and not home:
        return None
    import unicodedata

    base = Path(unicodedata.normalize("NFC", str(Path(named).absolute()) if named else f"{home}/.claude"))
    folder = environ.get("CLAUDE_CODE_PROJECT_DIR_NAME", "")
    plain = bool(folder) and "/" not in folder and folder not in (".", "..") and "\0" not in folder
    return Place(base / "projects", folder if plain else project_folder(directory), bool(named))


def branch_of(directory: str) -> str:
    """The branch checked out in the repository around `directory`; empty when there is none."""
    for folder in (Path(directory), *Path(directory).parents):
        git = folder / ".git"
        try:
            if git.is_file():
                git = folder / git.read_text("utf-8")[:4096].removeprefix("gitdir:").strip()
            head = (git / "HEAD").read_text("utf-8")[:4096].strip()
        except (OSError, UnicodeError, ValueError):
            if git.exists():
                return ""
            continue
        return head.removeprefix("ref: refs/heads/") if head.startswith("ref: ") else "HEAD"
    return ""
