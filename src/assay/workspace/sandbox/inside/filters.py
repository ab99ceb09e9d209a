"""The system-call filter of commands, assembled for the kernel's packet-filter machine (seccomp(2), mode 2).

It is a second wall: the namespaces already confine. What it takes away is what widens the kernel's attack surface,
reaches other processes or namespaces, or talks to something that is no file and no IP address.
"""

from __future__ import annotations

import errno
from struct import pack

LOAD, EQUAL, AT_LEAST, ANY, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, MACHINE, ARGUMENTS = 0, 4, 16
"""Offsets in `struct seccomp_data`; each argument has 8 bytes, the low half first on both machines."""
X32 = 0x40000000
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""`AUDIT_ARCH_*`, and which column of the tables below holds the machine's numbers."""

REFUSED = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "move_mount": (429, 429), "open_tree": (428, 428), "mount_setattr": (442, 442),
    "unshare": (272, 97), "setns": (308, 268),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "open_by_handle_at": (304, 265),
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "acct": (163, 89),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "iopl": (172, -1), "ioperm": (173, -1),
    "nfsservctl": (180, 42), "lookup_dcookie": (212, 18), "vhangup": (153, 58), "syslog": (103, 116),
    "sethostname": (170, 161), "setdomainname": (171, 162), "fanotify_init": (300, 262), "modify_ldt": (154, -1),
    "uselib": (134, -1), "ustat": (136, -1), "sysfs": (139, -1), "_sysctl": (156, -1),
    "move_pages": (279, 239), "migrate_pages": (256, 238),
}  # fmt: skip
"""Answered with "operation not permitted"."""

UNKNOWN = {
    # The flags of these lie in memory, where a filter can't look; the C library goes on with the older call.
    "clone3": (435, 435), "openat2": (437, 437),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "memfd_secret": (447, 447),
}  # fmt: skip
"""Answered as by a kernel that does not have them."""

SOCKET, SOCKETPAIR, IOCTL, CLONE = (41, 198), (53, 199), (16, 29), (56, 220)
MODES = {"chmod": (90, -1, 1), "fchmod": (91, 52, 1), "fchmodat": (268, 53, 2), "fchmodat2": (452, 452, 2),
         "creat": (85, -1, 1), "mknod": (133, -1, 1), "mknodat": (259, 33, 2)}  # fmt: skip
"""Calls that set a mode, and which argument it is."""
OPENS = {"open": (2, -1, 1), "openat": (257, 56, 2)}
"""Calls that set one only when they create: which argument the flags are; the mode follows."""
CREATES = 0o20000100
"""`O_CREAT` and the bit that tells `O_TMPFILE`."""
SETUID, SETGID = 0o4000, 0o2000
NAMESPACES = 0x7E020000
"""Every `CLONE_NEW*` flag that `clone` takes."""
UNIX, IPV4, IPV6 = 1, 2, 10
STREAM, DATAGRAM = 1, 2
TYPE_INJECTION = (0x5412, 0x541C, 0x5423)
"""`TIOCSTI`, `TIOCLINUX` and `TIOCSETD`: input pushed into a terminal, and its line discipline."""

Step = tuple[int, int, int, int]
"""One instruction: operation, jump when true, jump when false, operand."""


def program(machine: str, *, shared: bool = False) -> list[Step]:
    """The filter for `machine` (as `os.uname().machine` has it). `shared`: the workspace belongs to a group, whose
    directories pass it on by the bit that lends a program's group. Raises `KeyError` for a machine that is not known.
    """
    rights = SETUID if shared else SETUID | SETGID
    audit, column = MACHINES[machine]
    steps: list[Step] = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, audit), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    if machine == "x86_64":
        steps += [(AT_LEAST, 0, 1, X32), _refuse(errno.ENOSYS)]
    for table, code in ((REFUSED, errno.EPERM), (UNKNOWN, errno.ENOSYS)):
        for numbers in table.values():
            steps += _when(numbers[column], [_refuse(code)])
    steps += _when(CLONE[column], [_argument(0), (ANY, 0, 1, NAMESPACES), _refuse(errno.EPERM), _ALLOWED])
    steps += _when(SOCKET[column], _sockets())
    pair = [_argument(0), (EQUAL, 1, 0, UNIX), _refuse(errno.EAFNOSUPPORT), _ALLOWED]
    steps += _when(SOCKETPAIR[column], pair)
    steps += _when(IOCTL[column], [_argument(1), *(s for each in TYPE_INJECTION for s in _equals(each)), _ALLOWED])
    for *numbers, place in MODES.values():
        steps += _when(numbers[column], [_argument(place), (ANY, 0, 1, rights), _refuse(errno.EPERM), _ALLOWED])
    for *numbers, place in OPENS.values():
        creating = [_argument(place), (ANY, 1, 0, CREATES), _ALLOWED]
        mode = [_argument(place + 1), (ANY, 0, 1, rights), _refuse(errno.EPERM), _ALLOWED]
        steps += _when(numbers[column], [*creating, *mode])
    return [*steps, _ALLOWED]


def assembled(machine: str, *, shared: bool = False) -> bytes:
    """The filter as the kernel and `bwrap --seccomp` take it: 8 bytes an instruction."""
    return b"".join(pack("<HBBI", *step) for step in program(machine, shared=shared))


_ALLOWED: Step = (RETURN, 0, 0, ALLOW)


def _refuse(code: int) -> Step:
    return (RETURN, 0, 0, ERRNO | code)


def _argument(number: int) -> Step:
    # The kernel itself reads only the low half of each argument that is looked at here.
    return (LOAD, 0, 0, ARGUMENTS + 8 * number)


def _when(number: int, steps: list[Step]) -> list[Step]:
    """`steps`, which end in a return, for one system call; nothing where the machine does not have it."""
    return [(EQUAL, 0, len(steps), number), *steps] if number >= 0 else []


def _equals(value: int) -> list[Step]:
    return [(EQUAL, 0, 1, value), _refuse(errno.EPERM)]


def _sockets() -> list[Step]:
    """IP sockets that carry streams or datagrams; no raw ones, and no other family."""
    return [
        _argument(0), (EQUAL, 2, 0, IPV4), (EQUAL, 1, 0, IPV6), _refuse(errno.EAFNOSUPPORT),
        _argument(1), (AND, 0, 0, 0xF), (EQUAL, 2, 0, STREAM), (EQUAL, 1, 0, DATAGRAM), _refuse(errno.EPERM), _ALLOWED,
    ]  # fmt: skip
