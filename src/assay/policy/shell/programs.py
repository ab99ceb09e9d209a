"""What a program does with its arguments: the table `commands.toml`, and handlers for what a table can't say."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, convert, field

from assay.core.policy import EffectKind
from assay.policy.shell.expansion import HOLE, Fields

if TYPE_CHECKING:
    from assay.policy.shell.walker import Walker

Which = Literal["", "all", "first", "last", "rest", "but-last"]
_DEEP = 20
_MANY = 1_000
"""Words of a command that are looked at."""
Handler = Callable[["Walker", Fields, str], None]


class Known(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the table; the head of `commands.toml` says what each key means."""

    names: str = ""
    values: str = ""
    reads: Which = ""
    writes: Which = ""
    deletes: Which = ""
    destroys: Which = ""
    when: str = ""
    unless: str = ""
    reads_by: str = ""
    writes_by: str = ""
    lines_by: str = ""
    network_by: str = ""
    network: str = ""
    control: bool = False
    destroy: bool = False
    unknown: bool = False
    wraps: int = -1
    lines: Which = ""
    sub: dict[str, Known] = field(default_factory=dict[str, "Known"])


class Arguments(Struct, frozen=True):
    options: tuple[tuple[str, str], ...]
    """Name and value, the value empty for an option without."""
    operands: Fields

    def has(self, *names: str) -> bool:
        return any(option_is(name, wanted) for name, _ in self.options for wanted in names)

    def values(self, names: str) -> list[str]:
        wanted = names.split()
        return [value for name, value in self.options if value and any(option_is(name, each) for each in wanted)]


_COMMANDS_IN = re.compile(
    r"GIT_SSH(?:_COMMAND)?|GIT_EXTERNAL_DIFF|(?:GIT_|MAN|SYSTEMD_)?PAGER|(?:GIT_|GIT_SEQUENCE_|HG)?EDITOR|VISUAL|FCEDIT|"
    r"(?:GIT_|SSH_|SUDO_)ASKPASS|BROWSER|GIT_PROXY_COMMAND|PROMPT_COMMAND|LESSOPEN|LESSCLOSE|RSYNC_RSH|CVS_RSH|RUSTC_WRAPPER"
)
_CHANGES_PROGRAMS = re.compile(
    r"LD_\w+|DYLD_\w+|BASH_ENV|ENV|SHELLOPTS|BASHOPTS|BASH_FUNC_.*|PYTHONSTARTUP|PYTHONHOME|PYTHONBREAKPOINT|PERL5OPT|"
    r"PERL5DB|RUBYOPT|GIT_EXEC_PATH|GIT_TEMPLATE_DIR|GIT_CONFIG(?!_NOSYSTEM)\w*|MAKEFLAGS|GNUMAKEFLAGS|CDPATH|GLIBC_TUNABLES"
)
_LOADS = re.compile(
    r"(?:^|\s)(?:-r|--require|--import|--loader|--experimental-loader|-javaagent|-agentlib|-agentpath)\b"
)
_BINARIES = re.compile(
    r"(?:~|/[^:]*|[\w.*\ue001-]+)?/?(?:node_modules/\.bin|\.?venv/bin|env/bin|\.local/bin|\.cargo/bin|go/bin)|"
    r"(?:/usr(?:/local)?)?/s?bin|/opt/homebrew/s?bin|/usr/local/go/bin|"
)


def environment(walker: Walker, name: str, value: str, *, append: bool = False) -> None:
    """A variable that programs see: some name a command, some change which program a name means."""
    if _COMMANDS_IN.fullmatch(name):
        walker.line(value)
    elif name == "PATH":
        entries = value.split(":")
        if append or not all(entry == HOLE or _BINARIES.fullmatch(entry) for entry in entries) or entries == [HOLE]:
            walker.unknown(f"PATH={value}")
    elif (
        (_CHANGES_PROGRAMS.fullmatch(name) and value not in ("", "/dev/null"))
        or (name.endswith(("NODE_OPTIONS", "JAVA_TOOL_OPTIONS", "JAVA_OPTIONS")) and _LOADS.search(value))
        or (name in ("PS0", "PS1", "PS4") and ("$(" in value or "`" in value))
    ):
        walker.unknown(f"{name}={value}")


