"""What the workspace asks of a sandbox, whatever the operating system confines with."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
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


class Limits(NamedTuple):
    """What one command may use, all its processes together unless said otherwise."""

    memory: int
    """Bytes; also for each process alone."""
    processes: int
    """Threads included."""
    file_size: int
    """Bytes of one file."""
    scratch: int
    """Bytes for the home, the temporary and the shared-memory directory each; they live in memory."""

    def told(self, which: str) -> str:
        """One line for whoever started a command that a limit ended."""
        most = {
            "memory": f"more than {self.memory / 1e9:.2g} GB of memory, or the machine had none left",
            "processes": f"about {self.processes} processes",
            "file size": f"a file of more than {self.file_size / 1e9:.2g} GB",
        }
        return f"[stopped by the limit on {which}: {most.get(which, 'too much')}]"

    def hint(self, output: str) -> str:
        """A line for a command that failed and says of itself that it got no more of something; empty if none does."""
        for which, most, phrases in (
            ("memory", f"{self.memory / 1e9:.2g} GB", ("MemoryError", "Cannot allocate memory", "bad_alloc")),
            ("file size", f"{self.file_size / 1e9:.2g} GB", ("File size limit exceeded", "File too large")),
            ("processes", f"{self.processes}", ("fork: retry", "Resource temporarily unavailable")),
        ):
            if any(phrase in output for phrase in phrases):
                return f"[the limit on {which} is {most}]"
        return ""


def machine_limits() -> Limits:
    """Three quarters of the memory that there is; the rest keeps the machine usable while a command is stopped."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(file).read_text()))
    return Limits(total * 3 // 4, 2048, 8 << 30, min(total // 4, 4 << 30))


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
    proxy: bool = False
    """Commands may reach the egress proxy; see `Resident.listener`."""
    limits: Limits | None = None
    """None for those of the machine."""
    hidden: tuple[str, ...] = ()
    """Paths below the root that commands see as empty: the user keeps them from the model."""


class Engine(NamedTuple):
    """A container engine that the user wants commands confined by, in place of what the system has."""

    name: str
    """Of its program."""
    image: str


class NoSandbox(NamedTuple):
    """Why commands can't be confined here: one line that says what to do."""

    reason: str


class Sandbox(Protocol):
    lacking: str
    """What full confinement has and this one has not, in words; empty for nothing."""

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

    @property
    def calls(self) -> bytes:
        """A filter of system calls that the command of `argv` installs when it is told to; empty for none."""
        ...

    def argv(self, view: Confinement, command: tuple[str, ...], cwd: str, *, read_only: bool) -> tuple[str, ...]:
        """The command that runs `command` in `cwd` (absolute, as commands see it) inside the sandbox.

        `read_only` makes the workspace so too.
        """
        ...
