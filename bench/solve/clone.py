"""Reads public data from a git clone: one that the user names, or one that is fetched into a cache."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


class Clone:
    """A git directory, with or without a work tree; only its objects are read."""

    def __init__(self, path: Path, revision: str = "HEAD") -> None:
        self.path = path
        self.revision = revision

    def at(self, revision: str) -> Clone:
        """The same repository at another commit."""
        return Clone(self.path, revision)

    def git(self, *words: str) -> str:
        """What a git command prints. Raises subprocess.CalledProcessError."""
        command = ["git", "--git-dir", str(self._directory()), *words]
        return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "replace")

    def read(self, path: str) -> str:
        """A file's text. Raises KeyError when it isn't there."""
        try:
            return self.git("show", f"{self.revision}:{path}")
        except subprocess.CalledProcessError:
            raise KeyError(path) from None

    def files(self, below: str = "") -> list[str]:
        """The files below a folder, sorted."""
        found = self.git("ls-tree", "-r", "--name-only", "-z", self.revision, *([below] if below else []))
        return sorted(name for name in found.split("\0") if name)

    def texts(self, below: str = "", limit: int = 400_000) -> Iterator[tuple[str, str]]:
        """Every file below a folder that is text of at most `limit` bytes."""
        for path in self.files(below):
            data = subprocess.run(
                ["git", "--git-dir", str(self._directory()), "show", f"{self.revision}:{path}"],
                capture_output=True,
                check=True,
            ).stdout
            if len(data) <= limit and b"\0" not in data[:1000]:
                try:
                    yield path, data.decode("utf-8")
                except UnicodeDecodeError:
                    continue

    def _directory(self) -> Path:
        return self.path / ".git" if (self.path / ".git").is_dir() else self.path


def code_lines(source: str) -> list[str]:
    """Lines with their ends as Python's parser counts them; str.splitlines ends one at a form feed, too."""
    return io.StringIO(source, newline="").readlines()


def open_clone(name: str, folders: list[Path], cache: Path) -> Clone:
    """The repository OWNER/NAME: below one of `folders` (as OWNER+NAME/repo, OWNER+NAME, OWNER/NAME or NAME), else
    fetched once into `cache`. Raises OSError when it can't be had."""
    owner, _, short = name.partition("/")
    for folder in [*folders, cache]:
        for place in (f"{owner}+{short}/repo", f"{owner}+{short}", f"{owner}/{short}", short):
            if (folder / place / "HEAD").is_file() or (folder / place / ".git").is_dir():
                return Clone(folder / place)
    target = cache / f"{owner}+{short}"
    target.parent.mkdir(parents=True, exist_ok=True)
    address = f"{os.environ.get('BENCH_GIT', 'https://github.com')}/{name}.git"
    done = subprocess.run(["git", "clone", "-q", "--bare", address, str(target)], capture_output=True, check=False)
    if done.returncode:
        raise OSError(
            f"{name}: not below {', '.join(map(str, folders)) or 'any --from'}, and {address} can't be cloned"
        )
    return Clone(target)
