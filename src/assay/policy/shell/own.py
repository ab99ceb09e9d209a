"""What the shell's own commands do to the rest of the line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assay.policy.shell.expansion import HOLE, Fields
from assay.policy.shell.outputs import formatted
from assay.policy.shell.programs import Handler, arguments, environment, run

if TYPE_CHECKING:
    from assay.policy.shell.walker import Walker


def _evaluated(walker: Walker, argv: Fields, source: str) -> None:
    line = " ".join(argv[1:])
    walker.unknown(source) if HOLE in line else walker.line(line)


def _sourced(walker: Walker, argv: Fields, source: str) -> None:
    # Of what is sourced often, the one script that tools generate and that sets no names but its own.
    if len(argv) < 2 or not re.search(r"(?:^|/)bin/activate$", argv[1]):
        walker.unknown(source)
    elif len(argv) > 1:
        walker.path("read", argv[1])


def _changed_directory(walker: Walker, argv: Fields, source: str) -> None:
    del source
    operands = [word for word in argv[1:] if not re.fullmatch(r"-[LPen@]+|--", word)]
    walker.change_directory(operands if argv[0] != "popd" else ["-"])


def _replaced(walker: Walker, argv: Fields, source: str) -> None:
    """`exec`, `command`, `builtin`."""
    if argv[0] == "command" and any(re.fullmatch(r"-\w*[vV]\w*", word) for word in argv[1:2]):
        return
    given = arguments(argv[1:], ["-a"] if argv[0] == "exec" else [], whole=False)
    if given.operands:
        run(walker, given.operands, source)


def _trapped(walker: Walker, argv: Fields, source: str) -> None:
    del source
    words = [word for word in argv[1:] if word != "--"]
    if len(words) > 1 and not words[0].startswith("-"):
        walker.line(words[0])


def _aliased(walker: Walker, argv: Fields, source: str) -> None:
    for word in argv[1:]:
        _, equals, value = word.partition("=")
        if equals:
            # Not used by a shell that is no terminal's, unless the line asks for it.
            walker.line(value) if HOLE not in value else walker.unknown(source)


def _read(walker: Walker, argv: Fields, source: str) -> None:
    _subscripts(walker, argv, source)
    given = arguments(argv[1:], ["-d", "-n", "-N", "-p", "-t", "-u", "-i", "-a", "-c", "-C", "-O", "-s"])
    texts = walker.stdin if walker.stdin is not None else {HOLE}
    values: set[str] = set()
    for text in texts:
        for line in text.splitlines() or [""]:
            values |= {line, line.strip(), *line.split()}
    for name in (*given.operands, *given.values("-a"), *(() if given.operands else ("REPLY", "MAPFILE"))):
        walker.scope.assign(name, values)


def _printed(walker: Walker, argv: Fields, source: str) -> None:
    _subscripts(walker, argv, source)
    if len(argv) > 3 and argv[1] == "-v":
        walker.scope.assign(argv[2], {formatted(argv[3:])})


def _declared(walker: Walker, argv: Fields, source: str) -> None:
    _subscripts(walker, argv, source)
    flags = "".join(word for word in argv[1:] if word.startswith("-"))
    if argv[0] in ("declare", "typeset", "local") and "n" in flags:
        # One name that stands for another.
        walker.unknown(source)
    if "i" in flags and any("[" in word for word in argv):
        walker.unknown(source)
    for word in argv[1:]:
        if match := re.match(r"([A-Za-z_]\w*)\+?=(.*)", word, re.DOTALL):
            walker.scope.assign(match[1], {match[2]})
            environment(walker, match[1], match[2])


def _subscripts(walker: Walker, argv: Fields, source: str) -> None:
    """A subscript in an argument is evaluated, and may name a command."""
    if any("[" in word and ("$(" in word or "`" in word) for word in argv[1:]):
        walker.unknown(source)


def _calculated(walker: Walker, argv: Fields, source: str) -> None:
    if any("[" in word for word in argv) or any("[" in v for held in walker.scope.values.values() for v in held):
        walker.unknown(source)
    for word in argv[1:]:
        if match := re.match(r"([A-Za-z_]\w*)", word):
            walker.scope.assign(match[1], {"*"})


def _set(walker: Walker, argv: Fields, source: str) -> None:
    del source
    if "--" in argv:
        walker.scope.positional = argv[argv.index("--") + 1 :]


def _changes_names(walker: Walker, argv: Fields, source: str) -> None:
    """`enable -f`, `hash -p`, `bind -x`, `shopt -s expand_aliases`, `getopts`: names come to mean something else."""
    words = set(argv[1:])
    if argv[0] == "getopts":
        walker.scope.assign(argv[2] if len(argv) > 2 else "OPTARG", {"*"})
        walker.scope.assign("OPTARG", {HOLE})
    elif (
        argv[0] == "bind"
        or (argv[0] == "shopt" and words & {"expand_aliases", "extglob"})
        or (argv[0] != "shopt" and any(re.fullmatch(r"-\w*[fp]\w*", word) for word in words))
    ):
        walker.unknown(source)


BUILTINS: dict[str, Handler] = {
    "eval": _evaluated,
    "source": _sourced,
    ".": _sourced,
    "cd": _changed_directory,
    "pushd": _changed_directory,
    "popd": _changed_directory,
    "exec": _replaced,
    "command": _replaced,
    "builtin": _replaced,
    "trap": _trapped,
    "alias": _aliased,
    "read": _read,
    "mapfile": _read,
    "readarray": _read,
    "printf": _printed,
    "export": _declared,
    "declare": _declared,
    "typeset": _declared,
    "local": _declared,
    "readonly": _declared,
    "unset": _subscripts,
    "test": _subscripts,
    "[": _subscripts,
    "wait": _subscripts,
    "let": _calculated,
    "set": _set,
    "enable": _changes_names,
    "hash": _changes_names,
    "bind": _changes_names,
    "shopt": _changes_names,
    "getopts": _changes_names,
}
