"""`assay doctor`: what works on this machine, proved by trying it. No model is asked anything and no key is shown."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from assay._version import __version__
from assay.app.config import load_settings, parse_sources
from assay.app.flags import Flag, describe, parse
from assay.app.model import catalog_of, runtime_folder
from assay.app.paths import Paths, find_paths
from assay.core.errors import AssayError, UsageError
from assay.surfaces.cli.terminal import ascii_json, is_live, one_line, write_out
from assay.workspace.sandbox.port import Engine, NoSandbox, Sandbox

FLAGS = (Flag("--json", "switch", "as JSON"), Flag("--help", "switch", "print this", "-h"))

Finding = tuple[str, str, str]
"""(ok, warn or bad; what; detail)"""


def run_doctor(arguments: list[str]) -> int:
    """0 when work can be done here, 7 when commands can't be confined, 1 when something else is broken."""
    parsed = parse(arguments, FLAGS)
    if parsed.on("help"):
        sys.stdout.write(f"usage: assay doctor [--json]\n\n{describe(FLAGS)}\n")
        return 0
    if parsed.words:
        raise UsageError(f"assay doctor takes no '{parsed.words[0]}'")
    paths = find_paths(os.environ)
    findings = [*_machine(), *_storage(paths), *_settings(paths), *_providers(paths), *_local(paths), *_sandbox(paths)]
    findings += _copies(paths)
    if parsed.on("json"):
        import msgspec

        rows = [{"state": state, "what": what, "detail": detail} for state, what, detail in findings]
        write_out(ascii_json(msgspec.json.format(msgspec.json.encode(rows)).decode()) + "\n")
    else:
        for state, what, detail in findings:
            write_out(f"{ {'ok': '✓', 'warn': '!', 'bad': '✗'}[state] } {what:<22} {one_line(detail, 160)}\n")
    if any(state == "bad" and what.startswith("sandbox") for state, what, _ in findings):
        return 7
    return 1 if any(state == "bad" for state, _, _ in findings) else 0


def _machine() -> Iterator[Finding]:
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield "ok", "assay", f"{__version__}, {python}"
    git = shutil.which("git")
    yield ("ok", "git", git) if git else ("warn", "git", "not found: snapshots use a slower store of our own")
    tty = "colours and a live line" if is_live(sys.stderr) else "plain lines"
    yield "ok", "terminal", f"{os.environ.get('TERM', 'TERM is not set')}; {tty}"


def _storage(paths: Paths) -> Iterator[Finding]:
    for what, folder in (("config", paths.config), ("state", paths.state), ("data", paths.data)):
        place = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if os.access(place, os.W_OK):
            yield "ok", what, f"{folder} ({shutil.disk_usage(place).free / 1e9:.0f} GB free)"
        else:
            yield "bad", what, f"{folder} can't be written: make {place} writable, or set ASSAY_HOME"


def _settings(paths: Paths) -> Iterator[Finding]:
    try:
        settings, notices = load_settings(paths.settings, Path.cwd(), parse_sources(None))
    except AssayError as error:
        yield "bad", "settings", str(error)
        return
    yield "ok", "settings", str(paths.settings) if paths.settings.exists() else "defaults"
    for notice in notices:
        yield "warn", "settings", notice
    yield from _egress(settings.egress)


def _egress(raw: dict[str, object]) -> Iterator[Finding]:
    if not raw:
        yield "ok", "egress", "no host is allowed: commands have no network"
        return
    from assay.app.egress import cannot_see, described, read_egress

    hosts = read_egress(raw).hosts
    for name, host in sorted(hosts.items()):
        yield "ok", "egress", described(name, host)
    if missing := cannot_see(hosts):
        yield "bad", "egress", missing


def _providers(paths: Paths) -> Iterator[Finding]:
    try:
        catalog = catalog_of(load_settings(paths.settings, Path.cwd(), parse_sources("user"))[0])
    except AssayError:
        return
    ready = [
        f"{name} ({key.name})"
        for name, provider in catalog.providers.items()
        for key in provider.keys
        if os.environ.get(key.name)
    ]
    if ready:
        yield "ok", "providers", f"keys for {', '.join(ready)}"
        yield "ok", "default model", catalog.default_name(os.environ) or "the embedded one"
    else:
        yield "warn", "providers", "no key in the environment: the embedded model is used unless --model says otherwise"
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    if proxy:
        yield "ok", "proxy", one_line(proxy.rsplit("@", 1)[-1], 80)


def _local(paths: Paths) -> Iterator[Finding]:
    from importlib.util import find_spec

    from assay.models.local.pinned import QWEN_CODER
    from assay.models.local.state import Runtime
    from assay.models.local.store import Store

    if find_spec("xllamacpp") is None:
        yield "warn", "local runtime", "not installed: pip install 'assay[local]'"
    else:
        yield "ok", "local runtime", "xllamacpp"
    try:
        found = Store(paths.models).find(QWEN_CODER)
    except AssayError as error:
        yield "bad", "local model", str(error)
        return
    size = f"{QWEN_CODER.size / 1e9:.1f} GB"
    yield ("ok", "local model", str(found)) if found else ("warn", "local model", f"assay models pull ({size})")
    running = Runtime(runtime_folder(paths, os.environ)).states()
    if running:
        yield "ok", "local server", f"{len(running)} running; `assay models stop` ends it, or ten idle minutes"


def _engine(paths: Paths) -> Engine | None:
    from assay.app.compose import engine_of

    try:
        return engine_of(load_settings(paths.settings, Path.cwd(), parse_sources("user"))[0])
    except AssayError:  # told with the settings
        return None


def _candidate(paths: Paths) -> Sandbox | NoSandbox:
    """What is to be proved."""
    engine = _engine(paths)
    if engine:
        from assay.workspace.sandbox.container import find_container

        return find_container(engine, os.environ)
    if sys.platform == "darwin":
        from assay.workspace.sandbox.seatbelt import Seatbelt

        return Seatbelt("/usr/bin/sandbox-exec", os.environ)
    from assay.workspace.sandbox.bubblewrap import Bubblewrap
    from assay.workspace.sandbox.find import bubblewrap_binary

    binary = bubblewrap_binary(os.environ)
    if not binary:
        return NoSandbox("bubblewrap is not installed: install the bubblewrap package of your system")
    return Bubblewrap(binary, os.environ)


def _sandbox(paths: Paths) -> Iterator[Finding]:
    from assay.workspace.sandbox.find import probe

    sandbox = _candidate(paths)
    if isinstance(sandbox, NoSandbox):
        yield "bad", "sandbox", sandbox.reason
        return
    with tempfile.TemporaryDirectory(prefix="assay-doctor-") as scratch:
        proof = probe(sandbox, Path(scratch), os.environ)
    for row in proof.probes:
        yield ("ok" if row.ok else "bad"), f"sandbox: {row.name}", row.said
    if sandbox.lacking:
        yield "warn", "sandbox: lacking", sandbox.lacking
    proved = f"{sandbox.name}: {len(proof.probes)} attempts"
    yield ("ok", "sandbox", proved) if proof.holds else ("bad", "sandbox", proof.why)


def _copies(paths: Paths) -> Iterator[Finding]:
    """How a scratch copy of the files here is made."""
    from assay.workspace.sandbox.find import find_sandbox

    found = find_sandbox(paths.state, os.environ, _engine(paths))
    if isinstance(found, NoSandbox) or not found.overlays:
        yield "warn", "scratch copies", "file by file: overlays don't work here (seconds for 10,000 files)"
    else:
        yield "ok", "scratch copies", "overlays (some 40 ms for 10,000 files)"
