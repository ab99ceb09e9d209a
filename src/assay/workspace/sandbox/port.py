"""What the workspace asks of a sandbox, whatever the operating system confines with."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

PROTECTED = (
    ".git/hooks", ".git/config", ".git/info", ".git/modules",
    ".assay", ".agents", ".claude", ".codex", ".mcp.json", ".vscode", ".idea", ".envrc",
)  # fmt: skip
"""Names below the root that commands may read and not change: what is in them runs or decides later, elsewhere."""


class Layer(NamedTuple):
    """A directory that commands see at `target` on top of the workspace."""

    source: str
    target: str
    kind: Literal["read", "write", "overlay"]
    upper: str = ""
    """Where changes go, with kind `overlay`; beside it `upper + ".work"` is the file system's own."""


class Confinement(NamedTuple):
    """What the commands of one workspace may see and change."""

    source: str
    """The real directory."""
    root: str
    """Where commands see it; the same unless this is a copy."""
    cache: str = ""
    """A directory that is `~/.cache` for the commands and outlives each of them; empty for none."""
    layers: tuple[Layer, ...] = ()
    protected: tuple[str, ...] = PROTECTED
    hidden: tuple[str, ...] = ()
    """Paths below the root that commands see as empty: the user keeps them from the model."""


class NoSandbox(NamedTuple):
    """Why commands can't be confined here: one line that says what to do."""

    reason: str


class Sandbox(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def owns_processes(self) -> bool:
        """True when the command is the first process of a pid namespace that dies with the process of the argv."""
        ...

    @property
    def home(self) -> str:
        """The home directory that commands see, empty at first."""
        ...

    @property
    def overlays(self) -> bool:
        """True when layers of kind `overlay` work here."""
        ...

    def argv(self, view: Confinement, command: tuple[str, ...], cwd: str, *, read_only: bool) -> tuple[str, ...]:
        """The command that runs `command` in `cwd` (absolute, as commands see it) inside the sandbox.

        `read_only` makes the workspace so too.
        """
        ...
