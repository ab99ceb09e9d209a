"""Commands: bounded in time, output and memory; nothing of the user's secrets in them; nothing left of them."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.workspace import Command, CommandResult
from assay.workspace.environment import clean_environment
from assay.workspace.local import LocalWorkspace
from assay.workspace.output import Capture
from assay.workspace.processes import running


async def sh(workspace: LocalWorkspace, line: str, timeout: float = 20.0, limit: int = 32_000) -> CommandResult:
    return await workspace.run(Command(("/bin/sh", "-c", line), timeout=timeout, limit=limit))


def alive(name: str) -> list[int]:
    """Live processes that have `name` among their arguments."""
    found: list[int] = []
    for pid in running():
        try:
            if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
        except OSError:
            continue
    return found


@given(
    chunks=st.lists(st.binary(max_size=60) | st.text(max_size=20).map(str.encode), max_size=20),
    limit=st.integers(2, 100),
)
def test_capture_keeps_both_ends(chunks: list[bytes], limit: int) -> None:
    capture, whole = Capture(limit), b"".join(chunks)
    for chunk in chunks:
        capture.feed(chunk)
    text = capture.text()
    assert capture.total == len(whole)
    if len(whole) <= limit // 2 * 2:
        assert text == whole.decode("utf-8", "replace")
        return
    head, _, tail = text.partition("\n[... ")
    assert whole.decode("utf-8", "replace").startswith(head)
    assert tail.partition(" bytes left out ...]\n")[2].encode("utf-8", "replace")[-1:] in (whole[-1:], b"\xbd", b"")


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=20), st.integers(2, 100), st.integers(0, 500))
def test_there_is_a_file_when_something_was_cut_and_only_then(chunks: list[bytes], limit: int, cap: int) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder, "spill", "1.txt")
        capture, whole = Capture(limit, str(file), cap), b"".join(chunks)
        for chunk in chunks:
            capture.feed(chunk)
        capture.close()
        if len(whole) <= limit // 2 * 2:
            assert (capture.spill, list(Path(folder).iterdir())) == ("", [])
        else:
            assert (capture.spill, file.read_bytes()) == (str(file), whole[:cap])


def test_a_cut_never_breaks_a_character() -> None:
    for limit in range(4, 40):
        capture = Capture(limit)
        capture.feed("aé€😀".encode() * 50)
        assert "\ufffd" not in capture.text()


async def test_detached_processes_do_not_survive(plain: LocalWorkspace) -> None:
    seconds = f"6{os.getpid()}"  # tells our sleepers from those of tests beside us
    lines = (
        f"sleep {seconds} &",
        f"setsid sleep {seconds} &",
        f"nohup sleep {seconds} >/dev/null 2>&1 &",
        f"(setsid sh -c 'sleep {seconds} & sleep {seconds}' </dev/null >/dev/null 2>&1 &)",
        f"(trap '' TERM HUP INT; setsid sh -c \"trap '' TERM; sleep {seconds}; sleep {seconds}\" >/dev/null 2>&1 &)",
        f"env -i /bin/sh -c 'sleep {seconds} &'",
    )
    result = await sh(plain, "\n".join(lines) + "\nsleep 0.2; echo out")
    assert result.output == "out\n"
    assert alive(seconds) == []
    result = await sh(plain, "\n".join(lines) + "\nexec sleep " + seconds, timeout=2.0)
    assert result.timed_out
    assert alive(seconds) == []


async def test_a_holder_of_the_output_does_not_hold_us(plain: LocalWorkspace) -> None:
    began = time.monotonic()
    assert (await sh(plain, "setsid sleep 50 & echo now")).output == "now\n"
    assert time.monotonic() - began < 25  # and not the 50 of the sleep


async def test_term_comes_before_kill(plain: LocalWorkspace) -> None:
    result = await sh(plain, "trap 'echo tidy; exit 0' TERM; while :; do sleep 0.05; done", timeout=2.0)
    assert (result.exit_code, result.timed_out) == (124, True)
    assert result.output.endswith("tidy\n")  # some shells also tell that their child was terminated


async def test_much_output_costs_little_memory(plain: LocalWorkspace, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = await sh(plain, "head -c 100000000 /dev/zero")
    assert result.output_bytes == 100_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kilobytes


async def test_endless_output_ends_with_the_time(plain: LocalWorkspace) -> None:
    result = await sh(plain, "yes", timeout=0.3)
    assert result.timed_out
    assert len(result.output) < 33_000


async def test_a_spill_that_cannot_be_written_costs_no_result(plain: LocalWorkspace) -> None:
    result = await plain.run(Command(("/bin/echo", "x"), spill="/proc/nowhere/file"))
    assert (result.output, result.spill) == ("x\n", "")


async def test_a_huge_file_is_stopped(plain: LocalWorkspace, root: Path) -> None:
    result = await sh(plain, "dd if=/dev/zero of=big bs=1M seek=9000 count=1")
    assert result.exit_code != 0
    assert not (root / "big").exists() or (root / "big").stat().st_size <= 8 << 30


async def test_a_working_directory_that_goes_away(plain: LocalWorkspace, root: Path) -> None:
    (root / "d").mkdir()
    result = await plain.run(Command(("/bin/sh", "-c", "rmdir ../d; echo still"), cwd="d"))
    assert result.output == "still\n"
    assert (await sh(plain, "echo next")).output == "next\n"


async def test_no_descriptor_is_left(plain: LocalWorkspace, boxed: object) -> None:
    async def both() -> None:
        for workspace in (plain, boxed):
            if isinstance(workspace, LocalWorkspace):
                await sh(workspace, "echo x")
                await workspace.run(Command(("/nowhere/program",)))
                await sh(workspace, "sleep 9", timeout=0.05)

    await both()
    before = len(os.listdir("/proc/self/fd"))
    await both()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "FOO"])
def test_only_listed_variables_pass(name: str) -> None:
    env = clean_environment({name: "secret", "PATH": "/bin", "LC_ALL": "C"}, "/home/user")
    assert name not in env
    assert (env["PATH"], env["LC_ALL"], env["HOME"], env["TERM"]) == ("/bin", "C", "/home/user", "dumb")


async def test_a_killed_harness_leaves_nothing(tmp_path: Path, root: Path, boxed: object) -> None:
    """A sandboxed command dies with the process that started it, even when that one is killed."""
    if not isinstance(boxed, LocalWorkspace):
        assert boxed is not None
        return
    seconds = f"7{os.getpid()}"
    program = f"""
