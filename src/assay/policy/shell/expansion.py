"""Expands words as far as that can be told before anything runs: braces, tildes, variables the line itself sets, the
output of commands that are known. What can't be told leaves a `HOLE` in the text."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from fnmatch import translate
from itertools import pairwise, product

from assay.policy.shell.syntax import (
    Assignment,
    NotUnderstood,
    Number,
    Output,
    Part,
    Process,
    Script,
    Text,
    Variable,
    Word,
)

HOLE = "\ue000"
"""Stands for text that can't be told; a private-use character that no line may contain."""
ROOT = "\ue001"
"""Stands for the path of the workspace's root, which the line's own text can't tell."""
LONG = 2_000
"""Characters of a value that is followed; a longer one is a hole."""
FEW = 24
"""Values of a variable, or of a word, that are followed; more are a hole."""

_SEQUENCE = re.compile(r"(-?\d+|[A-Za-z])\.\.(-?\d+|[A-Za-z])(?:\.\.-?\d+)?")
_LONE_DOLLAR = re.compile(r"(?<!\$)\$(?![\w({@*#?$!'\"-])")
_NAME_BEFORE_BRACE = re.compile(r"\$\w+\{")
_ASSIGNED_TILDE = re.compile(r"([A-Za-z_]\w*\+?=)(~.*)", re.DOTALL | re.ASCII)
_GLOB = re.compile(r"[*?\[]")

Fields = tuple[str, ...]


class Scope:
    """Variables of a line. Values only ever join: what a variable may hold anywhere in the line, it may hold
    everywhere, so that neither loops nor branches nor functions have to be followed."""

    def __init__(self) -> None:
        self.values: dict[str, set[str]] = {}
        self.arrays: dict[str, Fields | None] = {}
        """What `"${name[@]}"` is; None when it is set in more than one way."""
        self.positional: Fields | None = None
        self.zero = "bash"
        self.cwd = ""
        self.splits_oddly = False
        """`IFS` was changed."""
        self.output: Callable[[Script], tuple[str, ...]] = lambda _: (HOLE,)
        """What a script may print, as far as known."""

    def assign(self, name: str, values: set[str]) -> None:
        held = self.values.setdefault(name, set())
        held |= {value if len(value) <= LONG else HOLE for value in values}
        if len(held) > FEW:
            held.clear()
            held.add(HOLE)
        self.splits_oddly |= name == "IFS"

    def assign_array(self, assignment: Assignment) -> None:
        """`name=(…)`; anything else that is said of the array makes it unsure."""
        fields: list[str] = []
        for ways in (expand(word, self) for word in assignment.values):
            fields += ways[0] if len(ways) == 1 else (HOLE,)
        sure = not assignment.append and self.arrays.get(assignment.name, tuple(fields)) == tuple(fields)
        self.arrays[assignment.name] = tuple(fields) if sure else None

    def directory(self) -> str:
        """The present directory as an absolute path."""
        return self.cwd if self.cwd.startswith(("/", HOLE)) else f"{ROOT}/{self.cwd}".rstrip("/")

    def of(self, name: str) -> set[str]:
        if name in self.values:
            return self.values[name]
        if name == "0":
            return {self.zero}
        if name.isdigit() and self.positional is not None:
            at = int(name) - 1
            return {self.positional[at] if at < len(self.positional) else ""}
        if name in "?#$!" or name in ("RANDOM", "SECONDS", "LINENO", "UID", "EUID", "PPID", "COLUMNS", "LINES"):
            return {"*"}
        known = {"HOME": home(), "PWD": self.directory(), "TMPDIR": "/tmp"}  # noqa: S108 - what it is by default
        return {known.get(name, HOLE)}


def home() -> str:
    """Where `~` is."""
    return os.environ.get("HOME") or "/root"


def expand(word: Word, scope: Scope) -> list[Fields]:
    """What `word` may become: alternatives, each the fields it is split into."""
    found: list[Fields] = []
    alternatives_of_word = _braces(list(_items(word.parts)))
    unquoted = any(isinstance(part, Variable | Output) and not part.quoted for part in word.parts)
    if (len(alternatives_of_word) > 1 and _NAME_BEFORE_BRACE.search(word.source)) or (
        unquoted and _LONE_DOLLAR.search(word.source)
    ):
        # Braces come first and may lengthen a name; a lone `$` keeps bash from splitting.
        raise NotUnderstood("an expansion that bash reads in a way of its own")
    for braced in map(_merged, alternatives_of_word):
        choices = [_choices(part, scope, at == 0 and _has_tilde(braced)) for at, part in enumerate(braced)]
        if _size(choices) > FEW:
            # Each value is seen once, not each with each.
            most = max(len(choice) for choice in choices)
            combined = [tuple(choice[at % len(choice)] for choice in choices) for at in range(min(most, FEW))]
        else:
            combined = list(product(*choices))
        alternatives = list(dict.fromkeys(_joined(pieces) for pieces in combined))
        # The results of braces stand side by side; alternatives exclude each other.
        found = [(*before, *after) for before in found for after in alternatives] if found else alternatives
        if len(found) > FEW:
            raise NotUnderstood("too many ways to read a word")
    return found or [()]


