"""The text of a skill or command with its arguments put in, and what is to be run or read for it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from msgspec import Struct

LONGEST = 200_000
"""Characters of a text with its arguments in."""
_COMMAND = re.compile(r"!`([^`\n]+)`")
_FENCE = re.compile(r"^(?P<marks>```+|~~~+)!?[^\n]*\n.*?^(?P=marks)[ \t]*$", re.M | re.S)
_FENCED_COMMAND = re.compile(r"```!\n(.*?)\n```", re.S)
_FILE = re.compile(r"(?<![\w@`/.])@(?:\"([^\"\n]+)\"|((?:~/|\.{0,2}/)?[\w.+-]+(?:/[\w.@+-]+)*/?))")
_CODE = re.compile(r"`[^`\n]*`")
_SLOT = re.compile(r"\$(?:ARGUMENTS\[(\d{1,3})\]|(ARGUMENTS)\b|(\d{1,3})(?!\d)|\{(\w+)\}|([A-Za-z_]\w*))")


class Piece(Struct, frozen=True):
    """A part of a text: literal, or a command whose output belongs there."""

    text: str
    command: str = ""


def words_of(arguments: str) -> list[str]:
    """Arguments as a shell splits them; at white space where that is not possible."""
    try:
        return shlex.split(arguments)
    except ValueError:
        return arguments.split()


def filled(body: str, arguments: str, names: Sequence[str] = (), variables: Mapping[str, str] | None = None) -> str:
    """`body` with `$ARGUMENTS`, `$ARGUMENTS[0]`, `$0` `$1` ..., the named arguments (`$name`) and `${VARIABLE}` of
    `variables` put in, each once: what comes in is not looked at again. A body without any of the first gets the
    arguments as a last line."""
    words = words_of(arguments)
    used = False
    told = variables or {}

    def put(match: re.Match[str]) -> str:
        nonlocal used
        index, whole, number, braced, name = match.groups()
        if whole or braced == "ARGUMENTS":
            used = True
            return arguments
        if index or number:
            used = True
            place = int(index or number)
            return words[place] if place < len(words) else ""
        if braced and braced in told:
            return told[braced]
        if (key := braced or name) in names:
            used = True
            place = names.index(key)
            return words[place] if place < len(words) else ""
        return match.group()

    text = _SLOT.sub(put, body)
    if arguments.strip() and not used:
        text = f"{text}\n\nArguments: {arguments}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n[... cut at {LONGEST:,} characters]"


def pieces(text: str) -> list[Piece]:
    """`text` at its commands: `` !`command` `` in a line, and blocks fenced by ```! ."""
    found: list[Piece] = []
    start = 0
    matches = sorted((*_FENCED_COMMAND.finditer(text), *_COMMAND.finditer(text)), key=lambda match: match.start())
    for match in matches:
        if match.start() < start:
            continue
        found += [Piece(text[start : match.start()]), Piece(match.group(), match[1].strip())]
        start = match.end()
    return [*found, Piece(text[start:])]


def files_named(text: str, most: int = 20) -> list[str]:
    """Paths that follow an `@`, in order, once each; those within code are examples, and an address is none."""
    if "@" not in text:
        return []
    plain = _CODE.sub(lambda match: " " * len(match.group()), _FENCE.sub("", text))
    found = (match[1] or match[2].rstrip(".,;:") for match in _FILE.finditer(plain))
    return list(dict.fromkeys(name for name in found if name))[:most]
