"""What an installation weighs: a fresh virtual environment, with and without the local model's runtime."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.peers import Peer
from bench.report import Report, ratio

ROOT = Path(__file__).parent.parent
TOOLS = ("pip", "setuptools", "wheel", "_distutils_hack", "pkg_resources")
COLUMNS = ["what", "dependencies MB", "itself MB", "packages", "to ours"]


def measure(peers: list[Peer]) -> Report:
    """Installs assay twice and weighs what lies there; of the others, what was installed before."""
    rows: list[list[str]] = []
    data: dict[str, object] = {}
    ours = 0.0
    for extra in ("", "[local]"):
        dependencies, itself, packages = _fresh(extra)
        ours = ours or dependencies + itself
        rows.append([f"assay{extra}", _mb(dependencies), _mb(itself), str(len(packages)), "1.0x"])
        data[f"assay{extra}"] = {"dependencies": dependencies, "itself": itself, "packages": packages}
        if extra:
            rows[-1][-1] = ratio(dependencies + itself, ours)
    for peer in {peer.kind.program: peer for peer in peers if not peer.ours}.values():
        size = weigh_peer(Path(peer.program))
        if size is None:
            continue
        rows.append([peer.kind.program, "", _mb(size), "", ratio(size, ours)])
        data[peer.kind.program] = size
    notes = [
        "With bytecode, as pip leaves it; pip itself left out. The local model's weights (1,117 MB) are not counted.",
        "Others: all of a Python agent's environment; of a Node agent its own packages, without what it shares.",
    ]
    return Report("install", "Install", COLUMNS, rows, data, notes)


def _fresh(extra: str) -> tuple[float, float, list[str]]:
    """MB of dependencies and of assay itself in a new environment, and the names of the packages."""
    with tempfile.TemporaryDirectory(prefix="bench-install-") as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
        python = str(Path(folder, "bin", "python"))
        pip = [python, "-m", "pip", "--disable-pip-version-check", "-q"]
        subprocess.run([*pip, "install", f"{ROOT}{extra}"], check=True, timeout=600, stderr=subprocess.DEVNULL)
        site = next(Path(folder, "lib").glob("python*/site-packages"))
        names = sorted(path.name.partition("-")[0] for path in site.glob("*.dist-info"))
        packages = [name for name in names if name not in TOOLS and name != "assay"]
        own = [path for path in site.iterdir() if path.name.startswith("assay")]
        tools = [path for path in site.iterdir() if path.name.startswith(TOOLS)]
        itself = weigh(*own)
        # What a wheel puts beside Python code (the sandbox binary) lies in bin/ and share/; count it too.
        programs = [
            path for path in Path(folder, "bin").iterdir() if not path.is_symlink() and path.stat().st_size > 100_000
        ]
        rest = weigh(site) - itself - weigh(*tools) + weigh(*programs)
        return rest, itself, packages


def weigh(*paths: Path) -> float:
    """MB (10^6 bytes) of files and of all files in folders, each once however often it is linked."""
    files = (each for path in paths for each in ([path] if path.is_file() else path.rglob("*")))
    found = (each.lstat() for each in files if each.is_file() and not each.is_symlink())
    return sum({(one.st_dev, one.st_ino): one.st_size for one in found}.values()) / 1e6


def weigh_peer(program: Path) -> float | None:
    """MB of an installed agent; None when how it was installed can't be told."""
    environment = program.parent.parent
    if (environment / "pyvenv.cfg").exists():
        return weigh(environment / "lib")
    real = program.resolve()
    for parent in real.parents:
        if parent.name.startswith("@") and parent.parent.name == "node_modules":
            package = real.relative_to(parent).parts[0].removesuffix("-linux-x64")
            return weigh(*(path for path in parent.iterdir() if path.name.startswith(package)))
    return None


def _mb(size: float) -> str:
    return f"{size:.1f}"
