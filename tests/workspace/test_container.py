"""Commands in containers: the command lines everywhere, the rest where an engine can run one.

`ASSAY_TEST_IMAGE` names the image, which needs /bin/sh, sleep, cat, env, grep and mount. Without it, one is
made of a static busybox when there is one.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from assay.core.workspace import Command, Workspace
from assay.testing.conformance.workspace import CommandConformance
from assay.workspace.local import Beside, LocalWorkspace
from assay.workspace.sandbox.container import HOME, Container, find_container
from assay.workspace.sandbox.find import find_sandbox, probe
from assay.workspace.sandbox.port import Confinement, Engine, NoSandbox

IMAGE = f"localhost/assay-test:{os.getpid()}"


def pairs(argv: tuple[str, ...], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(argv) if name == option]


def test_command_line(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / ".git" / "hooks").mkdir(parents=True)
    (root / "private").mkdir()
    (root / "key.pem").write_text("x")
    environ = {"HOME": "/home/me", "PATH": "/usr/bin", "JAVA_HOME": "/opt/java", "DOCKER_HOST": "unix:///x", "KEY": "k"}
    box = Container("docker", "/usr/bin/docker", "sha256:1", environ)
    view = Confinement(str(root), str(root), hidden=("private", "key.pem", "missing"))
    env = {"HOME": HOME, "PATH": "/usr/bin", "JAVA_HOME": "/opt/java", "LANG": "C.UTF-8", "TOKEN": "secret"}
    argv, client = box.client(view, ("/bin/sh", "-c", "true"), str(root), env, read_only=False)
    assert {"run", "--rm", "--interactive"} <= set(argv)
    for option, value in (("--network", "none"), ("--cap-drop", "ALL"), ("--security-opt", "no-new-privileges"),
                          ("--pull", "never"), ("--user", f"{os.getuid()}:{os.getgid()}")):  # fmt: skip
        assert value in pairs(argv, option)
    assert "--read-only" in argv
    mounts = pairs(argv, "--mount")
    assert f"type=bind,source={root},target={root}" in mounts
    assert f"type=bind,source={root}/.git/hooks,target={root}/.git/hooks,readonly" in mounts
    assert f"type=bind,source=/dev/null,target={root}/key.pem,readonly" in mounts
    assert any(mount.startswith(f"type=tmpfs,target={root}/private,") for mount in mounts)
    assert not any("missing" in mount for mount in mounts)
    told = pairs(argv, "--env")
    assert {"LANG", "TOKEN", f"HOME={HOME}"} <= set(told)
    assert not any(name.startswith(("PATH", "JAVA_HOME")) for name in told)
    assert "secret" not in " ".join(argv)
    assert client == {
        "HOME": "/home/me",
        "PATH": "/usr/bin",
        "DOCKER_HOST": "unix:///x",
        "LANG": "C.UTF-8",
        "TOKEN": "secret",
    }
    (root / ".ssh").mkdir()
    at_home = Container("podman", "/usr/bin/podman", "1", {"HOME": str(root)})
    covers = pairs(at_home.argv(view, ("/bin/sh",), str(root), read_only=False), "--mount")
    assert any(each.startswith(f"type=tmpfs,target={root}/.ssh,") and each.endswith(",notmpcopyup") for each in covers)
    reading = box.argv(view, ("/bin/sh",), str(root), read_only=True)
    assert f"type=bind,source={root},target={root},readonly" in pairs(reading, "--mount")


def test_a_path_that_would_be_read_as_options_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "a,readonly=false"
    root.mkdir()
    box = Container("podman", "/usr/bin/podman", "1", {})
    with pytest.raises(OSError, match="comma"):
        box.argv(Confinement(str(root), str(root)), ("true",), str(root), read_only=False)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    found = find_sandbox(tmp_path, {"PATH": str(tmp_path)}, Engine("podman", "x"))
    assert isinstance(found, NoSandbox)
    assert "podman, which is not installed" in found.reason
    program = tmp_path / "podman"
    program.write_text("#!/bin/sh\necho no such image >&2; exit 125\n")
    program.chmod(0o755)
    for image, said in (("", "must name an image"), ("--all", "must name an image"), ("x", "image x .*no such image")):
        found = find_container(Engine("podman", image), {"PATH": str(tmp_path)})
        assert isinstance(found, NoSandbox)
        assert re.search(said, found.reason)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A proved one. Its absence is told by the reason why these tests are skipped."""
    image = os.environ.get("ASSAY_TEST_IMAGE", "")
    try:
        yield _made(image, tmp_path_factory.mktemp("container"))
    finally:
        if not image and shutil.which("podman"):
            subprocess.run(["podman", "rmi", "--force", IMAGE], capture_output=True, timeout=60, check=False)


