"""Scratch workspaces: the files of one tree, with what the project ignores (its dependencies) still in reach."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from assay.workspace.ignores import CACHES, Ignores
from assay.workspace.sandbox.port import Layer, Sandbox
from assay.workspace.sandbox.view import beneath, git_directory

MOST_LAYERS = 200
BIGGEST_FILE = 64_000_000
BIGGEST_SUM = 512_000_000


class Scratch(NamedTuple):
    """Directories of one copy."""

    top: Path
    files: Path
    changes: Path
    """Upper directories of the overlays, by number."""
    cache: Path


def make(state: Path) -> Scratch:
    """New directories below `state`."""
    top = own_directory(state / "copies")
    scratch = Scratch(top, top / "files", top / "changes", top / "cache")
    for directory in scratch[1:]:
        directory.mkdir()
    return scratch


def own_directory(home: Path) -> Path:
    """A new directory in `home` that bears our process id; those that killed processes left there go."""
    home.mkdir(parents=True, exist_ok=True)
    _sweep(home)
    top = home / f"{os.getpid()}-{os.urandom(6).hex()}"
    top.mkdir()
    return top


def _sweep(home: Path) -> None:
    for top in home.iterdir():
        owner = top.name.partition("-")[0]
        if owner.isdigit():
            try:
                os.kill(int(owner), 0)
            except ProcessLookupError:
                discard(top)
            except PermissionError:
                continue


def discard(top: Path) -> None:
    """Remove a directory tree, read-only directories in it included."""
    import shutil

    def again(function: Callable[[str], object], path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            parent = Path(path).parent
            parent.chmod(stat.S_IRWXU)
            if not Path(path).is_symlink():
                Path(path).chmod(stat.S_IRWXU)
            function(path) if function in (os.unlink, os.rmdir) else shutil.rmtree(path, ignore_errors=True)

    if sys.version_info >= (3, 12):
        shutil.rmtree(top, onexc=again)
    else:
        shutil.rmtree(top, onerror=again)


def equip(scratch: Scratch, root: str, ignored: list[str], sandbox: Sandbox | None) -> tuple[Layer, ...]:
    """Bring what `root` ignores into reach of the copy; returns what the sandbox is to lay over it.

    Directories become overlays (writes stay in the copy), read-only mounts where there are no overlays, or symbolic
    links where there is no sandbox or one without mounts: then a command that writes there writes into the original.
    Files are copied up to 64 MB each and 512 MB together. Caches are left behind.
    """
    caches = Ignores(CACHES)
    layers: list[Layer] = []
    budget = BIGGEST_SUM
    mounts = sandbox is not None and sandbox.owns_processes
    for path in ignored:
        directory = path.endswith("/")
        name = path.rstrip("/")
        source, target = Path(root, name), scratch.files / name
        if caches.match(name, directory) or os.path.lexists(target) or not _ours(scratch.files, target.parent):
            continue
        if beneath(str(scratch.top), [str(source)]):
            continue
        if directory and mounts and len(layers) < MOST_LAYERS:
            layers.append(_layer(scratch, root, name, len(layers), overlays=sandbox is not None and sandbox.overlays))
        elif directory and not mounts:
            _link_into(source, target)
        elif not directory:
            budget -= _copy_file(source, target, min(BIGGEST_FILE, budget))
    repository = Path(root, ".git")
    if mounts and not repository.is_symlink() and (repository.is_dir() or git_directory(root)):
        layers.append(Layer(str(repository), f"{root}/.git", "read"))
    return tuple(layers)


def _ours(files: Path, parent: Path) -> bool:
    """False when a symbolic link of the tree leads `parent` out of the copy."""
    real = os.path.realpath(parent)
    return real == str(files) or real.startswith(f"{files}/")


def _layer(scratch: Scratch, root: str, name: str, number: int, *, overlays: bool) -> Layer:
    if not overlays:
        return Layer(f"{root}/{name}", f"{root}/{name}", "read")
    upper = scratch.changes / str(number)
    upper.mkdir()
    upper.with_name(f"{number}.work").mkdir()
    return Layer(f"{root}/{name}", f"{root}/{name}", "overlay", str(upper))


def _link_into(source: Path, target: Path) -> None:
    """A real directory of links, since a pattern that ignores a directory does not ignore a link in its place."""
    with contextlib.suppress(OSError):
        target.mkdir(parents=True)
        for child in source.iterdir():
            (target / child.name).symlink_to(child)


def _copy_file(source: Path, target: Path, most: int) -> int:
    with contextlib.suppress(OSError):
        status = source.lstat()
        if stat.S_ISLNK(status.st_mode):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.readlink())
        elif stat.S_ISREG(status.st_mode) and status.st_size <= most:
            import shutil

            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
            return status.st_size
    return 0
