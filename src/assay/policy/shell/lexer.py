"""Reads the words of a shell line: quoting, expansions and here-documents as bash 5 does them (Bash Reference Manual,
3.1.2 Quoting and 3.5 Shell Expansions). Whatever it is not sure about raises `NotUnderstood`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable

from assay.policy.shell.syntax import NotUnderstood, Number, Output, Part, Process, Script, Text, Variable, Word

MetaCharacters = " \t\n;&|<>()"
DEPTH = 40
"""How deep expansions and commands may nest."""

_PLAIN = re.compile(r"[^\s;&|<>()'\"\\$`]+")
_IN_DOUBLE = re.compile(r'[^"\\$`]+')
_IN_BODY = re.compile(r"[^\\$`]+")
_NAME = re.compile(r"[A-Za-z_]\w*|[0-9]|[@*#?$!-]", re.ASCII)
_BRACED_NAME = re.compile(r"[A-Za-z_]\w*|[0-9]+|[@*#?$!-]", re.ASCII)
_OPERATOR = re.compile(r":[-=?+]|[-=?+]|##?|%%?|//?|\^\^?|,,?|:|@[QEPAKaukUL](?=\})")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\033", "E": "\033", "f": "\f", "v": "\v"}
_ANSI_C = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|c(.)|(.))", re.DOTALL
)


class Lexer(ABC):
    """Holds the text, the place in it, and the here-documents whose bodies are still to come."""

    def __init__(self, text: str, depth: int = 0) -> None:
        self.text = text
        self.at = 0
        self.depth: int = depth
        self.bash_only = False
        """The line says something that another shell reads otherwise."""
        self.awaited: list[tuple[str, bool, bool, Callable[[Word], None]]] = []
        """Here-documents: delimiter, literal body, tabs stripped, what takes the body."""

    @abstractmethod
    def script_until(self, closing: str) -> Script:
        """Commands up to `closing` (`)`), which is passed over. The parser's part."""

    @abstractmethod
    def script_of(self, text: str) -> Script:
        """Commands of another text: what backquotes hold. The parser's part."""

    def peek(self, length: int = 1) -> str:
        return self.text[self.at : self.at + length]

    def blank(self) -> None:
        """Passes over blanks, escaped newlines and a comment."""
        text = self.text
        while True:
            if self.peek() in (" ", "\t"):
                self.at += 1
            elif text.startswith("\\\n", self.at):
                self.at += 2
            else:
                break
        if self.peek() == "#":
            end = text.find("\n", self.at)
            self.at = len(text) if end < 0 else end

    def word(self) -> Word | None:
        """The word that begins here, or None at the end or at an operator."""
        start, parts = self.at, list[Part]()
        text = self.text
        while self.at < len(text):
            character = text[self.at]
            if character in "<>" and text.startswith("(", self.at + 1):
                self.bash_only = True
                self.at += 2
                parts.append(Process(self._nested(self.script_until)))
            elif character in MetaCharacters:
                break
            else:
                self._part(character, parts)
        return Word(tuple(parts), text[start : self.at]) if self.at > start else None

    def _part(self, character: str, parts: list[Part]) -> None:
        """One part of an unquoted word."""
        text = self.text
        if character == "'":
            parts.append(self._single())
        elif character == '"':
            self.at += 1
            self._until('"', _IN_DOUBLE, parts)
        elif character == "\\":
            if text.startswith("\n", self.at + 1):
                self.at += 2
                return
            escaped = text[self.at + 1 : self.at + 2]
            if not escaped:
                raise NotUnderstood("a line that ends in a backslash")
            parts.append(Text(escaped, True))
            self.at += 2
        elif character in "$`":
            parts.append(self._expansion(quoted=False))
        elif plain := _PLAIN.match(text, self.at):
            parts.append(Text(plain[0]))
            self.at = plain.end()
        elif character.isascii() and character not in "\0":
            # Carriage returns and the like mean nothing to the shell: they are part of the word.
            parts.append(Text(character, True))
            self.at += 1
        else:
            raise NotUnderstood("a blank that only looks like one")

    def _single(self) -> Text:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise NotUnderstood("an unclosed quote")
        part = Text(self.text[self.at + 1 : end], True)
        self.at = end + 1
        return part

    def _until(self, closing: str, plain: re.Pattern[str], parts: list[Part]) -> None:
        """What stands within double quotes or in a here-document, up to `closing` (empty: the end of the text)."""
        text, escapable = self.text, '$`\\"\n' if closing else "$`\\\n"
        parts.append(Text("", True))
        while self.at < len(text):
            character = text[self.at]
            if closing and character == closing:
                self.at += 1
                return
            if character == "\\":
                escaped = text[self.at + 1 : self.at + 2]
                if escaped != "\n":
                    parts.append(Text(escaped if escaped and escaped in escapable else f"\\{escaped}", True))
                self.at += 2
            elif character in "$`":
                parts.append(self._expansion(quoted=True))
            else:
                match = plain.match(text, self.at)
                assert match is not None, "what is not special is plain"
                parts.append(Text(match[0], True))
                self.at = match.end()
        if closing:
            raise NotUnderstood("an unclosed quote")

    def _expansion(self, *, quoted: bool) -> Part:
        text = self.text
        if text[self.at] == "`":
            return self._backquotes(quoted)
        if text.startswith("$((", self.at):
            inner = self.arithmetic(self.at + 3)
            if inner is not None:
                return Number(inner)
        if text.startswith("$(", self.at):
            self.at += 2
            return Output(self._nested(self.script_until), quoted)
        if text.startswith("${", self.at):
            return self._braced(quoted)
        if not quoted and text.startswith("$'", self.at):
            return self._ansi_c()
        if not quoted and text.startswith('$"', self.at):
            # A translated string: but for the translation, a quoted one.
            self.bash_only = True
            self.at += 1
            return Text("", True)
        if text.startswith("$[", self.at):
            raise NotUnderstood("an old form of arithmetic")
        name = _NAME.match(text, self.at + 1)
        if text.startswith("\\\n", name.end() if name else self.at + 1):
            raise NotUnderstood("a name that goes on in the next line")
        if name:
            self.at = name.end()
            return Variable(name[0], quoted)
        self.at += 1
        return Text("$", True)

    def _nested(self, read: Callable[[str], Script]) -> Script:
        if self.depth >= DEPTH:
            raise NotUnderstood("too deep a nesting")
        if self.awaited:
            raise NotUnderstood("a command within a line that a here-document belongs to")
        self.depth += 1
        try:
            return read(")")
        finally:
            self.depth -= 1

    def _backquotes(self, quoted: bool) -> Output:
        end = re.compile(r"(?:[^`\\]|\\.)*`", re.DOTALL).match(self.text, self.at + 1)
        if not end or self.depth >= DEPTH:
            raise NotUnderstood("an unclosed backquote" if not end else "too deep a nesting")
        escaped = r'\\([`\\$"])' if quoted else r"\\([`\\$])"
        inner = re.sub(escaped, r"\1", self.text[self.at + 1 : end.end() - 1])
        self.at = end.end()
        return Output(self.script_of(inner), quoted)

    def arithmetic(self, start: int) -> Word | None:
        """What stands from `start` to the `))` that closes it, passed over; None when this is no arithmetic."""
        depth, at, text = 0, start, self.text
        while at < len(text):
            if text[at] == "(":
                depth += 1
            elif text[at] == ")":
                if depth == 0:
                    break
                depth -= 1
            elif text[at] in "'\"\\`;{":
                if text[at] == "{" and text[at - 1] == "$":
                    at += 1
                    continue
                return None
            at += 1
        if not text.startswith("))", at):
            return None
        self.at = at + 2
        return self._expanded(text[start:at])

    def _expanded(self, text: str) -> Word:
        """A text in which only expansions are special: arithmetic, a here-document's body."""
        if self.depth >= DEPTH:
            raise NotUnderstood("too deep a nesting")
        inner = type(self)(text, self.depth + 1)
        parts: list[Part] = []
        inner._until("", _IN_BODY, parts)
        self.bash_only |= inner.bash_only
        return Word(tuple(parts), text)

    def _braced(self, quoted: bool) -> Variable:
        text = self.text
        self.at += 2
        prefix = ""
        if text[self.at : self.at + 1] in ("!", "#") and _BRACED_NAME.match(text, self.at + 1):
            prefix = text[self.at]
            self.at += 1
        name = _BRACED_NAME.match(text, self.at)
        if not name:
            raise NotUnderstood("an expansion that is none")
        self.at = name.end()
        subscript: list[Part] = []
        if self.peek() == "[":
            end = text.find("]", self.at)
            inside = text[self.at + 1 : end]
            if end < 0 or not re.fullmatch(r"[\w@*$#+-]+", inside, re.ASCII):
                raise NotUnderstood("a subscript")
            self.at = end + 1
            subscript.append(Text(inside))
        operator, argument = "", None
        if self.peek() != "}":
            found = _OPERATOR.match(text, self.at)
            if not found:
                raise NotUnderstood("an expansion that is none")
            operator, self.at = found[0], found.end()
            argument = self._argument(quoted and operator[-1] in "-=?+")
        self.at += 1
        if operator.startswith("@P"):
            raise NotUnderstood("an expansion that runs what a variable holds")
        if prefix or subscript:
            # Which value is meant is not worked out; a length is a number.
            operator = {"!": "!", "#": "length", "": "["}[prefix]
            argument = Word(tuple(subscript)) if subscript else argument
        return Variable(name[0], quoted, operator, argument)

    def _argument(self, literal_quotes: bool) -> Word:
        """Up to the `}` that closes an expansion; stays before it."""
        start, parts, text = self.at, list[Part](), self.text
        while self.at < len(text):
            character = text[self.at]
            if character == "}":
                return Word(tuple(parts), text[start : self.at])
            if character in " \t\n;&|<>()" or (character == "'" and literal_quotes):
                parts.append(Text(character, True))
                self.at += 1
            elif plain := re.compile(r"[^\s;&|<>()'\"\\$`}]+").match(text, self.at):
                parts.append(Text(plain[0]))
                self.at = plain.end()
            else:
                self._part(character, parts)
        raise NotUnderstood("an unclosed expansion")

    def _ansi_c(self) -> Text:
        end = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL).match(self.text, self.at)
        if not end:
            raise NotUnderstood("an unclosed quote")
        self.at, self.bash_only = end.end(), True
        return Text(unescaped(end[1]), True)

    def bodies(self) -> None:
        """Reads the here-documents that the line before this newline asked for."""
        awaited, self.awaited = self.awaited, []
        for delimiter, literal, strip, take in awaited:
            lines: list[str] = []
            joined = False
            while True:
                if self.at >= len(self.text):
                    raise NotUnderstood("an unclosed here-document")
                end = self.text.find("\n", self.at)
                end = len(self.text) if end < 0 else end
                line = self.text[self.at : end]
                self.at = end + 1
                line = line.lstrip("\t") if strip else line
                if line == delimiter and not joined:
                    break
                lines.append(line)
                joined = not literal and (len(line) - len(line.rstrip("\\"))) % 2 == 1
            self.at = min(self.at, len(self.text))
            body = "".join(f"{line}\n" for line in lines)
            take(Word((Text(body, True),), body) if literal else self._expanded(body))


def unescaped(text: str) -> str:
    """`text` with its escapes as `$'…'` reads them. Raises `NotUnderstood` for what is no character."""
    decoded = _ANSI_C.sub(_decoded, text)
    if "\0" in decoded:
        raise NotUnderstood("a null byte")
    return decoded


def _decoded(match: re.Match[str]) -> str:
    octal, byte, short, long, control, other = match.groups()
    if control is not None:
        return chr(ord(control) & 0x1F)
    if other is not None:
        return _ESCAPES.get(other, other if other in "\\'\"?" else f"\\{other}")
    code = int(octal, 8) & 0xFF if octal else int(byte or short or long, 16)
    if (octal or byte) and code > 127:
        raise NotUnderstood("a byte that is no character")
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise NotUnderstood("a code that is no character")
    return chr(code)