def run(walker: Walker, argv: Fields, source: str) -> None:
    """A program with its arguments, all words expanded."""
    if len(argv) > _MANY:
        walker.unknown(f"{argv[0]} with very many words")
        argv = argv[:_MANY]
    walker.count()
    if walker.wrapped >= _DEEP:
        walker.unknown(f"{argv[0]} within very many commands")
        return
    walker.wrapped += 1
    _run(walker, argv, source)
    walker.wrapped -= 1


def _run(walker: Walker, argv: Fields, source: str) -> None:
    from assay.policy.shell.own import BUILTINS
    from assay.policy.shell.special import SPECIAL

    name = argv[0]
    if not name:
        return
    if HOLE in name or not name.isascii() or (re.search(r"[*?\[]", name) and name not in ("[", "[[")):
        walker.unknown(source if HOLE in name else " ".join(argv))
        return
    walker.add("execute", spoken(argv))
    if walker.calls(name):
        walker.call(name, argv[1:])
        return
    # Some file systems don't mind case.
    base = name.rsplit("/", 1)[-1].casefold().removesuffix(".exe")
    if len(argv) == 2 and argv[1] in ("--version", "--help") and base not in ("eval", "source", "."):
        return
    table = known_programs()
    if base not in table and base not in SPECIAL:
        base = re.sub(r"-?[\d.]+$", "", base) or base
    if handler := BUILTINS.get(base) if "/" not in name else None:
        handler(walker, argv, source)
    if handler := SPECIAL.get(base):
        handler(walker, argv, source)
    if known := table.get(base):
        apply(walker, known, argv[1:], source)


def spoken(argv: Fields) -> str:
    """The words as one line, quoted where another reading would be possible."""
    return " ".join(
        "'" + word.replace("'", "'\\''") + "'" if not word or re.search(r"[\s'\"\\;&|<>()$`#]", word) else word
        for word in argv
    )


def apply(walker: Walker, known: Known, words: Fields, source: str) -> None:
    """The effects that an entry of the table says."""
    taking = " ".join((known.values, known.reads_by, known.writes_by, known.lines_by, known.network_by)).split()
    if known.wraps >= 0:
        _wrapped(walker, known, words, taking, source)
        return
    given = arguments(words, taking)
    if known.sub:
        _subcommand(walker, known, words, given, source)
    by_option: tuple[tuple[EffectKind, str], ...] = (("read", known.reads_by), ("write", known.writes_by))
    for kind, names in by_option:
        for value in given.values(names):
            walker.path(kind, value)
    for value in given.values(known.lines_by):
        walker.line(value.removeprefix("exec="))
    for value in given.values(known.network_by):
        walker.add("network", host_of(value))
    if (known.when and not given.has(*known.when.split())) or (known.unless and given.has(*known.unless.split())):
        return
    kinds: tuple[tuple[EffectKind, Which], ...] = (
        ("read", known.reads), ("write", known.writes), ("delete", known.deletes), ("destroy", known.destroys)
    )  # fmt: skip
    for kind, which in kinds:
        for operand in chosen(given.operands, which):
            walker.path(kind, operand)
    for line in chosen(given.operands, known.lines):
        walker.line(line)
    if known.network:
        hosts = [host_of(each) for each in chosen(given.operands, "all")]
        picked = {"all": hosts, "first": hosts[:1]}.get(known.network, [known.network])
        for host in picked:
            walker.add("network", host)
    if known.control:
        walker.add("control", source)
    if known.destroy:
        walker.add("destroy", "")
    if known.unknown:
        walker.unknown(source)


