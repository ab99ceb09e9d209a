"""Differences of files as git writes them, for workspaces that are kept without git."""

from __future__ import annotations

import base64
import hashlib
import zlib


def _binary(data: bytes) -> bool:
    return b"\0" in data[:8000]


def _lines(data: bytes) -> list[str]:
    """Lines as git sees them: ended by a line feed and nothing else."""
    parts = data.decode("utf-8", "surrogateescape").split("\n")
    last = parts.pop()
    return [part + "\n" for part in parts] + ([last] if last else [])


def count_lines(old: bytes, new: bytes) -> tuple[int, int]:
    """Lines added and removed; -1 twice for binary files."""
    import difflib

    if _binary(old) or _binary(new):
        return -1, -1
    added = removed = 0
    for tag, start, end, first, last in difflib.SequenceMatcher(None, _lines(old), _lines(new)).get_opcodes():
        if tag != "equal":
            removed += end - start
            added += last - first
    return added, removed


def _name(data: bytes | None) -> str:
    if data is None:
        return "0" * 40
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324 - git's naming, no protection


def _literal(data: bytes) -> str:
    """One half of a binary patch: deflated, in base 85, 52 bytes a line led by their count (A = 1, a = 27)."""
    packed = zlib.compress(data)
    lines = [f"literal {len(data)}\n"]
    for at in range(0, len(packed), 52):
        part = packed[at : at + 52]
        count = chr(64 + len(part)) if len(part) <= 26 else chr(70 + len(part))
        lines.append(count + base64.b85encode(part, pad=True).decode("ascii") + "\n")
    return "".join(lines) + "\n"


def _quoted(path: str) -> str:
    """`path` as it stands in a patch: in quotes with octal escapes when it has unusual bytes."""
    raw = path.encode("utf-8", "surrogateescape")
    if all(32 <= byte < 127 and byte not in b'"\\' for byte in raw):
        return path
    plain = {34: '\\"', 92: "\\\\", 10: "\\n", 9: "\\t", 13: "\\r"}
    return '"' + "".join(plain.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in raw) + '"'


def unified(path: str, old: bytes | None, new: bytes | None, old_mode: int, new_mode: int) -> str:
    """The patch of one file; None and mode 0 where it is absent."""
    if old is not None and new is not None and old_mode & 0o170000 != new_mode & 0o170000:
        # A file that becomes a link, or the other way round, goes and comes.
        return unified(path, old, None, old_mode, 0) + unified(path, None, new, 0, new_mode)
    one, two = _quoted(f"a/{path}"), _quoted(f"b/{path}")
    head = [f"diff --git {one} {two}\n"]
    if old is None:
        head.append(f"new file mode {new_mode:06o}\n")
    elif new is None:
        head.append(f"deleted file mode {old_mode:06o}\n")
    elif old_mode != new_mode:
        head.append(f"old mode {old_mode:06o}\nnew mode {new_mode:06o}\n")
    before, after = old or b"", new or b""
    if old is None or new is None or old != new:
        same = f" {new_mode:06o}" if old_mode == new_mode else ""
        head.append(f"index {_name(old)}..{_name(new)}{same}\n")
    if before == after:
        return "".join(head)
    if _binary(before) or _binary(after):
        return "".join(head) + "GIT binary patch\n" + _literal(after) + _literal(before)
    head += [f"--- {one if old is not None else '/dev/null'}\n", f"+++ {two if new is not None else '/dev/null'}\n"]
    return "".join(head) + _hunks(before, after)


def _hunks(old: bytes, new: bytes) -> str:
    import difflib

    out: list[str] = []
    for number, line in enumerate(difflib.unified_diff(_lines(old), _lines(new), n=3)):
        if number >= 2:  # its own file names
            out.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(out)
