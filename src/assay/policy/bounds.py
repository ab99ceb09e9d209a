"""What a run may touch without a rule, and the permission modes."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

PermissionMode = Literal["default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"]
PERMISSION_MODES: tuple[PermissionMode, ...] = ("default", "acceptEdits", "plan", "dontAsk", "bypassPermissions")


class Bounds(Struct, frozen=True):
    root: str
    """The absolute path of the workspace."""
    added: tuple[str, ...] = ()
    """Further directories, as writable as the workspace lets them be (`--add-dir`)."""
    readable: tuple[str, ...] = ()
    """Directories that may be read only: spilled output."""
    confined: bool = False
    """Commands run inside a sandbox."""
    unconfined_ok: bool = False
    """The user said `--no-sandbox`."""
    commands_read_only: bool = False
    """Commands can't write in the workspace while the mode is `plan`; what that mode needs to run any."""
    attended: bool = False
    """Somebody is there to be asked, and wants to be: what is more than reading asks unless a rule covers it."""
    ours: tuple[str, ...] = ()
    """Directories with settings and state of this program, and of the one whose files it reads and writes: what is
    changed there changes the limits."""
    hosts: tuple[str, ...] = ()
    """Hosts that the user's settings let commands reach at all; empty for no way out."""
    cleared: tuple[str, ...] = ()
    """Those of `hosts` that stay open to a session that has read outside text and knows the project."""