import asyncio, sys
from pathlib import Path
from tempfile import TemporaryDirectory
from assay.core.workspace import Command
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.find import find_sandbox
workspace = LocalWorkspace({str(root)!r}, sandbox=find_sandbox(Path({str(tmp_path)!r})), state_dir={str(tmp_path)!r})
asyncio.run(workspace.run(Command(("/bin/sh", "-c", "setsid sleep {seconds} & touch started; sleep {seconds}"))))
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen((sys.executable, "-c", program), env=env)
    try:
        end = time.monotonic() + 30
        while not ((root / "started").exists() and alive(seconds)) and time.monotonic() < end:
            await asyncio.sleep(0.02)
        assert alive(seconds)
    finally:
        process.kill()
        process.wait()
    end = time.monotonic() + 15
    while alive(seconds) and time.monotonic() < end:
        await asyncio.sleep(0.02)
    assert alive(seconds) == []


async def test_a_sandboxed_command_has_no_more_descriptors_than_it_needs(boxed: object) -> None:
    if isinstance(boxed, LocalWorkspace):
        assert (await sh(boxed, "cd /proc/self/fd && echo *")).output == "0 1 2 3\n"  # 3 is the directory being read
    else:
        assert boxed is not None


async def test_one_command_cannot_take_all_memory(plain: LocalWorkspace) -> None:
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 9 // 10
    # Zeroed pages cost nothing until they are touched, so a machine without the limit would grant this at once.
    result = await plain.run(Command((sys.executable, "-c", f"bytearray({size})"), timeout=20))
    assert result.exit_code == 1
    assert "MemoryError" in result.output
