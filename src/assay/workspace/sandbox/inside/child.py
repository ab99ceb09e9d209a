"""One command: the first process of its own pid namespace, which confines itself, waits for the command and starts it.

Killing this process ends all of the command and nothing else. It reaps what the command leaves, and answers TERM by
sending TERM to everything beside itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import socket
import struct
import termios
from typing import NamedTuple

from . import kernel, landlock, wire

COULD_NOT_EXECUTE, NOT_FOUND = 126, 127
FEWEST_PIDS = 512
"""The kernel takes no much smaller bound."""


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


def become_command(plan: Plan, channel: socket.socket, protected: list[str], *, read_only: bool) -> None:
    """Never returns. Makes all that a command needs, then waits for one on `channel`: the descriptor beside it is the
    pipe for what it says, or the slave of its terminal."""
    code = COULD_NOT_EXECUTE
    try:
        trouble = ""
        try:
            _confine(plan, channel.fileno(), protected, read_only=read_only)
        except OSError as error:
            trouble = f"the sandbox could not be made for this command: {error}"
        request, descriptors = wire.receive(channel)
        channel.close()
        _streams(descriptors[0], terminal=bool(request["terminal"]))
        if trouble:
            _say(trouble)
            os._exit(code)
        code = _attend(request)
    except EOFError:
        pass  # nobody wants it any more
    except BaseException as error:  # noqa: BLE001 - nothing of the parent's code may run on in this process
        with contextlib.suppress(OSError):
            _say(f"{type(error).__name__}: {error}")
    os._exit(code)


def _say(text: str) -> None:
    os.write(2, text.encode("utf-8", "backslashreplace") + b"\n")


def _streams(output: int, *, terminal: bool) -> None:
    if terminal:
        fcntl.ioctl(output, termios.TIOCSCTTY, 0)
        os.dup2(output, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _confine(plan: Plan, channel: int, protected: list[str], *, read_only: bool) -> None:
    os.setsid()
    own = os.open("/proc/self", os.O_PATH)  # of the outer /proc, which stays writable for us
    kernel.unshare(kernel.NEW_MOUNTS)
    for path, mode in plan.fresh:
        _renew(path, mode, plan)
    for leads_to, path in plan.links:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(leads_to, path)
    _protect(plan.root, protected)
    for path in plan.writable if read_only else []:
        kernel.make_read_only(path)
    _own_processes(plan.processes)
    _limit(plan, own)
    _leave_privileges(plan, own)
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in (0, 1, 2, channel):
            with contextlib.suppress(OSError):  # the listing's own is closed already
                os.close(int(name))
    if plan.landlock:
        writable = [] if read_only else plan.writable
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


def protected_now(plan: Plan) -> list[tuple[str, int, int]]:
    """What is there of the protected names, with what tells whether it is still the same."""
    found: list[tuple[str, int, int]] = []
    for name in (".git", *plan.protected):
        path = f"{plan.root}/{name}"
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            if os.path.realpath(path) == path:
                found.append((path, status.st_dev, status.st_ino))
    return found


def _protect(root: str, paths: list[str]) -> None:
    """Each is mounted on itself and made read-only, so one that is swapped for a link meanwhile only makes something
    else read-only too. The repository stays writable, but as a mount point it can't be renamed."""
    for path in paths:
        kernel.mount(path, path, "", kernel.MS_BIND | kernel.MS_REC)
        if path != f"{root}/.git":
            kernel.make_read_only(path)


def _own_processes(most: int) -> None:
    """A /proc that shows this pid namespace alone and can't be written to."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", "/proc", "proc", flags)
    with contextlib.suppress(OSError):  # for each namespace on its own from Linux 6.14
        _write("/proc/sys/kernel/pid_max", str(max(most, FEWEST_PIDS)))
    kernel.make_read_only("/proc")


def _write(path: str, text: str, directory: int | None = None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _limit(plan: Plan, own: int) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, plan.file_size)
    _lower(resource.RLIMIT_DATA, plan.memory)
    _lower(resource.RLIMIT_NPROC, plan.processes)
    with contextlib.suppress(OSError):
        _write("oom_score_adj", "500", own)  # the kernel is to end this before the harness when memory runs out


def _lower(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (allowed, allowed))


def _leave_privileges(plan: Plan, own: int) -> None:
    """Into a user namespace that owns nothing: not the mounts, not the network, not the process namespace."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.NEW_USERS)
    _write("setgroups", "deny", own)
    _write("uid_map", f"{plan.user} {user} 1", own)
    _write("gid_map", f"{plan.group} {group} 1", own)
    kernel.drop_capabilities(plan.last_capability)
    kernel.prctl(kernel.DUMPABLE, 0)


def _attend(request: wire.Message) -> int:
    """Start the command, take in its orphans, and return its exit code as a shell would tell it."""
    argv, env = request["argv"], request["env"]
    try:
        os.chdir(request["cwd"])
        _lower(resource.RLIMIT_CPU, int(request["seconds"] + 10) * (os.cpu_count() or 1))
        started = _spawn(argv, env, (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ))  # all ignored by now
    except (OSError, ValueError) as error:
        _say(f"{argv[0]}: {error.strerror if isinstance(error, OSError) else error}")
        return NOT_FOUND if isinstance(error, FileNotFoundError) else COULD_NOT_EXECUTE
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
