"""Attempts to get out, made by a command inside: each line says `name=held` or `name=escaped`.

What an attempt needs to know of the machine outside is in the environment: OUTSIDE (a directory with the file
`canary`), REAL_HOME, HARNESS (its process id), PORT (a TCP port that it listens on), ABSTRACT (the name of an abstract
socket of its) and SOCKET (the path of a socket of its, inside the workspace).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
from collections.abc import Callable

from . import filters, kernel

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


def harness() -> str:
    return os.environ["HARNESS"]


def kills() -> bool:
    os.kill(int(harness()), 0)
    with open(f"/proc/{harness()}/cmdline", "rb") as file:
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


def outside(name: str = "") -> str:
    return f"{os.environ['OUTSIDE']}/{name}"


def changes_outside() -> bool:
    for change in (lambda: os.chmod(outside("canary"), 0o777), lambda: os.utime(outside("canary")),
                   lambda: os.chmod("/usr/bin", 0o777), lambda: os.utime("/etc/passwd")):  # fmt: skip
        with contextlib.suppress(OSError):
            change()
            return True
    return False


def hard_link() -> bool:
    for source in (outside("canary"), "/etc/passwd"):
        with contextlib.suppress(OSError):
            os.link(source, "linked")
            return True
    return False


def symbolic_link() -> bool:
    os.symlink(outside(), "leads-out")
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


PROBES: dict[str, Callable[[], bool]] = {
    "write_outside": lambda: writes(outside("probe")),
    "write_system": lambda: writes("/usr/assay-probe", "/etc/assay-probe", "/assay-probe", "/dev/assay-probe"),
    "read_outside": lambda: reads(outside("canary")),
    "read_home": lambda: any(os.path.exists(f"{os.environ['REAL_HOME']}/{name}") for name in SECRETS),
    "read_shadow": lambda: reads("/etc/shadow", "/etc/gshadow", "/etc/shadow-"),
    "secret_in_environment": lambda: "ASSAY_PROBE_API_KEY" in os.environ,
    "write_protected": lambda: writes(".claude/settings.json", ".git/hooks/pre-commit"),
    "change_outside": changes_outside,
    "hard_link_in": hard_link,
    "symbolic_link_out": symbolic_link,
    "device_file": device,
    "setuid_file": setuid_file,
    "privileges": privileges,
    "remount": remount,
    "new_user_namespace": new_user,
    "enter_namespace": enters,
    "kernel_settings": kernel_settings,
    "load_module": lambda: call("init_module", 0, 0, b""),
    "keys": lambda: call("keyctl", 0, -3, 1),
    "bpf": lambda: call("bpf", 0, 0, 0),
    "io_uring": lambda: call("io_uring_setup", 1, 0),
    "trace": lambda: call("ptrace", 16, 1, 0, 0),
    "parent_memory": parent_memory,
    "other_processes": lambda: reads(f"/proc/{harness()}/environ"),
    "kill_outside": kills,
    "type_into_terminal": typed,
    "network_interfaces": interfaces,
    "tcp_to_host": lambda: connects(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", int(os.environ["PORT"]))),
    "udp_and_names": resolves,
    "raw_socket": raw_socket,
    "netlink_socket": lambda: opens(socket.AF_NETLINK),
    "host_socket_by_path": lambda: connects(socket.AF_UNIX, socket.SOCK_STREAM, os.environ["SOCKET"]),
    "host_socket_abstract": lambda: connects(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + os.environ["ABSTRACT"]),
}


def main() -> None:
    for name, attempt in PROBES.items():
        try:
            said = "escaped" if attempt() else "held"
        except (OSError, KeyError):
            said = "held"
        os.write(1, f"{name}={said}\n".encode())
    os.write(1, b"write_inside=" + (b"works\n" if writes("inside") and writes("/tmp/inside") else b"fails\n"))