def texts(word: Word, scope: Scope) -> set[str]:
    """What `word` may be where it is not split: in an assignment, a here-document, after a redirection."""
    return {" ".join(fields) for fields in expand(_as_quoted(word), scope)}


def scripts_in(word: Word | None) -> Iterator[Script]:
    """The commands that expanding `word` runs."""
    for part in word.parts if word else ():
        match part:
            case Output(script, _) | Process(script):
                yield script
            case Variable(argument=argument):
                yield from scripts_in(argument)
            case Number(inner):
                yield from scripts_in(inner)
            case Text():
                pass


def variables_in(word: Word | None) -> Iterator[Variable]:
    for part in word.parts if word else ():
        if isinstance(part, Variable):
            yield part
            yield from variables_in(part.argument)
        elif isinstance(part, Number):
            yield from variables_in(part.inner)


Piece = tuple[str, bool, bool]
"""Text, whether it is split at blanks, and whether it stands for a field even when empty."""


def _as_quoted(word: Word) -> Word:
    parts: list[Part] = []
    for part in word.parts:
        match part:
            case Variable(name, _, operator, argument):
                parts.append(Variable(name, True, operator, argument))
            case Output(script, _):
                parts.append(Output(script, True))
            case Text(text, False) if "{" in text or "," in text:
                parts.append(Text(text, True))
            case _:
                parts.append(part)
    return Word((*parts, Text("", True)), word.source)


def _size(choices: list[list[tuple[Piece, ...]]]) -> int:
    size = 1
    for choice in choices:
        size *= len(choice)
    return size


def _joined(pieces: tuple[tuple[Piece, ...], ...]) -> Fields:
    fields: list[str] = []
    current, is_open = "", False
    for text, split, stands in (piece for group in pieces for piece in group):
        if not split:
            current += text
            is_open |= stands or bool(text)
            continue
        runs = re.split(r"[ \t\n]+", text)
        for number, run in enumerate(runs):
            if number and is_open:
                fields.append(current)
                current, is_open = "", False
            current += run
            is_open |= bool(run)
    return (*fields, current) if is_open else tuple(fields)


