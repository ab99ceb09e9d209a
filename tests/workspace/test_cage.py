"""Commands through the resident parent: each alone, bounded, and gone when it ends."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

import assay
from assay.core.workspace import Command, CommandResult
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.bubblewrap import Bubblewrap
from assay.workspace.sandbox.find import find_sandbox, probe
from assay.workspace.sandbox.inside.probes import PROBES
from assay.workspace.sandbox.port import Limits, NoSandbox, Sandbox
from assay.workspace.sandbox.resident import PROXY_PORT, Resident

SMALL = Limits(memory=400_000_000, processes=300, file_size=20_000_000, scratch=50_000_000)


@pytest.fixture
def cage(found: Sandbox | NoSandbox) -> Bubblewrap:
    """These tests are about Linux with user namespaces; elsewhere `test_sandbox.py` says what holds."""
    if not isinstance(found, Bubblewrap) or not found.resident:
        pytest.fail(f"no resident parent can be started here: {found}")
    return found


@pytest.fixture
async def caged(root: Path, tmp_path: Path, cage: Bubblewrap) -> AsyncIterator[LocalWorkspace]:
    workspace = LocalWorkspace(root, sandbox=cage, state_dir=tmp_path / "state", limits=SMALL)
    yield workspace
    await workspace.aclose()


async def sh(workspace: LocalWorkspace, line: str, timeout: float = 20.0, **more: object) -> CommandResult:
    command = Command(("/bin/sh", "-c", line), timeout=timeout, limit=8000)
    return await workspace.run(msgspec.structs.replace(command, **more))


def parent_of(workspace: LocalWorkspace) -> Resident:
    assert workspace._resident is not None
    return workspace._resident


def test_every_attempt_is_held(cage: Bubblewrap, tmp_path: Path) -> None:
    proof = probe(cage, tmp_path, os.environ)
    assert {row.name: row.said for row in proof.probes} == dict.fromkeys(PROBES, "held") | {"write_inside": "works"}
    assert proof.holds


def test_attempts_do_get_out_where_nothing_confines(tmp_path: Path) -> None:
    """Each attempt that can be tried without harm succeeds outside: what is held is held by the sandbox."""
    (tmp_path / "canary").write_text("x")
    (tmp_path / ".claude").mkdir()
    harmless = "read_outside write_outside secret_in_environment write_protected symbolic_link_out hard_link_in"
    harmless += " setuid_file netlink_socket host_socket_abstract tcp_to_host change_outside"
    program = """
