"""Where things live (contract, section 6). `ASSAY_HOME` moves all of it to one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from assay.core.errors import UsageError


class Paths(Struct, frozen=True):
    config: Path
    """User settings and the user's own instructions."""
    state: Path
    """Sessions, snapshots, caches of what was proved about this machine."""
    data: Path
    """Models."""

    @property
    def settings(self) -> Path:
        return self.config / "settings.json"

    @property
    def sessions(self) -> Path:
        return self.state / "sessions"

    @property
    def models(self) -> Path:
        return self.data / "models"


def find_paths(environ: Mapping[str, str]) -> Paths:
    """The folders for this user; none is created here. Raises `UsageError` when there is no home to put them in."""
    if own := environ.get("ASSAY_HOME"):
        try:
            base = Path(own).expanduser().absolute()
        except RuntimeError as error:
            raise UsageError(f"ASSAY_HOME is '{own}', and that home cannot be found; give an absolute path") from error
        return Paths(base / "config", base / "state", base / "data")
    home = environ.get("HOME", "")

    def folder(variable: str, default: str) -> Path:
        # The XDG specification says that a relative path here is invalid and to be ignored.
        named = environ.get(variable, "")
        if named.startswith("/"):
            return Path(named) / "assay"
        if not home:
            raise UsageError(f"neither HOME nor ASSAY_HOME nor {variable} is set; set ASSAY_HOME to a folder for assay")
        return Path(home) / default / "assay"

    return Paths(
        folder("XDG_CONFIG_HOME", ".config"),
        folder("XDG_STATE_HOME", ".local/state"),
        folder("XDG_DATA_HOME", ".local/share"),
    )


def claude_places(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where the user's settings and transcripts for the `claude` command lie: no model changes anything there."""
    home = environ.get("HOME", "")
    mine = (Path(home) / ".claude", Path(home) / ".claude.json") if home else ()
    return tuple(dict.fromkeys(str(path) for path in (claude_home(environ), *mine) if path))


def claude_home(environ: Mapping[str, str]) -> Path | None:
    """Where the user's own files for the `claude` command lie: read; nothing but transcripts is written, and
    that only where the variable says so."""
    named, home = environ.get("CLAUDE_CONFIG_DIR", ""), environ.get("HOME", "")
    return Path(named).absolute() if named else Path(home) / ".claude" if home else None
