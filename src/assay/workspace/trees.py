"""What a keeper of snapshots can do, whether it stands on git or on plain files."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from assay.core.workspace import Change, ChangeKind


class Difference(NamedTuple):
    path: str
    kind: ChangeKind
    mode: int
    """Of the file afterwards, in git's numbers: 0o100644, 0o100755, 0o120000 for a symbolic link, 0 when it is gone."""


class Altered(NamedTuple):
    """What the upper directory of an overlay says about the lower one, as paths relative to both."""

    gone: list[str]
    """Hidden, with all that is below."""
    files: list[str]
    """Files and symbolic links, put in the place of whatever is there."""
    directories: list[str]


class Trees(Protocol):
    """Snapshots of one directory; trees are shared by all that are opened on the same state."""

    async def snapshot(self) -> str: ...

    async def list_files(self, limit: int) -> list[str]: ...

    async def changes(self, before: str, after: str) -> list[Change]: ...

    async def differences(self, before: str, after: str) -> list[Difference]: ...

    async def patch(self, before: str, after: str) -> str: ...

    async def read(self, tree: str, paths: list[str]) -> dict[str, bytes]:
        """The bytes of those `paths` that `tree` has; of a symbolic link its target."""
        ...

    async def compose(self, tree: str, paths: list[str], source: str) -> str: ...

    async def materialise(self, tree: str) -> None:
        """Put all files of `tree` into the (empty) directory."""
        ...

    async def ignored(self) -> list[str]:
        """What no tree holds: relative paths, directories with a slash at the end."""
        ...

    def at(self, root: str) -> Trees:
        """The same trees, for another directory."""
        ...

    def close(self) -> None: ...
