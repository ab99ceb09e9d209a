"""What instruction files bring along: `@path` imports, and what is not meant for a model (HTML comments)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

DEPTH = 5
"""How deep a file that was imported may import others."""
MOST = 50
"""Files that one instruction file may bring along in all."""
LARGEST = 96_000
"""Bytes of one file that are read."""
_CODE = re.compile(r"(?:^[ \t]*(```+|~~~+)[^\n]*\n.*?(?:^[ \t]*\1[ \t]*$|\Z))|`[^`\n]+`", re.M | re.S)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_IMPORT = re.compile(r"(?<![\w@`/.\\])@((?:~/|/|(?:\.{1,2}/)+)?[\w.+-]*[\w+-](?:/[\w.@+-]*[\w+-])*)")


class Imported:
    """One instruction file with its imports.

    `allowed` says of a resolved path whether it may be read; what may not is named in `refused`, and left as it is in
    the text. Cycles end where they begin, code is left alone.
    """

    def __init__(self, allowed: Callable[[Path], bool]) -> None:
        self._allowed = allowed
        self.refused: list[str] = []
        self.paths: list[Path] = []
        """What was imported, in order."""

    def text(self, path: Path, plain: str) -> str:
        """`plain`, the text of the file at `path`, with what it imports behind it."""
        return self._with(plain, path, (path,))

    def _with(self, plain: str, path: Path, chain: tuple[Path, ...]) -> str:
        parts = [plain]
        if "@" in plain and len(chain) <= DEPTH:
            for name in imports_of(plain):
                parts += self._import(name, path, chain)
        return "\n\n".join(part for part in parts if part).strip()

    def _import(self, name: str, base: Path, chain: tuple[Path, ...]) -> list[str]:
        try:
            target = Path(os.path.realpath(base.parent / Path(name).expanduser()))
            if target in self.paths or target in map(_real, chain) or not target.is_file():
                return []
        except (OSError, RuntimeError, ValueError):
            return []
        if not self._allowed(target) or len(self.paths) >= MOST:
            self.refused.append(name)
            return []
        self.paths.append(target)
        text = self._with(without_comments(read_text(target)), target, (*chain, target))
        return [f"[{name}, imported by {base.name}:]\n{text}"] if text else []


def imports_of(text: str) -> list[str]:
    """The paths that follow an `@` outside code, once each."""
    return list(dict.fromkeys(match[1] for match in _IMPORT.finditer(_CODE.sub(" ", text))))


def without_comments(text: str) -> str:
    """`text` without HTML comments; those within code stay."""
    if "<!--" not in text:
        return text.strip()
    text = text.replace("\0", "")
    kept: list[str] = []
    start = 0
    for code in _CODE.finditer(text):
        # A comment may hold code; then it is the comment that counts.
        kept += [text[start : code.start()], f"\0{len(kept) // 2}\0"]
        start = code.end()
    codes = [match.group() for match in _CODE.finditer(text)]
    bare = _COMMENT.sub("", "".join([*kept, text[start:]]))
    return re.sub("\0(\\d+)\0", lambda match: codes[int(match[1])], bare).strip()


def read_text(path: Path) -> str:
    """The beginning of a text file; empty for what is none or can't be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            data = file.read(LARGEST)
    except OSError:
        return ""
    return "" if b"\0" in data else data.decode("utf-8-sig", "replace").strip()


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
