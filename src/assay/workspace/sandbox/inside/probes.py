"""Attempts to get out, made by a command inside: each line says `name=held` or `name=escaped`."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
from collections.abc import Callable
from typing import NamedTuple

from . import filters, kernel


class Outside(NamedTuple):
    """What an attempt needs to know of the machine outside."""

    directory: str
    """With the file `canary` in it."""
    home: str
    harness: int
    """Its process id."""
    port: int
    """It listens there, on 127.0.0.1."""
    abstract: str
    """The name of an abstract socket that it listens on."""
    path: str
    """Inside the workspace, of a socket that it listens on."""


SECRETS = (".ssh", ".bash_history", ".netrc", ".aws", ".config", ".gnupg")
SETTINGS = ("core_pattern", "modprobe", "hostname", "sysrq")


def column() -> int:
    return filters.MACHINES[os.uname().machine][1]


def call(name: str, *arguments: int | bytes | None) -> bool:
    """True when the kernel did what was asked, or looked at the arguments at all."""
    number = (filters.REFUSED | filters.UNKNOWN)[name][column()]
    padded = [ctypes.c_char_p(each) if isinstance(each, bytes) else ctypes.c_long(each or 0) for each in arguments]
    result = kernel.LIBC.syscall(ctypes.c_long(number), *padded)
    return result >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS, errno.EACCES)


def writes(*paths: str) -> bool:
    for path in paths:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            return True
    return False


def reads(*paths: str) -> bool:
    for path in paths:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if file.read(1):
                return True
    return False


def remount() -> bool:
    kernel.mount("none", "/usr", "", kernel.MS_REMOUNT | kernel.MS_BIND)
    return True


def kernel_settings() -> bool:
    return writes(*(f"/proc/sys/kernel/{name}" for name in SETTINGS), "/proc/sysrq-trigger", "/proc/sys/vm/swappiness")


def connects(family: int, kind: int, address: tuple[str, int] | str) -> bool:
    with socket.socket(family, kind) as channel:
        channel.settimeout(1)
        channel.connect(address)
    return True


def resolves() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.sendto(b"canary", ("192.0.2.1", 53))
    return True


def raw_socket() -> bool:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()
    return True


def opens(family: int) -> bool:
    socket.socket(family, socket.SOCK_RAW if family == socket.AF_NETLINK else socket.SOCK_STREAM).close()
    return True


def interfaces() -> bool:
    with open("/proc/net/dev", encoding="ascii") as file:
        return any(":" in line and not line.strip().startswith("lo:") for line in file)


def kills(harness: int) -> bool:
    os.kill(harness, 0)
    with open(f"/proc/{harness}/cmdline", "rb") as file:
        return b"assay" in file.read()


def parent_memory() -> bool:
    for name in ("mem", "environ", "maps", "fd/0", "fd/1", "fd/2", "cwd", "root"):
        with contextlib.suppress(OSError):
            os.close(os.open(f"/proc/1/{name}", os.O_RDONLY))
            return True
    return writes("/proc/1/mem")


def privileges() -> bool:
    with open("/proc/self/status", encoding="ascii") as file:
        known = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    capable = any(int(known[f"Cap{each}"], 16) for each in ("Inh", "Prm", "Eff", "Bnd", "Amb"))
    return capable or known["NoNewPrivs"].strip() != "1" or known["Seccomp"].strip() != "2"


def typed() -> bool:
    master, slave = os.openpty()
    try:
        fcntl.ioctl(slave, filters.TYPE_INJECTION[0], b"x")
    finally:
        os.close(master)
        os.close(slave)
    return True


def changes_outside(canary: str) -> bool:
    for change in (lambda: os.chmod(canary, 0o777), lambda: os.utime(canary),
                   lambda: os.chmod("/usr/bin", 0o777), lambda: os.utime("/etc/passwd")):  # fmt: skip
        with contextlib.suppress(OSError):
            change()
            return True
    return False


def hard_link(canary: str) -> bool:
    for source in (canary, "/etc/passwd"):
        with contextlib.suppress(OSError):
            os.link(source, "linked")
            return True
    return False


def symbolic_link(directory: str) -> bool:
    os.symlink(directory, "leads-out")
    return reads("leads-out/canary") or writes("leads-out/written")


def device() -> bool:
    os.mknod("device", 0o60600, os.makedev(8, 0))
    return True


def setuid_file() -> bool:
    os.close(os.open("program", os.O_CREAT | os.O_WRONLY, 0o700))
    os.chmod("program", 0o4755)
    return True


def new_user() -> bool:
    kernel.unshare(kernel.NEW_USERS)
    return True


def enters() -> bool:
    with open("/proc/1/ns/mnt", "rb") as namespace:
        kernel.enter(namespace.fileno())
    return True


PROBES: dict[str, Callable[[Outside], bool]] = {
    "write_outside": lambda known: writes(f"{known.directory}/probe"),
    "write_system": lambda _: writes("/usr/assay-probe", "/etc/assay-probe", "/assay-probe", "/dev/assay-probe"),
    "read_outside": lambda known: reads(f"{known.directory}/canary"),
    "read_home": lambda known: any(os.path.exists(f"{known.home}/{name}") for name in SECRETS),
    "read_shadow": lambda _: reads("/etc/shadow", "/etc/gshadow", "/etc/shadow-"),
    "secret_in_environment": lambda _: "ASSAY_PROBE_API_KEY" in os.environ,
    "write_protected": lambda _: writes(".claude/settings.json", ".git/hooks/pre-commit"),
    "change_outside": lambda known: changes_outside(f"{known.directory}/canary"),
    "hard_link_in": lambda known: hard_link(f"{known.directory}/canary"),
    "symbolic_link_out": lambda known: symbolic_link(known.directory),
    "device_file": lambda _: device(),
    "setuid_file": lambda _: setuid_file(),
    "privileges": lambda _: privileges(),
    "remount": lambda _: remount(),
    "new_user_namespace": lambda _: new_user(),
    "enter_namespace": lambda _: enters(),
    "kernel_settings": lambda _: kernel_settings(),
    "load_module": lambda _: call("init_module", 0, 0, b""),
    "keys": lambda _: call("keyctl", 0, -3, 1),
    "bpf": lambda _: call("bpf", 0, 0, 0),
    "io_uring": lambda _: call("io_uring_setup", 1, 0),
    "trace": lambda _: call("ptrace", 16, 1, 0, 0),
    "parent_memory": lambda _: parent_memory(),
    "other_processes": lambda known: reads(f"/proc/{known.harness}/environ"),
    "kill_outside": lambda known: kills(known.harness),
    "type_into_terminal": lambda _: typed(),
    "network_interfaces": lambda _: interfaces(),
    "tcp_to_host": lambda known: connects(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", known.port)),
    "udp_and_names": lambda _: resolves(),
    "raw_socket": lambda _: raw_socket(),
    "netlink_socket": lambda _: opens(socket.AF_NETLINK),
    "host_socket_by_path": lambda known: connects(socket.AF_UNIX, socket.SOCK_STREAM, known.path),
    "host_socket_abstract": lambda known: connects(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + known.abstract),
}


def main(said: list[str]) -> None:
    """`said` are the fields of `Outside`."""
    known = Outside(said[0], said[1], int(said[2]), int(said[3]), said[4], said[5])
    for name, attempt in PROBES.items():
        try:
            result = "escaped" if attempt(known) else "held"
        except (OSError, KeyError):
            result = "held"
        os.write(1, f"{name}={result}\n".encode())
    os.write(1, b"write_inside=" + (b"works\n" if writes("inside") and writes("/tmp/inside") else b"fails\n"))
