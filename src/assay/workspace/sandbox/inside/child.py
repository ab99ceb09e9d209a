"""One command: the first process of its own pid namespace, which confines itself, starts the command and waits.

Killing this process ends all of the command and nothing else. It reaps what the command leaves, and answers TERM by
sending TERM to everything beside itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import struct
import termios
from typing import Any, NamedTuple

from . import kernel, landlock

COULD_NOT_EXECUTE, NOT_FOUND = 126, 127


class Plan(NamedTuple):
    """What is the same for all commands of one view; made from the harness's first message."""

    root: str
    writable: list[str]
    """Mount points."""
    fresh: list[tuple[str, str]]
    """Directories that each command gets empty, in memory, with their modes; what is mounted below stays."""
    links: list[tuple[str, str]]
    """Symbolic links to be put back into the fresh ones: (leads to, path)."""
    protected: list[str]
    user: int
    group: int
    memory: int
    """Bytes of data for one process, and for all of a command together."""
    processes: int
    file_size: int
    scratch: int
    """Bytes for each fresh directory."""
    kept: dict[str, list[str]]
    """The mount points below each fresh directory."""
    calls: bytes
    """The assembled filter of system calls."""
    landlock: int
    """The version of the kernel's Landlock; 0 for none."""
    last_capability: int


def become_command(plan: Plan, request: dict[str, Any], output: int, terminal: int) -> None:
    """Never returns. `output` is the pipe for what the command says, or `terminal` the slave of its terminal."""
    code = COULD_NOT_EXECUTE
    try:
        _standard_streams(output, terminal)
        try:
            _confine(plan, request)
        except OSError as error:
            _say(f"the sandbox could not be made for this command: {error}")
            os._exit(COULD_NOT_EXECUTE)
        code = _attend(request["argv"], request["env"])
    except BaseException as error:  # noqa: BLE001 - nothing of the parent's code may run on in this process
        with contextlib.suppress(OSError):
            _say(f"{type(error).__name__}: {error}")
    os._exit(code)


def _say(text: str) -> None:
    os.write(2, text.encode("utf-8", "backslashreplace") + b"\n")


def _standard_streams(output: int, terminal: int) -> None:
    os.setsid()
    if terminal >= 0:
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        streams = (terminal, terminal, terminal)
    else:
        streams = (os.open("/dev/null", os.O_RDONLY), output, output)
    for number, source in enumerate(streams):
        os.dup2(source, number)


def _confine(plan: Plan, request: dict[str, Any]) -> None:
    own = os.open("/proc/self", os.O_PATH)  # of the outer /proc, which stays writable for us
    kernel.unshare(kernel.NEW_MOUNTS)
    for path, mode in plan.fresh:
        _renew(path, mode, plan)
    for leads_to, path in plan.links:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(leads_to, path)
    writable = plan.writable
    if request["read_only"]:
        for path in writable:
            kernel.make_read_only(path)
        writable = []
    else:
        _protect(plan.root, plan.protected)
    _own_processes(plan.processes)
    os.chdir(request["cwd"])
    _limit(plan, request["seconds"], own)
    _leave_privileges(plan, own)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the listing's own is closed already
                os.close(int(name))
    if plan.landlock:
        landlock.restrict(plan.landlock, [*writable, *(path for path, _ in plan.fresh)])
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    kernel.filter_calls(plan.calls)