def _made(image: str, scratch: Path) -> Container:
    if not shutil.which("podman"):
        pytest.skip("no podman here")
    busybox = shutil.which("busybox")
    if not image and busybox:
        archive = scratch / "image.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(busybox, "bin/busybox")
            for name in ("sh", "sleep", "cat", "env", "grep", "mount", "kill", "tty", "id", "ls", "ps"):
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        done = subprocess.run(["podman", "import", archive, IMAGE], capture_output=True, timeout=60, check=False)
        image = IMAGE if not done.returncode else ""
    found = find_sandbox(scratch, None, Engine("podman", image))
    if isinstance(found, NoSandbox):
        pytest.skip(f"podman can run no container here: {found.reason}")
    assert isinstance(found, Container)
    return found


class TestPromises(CommandConformance):
    # The suite gives a command 0.4 s before it is ended, which is what a container may take to start. Those promises
    # are held below, with more time.
    test_a_timeout_ends_the_whole_tree = None
    test_cancelling_ends_a_command = None
    test_closing_ends_commands = None

    @pytest.fixture(autouse=True)
    def sandbox(self, box: Container) -> None:
        self.box = box

    @asynccontextmanager
    async def workspace(self, directory: Path) -> AsyncIterator[Workspace]:
        (directory / "project").mkdir(parents=True)
        workspace = LocalWorkspace(directory / "project", sandbox=self.box, state_dir=directory / "state")
        try:
            yield workspace
        finally:
            await workspace.aclose()


def left(box: Container) -> list[str]:
    shown = subprocess.run(
        [box.binary, "ps", "-aq", "--filter", f"name=-{os.getpid()}-"], capture_output=True, timeout=30, check=True
    )
    return shown.stdout.decode().split()


def gone(box: Container, check: Callable[[Container], list[str]] = left) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if not check(box):
            return True
        time.sleep(0.1)
    return False


def workspace(box: Container, tmp_path: Path) -> LocalWorkspace:
    root = tmp_path / "root"
    (root / ".git" / "hooks").mkdir(parents=True)
    (root / "private").mkdir()
    (root / "private" / "secret").write_text("x")
    beside = Beside(hidden=("private",), variables=("TOLD",))
    return LocalWorkspace(
        root,
        sandbox=box,
        state_dir=tmp_path / "state",
        beside=beside,
        environ=dict(os.environ) | {"TOLD": "a b", "KEY": "k"},
    )


def test_proof(box: Container, tmp_path: Path) -> None:
    proof = probe(box, tmp_path, os.environ)
    assert proof.holds, proof.why
    assert {"write_protected", "capabilities", "network"} <= {row.name for row in proof.probes}


async def test_commands(box: Container, tmp_path: Path) -> None:
    space = workspace(box, tmp_path)
    try:
        line = 'echo x > made; echo "$TOLD|$KEY|$HOME"; ls private; echo x > .git/hooks/pre; cat; exit 3'
        result = await space.run(Command(("/bin/sh", "-c", line), timeout=30))
        assert result.exit_code == 3
        assert f"a b||{HOME}\n" in result.output
        assert "secret" not in result.output
        assert "Read-only" in result.output
        assert (Path(space.root) / "made").stat().st_uid == os.getuid()
        denied = await space.run(Command(("/bin/sh", "-c", "echo x > other"), timeout=30, read_only=True))
        assert denied.exit_code
        assert (await space.run(Command(("no-such-program",), timeout=30))).exit_code == 127
        assert gone(box)
    finally:
        await space.aclose()