def _merged(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Unquoted texts side by side as one."""
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, Text) and not part.quoted and isinstance(last, Text) and not last.quoted:
            found[-1] = Text(last.text + part.text)
        else:
            found.append(part)
    return tuple(found)


def _has_tilde(parts: tuple[Part, ...]) -> bool:
    """A tilde counts when nothing up to the first slash is quoted."""
    text = ""
    for part in parts:
        if not isinstance(part, Text) or part.quoted:
            break
        text += part.text
    else:
        text += "/"
    match = _ASSIGNED_TILDE.fullmatch(text)
    text = match[2] if match else text
    return text.startswith("~") and "/" in text


def _choices(part: Part, scope: Scope, tilde: bool) -> list[tuple[Piece, ...]]:
    """What one part may become."""
    match part:
        case Text(text, quoted):
            if tilde:
                text = _tilde(text, scope)
            return [((text, False, quoted),)]
        case Variable("@" | "*", quoted, "", _) if scope.positional is not None:
            return [_listed(scope.positional, quoted)]
        case Variable(name, quoted, "[", Word((Text("@" | "*"),))) if name in scope.arrays:
            return [_listed(scope.arrays[name] or (HOLE,), quoted)]
        case Variable():
            values = _operated(part, scope)
        case Output(script, _):
            values = set(scope.output(script))
        case Number():
            return [(("*", False, True),)]
        case Process():
            return [(("/dev/fd/63", False, True),)]
    quoted = part.quoted
    if scope.splits_oddly and not quoted:
        values = {HOLE}
    if len(values) > FEW:
        values = {HOLE}
    return [((value, not quoted, quoted),) for value in sorted(values)]


def _listed(fields: Fields, quoted: bool) -> tuple[Piece, ...]:
    """`"$@"` is as many fields as there are parameters: a newline that splits is put between them."""
    if not quoted:
        return ((" ".join(fields), True, False),)
    pieces: list[Piece] = []
    for number, text in enumerate(fields):
        pieces += [("\n", True, False)] if number else []
        pieces.append((text, False, True))
    return tuple(pieces)


def _operated(variable: Variable, scope: Scope) -> set[str]:
    """The values of `${name OPERATOR argument}`."""
    values = scope.of(variable.name)
    operator, argument = variable.operator, variable.argument
    if not operator:
        return values
    if operator == "length":
        return {"*"}
    if operator == "[":
        return values
    if operator == "!" or argument is None:
        return {HOLE}
    given = texts(argument, scope)
    if operator.startswith("@") or operator == "?" or operator == ":?":
        return values
    if operator.lstrip(":") in ("-", "="):
        if operator.endswith("="):
            scope.assign(variable.name, given)
        return values | given
    if operator.lstrip(":") == "+":
        return {"", *given}
    found: set[str] = set()
    for value in values:
        if HOLE in value:
            # A part of a name that is not known.
            found.add(HOLE)
        elif operator in ("#", "##", "%", "%%"):
            found |= {_trimmed(value, operator, pattern) for pattern in given}
        elif operator in ("^", "^^", ",", ",,"):
            changed = value.upper() if "^" in operator else value.lower()
            found |= {changed, changed[:1] + value[1:]}
        else:
            found |= _replaced(value, operator, argument, given)
    return found


def _trimmed(value: str, operator: str, pattern: str) -> str:
    if HOLE in pattern or len(value) > 300:
        return HOLE
    if operator[0] == "%" and _GLOB.search(value) and not _GLOB.search(pattern):
        return value.removesuffix(pattern)
    matches = re.compile(translate(pattern)).match
    cuts = range(len(value) + 1)
    if operator[0] == "#":
        lengths = [cut for cut in cuts if matches(value[:cut])]
        cut = (max if operator == "##" else min)(lengths, default=0)
        return value[cut:]
    lengths = [cut for cut in cuts if matches(value[cut:])]
    return value[: (min if operator == "%%" else max)(lengths, default=len(value))]


def _replaced(value: str, operator: str, argument: Word, given: set[str]) -> set[str]:
    """`${name/pattern/text}` and `${name:offset:length}`."""
    if operator == ":":
        numbers = re.fullmatch(r"\s*(\d+)(?:\s*:\s*(\d+))?\s*", argument.source)
        if not numbers:
            return {HOLE}
        start = int(numbers[1])
        return {value[start : start + int(numbers[2])] if numbers[2] else value[start:]}
    found: set[str] = set()
    for text in given:
        pattern, _, replacement = text.partition("/")
        if not pattern or _GLOB.search(pattern) or pattern[0] in "#%\\" or HOLE in text:
            return {HOLE}
        found.add(value.replace(pattern, replacement, -1 if operator == "//" else 1))
    return found


def _tilde(text: str, scope: Scope) -> str:
    if match := _ASSIGNED_TILDE.fullmatch(text):
        return match[1] + _tilde(match[2], scope)
    name, slash, rest = text.partition("/")
    if name == "~":
        return home() + slash + rest
    if name == "~+":
        return scope.directory() + slash + rest
    return f"/{name}{slash}{rest}" if name != "~-" else HOLE + slash + rest


Item = str | Part
_OTHER = (Variable, Output, Process, Number)


def _items(parts: tuple[Part, ...]) -> Iterator[Item]:
    """Unquoted characters that braces are made of one by one, everything else as it is."""
    for part in parts:
        if isinstance(part, Text) and not part.quoted and ("{" in part.text or "," in part.text or "}" in part.text):
            for piece in re.findall(r"[{},]|[^{},]+", part.text):
                yield piece if piece in "{}," else Text(piece)
        else:
            yield part


def _braces(items: list[Item]) -> list[tuple[Part, ...]]:
    """Brace expansion: the words that one word becomes."""
    if len(items) > 300:
        raise NotUnderstood("braces that stand for very many words")
    for start, item in enumerate(items):
        if item != "{":
            continue
        depth, commas, end = 0, list[int](), -1
        for at in range(start + 1, len(items)):
            if items[at] == "{":
                depth += 1
            elif items[at] == "}":
                if depth == 0:
                    end = at
                    break
                depth -= 1
            elif items[at] == "," and depth == 0:
                commas.append(at)
        if end < 0:
            continue
        choices = _brace_choices(items[start + 1 : end], [at - start - 1 for at in commas])
        if not choices:
            if any(
                "," in (each.text if isinstance(each, Text) else each)
                for each in items[end:]
                if not isinstance(each, _OTHER)
            ):
                raise NotUnderstood("braces that bash reads in a way of its own")
            continue
        expanded = [words for choice in choices for words in _braces([*items[:start], *choice, *items[end + 1 :]])]
        if len(expanded) > 64:
            raise NotUnderstood("braces that stand for very many words")
        return expanded
    return [tuple(Text(item) if isinstance(item, str) else item for item in items)]


def _brace_choices(inside: list[Item], commas: list[int]) -> list[list[Item]]:
    if commas:
        edges = [-1, *commas, len(inside)]
        return [inside[left + 1 : right] for left, right in pairwise(edges)]
    text = inside[0].text if len(inside) == 1 and isinstance(inside[0], Text) else ""
    match = _SEQUENCE.fullmatch(text)
    if not match:
        return []
    first, last = match[1], match[2]
    if first.lstrip("-").isdigit() and last.lstrip("-").isdigit():
        numbers = range(int(first), int(last) + 1) if int(first) <= int(last) else range(int(last), int(first) + 1)
        return [[Text(str(number))] for number in numbers] if len(numbers) <= FEW else [[Text("*")]]
    if first.isalpha() and last.isalpha():
        low, high = sorted((ord(first), ord(last)))
        return [[Text(chr(code), True)] for code in range(low, high + 1)] if high - low < FEW else [[Text("*")]]
    return []