def _renew(path: str, mode: str, plan: Plan) -> None:
    below = [(target, os.open(target, os.O_PATH | os.O_NOFOLLOW)) for target in plan.kept[path]]
    options = f"mode={mode},size={plan.scratch}"
    kernel.mount("tmpfs", path, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
    for target, place in below:
        source = f"/proc/self/fd/{place}"
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
        kernel.mount(source, target, "", kernel.MS_BIND | kernel.MS_REC)
        os.close(place)


def _protect(root: str, names: list[str]) -> None:
    """Read-only mounts over what is there of the protected names. Each is mounted on itself, so a name that is swapped
    for a link meanwhile only makes something else read-only too."""
    git = f"{root}/.git"
    if os.path.isdir(git) and not os.path.islink(git):
        kernel.mount(git, git, "", kernel.MS_BIND | kernel.MS_REC)  # a mount point can't be renamed
    for name in names:
        path = f"{root}/{name}"
        if os.path.exists(path) and os.path.realpath(path) == path:
            kernel.mount(path, path, "", kernel.MS_BIND)
            kernel.make_read_only(path)


def _own_processes(most: int) -> None:
    """A /proc that shows this pid namespace alone and can't be written to."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", "/proc", "proc", flags)
    with contextlib.suppress(OSError):  # for each namespace on its own from Linux 6.14
        _write("/proc/sys/kernel/pid_max", str(most))
    kernel.make_read_only("/proc")


def _write(path: str, text: str, directory: int | None = None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _limit(plan: Plan, seconds: float, own: int) -> None:
    processor_time = int(seconds + 10) * (os.cpu_count() or 1)
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, plan.file_size),
        (resource.RLIMIT_DATA, plan.memory),
        (resource.RLIMIT_NPROC, plan.processes),
        (resource.RLIMIT_CPU, processor_time),
    ):
        hard = resource.getrlimit(kind)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))
    with contextlib.suppress(OSError):
        _write("oom_score_adj", "500", own)  # the kernel is to end this before the harness when memory runs out


def _leave_privileges(plan: Plan, own: int) -> None:
    """Into a user namespace that owns nothing: not the mounts, not the network, not the process namespace."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.NEW_USERS)
    _write("setgroups", "deny", own)
    _write("uid_map", f"{plan.user} {user} 1", own)
    _write("gid_map", f"{plan.group} {group} 1", own)
    kernel.drop_capabilities(plan.last_capability)
    kernel.prctl(kernel.DUMPABLE, 0)


def _attend(argv: list[str], env: dict[str, str]) -> int:
    """Start the command, take in its orphans, and return its exit code as a shell would tell it."""
    defaults = (signal.SIGPIPE, signal.SIGXFSZ)  # which Python ignores
    try:
        started = _spawn(argv, env, defaults)
    except (OSError, ValueError) as error:
        found = not isinstance(error, FileNotFoundError)
        _say(f"{argv[0]}: {error.strerror if isinstance(error, OSError) else error}")
        return COULD_NOT_EXECUTE if found else NOT_FOUND
    awaited = {signal.SIGCHLD, signal.SIGTERM}
    while True:
        if signal.sigwait(awaited) == signal.SIGTERM:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGTERM)
            continue
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == started:
                    code = os.waitstatus_to_exitcode(ended[1])
                    return 128 - code if code < 0 else code


def _spawn(argv: list[str], env: dict[str, str], defaults: tuple[int, ...]) -> int:
    path = env.get("PATH", os.defpath)
    places = [argv[0]] if "/" in argv[0] else [f"{each or '.'}/{argv[0]}" for each in path.split(":")]
    trouble: OSError = FileNotFoundError(2, os.strerror(2))
    for place in places:
        try:
            return os.posix_spawn(place, argv, env, setsigmask=(), setsigdef=defaults)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            trouble = error
    raise trouble


def terminal_of(rows: int, columns: int) -> tuple[int, int]:
    """A new terminal of that size, (master, slave). What reads from it is told at once that nothing is typed."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.write(master, b"\x04" * 4)
    return master, slave


def last_capability() -> int:
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        return int(file.read())


def mounted_below(path: str) -> list[str]:
    """The topmost mount points below a directory."""
    with open("/proc/self/mountinfo", "rb") as file:
        points = sorted({os.fsdecode(_unescaped(line.split()[4])) for line in file})
    kept: list[str] = []
    for point in points:
        if point.startswith(f"{path}/") and not any(point.startswith(f"{each}/") for each in kept):
            kept.append(point)
    return kept


def _unescaped(field: bytes) -> bytes:
    for escape in (b"\\040", b"\\011", b"\\012", b"\\134"):
        field = field.replace(escape, bytes([int(escape[1:], 8)]))
    return field
