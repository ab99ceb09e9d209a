"""What well-known commands print, as far as that can be told: `echo`, `cat` of a here-document, lists of files."""

from __future__ import annotations

import posixpath
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from assay.policy.shell.expansion import HOLE, ROOT, Fields, expand, texts
from assay.policy.shell.syntax import Block, NotUnderstood, Pipe, Script, Simple

if TYPE_CHECKING:
    from assay.policy.shell.walker import Walker

_ONE_LINE = re.compile(
    r"(?:date|nproc|uname|hostname|whoami|id|wc|arch|uuidgen|seq|tty|stat|du|tput|md5sum|sha1sum|sha256sum|expr|bc|"
    r"git (?:rev-parse|describe|branch|symbolic-ref|merge-base|rev-list|log|config|hash-object|write-tree|stash create)"
    r")(?: .*)?",
    re.DOTALL,
)
"""Print numbers, names and hashes: nothing that leads out of a directory."""
_FILTERS = frozenset(["sort", "uniq", "head", "tail", "grep", "egrep", "fgrep", "rg", "tee"])
"""Print lines of what they read."""
_LISTS = re.compile(r"(?:git (?:ls-files|diff|show|status|grep)|find|fd|fdfind|ls|rg|grep|egrep)(?: .*)?", re.DOTALL)


def printed(walker: Walker, script: Script) -> tuple[str, ...]:
    """The texts that `script` may print; `HOLE` for what can't be told. A final newline is left out."""
    if len(script) != 1:
        return (HOLE,)
    node = script[0]
    if isinstance(node, Pipe):
        first, *rest = node.stages
        for stage in rest:
            name = _words(walker, stage)[:1] if isinstance(stage, Simple) else ()
            if name == ("wc",):
                return ("*",)
            if not name or name[0] not in _FILTERS:
                return (HOLE,)
        found = printed(walker, (first,))
        # Filters choose among lines; of several, which ones can't be told.
        return tuple(line for text in found for line in (text.splitlines() or [""])) if rest else found
    if isinstance(node, Block) or not node.words:
        return (HOLE,)
    return _printed_by(walker, node)


def _words(walker: Walker, command: Simple) -> Fields:
    """The words of a command when there is one way to read it."""
    fields: list[str] = []
    for word in command.words:
        ways = expand(word, walker.scope)
        if len(ways) != 1:
            return ()
        fields += ways[0]
    return tuple(fields)


def _printed_by(walker: Walker, command: Simple) -> tuple[str, ...]:
    words = _words(walker, command)
    if not words or words[0] in walker.functions:
        return (HOLE,)
    name, arguments = words[0].rsplit("/", 1)[-1], words[1:]
    line = " ".join((name, *arguments))
    match name:
        case "echo":
            flags = 0
            while flags < len(arguments) and re.fullmatch(r"-[neE]+", arguments[flags]):
                flags += 1
            text = " ".join(arguments[flags:])
            return (_unescaped(text) if "e" in "".join(arguments[:flags]) else text,)
        case "printf" if arguments and arguments[0] != "-v":
            return (formatted(arguments),)
        case "cat" if not arguments or arguments == ("-",):
            bodies = [redirect for redirect in command.redirects if redirect.operator in ("<<", "<<<")]
            if bodies:
                return tuple(text.rstrip("\n") for text in texts(bodies[-1].target, walker.scope))
            return tuple(walker.stdin) if walker.stdin and not command.redirects else (HOLE,)
        case "pwd":
            return (walker.scope.directory(),)
        case "mktemp":
            return ("/tmp/*",)  # noqa: S108 - where it puts files
        case "basename" if arguments:
            return (posixpath.basename(arguments[0].rstrip("/")) if HOLE not in arguments[0] else "*",)
        case "dirname" | "realpath" | "readlink" if arguments and HOLE not in arguments[-1]:
            return (posixpath.dirname(arguments[-1]) or "." if name == "dirname" else arguments[-1],)
        case "which" if len(arguments) == 1:
            return arguments
        case "command" | "type" if len(arguments) == 2 and arguments[0] in ("-v", "-p", "-P"):
            return (arguments[1],)
        case "true" | "false" | ":":
            return ("",)
        case _:
            pass
    if line.startswith("git rev-parse") and "--show-toplevel" in arguments:
        return (ROOT,)
    if _LISTS.fullmatch(line) and HOLE not in line:
        return _listed(name, arguments)
    return ("*",) if _ONE_LINE.fullmatch(line) else (HOLE,)


def _listed(name: str, arguments: Fields) -> tuple[str, ...]:
    """Patterns of the files that a listing may name."""
    if name in ("grep", "egrep", "rg") and not any(re.fullmatch(r"-\w*l\w*|--files.*", each) for each in arguments):
        return (HOLE,)
    if name == "git" and arguments[0] in ("diff", "show") and "--name-only" not in arguments:
        return (HOLE,)
    if name == "git" and arguments[0] in ("status", "grep") and "-l" not in arguments:
        return (HOLE,)
    if name == "find":
        names = [after for before, after in pairwise(arguments) if before in ("-name", "-iname")]
        roots: list[str] = []
        for argument in arguments:
            if argument.startswith(("-", "(", "!")):
                break
            roots.append(argument)
        return tuple(
            f"{root.rstrip('/')}/{'**/' if names else '**'}{last}" for root in roots or ["."] for last in names or [""]
        )
    if name == "ls":
        return tuple(each for each in arguments if not each.startswith("-")) or ("*",)
    operands = [each for each in arguments if not each.startswith("-")]
    if name == "git" and arguments[0] in ("diff", "show"):
        # Names before `--` are those of versions.
        operands = [*arguments[arguments.index("--") :]] if "--" in arguments else []
    # A subcommand comes first, and what is looked for.
    skipped = 2 if name == "git" and arguments[0] == "grep" else 0 if "--files" in arguments else 1
    return tuple(each if "*" in each else f"{each.rstrip('/')}/**" for each in operands[skipped:]) or ("**",)


def _unescaped(text: str) -> str:
    """`echo -e` and the format of `printf`."""
    from assay.policy.shell.lexer import unescaped

    try:
        # An octal number after a zero, other than in `$'…'`.
        return unescaped(re.sub(r"\\0([0-7]{1,3})", r"\\\1", text))
    except NotUnderstood:
        return HOLE


def formatted(arguments: Fields) -> str:
    form, values = _unescaped(arguments[0]), list(arguments[1:])
    if not re.search(r"%[^%]", form):
        return form.replace("%%", "%")
    found = ""
    for _ in range(32):
        pieces = re.split(r"(%-?\d*\.?\d*[sdbqicxo]|%%)", form)
        for piece in pieces:
            if piece == "%%":
                found += "%"
            elif re.fullmatch(r"%[sbdi]", piece):
                value = values.pop(0) if values else ""
                found += _unescaped(value) if piece == "%b" else value
            elif "%" in piece:
                return HOLE
            else:
                found += piece
        if not values:
            return found
    return HOLE
