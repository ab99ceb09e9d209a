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
_DEPTH = 50
_COMPACT = re.compile(rf"(?:[-?:][ \t]+){{{_DEPTH}}}")
_TOO_MUCH = f"stands for more than {_NODES:,} values"
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
    found, said = _yaml(head)
    if found is None and not said:
        return {}, ""
    if isinstance(found, dict):
        return cast("dict[str, Json]", found), ""
    if said == _TOO_MUCH:
        return {}, f"{where}:2: front matter that {_TOO_MUCH}"
    fields, line = _by_parts(head)
    if line:
        why = said or "not a list of `key: value` lines"
        return {}, f"{where}:{line}: front matter can't be read ({why}); put the value in quotes"
    return fields, ""


def _yaml(text: str) -> tuple[Json, str]:
    """The value of a YAML text, and what is wrong with it."""
    if _deep(text):
        # The parser in C goes down the machine's stack, and takes the process with it when that ends.
        return None, f"nested more than {_DEPTH} deep"
    import yaml  # few sessions meet such a file

    loader = cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    try:
        found: object = yaml.load(text, loader)  # noqa: S506 - one of the safe loaders
        return _plain(found, [_NODES]), ""
    except _TooMuchError:
        return None, _TOO_MUCH
    except yaml.MarkedYAMLError as error:
        return None, error.problem or "not YAML"
    except Exception as error:  # noqa: BLE001 - its constructors raise whatever Python's do (ValueError, RecursionError)
        return None, " ".join(str(error).split())[:120] or type(error).__name__


def _deep(text: str) -> bool:
    """Whether `text` may nest deeper than we let a parser go: by brackets, or by `- - -` in a line. Lines can't, for
    they are too few."""
    depth = most = 0
    for character in text:
        if character in "[{":
            depth += 1
            most = max(most, depth)
        elif character in "]}":
            depth = max(depth - 1, 0)
    return most > _DEPTH or _COMPACT.search(text) is not None


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


def _by_parts(head: str) -> tuple[dict[str, Json], int]:
    """Each `key:` with the lines that belong to it by itself: as YAML if it is that, else as text, or as a list of `-`
    lines. The second value is the line of the file at which nothing helps; 0 when all is understood."""
    fields: dict[str, Json] = {}
    parts: list[tuple[int, list[str]]] = []
    for number, line in enumerate(head.split("\n"), 2):
        if _KEY.fullmatch(line):
            parts.append((number, [line]))
        elif parts and (not line.strip() or line[0] in " \t" or _ITEM.fullmatch(line)):
            parts[-1][1].append(line)
        elif line.strip() and not line.startswith("#"):
            return {}, number
    for number, lines in parts:
        found, _ = _yaml("\n".join(lines))
        if isinstance(found, dict):
            fields |= cast("dict[str, Json]", found)
            continue
        key, value = _KEY.fullmatch(lines[0]), _as_written(lines)
        if key is None or value is None:
            return {}, number + (len(lines) > 1)
        fields[key[1]] = value
    return fields, 0


def _as_written(lines: list[str]) -> Json:
    """The text behind a key with the indented lines that go on, or a list of items; None for what is neither."""
    first = _KEY.fullmatch(lines[0])
    start = (first[2] or "").strip() if first else ""
    rest = [line for line in lines[1:] if line.strip()]
    items = [_ITEM.fullmatch(line) for line in rest]
    if not start and items and all(items):
        return [_word(item[1].strip()) for item in items if item]
    if any(items) or any(_KEY.fullmatch(line.strip()) for line in rest):
        return None
    return _word(" ".join([start, *(line.strip() for line in rest)]).strip())


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


def _name(item: Json) -> str:
    if len(pairs := object_of(item)) == 1:
        # `- Bash(git: log)` is an object to YAML and a rule to whoever wrote it.
        return ": ".join(str(part) for pair in pairs.items() for part in pair)
    return str(item).strip() if isinstance(item, (str, int, float)) else ""


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
        return tuple(name for name in map(_name, items) if name)
    text = text_of(fields, key)
    found: list[str] = []
    depth = start = 0
    for at, character in enumerate(text + ","):
        depth += (character == "(") - (character == ")" and depth > 0)
        if at == len(text) or (not depth and character in ", \n\t"):
            found.append(text[start:at].strip())
            start = at + 1
    return tuple(name for name in found if name)
