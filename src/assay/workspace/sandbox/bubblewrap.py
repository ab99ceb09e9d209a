"""Confinement by bubblewrap on Linux: namespaces, no capabilities, and a view of the machine made of few mounts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from assay.workspace.sandbox.port import Confinement, Layer, machine_limits
from assay.workspace.sandbox.view import (
    MASKED,
    SYSTEM,
    beneath,
    git_directory,
    hidden_paths,
    protected_paths,
    secret_paths,
    tool_roots,
)

# With `--as-pid-1` bubblewrap waits for the command itself: when it returns nothing of it is left, not even a zombie.
# A caller that is really root keeps all capabilities and write access to the kernel's settings unless a user
# namespace is asked for, capabilities are dropped and the sysctl tree is mounted read-only.
NAMESPACES = (
    "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
    "--new-session", "--as-pid-1",
)  # fmt: skip
INSIDE = Path(__file__).with_name("inside")
MOUNTED = "/run/assay"
FRESH = (("/tmp", "1777"), ("/dev/shm", "1777"))  # noqa: S108
"""Directories that each command gets empty, and their modes; the home is one more."""
ENTER = f"import sys; sys.path.insert(0, {MOUNTED!r}); from inside.parent import main; main(int(sys.argv[1]))"


class Bubblewrap:
    """Builds command lines for one bubblewrap binary. `environ` tells where toolchains and the home directory are."""

    name = "bubblewrap"
    owns_processes = True

    def __init__(self, binary: str, environ: Mapping[str, str], *, overlays: Callable[[], bool] = bool) -> None:
        self.binary = binary
        self._prove_overlays = overlays
        self._overlays: bool | None = None
        home = os.path.normpath(environ.get("HOME") or "/")
        self.home = home if home.startswith("/") and home != "/" and not beneath(home, SYSTEM) else "/home/user"
        self._environ = environ
        self.lacking = ""
        """Set when no interpreter runs inside: then each command gets a bubblewrap of its own."""
        self._views: dict[tuple[Confinement, bool], tuple[str, ...]] = {}

    @property
    def resident(self) -> bool:
        """Commands go through `resident.Resident`."""
        return not self.lacking

    @property
    def calls(self) -> bytes:
        from assay.workspace.sandbox.inside.filters import MACHINES, assembled

        machine = os.uname().machine
        return assembled(machine) if machine in MACHINES else b""

    @property
    def overlays(self) -> bool:
        """Found out when a copy first wants to know: the trial costs more than the start of a run."""
        if self._overlays is None:
            self._overlays = self._prove_overlays()
        return self._overlays

    def argv(self, view: Confinement, command: tuple[str, ...], cwd: str, *, read_only: bool) -> tuple[str, ...]:
        key = (view, read_only)
        if key not in self._views:
            self._views[key] = tuple(self._mounts(view, read_only))
        protected = () if read_only else _protected(view)
        return (
            self.binary, *NAMESPACES, "--die-with-parent", "--cap-drop", "ALL", *self._views[key], *protected,
            "--remount-ro", "/", "--chdir", cwd, "--", *command,
        )  # fmt: skip

    def parent(self, view: Confinement, info: int, channel: int) -> tuple[str, ...]:
        """The command that starts the resident parent. It ends when its channel does, so bubblewrap need not die with
        us: killed while it starts, it would leave behind what it forked, waiting for it. It tells its process id on the
        descriptor `info` and listens on `channel`; it is root in its user namespace, which it needs to make a smaller
        one for each command.

        Raises `OSError` when the interpreter lies where commands could change it.
        """
        python = os.path.realpath(sys.executable)
        if beneath(python, [view.root, *(layer.target for layer in view.layers)]):
            raise OSError(f"the interpreter {python} lies in the workspace")
        return (
            self.binary, *NAMESPACES, "--uid", "0", "--gid", "0", "--cap-add", "ALL", "--info-fd", str(info),
            *self._mounts(view, read_only=False), "--ro-bind", str(INSIDE), f"{MOUNTED}/inside",
            "--remount-ro", "/dev", "--remount-ro", "/",
            "--chdir", "/", "--", python, "-I", "-S", "-E", "-B", "-c", ENTER, str(channel),
        )  # fmt: skip

    def plan(self, view: Confinement) -> dict[str, object]:
        """What the resident parent is told first; `inside.child.Plan` says what each means."""
        limits = view.limits or machine_limits()
        written = [layer.target for layer in view.layers if layer.kind == "write" or self._lays(layer)]
        cache = f"{self.home}/.cache"
        return {
            "root": view.root,
            "writable": [view.root, *written, *([cache] if self._has_cache(view) else [])],
            "fresh": [each for each in (*FRESH, (self.home, "0700")) if not beneath(each[0], [view.root])],
            "links": [(view.root, view.source)] if view.source != view.root else [],
            "protected": view.protected,
            "user": os.getuid(),
            "group": os.getgid(),
            **limits._asdict(),
        }

    def _lays(self, layer: Layer) -> bool:
        return layer.kind == "overlay" and self.overlays

    def _has_cache(self, view: Confinement) -> bool:
        """Nothing is mounted below the cache, so what a command leaves in it can't steer the mounts of the next one."""
        cache = f"{self.home}/.cache"
        tools = tool_roots(self._environ, self.home, view.root)
        return bool(view.cache) and not any(beneath(path, [cache]) for path in (*tools, view.root, view.source))

    def _mounts(self, view: Confinement, read_only: bool) -> list[str]:
        args: list[str] = []
        for path in SYSTEM:
            if os.path.islink(path):  # noqa: PTH114
                args += ["--symlink", os.readlink(path), path]  # noqa: PTH115
            elif os.path.isdir(path):  # noqa: PTH112
                args += ["--ro-bind", path, path]
        for path in MASKED:
            if os.path.isdir(path):  # noqa: PTH112
                args += ["--tmpfs", path]
            elif os.path.exists(path):  # noqa: PTH110
                args += ["--ro-bind", "/dev/null", path]
        args += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"]
        scratch = str((view.limits or machine_limits()).scratch)
        args += ["--size", scratch, "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108
        for path in ("/tmp", self.home):  # noqa: S108
            args += ["--size", scratch, "--perms", "0700" if path == self.home else "1777", "--tmpfs", path]
        args += ["--dir", "/var", "--symlink", "../tmp", "/var/tmp", "--dir", "/run"]  # noqa: S108
        for path in tool_roots(self._environ, self.home, view.root):
            args += ["--ro-bind", path, path]
        if self._has_cache(view):
            args += ["--bind", view.cache, f"{self.home}/.cache"]
        return args + self._workspace(view, read_only) + _hidden(view)

    def _workspace(self, view: Confinement, read_only: bool) -> list[str]:
        bind = "--ro-bind" if read_only else "--bind"
        args = [bind, view.source, view.root]
        repository = git_directory(view.root)
        if repository:
            args += ["--ro-bind", repository, repository]
        for layer in view.layers:
            args += _layer(layer, read_only or (layer.kind == "overlay" and not self.overlays))
        if view.source != view.root:
            # The copy's own path leads to the same view, for whoever was told that one.
            args += ["--symlink", view.root, view.source]
        for path, directory in secret_paths(view, self.home):
            args += ["--tmpfs", path] if directory else ["--ro-bind", "/dev/null", path]
        return args


def _layer(layer: Layer, read_only: bool) -> list[str]:
    if layer.kind == "read" or read_only:
        return ["--ro-bind-try", layer.source, layer.target]
    if layer.kind == "write":
        return ["--bind", layer.source, layer.target]
    return ["--overlay-src", layer.source, "--overlay", layer.upper, f"{layer.upper}.work", layer.target]


def _hidden(view: Confinement) -> list[str]:
    """Empty things over what the user keeps from the model."""
    args: list[str] = []
    for name, directory in hidden_paths(view):
        target = f"{view.root}/{name}"
        args += ["--tmpfs", target] if directory else ["--ro-bind", "/dev/null", target]
    return args


def _protected(view: Confinement) -> list[str]:
    """Read-only mounts over protected names."""
    args: list[str] = []
    for name in protected_paths(view):
        args += ["--ro-bind", f"{view.source}/{name}", f"{view.root}/{name}"]
    return args
