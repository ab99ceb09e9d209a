"""The filter of system calls, run by a small machine of our own on any call."""

from __future__ import annotations

import errno
from struct import unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.workspace.sandbox.inside import filters
from assay.workspace.sandbox.inside.filters import ALLOW, ERRNO, KILL, MACHINES, Step, assembled, program

MACHINE = st.sampled_from(sorted(MACHINES))
WORD = st.integers(0, 2**64 - 1)
ARGUMENTS = st.tuples(WORD, WORD, WORD, WORD, WORD, WORD)


def decided(steps: list[Step], audit: int, number: int, arguments: tuple[int, ...]) -> int:
    """What the kernel would answer: classic BPF over `struct seccomp_data`."""
    data = number.to_bytes(4, "little") + audit.to_bytes(4, "little") + bytes(8)
    data += b"".join(each.to_bytes(8, "little") for each in arguments)
    at = held = 0
    while True:
        operation, true, false, operand = steps[at]
        at += 1
        if operation == filters.LOAD:
            held = int.from_bytes(data[operand : operand + 4], "little")
        elif operation == filters.AND:
            held &= operand
        elif operation == filters.RETURN:
            return operand
        else:
            taken = {
                filters.EQUAL: held == operand,
                filters.AT_LEAST: held >= operand,
                filters.ANY: bool(held & operand),
            }[operation]
            at += true if taken else false


def on(machine: str, number: int, *arguments: int) -> int:
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    return decided(program(machine), MACHINES[machine][0], number, padded)


def numbers(machine: str, *tables: dict[str, tuple[int, int]]) -> set[int]:
    column = MACHINES[machine][1]
    return {each[column] for table in tables for each in table.values()} - {-1}


def judged(machine: str) -> set[int]:
    """Calls whose arguments matter."""
    column = MACHINES[machine][1]
    single = (filters.SOCKET, filters.SOCKETPAIR, filters.IOCTL, filters.CLONE)
    return {each[column] for each in (*single, *filters.MODES.values(), *filters.OPENS.values())}


@given(MACHINE, st.integers(0, 1000), ARGUMENTS)
def test_every_call_gets_the_answer_of_its_table(machine: str, number: int, arguments: tuple[int, ...]) -> None:
    answer = on(machine, number, *arguments)
    if number in numbers(machine, filters.REFUSED):
        assert answer == ERRNO | errno.EPERM
    elif number in numbers(machine, filters.UNKNOWN):
        assert answer == ERRNO | errno.ENOSYS
    elif number not in judged(machine):
        assert answer == ALLOW


@given(MACHINE, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), ARGUMENTS)
def test_calls_of_another_machine_end_the_process(
    machine: str, audit: int, number: int, arguments: tuple[int, ...]
) -> None:
    if audit != MACHINES[machine][0]:
        assert decided(program(machine), audit, number, arguments) == KILL


@given(st.integers(filters.X32, 2**32 - 1), ARGUMENTS)
def test_x32_is_not_there(number: int, arguments: tuple[int, ...]) -> None:
    assert on("x86_64", number, *arguments) == ERRNO | errno.ENOSYS


@given(MACHINE, WORD, WORD, WORD)
def test_only_ip_sockets(machine: str, family: int, kind: int, protocol: int) -> None:
    number = filters.SOCKET[MACHINES[machine][1]]
    low = family & 0xFFFFFFFF
    for asked in (family, low & 0x1F, 2, 10):
        right = asked & 0xFFFFFFFF in (2, 10) and kind & 0xF in (1, 2)
        assert (on(machine, number, asked, kind, protocol) == ALLOW) == right


@given(MACHINE, WORD)
def test_pairs_of_unix_sockets_alone(machine: str, family: int) -> None:
    number = filters.SOCKETPAIR[MACHINES[machine][1]]
    assert (on(machine, number, family) == ALLOW) == (family & 0xFFFFFFFF == 1)
    assert on(machine, number, 1, 5) == ALLOW


@given(MACHINE, WORD)
def test_no_clone_makes_a_namespace(machine: str, flags: int) -> None:
    number = filters.CLONE[MACHINES[machine][1]]
    wanted = any(
        flags & each for each in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
    )
    assert (on(machine, number, flags) == ALLOW) != wanted
    assert on(machine, number, 0x003D0F00) == ALLOW  # a thread
    assert on(machine, number, 0x4111) == ALLOW  # what posix_spawn does


@given(MACHINE, WORD, st.integers(0, 2**32 - 1))
def test_nothing_is_typed_into_a_terminal(machine: str, request_word: int, high: int) -> None:
    number = filters.IOCTL[MACHINES[machine][1]]
    for asked in (request_word, *((high << 32) | each for each in filters.TYPE_INJECTION)):
        refused = asked & 0xFFFFFFFF in (0x5412, 0x541C, 0x5423)
        assert (on(machine, number, 1, asked) == ALLOW) != refused


@given(MACHINE, st.integers(0, 0o7777), st.integers(0, 2**22))
def test_no_setuid_program_is_made(machine: str, mode: int, flags: int) -> None:
    column = MACHINES[machine][1]
    for *known, place in filters.MODES.values():
        if known[column] >= 0:
            answer = on(machine, known[column], *(0,) * place, mode)
            assert (answer == ALLOW) != bool(mode & 0o6000)
    for *known, place in filters.OPENS.values():
        if known[column] >= 0:
            answer = on(machine, known[column], *(0,) * place, flags, mode)
            creates = flags & 0o100 or flags & 0o20000000
            assert (answer == ALLOW) != bool(creates and mode & 0o6000)


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_a_group_may_share_a_workspace(machine: str) -> None:
    chmod = filters.MODES["fchmodat"]
    audit, column = MACHINES[machine]
    shared = program(machine, shared=True)
    assert decided(shared, audit, chmod[column], (0, 0, 0o2775, 0, 0, 0)) == ALLOW
    assert decided(shared, audit, chmod[column], (0, 0, 0o4755, 0, 0, 0)) != ALLOW


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_the_program_is_one_that_the_kernel_takes(machine: str) -> None:
    steps = program(machine)
    assert len(steps) < 4096
    assert steps[-1] == (filters.RETURN, 0, 0, ALLOW)
    for at, (operation, true, false, operand) in enumerate(steps):
        assert max(true, false) < 256
        assert at + 1 + max(true, false) < len(steps) or operation == filters.RETURN
        assert operation != filters.LOAD or (operand % 4 == 0 and operand < 64)
    data = assembled(machine)
    assert [unpack("<HBBI", data[at : at + 8]) for at in range(0, len(data), 8)] == steps


def test_an_unknown_machine_has_no_filter() -> None:
    with pytest.raises(KeyError):
        program("vax")
