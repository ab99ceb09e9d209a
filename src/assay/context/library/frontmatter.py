"""Front matter of Markdown files: YAML between two lines of `---`, as people really write it.

What is not quite YAML (`description: fix: the parser`, a tab, an unquoted `[`) is read line by line instead. A file
that makes sense in neither way has a `fault` that names file and line; nothing here raises.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from msgspec import Struct

from assay.core.messages import Json

LARGEST = 256_000
"""Bytes of a file that are read; what people write for agents is far shorter."""
_HEAD_CAP = 64_000
_NODES = 5_000
"""Values that front matter may hold: aliases can make a few lines stand for billions."""
_KEY = re.compile(r"([A-Za-z_][\w.-]*)[ \t]*:(?:[ \t]+(.*)|[ \t]*)")
_ITEM = re.compile(r"[ \t]*-[ \t]+(.*)")


class Document(Struct, frozen=True):
    """A Markdown file taken apart."""

    fields: dict[str, Json] = {}
    body: str = ""
    fault: str = ""
    """FILE:LINE: what is wrong; the file is then not to be used."""
    line: int = 1
    """Where the body begins in the file."""


def read_document(path: Path) -> Document:
    """The file at `path`; one that can't be read, or is too large, has a fault."""
    try:
        if not path.is_file():
            return Document(fault=f"{path}: not a file")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        return Document(fault=f"{path}: cannot be read ({error.strerror})")
    if len(data) > LARGEST:
        return Document(fault=f"{path}: larger than {LARGEST:,} bytes")
    return parse_document(data, str(path))


def parse_document(data: bytes, where: str) -> Document:
    """Front matter and body of `data`; `where` is the file, for the fault."""
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        return Document(fault=f"{where}:{text[: text.index(chr(0))].count(chr(10)) + 1}: not text")
    first, _, rest = text.partition("\n")
    if first.rstrip() != "---":
        return Document(body=text.strip())
    lines = rest.split("\n")
    end = next((number for number, line in enumerate(lines) if line.rstrip() in ("---", "...")), None)
    if end is None:
        return Document(fault=f"{where}:1: the front matter that begins here has no end (a line of ---)")
    head, after = "\n".join(lines[:end]), lines[end + 1 :]
    blank = next((number for number, line in enumerate(after) if line.strip()), 0)
    body, begins = "\n".join(after).strip(), end + 3 + blank
    if len(head) > _HEAD_CAP:
        return Document(fault=f"{where}:1: front matter of more than {_HEAD_CAP:,} characters")
    fields, fault = _fields(head, where)
    return Document(fields, body, fault, begins)


def _fields(head: str, where: str) -> tuple[dict[str, Json], str]:
    if not head.strip():
        return {}, ""
    import yaml  # few sessions meet such a file

    loader = cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    line, said = 2, "not a list of `key: value` lines"
    try:
        found: object = yaml.load(head, loader)  # noqa: S506 - one of the safe loaders
        if isinstance(found, dict):
            return cast("dict[str, Json]", _plain(cast("object", found), [_NODES])), ""
        if found is None:
            return {}, ""
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, said = (mark.line if mark else 0) + 2, error.problem or "not YAML"
    except _TooMuchError:
        return {}, f"{where}:2: front matter that stands for more than {_NODES:,} values"
    except Exception as error:  # noqa: BLE001 - its constructors raise whatever Python's do (ValueError, RecursionError)
        said = " ".join(str(error).split())[:120] or type(error).__name__
    lenient = _by_lines(head)
    if lenient is None:
        return {}, f"{where}:{line}: front matter can't be read ({said}); put the value in quotes"
    return lenient, ""


class _TooMuchError(Exception):
    pass


def _plain(value: object, left: list[int]) -> Json:
    """`value` as JSON has it. Raises `_TooMuchError` when it has more parts than `left` allows."""
    left[0] -= 1
    if left[0] < 0:
        raise _TooMuchError
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value).items()
        return {str(_plain(key, left)): _plain(item, left) for key, item in pairs}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, left) for item in cast("list[object]", value)]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _by_lines(head: str) -> dict[str, Json] | None:
    """`key: the rest of the line`, `- item` lines below a key without a value, and indented lines that go on; None for
    anything else."""
    fields: dict[str, Json] = {}
    last = ""
    for line in head.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, item = _KEY.fullmatch(line), _ITEM.fullmatch(line)
        if key:
            last, value = key[1], (key[2] or "").strip()
            fields[last] = None if not value else "" if re.fullmatch(r"[|>][+-]?", value) else _word(value)
            continue
        present = fields.get(last)
        if item and last and (present is None or isinstance(present, list)):
            fields[last] = [*(present or []), _word(item[1].strip())]
        elif line[0] in " \t" and isinstance(present, str):
            fields[last] = f"{present} {line.strip()}".strip()
        else:
            return None
    return fields


def _word(text: str) -> Json:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return {"true": True, "false": False, "null": None, "~": None}.get(text, text)


def text_of(fields: dict[str, Json], key: str) -> str:
    """The value of `key` as text; empty when there is none, or it is a list or an object."""
    value = fields.get(key)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() if isinstance(value, (str, int, float)) else ""


def object_of(value: Json) -> dict[str, Json]:
    """`value` when it is an object, else an empty one."""
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}


def switch_of(fields: dict[str, Json], key: str, default: bool) -> bool:
    """`true` or `false`, also in quotes, else `default`."""
    return {"true": True, "false": False}.get(text_of(fields, key).lower(), default)


def names_of(fields: dict[str, Json], key: str) -> tuple[str, ...]:
    """A list, or a text with commas (or spaces) between names; what is within parentheses stays together."""
    value = fields.get(key)
    if isinstance(value, list):
        items = cast("list[Json]", value)
        return tuple(str(item).strip() for item in items if isinstance(item, (str, int, float)) and str(item).strip())
    text = text_of(fields, key)
    found: list[str] = []
    depth = start = 0
    for at, character in enumerate(text + ","):
        depth += (character == "(") - (character == ")" and depth > 0)
        if at == len(text) or (not depth and character in ", \n\t"):
            found.append(text[start:at].strip())
            start = at + 1
    return tuple(name for name in found if name)