async def test_nothing_outlives_its_time(box: Container, tmp_path: Path) -> None:
    space = workspace(box, tmp_path)
    try:
        line = "(trap '' TERM HUP; sleep 7531) & (sleep 7531 &) ; echo on; sleep 7531"
        result = await space.run(Command(("/bin/sh", "-c", line), timeout=2))
        assert result.timed_out
        assert "on" in result.output
        assert gone(box)
        detached = await space.run(Command(("/bin/sh", "-c", "sleep 7531 >/dev/null 2>&1 & echo on"), timeout=30))
        assert (detached.exit_code, detached.output) == (0, "on\n")
        assert gone(box)
    finally:
        await space.aclose()


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_ended_in_the_midst(box: Container, tmp_path: Path, how: str) -> None:
    space = workspace(box, tmp_path)
    try:
        line = "(trap '' TERM HUP; while :; do echo x >> alive; sleep 0.05; done) & sleep 7531"
        task = asyncio.ensure_future(space.run(Command(("/bin/sh", "-c", line), timeout=60)))
        alive = Path(space.root) / "alive"
        end = time.monotonic() + 30
        while not alive.exists() and time.monotonic() < end:
            await asyncio.sleep(0.05)
        assert alive.exists()
        if how == "close":
            await space.aclose()
            assert (await asyncio.wait_for(task, 20)).exit_code == 137
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        size = alive.stat().st_size
        await asyncio.sleep(0.3)
        assert alive.stat().st_size == size
        assert gone(box)
    finally:
        await space.aclose()


async def test_copies(box: Container, tmp_path: Path) -> None:
    space = workspace(box, tmp_path)
    try:
        (Path(space.root) / "file").write_text("old")
        async with space.copy(await space.snapshot()) as copy:
            result = await copy.run(Command(("/bin/sh", "-c", "cat file; echo new > file"), timeout=30))
            assert (result.exit_code, result.output) == (0, "old")
            assert copy.read_file("file").data == b"new\n"
        assert (Path(space.root) / "file").read_text() == "old"
    finally:
        await space.aclose()


def test_a_killed_process_leaves_nothing(box: Container, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    program = f"""
import asyncio, os
from assay.core.workspace import Command, Workspace
from assay.testing.conformance.workspace import CommandConformance
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.container import Container
box = Container({box.engine!r}, {box.binary!r}, {box.image!r}, os.environ)
space = LocalWorkspace({str(tmp_path / "root")!r}, sandbox=box, state_dir={str(tmp_path / "state")!r})
asyncio.run(space.run(Command(("/bin/sh", "-c", "echo x > started; sleep 7532"), timeout=60)))
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    end = time.monotonic() + 30
    while not (tmp_path / "root" / "started").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert (tmp_path / "root" / "started").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()

    def theirs(box: Container) -> list[str]:
        shown = subprocess.run(
            [box.binary, "ps", "-aq", "--filter", f"name=-{process.pid}-"], capture_output=True, timeout=30, check=True
        )
        return shown.stdout.decode().split()

    assert gone(box, theirs)


def test_what_is_left_behind_goes_at_the_next_start(box: Container) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    inode = Path("/proc/self/ns/pid").stat().st_ino
    for pid in (ended.pid, os.getpid()):
        name = f"assay-{inode}-{pid}-00"
        made = subprocess.run(
            [
                box.binary,
                "create",
                "--name",
                name,
                "--network",
                "none",
                "--ulimit",
                "nofile=64:64",
                box.image,
                "/bin/sh",
            ],
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert not made.returncode, made.stderr
    found = find_container(Engine(box.engine, box.image), os.environ)
    assert isinstance(found, Container)
    assert len(left(box)) == 1  # ours, which is alive
    subprocess.run(
        [box.binary, "rm", "--force", f"assay-{inode}-{os.getpid()}-00"], capture_output=True, timeout=30, check=True
    )
    shown = subprocess.run(
        [box.binary, "ps", "-aq", "--filter", f"name=-{ended.pid}-"], capture_output=True, timeout=30, check=True
    )
    assert not shown.stdout.strip()
