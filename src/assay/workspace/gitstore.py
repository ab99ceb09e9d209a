"""A private git directory: it reads the user's objects, and shares nothing else with the user's repository.

Nothing in it can start a program: its configuration is ours alone, and git runs without any path to an executable,
because a repository nested in the workspace may carry a configuration that names one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import struct
import time
from pathlib import Path
from typing import NamedTuple

from assay.workspace.ignores import patterns

GENERATION = 30 * 86_400
"""Seconds after which a new store is begun. The one before stays readable for as long again."""

CONFIG = """[core]
	repositoryformatversion = 0
	bare = false
	autocrlf = false
	safecrlf = false
	symlinks = true
	fileMode = true
	fsmonitor = false
	untrackedCache = true
	preloadIndex = true
	hooksPath = /dev/null
	attributesFile = /dev/null
	looseCompression = 1
	fsync = none
	excludesFile = {excludes}
[gc]
	auto = 0
[maintenance]
	auto = false
[advice]
	addEmbeddedRepo = false
"""
# Highest in rank, so that no attribute of the project converts, filters or hides bytes.
ATTRIBUTES = "* -text !eol -ident !filter !working-tree-encoding !diff !export-subst !merge\n"
CONVERTS = re.compile(rb"(?m)^[^#\n]*[ \t](text|eol|crlf|filter|ident|working-tree-encoding)\b")


class Repository(NamedTuple):
    """What we read of the user's repository; never written."""

    git: Path
    """The directory with the index."""
    common: Path
    """The directory with the objects."""


def find_repository(root: str) -> Repository | None:
    """The repository whose work tree is `root` or holds it, when it looks sound."""
    for top in (Path(root), *Path(root).parents):
        link = top / ".git"
        try:
            if link.is_dir():
                own = link
            elif link.is_file():
                own = Path(top, link.read_text("utf-8").removeprefix("gitdir:").strip())
            else:
                continue
            pointer = own / "commondir"
            common = own / pointer.read_text("utf-8").strip() if pointer.is_file() else own
            sound = (own / "HEAD").is_file() and (common / "objects").is_dir() and _sha1(common)
        except (OSError, ValueError):
            return None
        return Repository(own.resolve(), common.resolve()) if sound else None
    return None


def _sha1(common: Path) -> bool:
    try:
        return b"objectformat" not in (common / "config").read_bytes().lower()
    except OSError:
        return True


class Store(NamedTuple):
    git: Path
    entries: Path
    """The index file."""
    older: Path
    """The store of the generation before; it may be absent."""

    def again(self) -> Store:
        """The same store with an index of its own, not there yet."""
        return Store(self.git, index_file(self.git), self.older)


def index_file(git: Path) -> Path:
    """A new name for an index; it starts with our process, so that leftovers of a killed one are told."""
    return git / f"index.{os.getpid()}.{os.urandom(4).hex()}"


def open_store(state: Path, root: str) -> Store:
    """The private git directory below `state`, made when it isn't there, and a fresh index in it for `root`."""
    git, older = state / "git", state / "git.old"
    with contextlib.suppress(OSError):
        if time.time() - (git / "HEAD").stat().st_mtime > GENERATION:
            import shutil

            shutil.rmtree(older, ignore_errors=True)
            git.rename(older)
    repository = find_repository(root)
    _furnish(git, state, root, repository)
    index = index_file(git)
    _sweep(git)
    seed = _seed(root, repository)
    last = git / "index.last"
    if seed:
        index.write_bytes(seed[0])
        # An entry as young as the index itself is looked at again; so the copy must be as old as the original.
        os.utime(index, ns=(seed[1], seed[1]))
    elif last.is_file():
        with contextlib.suppress(OSError):
            import shutil

            shutil.copy2(last, index)
    return Store(git, index, older)


def keep_index(store: Store) -> None:
    """Leave the index for the next one who opens the store."""
    with contextlib.suppress(OSError):
        store.entries.replace(store.git / "index.last")