def _wrapped(walker: Walker, known: Known, words: Fields, taking: list[str], source: str) -> None:
    """A program that runs the command in its arguments."""
    given = arguments(words, taking, whole=False)
    for value in given.values(known.lines_by):
        walker.line(value)
    for value in given.values(known.writes_by):
        walker.path("write", value)
    if known.control:
        walker.add("control", source)
    if known.network:
        walker.add("network", known.network)
    rest = list(given.operands[known.wraps :])
    while rest and (match := re.match(r"([A-Za-z_]\w*)=(.*)", rest[0], re.DOTALL)):
        environment(walker, match[1], match[2])
        rest.pop(0)
    if rest:
        run(walker, tuple(rest), source)


def _subcommand(walker: Walker, known: Known, words: Fields, given: Arguments, source: str) -> None:
    operands = given.operands
    if not operands:
        if "" in known.sub:
            apply(walker, known.sub[""], words, source)
        return
    if HOLE in operands[0]:
        walker.unknown(source)
        return
    for length in (2, 1):
        for key, entry in known.sub.items():
            if " ".join(operands[:length]) in key.split("|") and len(operands) >= length:
                at = words.index(operands[length - 1]) + 1
                apply(walker, entry, words[at:], source)
                return
    if "*" in known.sub:
        apply(walker, known.sub["*"], words, source)


def arguments(words: Fields, taking: list[str], *, whole: bool = True) -> Arguments:
    """Options and operands, as getopt tells them apart; `taking` are the options with a value. Without `whole`, all
    from the first operand on are operands."""
    options: list[tuple[str, str]] = []
    operands: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            operands += words[at:]
            break
        if not word.startswith("-") or word == "-":
            operands.append(word)
            if not whole:
                operands += words[at:]
                break
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            if not equals and at < len(words) and any(option_is(name, each) for each in taking):
                value, at = words[at], at + 1
            options.append((name, value))
        elif word in taking:
            options.append((word, words[at] if at < len(words) else ""))
            at += 1
        else:
            at += _cluster(word, words[at] if at < len(words) else "", taking, options)
    return Arguments(tuple(options), tuple(operands))


def _cluster(word: str, following: str, taking: list[str], options: list[tuple[str, str]]) -> int:
    """`-abc`; 1 when the word after it is a value, else 0."""
    name, equals, value = word.partition("=")
    if equals and name in taking:
        options.append((name, value))
        return 0
    options.append((word, ""))
    for number, letter in enumerate(word[1:], 2):
        if f"-{letter}" in taking:
            options.append((f"-{letter}", word[number:] or following))
            return 0 if word[number:] else 1
        options.append((f"-{letter}", ""))
    return 0


def option_is(given: str, wanted: str) -> bool:
    """A long option may be cut short."""
    return given == wanted or (len(given) > 4 and given.startswith("--") and wanted.startswith(given))


def chosen(operands: Fields, which: Which) -> Fields:
    match which:
        case "all":
            return operands
        case "first":
            return operands[:1]
        case "last":
            return operands[-1:]
        case "rest":
            return operands[1:]
        case "but-last":
            return operands[:-1]
        case _:
            return ()


def host_of(text: str) -> str:
    """The host of a URL, of `user@host:path` or of a plain name; empty when it can't be told."""
    match = re.match(r"(?:[a-z][a-z0-9+.-]*:)?//(?:[^/@]*@)?(\[[^\]]*\]|[^/:?#]*)", text, re.IGNORECASE)
    host = match[1] if match else re.split(r"[:/?#]", text.rsplit("@", 1)[-1])[0]
    return "" if HOLE in host else host.casefold()


@lru_cache(maxsize=1)
def known_programs() -> dict[str, Known]:
    """The table by program name."""
    import tomllib

    text = Path(__file__).with_name("commands.toml").read_text("utf-8")
    entries = convert(tomllib.loads(text), dict[str, Known])
    return {name: entry for title, entry in entries.items() for name in (entry.names or title).split()}
