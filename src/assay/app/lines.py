"""Where in a JSON text a value stands, so that an error can name the line."""

from __future__ import annotations

import json
import re

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+', re.DOTALL)


def line_of(text: str, path: str) -> int:
    """The 1-based line of the value at `path`, as msgspec writes it (`$.permissions.rules[2].deny`), or of the nearest
    one around it that there is."""
    lines = _lines(text)
    while path not in lines and len(path) > 1:
        path = path[: max(path.rfind("."), path.rfind("["), 1)]
    return lines.get(path, 1)


def at(where: str, line: int) -> str:
    """`file:line`; what came on the command line has no lines to count."""
    return where if where.startswith("--") else f"{where}:{line}"


def line_at(text: str, offset: int) -> int:
    """The line of a byte; good enough for a text with few characters outside ASCII before it."""
    return text.encode("utf-8", "surrogateescape")[:offset].count(b"\n") + 1


def _lines(text: str) -> dict[str, int]:
    """The line of each value by its path; of members of objects, that of their name."""
    found: dict[str, int] = {}
    stack: list[tuple[str, str, int]] = []  # path, kind of bracket, number of the next item
    path, line, last = "$", 1, 0
    name = ""
    for token in _TOKEN.finditer(text):
        line += text.count("\n", last, token.start())
        last = token.start()
        word = token[0]
        if word in "]}":
            path = stack.pop()[0] if stack else "$"
        elif word == ",":
            if stack and stack[-1][1] == "[":
                top, kind, number = stack[-1]
                stack[-1] = (top, kind, number + 1)
        elif word == ":":
            path = f"{stack[-1][0] if stack else '$'}.{name}"
            found.setdefault(path, line)
        else:
            if stack and stack[-1][1] == "[":
                path = f"{stack[-1][0]}[{stack[-1][2]}]"
            if word[0] == '"' and stack and stack[-1][1] == "{" and text[token.end() :].lstrip()[:1] == ":":
                name = str(json.loads(word, strict=False))
                continue
            found.setdefault(path, line)
            if word in "[{":
                stack.append((path, word, 0))
    return found
