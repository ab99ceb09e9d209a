"""The whole way: a command in the sandbox, the proxy's port in its network, a host on this side."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from assay.core.egress import Credential, Exchange, Host, Operation
from assay.core.policy import WORKSPACE, Label
from assay.core.workspace import Command
from assay.policy.egress import EgressPolicy
from assay.policy.tripwire import Tripwire
from assay.workspace.local import LocalWorkspace
from assay.workspace.sandbox.egress.proxy import Egress
from assay.workspace.sandbox.find import find_sandbox
from assay.workspace.sandbox.port import NoSandbox, Sandbox

from .servers import package_index, serving
from .stage import SECRET, Upstream, serving_tls

CLIENT = """
import sys, urllib.request, urllib.error
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=10).read().decode())
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode())
    except OSError as error:
        print(error)
"""
ATTEMPTS = r"""
import socket, sys
def attempt(name, way):
    try:
        way()
    except OSError:
        print(name, "held")
    else:
        print(name, "ESCAPED")
def udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        s.sendto(b"canary", (host, port))
        s.recv(10)
def tcp(host, port, family=socket.AF_INET):
    with socket.socket(family) as s:
        s.settimeout(2)
        s.connect((host, port))
def through(request):
    with socket.create_connection(("127.0.0.1", 3128), timeout=5) as s:
        s.sendall(request)
        if b" 200 " not in s.recv(4096).split(b"\r\n")[0]:
            raise OSError
port = int(sys.argv[1])
attempt("tcp to the listener", lambda: tcp("127.0.0.1", port))
attempt("tcp to the machine", lambda: tcp(sys.argv[2], port))
attempt("tcp6 to the listener", lambda: tcp("::1", port, socket.AF_INET6))
attempt("tcp to metadata", lambda: tcp("169.254.169.254", 80))
attempt("udp to the machine", lambda: udp(sys.argv[2], port))
attempt("udp to a resolver", lambda: udp("8.8.8.8", 53))
attempt("a name", lambda: socket.getaddrinfo("canary.evil.test", 80))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close())
for name in "127.0.0.1 2130706433 0x7f.1 [::1] 169.254.169.254 evil.test localhost. canary.localhost".split():
    where = f"{name}:{port}"
    attempt("connect " + name, lambda: through(f"CONNECT {where} HTTP/1.1\r\n\r\n".encode()))
    attempt("get " + name, lambda: through(f"GET http://{where}/ HTTP/1.1\r\nHost: {where}\r\n\r\n".encode()))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Sandbox | NoSandbox:
    return find_sandbox(tmp_path_factory.mktemp("sandbox"))


def own_address() -> str:
    """The address that this machine's name stands for, if any."""
    with contextlib.suppress(OSError):
        return socket.gethostbyname(socket.gethostname())
    return "127.0.0.2"


@contextlib.asynccontextmanager
async def confined(
    found: Sandbox, tmp_path: Path, hosts: dict[str, Host], notes: list[Exchange], values: dict[str, str]
) -> AsyncIterator[LocalWorkspace]:
    root = tmp_path / "project"
    root.mkdir()
    policy = EgressPolicy(hosts, lambda: WORKSPACE, values)
    egress = Egress(hosts, policy, Tripwire([SECRET]), tmp_path / "egress", notes.append)
    environ = {**os.environ, "API_KEY": SECRET}
    workspace = LocalWorkspace(root, sandbox=found, state_dir=tmp_path / "state", environ=environ, egress=egress)
    try:
        yield workspace
    finally:
        await workspace.aclose()
        await egress.aclose()


