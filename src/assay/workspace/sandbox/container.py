"""Confinement by a container engine that is installed, Podman or Docker, in an image that the user names.

Each command gets a container of its own, which is removed when the command ends. Commands see the image's programs
in place of the machine's. Nothing is ever pulled.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Mapping

from assay.workspace.environment import KEPT
from assay.workspace.process import Launch, Running, spawn
from assay.workspace.processes import MARKER
from assay.workspace.sandbox.port import Confinement, Engine, NoSandbox, machine_limits
from assay.workspace.sandbox.view import git_directory, hidden_paths, protected_paths, secret_paths

PATIENCE = 30.0
"""Seconds for a question to the engine."""
HOME = "/home/user"
ANYWHERE = frozenset({"LANG", "LANGUAGE", "TZ", "USER", "LOGNAME"})
"""Of the variables that commands keep, those that mean the same in an image; others name the machine's files."""
ENGINES = ("HOME", "PATH", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS")
ENGINES_PREFIXES = ("CONTAINERS_", "CONTAINER_", "DOCKER_", "STORAGE_")
"""Variables by which an engine finds its own files and its service; the command doesn't get them."""
# The engine's client holds our pipe as its input: when we are gone, however that came, it reads the end, and so does
# this watcher, which takes all of the container's processes along but the first. That one then has nothing to wait for.
WATCHED = 'exec 4<&0 </dev/null; { read -r _ <&4; kill -KILL -1; } >/dev/null 2>&1 & exec 4<&-; exec "$@"'


class Container:
    """Builds command lines for the client of one engine. `image` is the identifier of an image, not a name that could
    be given to another one meanwhile."""

    name = "container"
    owns_processes = True
    overlays = False
    calls = b""
    home = HOME

    def __init__(self, engine: str, binary: str, image: str, environ: Mapping[str, str]) -> None:
        self.engine, self.binary, self.image = engine, binary, image
        self.lacking = "no terminal for commands, no port for egress, no Landlock; the engine's filter of system calls"
        # Podman without root has no say over the first version of the kernel's groups, and writes so among the output.
        self._counts = engine != "podman" or not os.getuid() or os.path.exists("/sys/fs/cgroup/cgroup.controllers")  # noqa: PTH110
        if not self._counts:
            self.lacking += "; limits on memory and processes hold for each process alone"
        self._environ = environ

    def argv(self, view: Confinement, command: tuple[str, ...], cwd: str, *, read_only: bool) -> tuple[str, ...]:
        """As the port says; `command` is a shell that stays, as `process.limited` makes it with `first`. Raises
        `OSError` for a path that engines can't be told."""
        return self._line(view, command, cwd, (), read_only)

    def client(
        self, view: Confinement, command: tuple[str, ...], cwd: str, env: Mapping[str, str], *, read_only: bool
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        """The engine's command line, and the environment for it, when `env` is what the command is to have.

        Values stay out of the command line, which others on the machine can read, but for the names that the client
        itself needs. Raises as `argv`.
        """
        own = {name: value for name, value in self._environ.items() if _is_engines(name)}
        machine = {name for name in KEPT - ANYWHERE if name in env and env[name] == self._environ.get(name)}
        told: list[str] = []
        for name in sorted(env.keys() - machine):
            value = env[name]
            clashes = _is_engines(name) or name.startswith("LD_")
            told += ["--env", f"{name}={value}" if clashes else name]
            if not clashes:
                own[name] = value
        return self._line(view, command, cwd, ("--env", MARKER, *told), read_only), own

    async def begin(self, view: Confinement, launch: Launch, *, read_only: bool) -> Running:
        """Start the command of `launch`, whose directory and environment are those inside. Raises `OSError`."""
        argv, env = self.client(view, launch.argv, launch.cwd, launch.env, read_only=read_only)
        return await spawn(launch._replace(argv=argv, cwd="/", env=env, terminal=None, fed=True))

    def _line(
        self, view: Confinement, command: tuple[str, ...], cwd: str, told: tuple[str, ...], read_only: bool
    ) -> tuple[str, ...]:
        limits = view.limits or machine_limits()
        args = ["--log-level", "error", "run", "--rm", "--interactive",
                "--name", f"{_owner()}-{os.getpid()}-{os.urandom(6).hex()}",
                "--pull", "never", "--log-driver", "none", "--network", "none", "--ipc", "private",
                "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--security-opt", "label=disable",
                "--read-only", "--user", f"{os.getuid()}:{os.getgid()}",
                "--shm-size", str(limits.scratch)]  # fmt: skip
        # Engines ask for more than a process without privileges on the machine itself may have.
        for name, which, most in (("nofile", resource.RLIMIT_NOFILE, 1 << 20), ("nproc", resource.RLIMIT_NPROC, 8192)):
            soft, hard = (
                most if each == resource.RLIM_INFINITY else min(each, most) for each in resource.getrlimit(which)
            )
            args += ["--ulimit", f"{name}={soft}:{hard}"]
        if self._counts:
            args += ["--pids-limit", str(limits.processes), "--memory", str(limits.memory)]
        if self.engine == "podman":
            args += ["--read-only-tmpfs=false", "--http-proxy=false"]
            args += ["--userns", "keep-id"] if os.getuid() else []
        for path in ("/tmp", "/var/tmp", HOME):  # noqa: S108
            args += self._empty(path, limits.scratch, "1777")
        args += self._mounts(view, read_only)
        return (
            self.binary, *args, *told, "--env", f"HOME={HOME}", "--workdir", cwd, "--entrypoint", "/bin/sh", self.image,
            "-c", WATCHED, "sh", *command,
        )  # fmt: skip

    def _mounts(self, view: Confinement, read_only: bool) -> list[str]:
        args = _bind("/dev/null", "/etc/shadow", read_only=True)
        if view.cache:
            args += _bind(view.cache, f"{HOME}/.cache", read_only=False)
        # A copy's own path leads to the same files, for whoever was told that one.
        targets = dict.fromkeys((view.root, view.source))
        for target in targets:
            args += _bind(view.source, target, read_only=read_only)
        repository = git_directory(view.root)
        if repository:
            args += _bind(repository, repository, read_only=True)
        for layer in view.layers:
            if os.path.isdir(layer.source):  # noqa: PTH112
                args += _bind(layer.source, layer.target, read_only=read_only or layer.kind != "write")
        for path, directory in secret_paths(view, os.path.normpath(self._environ.get("HOME") or "/")):
            args += self._empty(path, 4096, "0555") if directory else _bind("/dev/null", path, read_only=True)
        for top in targets:
            for name, directory in hidden_paths(view):
                target = f"{top}/{name}"
                args += self._empty(target, 4096, "0555") if directory else _bind("/dev/null", target, read_only=True)
            for name in () if read_only else protected_paths(view):
                args += _bind(f"{view.source}/{name}", f"{top}/{name}", read_only=True)
        return args

    def _empty(self, target: str, size: int, mode: str) -> list[str]:
        # Podman would fill it with what it is to cover.
        bare = ",notmpcopyup" if self.engine == "podman" else ""
        return ["--mount", f"type=tmpfs,target={target},tmpfs-size={size},tmpfs-mode={mode}{bare}"]


def _owner() -> str:
    """The start of our containers' names. A process id means something only in its own pid namespace."""
    try:
        return f"assay-{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116
    except OSError:
        return "assay-0"


def _is_engines(name: str) -> bool:
    return name in ENGINES or name.startswith(ENGINES_PREFIXES)


def _bind(source: str, target: str, *, read_only: bool) -> list[str]:
    if any(character in source + target for character in ',"\n'):
        raise OSError(f"{target}: a container engine can't be told a path with a comma, a quote or a line break")
    return ["--mount", f"type=bind,source={source},target={target}" + (",readonly" if read_only else "")]


def find_container(wanted: Engine, environ: Mapping[str, str]) -> Container | NoSandbox:
    """The engine and the image that the user names, not yet proved. Containers that killed processes of ours left
    behind are removed."""
    import shutil

    binary = shutil.which(wanted.name, path=environ.get("PATH"))
    if not binary:
        return NoSandbox(f"settings: sandbox.engine is {wanted.name}, which is not installed")
    if not wanted.image or wanted.image.startswith("-"):
        return NoSandbox("settings: sandbox.image must name an image that the engine has")
    try:
        image = _ask(binary, environ, "image", "inspect", "--format", "{{.Id}}", wanted.image)
        _clear(binary, environ)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        line = (said.decode("utf-8", "replace").strip().splitlines() or ["no answer"])[-1]
        return NoSandbox(f"{wanted.name} can't use the image {wanted.image} (sandbox.image in the settings): {line}")
    return Container(wanted.name, binary, image.strip(), environ)


def _ask(binary: str, environ: Mapping[str, str], *arguments: str) -> str:
    env = {name: value for name, value in environ.items() if _is_engines(name)}
    done = subprocess.run(
        (binary, *arguments), env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=True
    )
    return done.stdout.decode("utf-8", "replace")


def _clear(binary: str, environ: Mapping[str, str]) -> None:
    left: list[str] = []
    for name in _ask(binary, environ, "ps", "--all", "--filter", "name=assay-", "--format", "{{.Names}}").split():
        start, _, rest = name.rpartition("-")
        start, _, pid = start.rpartition("-")
        if rest and start == _owner() and pid.isdigit():
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                left.append(name)
            except PermissionError:
                continue
    if left:
        with contextlib.suppress(subprocess.SubprocessError):  # one that ends by itself meanwhile is no trouble
            _ask(binary, environ, "rm", "--force", *left)
