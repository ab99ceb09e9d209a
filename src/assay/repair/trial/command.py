"""Which shell lines the driver can stand in for, and by which interpreter."""

from __future__ import annotations

import re
import shlex
from typing import Literal

from msgspec import Struct

Kind = Literal["pytest", "unittest", "script", "module", "code"]

_PYTHON = re.compile(r"(?:.*/)?python(?:[23](?:\.\d+)?)?$")
_PYTEST = re.compile(r"(?:.*/)?(?:pytest|py\.test)$")
_PLAIN = re.compile(r"-[bBdEIOPqsSuv]+$")
_OPERATORS = frozenset("|;&<>()")


class Driven(Struct, frozen=True):
    """A command line of Python, taken apart."""

    kind: Kind
    program: str
    """The interpreter; for `script_program`, a script that names it in its first line."""
    options: tuple[str, ...] = ()
    """The interpreter's own."""
    target: str = ""
    """A file, a module, or code."""
    arguments: tuple[str, ...] = ()
    folder: str = ""
    """Where it runs, relative to the root."""
    env: dict[str, str] = {}
    script_program: bool = False


def driven(line: str) -> Driven | None:
    """`line` as one call of Python that can be driven from within; None for anything else."""
    line = re.sub(r"\s+[12]?>&[12]\s*$", "", line.strip())
    if re.search(r"[$`\n\\]", line) or ("*" in line and not re.search(r"['\"]", line)):
        return None
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>()")
        lexer.whitespace_split = True
        words = [*lexer]
    except ValueError:
        return None
    folder, env = "", dict[str, str]()
    if len(words) > 3 and words[0] == "cd" and words[2] == "&&" and not words[1].startswith(("-", "/", "~")):
        folder, words = words[1], words[3:]
    if words[:1] == ["env"]:
        words = words[1:]
    while words and (found := re.fullmatch(r"([A-Za-z_]\w*)=(.*)", words[0])):
        env[found[1]] = found[2]
        words = words[1:]
    if not words or any(word and set(word) <= _OPERATORS for word in words):
        return None
    if _PYTEST.match(words[0]):
        return Driven("pytest", words[0], (), "", tuple(words[1:]), folder, env, script_program=True)
    return _python(words, folder, env) if _PYTHON.match(words[0]) else None


def _python(words: list[str], folder: str, env: dict[str, str]) -> Driven | None:
    program, rest, options = words[0], words[1:], list[str]()
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c", "-"):
        if rest[0] in ("-W", "-X") and len(rest) > 1:
            options += rest[:2]
            rest = rest[2:]
        elif _PLAIN.match(rest[0]) or rest[0].startswith(("-W", "-X")):
            options.append(rest[0])
            rest = rest[1:]
        else:
            return None
    if not rest:
        return None
    if rest[0] in ("-m", "-c"):
        if len(rest) < 2:
            return None
        kind: Kind = "code" if rest[0] == "-c" else "module"
        if kind == "module" and rest[1] in ("pytest", "py.test"):
            return Driven("pytest", program, tuple(options), "", tuple(rest[2:]), folder, env)
        if kind == "module" and rest[1] == "unittest":
            return Driven("unittest", program, tuple(options), "", tuple(rest[2:]), folder, env)
        return Driven(kind, program, tuple(options), rest[1], tuple(rest[2:]), folder, env)
    if rest[0] == "-":
        return None
    return Driven("script", program, tuple(options), rest[0], tuple(rest[1:]), folder, env)