def _furnish(git: Path, state: Path, root: str, repository: Repository | None) -> None:
    for name in ("objects/info", "refs", "info"):
        (git / name).mkdir(parents=True, exist_ok=True)
    if not (git / "HEAD").exists():
        (git / "HEAD").write_text("ref: refs/heads/none\n")
    excludes = git / "excludes"
    lines = list(patterns(versioned=repository is not None))
    inside = os.path.relpath(state, root)
    if not inside.startswith(".."):
        lines.append(f"/{inside}/")
    own = b""
    if repository:
        with contextlib.suppress(OSError):
            own = (repository.common / "info" / "exclude").read_bytes()
    _put(excludes, "\n".join([*lines, ""]).encode())
    _put(git / "info" / "exclude", own)
    _put(git / "info" / "attributes", ATTRIBUTES.encode())
    _put(git / "config", CONFIG.format(excludes=f'"{excludes}"').encode())
    objects = os.fsencode(repository.common / "objects") + b"\n" if repository else b""
    _put(git / "objects" / "info" / "alternates", objects)


def _put(file: Path, data: bytes) -> None:
    with contextlib.suppress(OSError):
        if file.read_bytes() == data:
            return
    aside = file.with_name(f"{file.name}.{os.getpid()}")
    aside.write_bytes(data)
    aside.replace(file)


def _sweep(git: Path) -> None:
    """Remove indexes whose process was killed."""
    for file in git.glob("index.[0-9]*"):
        process = file.name.split(".")[1]
        if process.isdigit() and int(process) != os.getpid():
            try:
                os.kill(int(process), 0)
            except ProcessLookupError:
                file.unlink(missing_ok=True)
            except PermissionError:
                continue


def _seed(root: str, repository: Repository | None) -> tuple[bytes, int] | None:
    """The user's index for its knowledge of what is unchanged, and its age; None when it must not be trusted."""
    if repository is None or not (Path(root) / ".git").exists():
        return None
    try:
        file = repository.git / "index"
        age = file.stat().st_mtime_ns
        data = file.read_bytes()
    except OSError:
        return None
    if _converts_everywhere(repository):
        return None
    clean = clean_index(data)
    if clean is None or any(_converts(Path(root, name)) for name in clean[1]):
        return None
    return clean[0], age


def _converts(attributes: Path) -> bool:
    try:
        return CONVERTS.search(attributes.read_bytes()) is not None
    except OSError:
        return False


def _converts_everywhere(repository: Repository) -> bool:
    """True when the user's settings change line ends: then the index knows other bytes than the files have."""
    settings = [repository.common / "config", Path.home() / ".gitconfig", Path.home() / ".config/git/config"]
    for file in [*settings, Path("/etc/gitconfig")]:
        with contextlib.suppress(OSError):
            if b"autocrlf" in file.read_bytes().lower():
                return True
    return _converts(repository.common / "info" / "attributes")


def clean_index(data: bytes) -> tuple[bytes, list[str]] | None:
    """An index file (versions 2 and 3, gitformat-index) without what must not be taken over, and its attribute files.

    None when it can't be used: damaged, split, sparse, or with entries that are unmerged, hidden from comparison
    (assume-unchanged, skip-worktree) or submodules.
    """
    if len(data) < 32 or data[:4] != b"DIRC":
        return None
    version, count = struct.unpack_from(">II", data, 4)
    if version not in (2, 3):
        return None
    at, attributes = 12, list[str]()
    end = len(data) - 20
    for _ in range(count):
        if at + 62 > end:
            return None
        flags = data[at + 60] << 8 | data[at + 61]
        # assume-unchanged, extended (skip-worktree, intent-to-add) or a stage; or a submodule
        if flags & 0xF000 or data[at + 26] & 0xF0 == 0xE0:
            return None
        length = flags & 0xFFF
        stop = at + 62 + length if length < 0xFFF else data.index(b"\0", at + 62 + length)
        if data[stop - 14 : stop] == b".gitattributes":
            attributes.append(os.fsdecode(data[at + 62 : stop]))
        at += (stop - at + 8) & ~7
    body = data[:at]
    while at + 8 <= end:
        (size,) = struct.unpack_from(">I", data, at + 4)
        if data[at : at + 4] in (b"link", b"sdir"):
            return None
        if data[at : at + 4] == b"TREE":
            body += data[at : at + 8 + size]
        at += 8 + size
    return body + hashlib.sha1(body).digest(), attributes  # noqa: S324 - the file format's own checksum
