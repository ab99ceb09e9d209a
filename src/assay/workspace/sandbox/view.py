"""Which parts of the machine a command may read: the system's own trees and the toolchains, not the person's files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from assay.workspace.sandbox.port import Confinement

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/gnu", "/snap")

MASKED = (
    "/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d",
    "/etc/security/opasswd", "/etc/ssl/private", "/etc/ssh", "/etc/wireguard", "/etc/krb5.keytab",
    "/etc/NetworkManager/system-connections", "/etc/ppp", "/etc/openvpn", "/etc/letsencrypt", "/etc/machine-id",
)  # fmt: skip
"""Readable for root, and sometimes for others, and no business of a build."""

TOOL_HOMES = (
    ".pyenv", ".rustup", ".cargo/bin", ".cargo/registry", ".cargo/git", ".cargo/env",
    ".nvm", ".volta", ".bun/bin", ".deno/bin", ".local/share/fnm", ".npm-global", ".yarn/releases",
    "go/pkg/mod", "go/bin", ".local/bin", ".local/lib", ".local/share/uv/python", ".local/share/uv/tools",
    ".local/share/pipx", ".local/share/mise", ".asdf", ".rbenv", ".rvm", ".gem/ruby", ".sdkman/candidates",
    ".m2/repository", ".m2/wrapper", ".gradle/wrapper", ".dotnet", ".ghcup", ".cabal/bin", ".opam", ".juliaup",
    ".elan", "miniconda3", "anaconda3", "miniforge3", "mambaforge",
)  # fmt: skip
"""Below the home directory: where version managers keep programs and libraries, and no credentials."""

SECRETS = (
    ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".netrc", ".npmrc", ".pypirc", ".git-credentials",
    ".config", ".claude", ".codex", ".cargo/credentials.toml", ".bash_history", ".zsh_history", ".password-store",
    ".mozilla", ".local/share/keyrings", ".local/state/assay", ".m2/settings.xml",
)  # fmt: skip
"""Below the home directory: hidden when the workspace is the home directory itself or holds it."""

BESIDE_BIN = ("lib", "lib64", "libexec", "share", "include")


def beneath(path: str, tops: Iterable[str]) -> bool:
    """True when `path` is one of `tops` or lies below one."""
    return any(path == top or path.startswith(top.rstrip("/") + "/") for top in tops)


def _around(directory: str) -> list[str]:
    """A directory of programs and the libraries beside it; the whole parent when it is a virtual environment."""
    parent = Path(directory).parent
    # Not `Path.is_file`, which raises where we may not look: a folder on the path may be somebody else's.
    if os.path.isfile(parent / "pyvenv.cfg"):  # noqa: PTH113
        return [str(parent)]
    if Path(directory).name not in ("bin", "sbin", "shims"):
        return [directory]
    return [directory, *(str(parent / name) for name in BESIDE_BIN)]


def _base_of(venv: Path) -> list[str]:
    """The installation that a virtual environment was made from, if there really is a Python in it."""
    try:
        lines = (venv / "pyvenv.cfg").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    for line in lines:
        name, _, value = line.partition("=")
        home = value.strip()
        if name.strip() == "home" and home.startswith("/") and os.path.exists(f"{home}/python3"):  # noqa: PTH110
            return _around(os.path.realpath(home)) + _around(os.path.normpath(home))
    return []


def tool_roots(environ: Mapping[str, str], home: str, root: str) -> list[str]:
    """Directories outside the system trees that hold interpreters and toolchains, shortest first, none in another."""
    wanted: list[str] = [f"{home}/{name}" for name in TOOL_HOMES]
    named = ("VIRTUAL_ENV", "CONDA_PREFIX", "JAVA_HOME", "GOROOT", "PYENV_ROOT", "RUSTUP_HOME", "NVM_DIR")
    wanted += [environ.get(name, "") for name in named] + environ.get("PYTHONPATH", "").split(os.pathsep)
    wanted += [sys.prefix, sys.base_prefix]
    for entry in environ.get("PATH", "").split(os.pathsep):
        if entry.startswith("/") and not beneath(os.path.normpath(entry), SYSTEM):
            wanted += _around(os.path.normpath(entry))
    for venv in (Path(root) / ".venv", Path(root) / "venv", Path(environ.get("VIRTUAL_ENV") or root)):
        wanted += _base_of(venv)
    kept: list[str] = []
    for path in sorted({os.path.normpath(path) for path in wanted if path.startswith("/")}, key=lambda p: (len(p), p)):
        # Never a directory that holds the home or the workspace: that would show what this list exists to hide.
        holds_more = beneath(home, [path]) or beneath(root, [path])
        if not holds_more and not beneath(path, (*SYSTEM, "/proc", "/dev", *kept)) and os.path.exists(path):  # noqa: PTH110
            kept.append(path)
    return kept


def git_directory(root: str) -> str:
    """For a linked worktree, the repository that it belongs to, if that repository knows of it; else empty."""
    link = Path(root) / ".git"
    try:
        if not link.is_file():
            return ""
        own = Path(root, link.read_text("utf-8").removeprefix("gitdir:").strip())
        if Path((own / "gitdir").read_text("utf-8").strip()).resolve() != link.resolve():
            return ""
        common = (own / (own / "commondir").read_text("utf-8").strip()).resolve()
    except (OSError, ValueError):
        return ""
    return str(common) if (common / "HEAD").is_file() and beneath(str(own.resolve()), [str(common)]) else ""


def hidden_paths(view: Confinement) -> Iterator[tuple[str, bool]]:
    """What the user keeps from the model, below the root, and whether it is a directory. A link among it shows nothing
    that is not masked itself."""
    for name in view.hidden:
        # An overlay shows what lies at its own path.
        for source in dict.fromkeys((f"{view.source}/{name}", f"{view.root}/{name}")):
            if os.path.realpath(source) == source and os.path.exists(source):  # noqa: PTH110
                yield name, os.path.isdir(source)  # noqa: PTH112
                break


def secret_paths(view: Confinement, home: str) -> Iterator[tuple[str, bool]]:
    """The person's secrets, and whether each is a directory, when the workspace is the home directory or holds it."""
    for name in SECRETS if beneath(home, [view.root]) else ():
        path = f"{home}/{name}"
        if os.path.exists(path) and not beneath(view.root, [path]):  # noqa: PTH110
            yield path, os.path.isdir(path)  # noqa: PTH112


def protected_paths(view: Confinement) -> Iterator[str]:
    """The protected names that exist. A symbolic link among them is left out: what it points to is elsewhere."""
    for name in view.protected:
        source = f"{view.source}/{name}"
        if os.path.exists(source) and os.path.realpath(source) == source:  # noqa: PTH110
            yield name