import os, socket, sys
from assay.workspace.sandbox.inside import probes
tcp, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
unix.bind("\\0assay-" + str(os.getpid())); unix.listen()
here = os.getcwd()
known = probes.Outside(here, here, os.getpid(), tcp.getsockname()[1], "assay-" + str(os.getpid()), "")
print(*(name for name in sys.argv[1:] if probes.PROBES[name](known)))
"""
    env = {**os.environ, "ASSAY_PROBE_API_KEY": "x", "PYTHONPATH": str(Path(assay.__file__).parent.parent)}
    argv = (sys.executable, "-c", program, *harmless.split())
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30)
    assert set(done.stdout.split()) == set(harmless.split()), done.stderr


async def test_commands_run_beside_each_other_and_end_alone(caged: LocalWorkspace) -> None:
    slow = asyncio.ensure_future(sh(caged, "trap '' TERM; echo a > started; sleep 60 & wait; echo no"))
    while not Path(caged.root, "started").exists():
        await asyncio.sleep(0.01)
    results = await asyncio.gather(*(sh(caged, f"echo {number}; ps -e 2>/dev/null | wc -l") for number in range(5)))
    assert [result.output.split()[0] for result in results] == ["0", "1", "2", "3", "4"]
    timed_out = await sh(caged, "sleep 60", timeout=0.2)
    assert (timed_out.exit_code, timed_out.timed_out) == (124, True)
    assert not slow.done()
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert (await sh(caged, "echo on")).output == "on\n"


async def test_a_command_sees_only_its_own_processes(caged: LocalWorkspace) -> None:
    other = asyncio.ensure_future(sh(caged, "sleep 60", timeout=60))
    await asyncio.sleep(0.2)
    seen = await sh(caged, "cat /proc/[0-9]*/comm; kill -9 1; kill -TERM 1; kill -STOP 1; echo alive")
    assert "sleep" not in seen.output
    assert "alive" in seen.output or seen.exit_code == 143  # TERM to the first process is TERM to all it looks after
    assert not other.done()
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await other


async def test_the_parent_comes_back(caged: LocalWorkspace) -> None:
    first = asyncio.ensure_future(sh(caged, "sleep 60"))
    await asyncio.sleep(0.3)
    old = parent_of(caged)
    os.kill(old.process.pid, signal.SIGKILL)
    result = await asyncio.wait_for(first, 20)
    assert result.exit_code == 137
    assert (await sh(caged, "echo again")).output == "again\n"
    assert parent_of(caged) is not old


async def test_a_directory_made_anew_is_the_one_that_is_seen(caged: LocalWorkspace, root: Path) -> None:
    assert (await sh(caged, "ls")).output == ""
    shutil.rmtree(root)
    root.mkdir()
    (root / "new").write_text("x")
    assert (await sh(caged, "ls")).output == "new\n"


async def test_what_becomes_protected_between_commands_is(caged: LocalWorkspace, root: Path) -> None:
    await sh(caged, "true")
    (root / ".claude").mkdir()
    (root / ".claude/settings.json").write_text("{}")
    (root / ".git/hooks").mkdir(parents=True)
    line = "for f in .claude/settings.json .git/hooks/pre-commit; do echo x > $f; done; mv .git g; mv .claude c; true"
    await sh(caged, line)
    assert (root / ".claude/settings.json").read_text() == "{}"
    assert sorted(path.name for path in root.iterdir()) == [".claude", ".git"]
    assert list((root / ".git/hooks").iterdir()) == []


async def test_processes_are_limited(caged: LocalWorkspace) -> None:
    bomb = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"
    result = await caged.run(Command((sys.executable, "-c", bomb), timeout=60))
    assert (result.exit_code, result.stopped) == (137, "processes")
    assert "[stopped by the limit on processes: about 300 processes]" in result.output
    assert (await sh(caged, "echo fine")).output == "fine\n"


async def test_memory_is_limited_together_and_alone(caged: LocalWorkspace) -> None:
    hold = "import time; held = bytearray(250_000_000); held[::4096] = b'x' * len(held[::4096]); time.sleep(60)"
    line = f'for i in 1 2 3 4; do {sys.executable} -c "{hold}" & done; wait'
    result = await sh(caged, line, timeout=60)
    assert (result.exit_code, result.stopped) == (137, "memory")
    assert "[stopped by the limit on memory: more than 0.4 GB" in result.output
    result = await caged.run(Command((sys.executable, "-c", "bytearray(2_000_000_000)")))
    assert result.exit_code == 1
    assert result.output.endswith("\n[the limit on memory is 0.4 GB]\n")


async def test_files_are_limited(caged: LocalWorkspace, root: Path) -> None:
    result = await sh(caged, "exec head -c 40000000 /dev/zero > big")
    assert (result.exit_code, result.stopped) == (153, "file size")
    assert (root / "big").stat().st_size <= SMALL.file_size
    filled = await sh(caged, "for i in 1 2 3 4; do head -c 19000000 /dev/zero > /tmp/$i || exit 3; done")
    assert filled.exit_code == 3
    assert "No space left" in filled.output


async def test_a_private_terminal(caged: LocalWorkspace, plain: LocalWorkspace) -> None:
    line = "test -t 0 && test -t 1 && echo yes; stty size; cat; echo x > /dev/tty; tty"
    for workspace in (caged, plain):
        result = await sh(workspace, line, terminal=(11, 33))
        words = result.output.replace("\r", "").split()
        assert words[:4] == ["yes", "11", "33", "x"]
        assert words[4].startswith("/dev/pts/")
        assert result.exit_code == 0
        killed = await sh(workspace, "trap '' HUP TERM; sleep 60 & wait; sleep 60", terminal=(11, 33), timeout=0.3)
        assert killed.timed_out
    injected = "import fcntl, sys; fcntl.ioctl(0, 0x5412, b'x')"
    result = await caged.run(Command((sys.executable, "-c", injected), terminal=(24, 80)))
    assert "PermissionError" in result.output


async def test_the_proxy_port_is_handed_out(caged: LocalWorkspace) -> None:
    await sh(caged, "true")
    listener = await parent_of(caged).listener()
    listener.setblocking(False)
    ask = f"import socket; s = socket.create_connection(('127.0.0.1', {PROXY_PORT})); print(s.recv(9).decode())"
    command = asyncio.ensure_future(caged.run(Command((sys.executable, "-c", ask))))
    loop = asyncio.get_running_loop()
    with listener:
        accepted, _ = await asyncio.wait_for(loop.sock_accept(listener), 20)
        with accepted:
            await loop.sock_sendall(accepted, b"from out")
    assert (await command).output == "from out\n"
    with await parent_of(caged).listener() as again:
        assert again.getsockname() == ("127.0.0.1", PROXY_PORT)


async def test_servers_of_tests_work_inside(caged: LocalWorkspace) -> None:
    program = """