async def test_commands_reach_what_is_allowed_and_nothing_else(found: Sandbox | NoSandbox, tmp_path: Path) -> None:
    if isinstance(found, NoSandbox):
        assert found.reason
        return
    notes: list[Exchange] = []
    async with Upstream().up() as host:
        credential = Credential("API_KEY", "X-Key", "{}")
        rule = Host("api", (host.port,), private=True, allow=(Operation("GET", "/v1/*"),), credential=credential)
        async with confined(found, tmp_path, {"localhost": rule}, notes, {"API_KEY": SECRET}) as workspace:
            base = f"http://localhost:{host.port}"
            argv = (sys.executable, "-c", CLIENT, f"{base}/v1/a", f"{base}/v2/a", "http://evil.test/")
            result = await workspace.run(Command(argv))
            hello, refused, unknown = [line for line in result.output.splitlines() if line]
            assert hello == "hello" and refused.startswith("403 ") and unknown.startswith("403 ")
            assert "egress.hosts" in refused and "evil.test is not in egress.hosts" in unknown
            assert result.network == ("localhost",)
            assert f"X-Key: {SECRET}\r\n".encode() in host.seen[0]
            quiet = await workspace.run(Command(("/bin/sh", "-c", "env; cat /proc/*/environ")))
            assert SECRET not in quiet.output and quiet.network == ()
    assert [(note.host, note.status) for note in notes] == [("localhost", 200), ("localhost", 403), ("evil.test", 403)]


async def test_no_other_way_out(found: Sandbox | NoSandbox, tmp_path: Path) -> None:
    if isinstance(found, NoSandbox):
        assert found.reason
        return
    async with Upstream().up() as canary, Upstream().up() as allowed:
        hosts = {"localhost": Host("mirror", (allowed.port,), private=True)}
        async with confined(found, tmp_path, hosts, [], {}) as workspace:
            argv = (sys.executable, "-c", ATTEMPTS, str(canary.port), own_address())
            result = await workspace.run(Command(argv))
            lines = result.output.splitlines()
            assert len(lines) == 24 and all(line.endswith(" held") for line in lines), result.output
        assert canary.connections == 0 and allowed.seen == []


async def test_without_hosts_there_is_no_port(found: Sandbox | NoSandbox, tmp_path: Path) -> None:
    if isinstance(found, NoSandbox):
        assert found.reason
        return
    root = tmp_path / "project"
    root.mkdir()
    workspace = LocalWorkspace(root, sandbox=found, state_dir=tmp_path / "state")
    try:
        line = "import socket; print(socket.socket().connect_ex(('127.0.0.1', 3128)))"
        result = await workspace.run(Command((sys.executable, "-c", line)))
        assert result.output.strip() not in ("0", "") and result.network == ()
        assert "proxy" not in (await workspace.run(Command(("env",)))).output.lower()
    finally:
        await workspace.aclose()


async def test_pip_in_the_sandbox_installs_from_a_mirror_over_tls(
    found: Sandbox | NoSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(found, NoSandbox):
        assert found.reason
        return
    context, trusted = serving_tls(tmp_path / "theirs", "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with serving(package_index("tiny", seen := []), context) as port:
        hosts = {"localhost": Host("mirror", (port,), private=True)}
        async with confined(found, tmp_path, hosts, [], {}) as workspace:
            pip = (
                sys.executable,
                "-m",
                "pip",
                "--isolated",
                "--disable-pip-version-check",
                "install",
                "--no-cache-dir",
            )
            argv = (*pip, "--target", "deps", "-i", f"https://localhost:{port}/simple/", "--retries", "0", "tiny")
            result = await workspace.run(Command(argv))
            assert result.exit_code == 0, result.output
            assert Path(workspace.root, "deps", "tiny.py").read_text() == "ANSWER = 42\n"
            assert result.network == ("localhost",) and len(seen) == 2


async def test_a_shell_call_that_heard_a_host_is_outside_text(tmp_path: Path) -> None:
    from assay.core.tool import ToolContext
    from assay.core.workspace import CommandResult
    from assay.tools.bash import BashTool

    class Told:
        async def run(self, command: Command) -> CommandResult:
            return CommandResult(0, "x", 1, 0.1, network=("pypi.org",) if "pip" in command.argv[-1] else ())

    for line, label in (("pip install x", Label("external", "project")), ("ls", WORKSPACE)):
        outcome = await BashTool().run({"command": line}, ToolContext(Told(), {}))  # type: ignore[arg-type]
        assert outcome.label == label
        assert outcome.debug.get("network", []) == (["pypi.org"] if "pip" in line else [])
