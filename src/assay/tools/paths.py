"""Names of files as models write them."""

from __future__ import annotations

import posixpath

from assay.core.errors import InvalidArguments


def tidy(path: str) -> str:
    """`path` without `.`, `..` and doubled slashes; what the gate judges is what is opened.

    Raises `InvalidArguments` for what can't name a file.
    """
    if "\0" in path or not path:
        raise InvalidArguments("path: expected the name of a file")
    clean = posixpath.normpath(path)
    return "/" + clean.lstrip("/") if clean.startswith("/") else clean


def nothing(_path: str) -> bool:
    """Hides no file."""
    return False


def relative(path: str, root: str) -> str:
    """A tidy path as seen from `root`; unchanged when it is absolute and elsewhere. The root itself is `.`."""
    if path == root:
        return "."
    inside = root.rstrip("/") + "/"
    return path[len(inside) :] if path.startswith(inside) else path