import multiprocessing, socket, subprocess, threading
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: server.accept()[0].sendall(b"served"), daemon=True).start()
print(socket.create_connection(server.getsockname()).recv(9).decode())
print(subprocess.run(("echo", "spawned"), capture_output=True, text=True).stdout.strip())
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(abs, [-1, -2]))
"""
    result = await caged.run(Command((sys.executable, "-c", program), timeout=60))
    assert result.output == "served\nspawned\n[1, 2]\n"


async def test_nothing_of_the_last_command_is_found(caged: LocalWorkspace) -> None:
    await sh(caged, "for d in /tmp ~ /dev/shm; do echo x > $d/left; done; mkdir -p ~/.local/lib; echo x > ~/.bashrc")
    assert (await sh(caged, "ls -A /tmp ~ /dev/shm; cat ~/.bashrc /tmp/left 2>/dev/null")).output.count("left") == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [("exit 7", 7), ("kill -9 $$", 137), ("kill -INT $$", 130), ("exec no-such-program-x", 127), ("exec /etc", 126)],
)
async def test_exit_codes_are_those_of_a_shell(caged: LocalWorkspace, line: str, code: int) -> None:
    assert (await sh(caged, line)).exit_code == code


async def test_strange_arguments_arrive(caged: LocalWorkspace) -> None:
    words = ["ä€😀", "a\nb", "\udcff\udc80", "", "x" * 120_000]
    program = "import os, sys; sys.stdout.buffer.write(b'|'.join(map(os.fsencode, sys.argv[1:])))"
    result = await caged.run(Command((sys.executable, "-c", program, *words), limit=500_000, env={"LC_ALL": "C.UTF-8"}))
    assert result.output == os.fsencode("|".join(words)).decode("utf-8", "replace")
    assert (await caged.run(Command(("/bin/echo", "a\0b")))).exit_code == 126


async def test_without_an_interpreter_inside_the_filter_stays(root: Path, tmp_path: Path, cage: Bubblewrap) -> None:
    alone = Bubblewrap(cage.binary, os.environ)
    alone.lacking = "none"
    workspace = LocalWorkspace(root, sandbox=alone, state_dir=tmp_path / "state")
    result = await sh(workspace, "grep -e Seccomp: -e NoNewPrivs -e CapEff /proc/self/status; unshare -r true; echo $?")
    assert result.output.split()[:6] == ["CapEff:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]
    assert result.output.split()[-1] != "0"
    assert (await sh(workspace, "test -t 1 && echo yes", terminal=(24, 80))).output == "yes\r\n"
    await workspace.aclose()


def test_a_parent_that_does_not_start_is_done_without(tmp_path: Path, cage: Bubblewrap) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "scratch").mkdir()
    broken = tmp_path / "bin/bwrap"
    broken.write_text(
        f'#!/bin/sh\ncase "$*" in *--info-fd*) echo no parent >&2; exit 1;; esac\nexec {cage.binary} "$@"\n'
    )
    broken.chmod(0o755)
    sandbox = Bubblewrap(str(broken), os.environ)
    proof = probe(sandbox, tmp_path / "scratch", os.environ)
    assert proof.holds, proof.why
    assert sandbox.lacking == "no parent"


ORDINARY = """
import asyncio, json, os, sys, tempfile
from pathlib import Path
from assay.core.workspace import Command
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.bubblewrap import Bubblewrap
from assay.workspace.sandbox.find import probe
home = Path(os.environ["HOME"])
(home / "scratch").mkdir(); (home / "work").mkdir()
sandbox = Bubblewrap(sys.argv[1], os.environ)
proof = probe(sandbox, home / "scratch", os.environ)
async def use():
    workspace = LocalWorkspace(home / "work", sandbox=sandbox, state_dir=home / "state")
    result = await workspace.run(Command(("/bin/sh", "-c", "id -u; touch mine; cat /proc/self/uid_map")))
    await workspace.aclose()
    return result
result = asyncio.run(use())
escaped = [row.name for row in proof.probes if not row.ok]
print(json.dumps([proof.holds, sandbox.lacking, escaped, result.exit_code, result.output.split()]))
"""


@pytest.fixture
def public() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="assay-test-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_all_of_it_holds_for_an_ordinary_user(public: Path, cage: Bubblewrap) -> None:
    user = 65534 if os.getuid() == 0 else os.getuid()
    become = {"user": user, "group": user, "extra_groups": list[int]()} if os.getuid() == 0 else {}
    for package in (Path(assay.__file__).parent, Path(msgspec.__file__).parent):
        shutil.copytree(package, public / "lib" / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    (public / "home").mkdir()
    (public / "home").chmod(0o777)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(public / "home"), "PYTHONPATH": str(public / "lib")}
    python = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    if not os.access(python, os.X_OK) and os.getuid() == 0:
        return  # the interpreter of this run may be one that only root can start
    argv = (python if os.getuid() == 0 else sys.executable, "-c", ORDINARY, cage.binary)
    done = subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, timeout=60, **become)
    assert done.stdout, done.stderr
    holds, lacking, escaped, code, words = json.loads(done.stdout)
    assert (holds, lacking, escaped, code) == (True, "", [], 0)
    assert words[0] == str(user)
    assert (public / "home/work/mine").stat().st_uid == user


def test_a_proof_of_an_older_version_is_made_anew(tmp_path: Path, cage: Bubblewrap) -> None:
    find_sandbox(tmp_path)
    known = json.loads((tmp_path / "sandbox.json").read_text())
    known["key"][0] -= 1
    known["lacking"] = "something"
    (tmp_path / "sandbox.json").write_text(json.dumps(known))
    found = find_sandbox(tmp_path)
    assert isinstance(found, Bubblewrap)
    assert found.lacking == ""
    assert time.time() - (tmp_path / "sandbox.json").stat().st_mtime < 60
