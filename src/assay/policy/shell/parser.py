"""Parses a shell command line into commands (`syntax.py`), by the grammar of bash 5 (Bash Reference Manual, 3.2).

A parser that guesses would be worse than none: what it is not sure about raises `NotUnderstood`."""

from __future__ import annotations

import re

from assay.policy.shell.lexer import DEPTH, Lexer
from assay.policy.shell.syntax import (
    Assignment,
    Block,
    BlockKind,
    Node,
    NotUnderstood,
    Pipe,
    Redirect,
    Script,
    Simple,
    Text,
    Word,
)

LONGEST = 20_000
"""Characters; a longer line is not parsed."""

_RESERVED = re.compile(
    r"(?:if|then|elif|else|fi|do|done|case|esac|while|until|for|select|function|time|coproc|[{}!]|\[\[)(?=[\s;&|<>()]|$)"
)
_REDIRECT = re.compile(r"(\d+|\{[A-Za-z_]\w*\})?(<<<|<<-?|<>|<&|>>|>&|>\||<(?!\()|>(?!\())|()(&>>?)")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(?:\[[\w@*$-]*\])?(\+?)=", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_DECLARING = frozenset({"export", "declare", "typeset", "local", "readonly"})


def parse(line: str) -> tuple[Script, bool]:
    """The commands of `line`, and whether another shell than bash reads it otherwise. Raises `NotUnderstood`."""
    if len(line) > LONGEST:
        raise NotUnderstood("a line too long to judge")
    if "\0" in line or any(0xD800 <= ord(character) <= 0xDFFF for character in line):
        raise NotUnderstood("characters that no command can hold")
    parser = Parser(line)
    try:
        return parser.whole(), parser.bash_only
    except RecursionError:
        raise NotUnderstood("too deep a nesting") from None


def assignment_of(word: Word) -> Assignment | None:
    """`name=value` as an assignment."""
    first = word.parts[0] if word.parts else None
    if not isinstance(first, Text) or first.quoted:
        return None
    match = _ASSIGNMENT.match(first.text)
    if not match:
        return None
    rest = (Text(first.text[match.end() :]), *word.parts[1:])
    return Assignment(match[1], (Word(rest, word.source[match.end() :]),), "[" in match[0], bool(match[2]))


class Parser(Lexer):
    def whole(self) -> Script:
        script = self._list()
        if self.at < len(self.text) or self.awaited:
            raise NotUnderstood("a line that bash would not take")
        return script

    def script_until(self, closing: str) -> Script:
        script = self._list()
        self._take(closing)
        return script

    def script_of(self, text: str) -> Script:
        inner = Parser(text, self.depth + 1)
        script = inner.whole()
        self.bash_only |= inner.bash_only
        return script

    def _list(self, *ends: str) -> Script:
        """Commands up to one of the reserved words `ends`, a `)`, a `;;` or the end."""
        if self.depth >= DEPTH:
            raise NotUnderstood("too deep a nesting")
        self.depth += 1
        nodes: list[Node] = []
        self._newlines()
        while not self._ended(ends):
            nodes.append(self._pipeline())
            while self.peek(2) in ("&&", "||"):
                self.at += 2
                self._newlines()
                nodes.append(self._pipeline())
            if self.peek() in (";", "&") and self.peek(2) not in (";;", ";&"):
                self.at += 1
                self._newlines()
            elif self.peek() == "\n":
                self._newlines()
            else:
                break
        self.depth -= 1
        return tuple(nodes)

    def _ended(self, ends: tuple[str, ...]) -> bool:
        return self.peek() in ("", ")") or self.peek(2) in (";;", ";&") or bool(ends and self._reserved() in ends)

    def _newlines(self) -> None:
        self.blank()
        while self.peek() == "\n":
            self.at += 1
            if self.awaited:
                self.bodies()
            self.blank()

    def _reserved(self) -> str:
        match = _RESERVED.match(self.text, self.at)
        return match[0] if match else ""

    def _take(self, *wanted: str) -> str:
        """Passes over the one of `wanted`, reserved words or operators, that stands here."""
        self.blank()
        for text in wanted:
            if self._reserved() == text or (not text[0].isalpha() and self.text.startswith(text, self.at)):
                self.at += len(text)
                return text
        raise NotUnderstood(f"a line without the {wanted[0]} it needs")

    def _pipeline(self) -> Node:
        while (word := self._reserved()) in ("!", "time"):
            self.at += len(word)
            self.blank()
            if word == "time" and re.match(r"-p(?=\s)", self.text[self.at : self.at + 3]):
                self.at += 2
                self.blank()
            if self.peek() in ("", ";", "\n", "&", "|", ")"):
                return Simple()
        stages = [self._command()]
        self.blank()
        while self.peek() == "|" and self.peek(2) != "||":
            self.bash_only |= self.peek(2) == "|&"
            self.at += 2 if self.peek(2) == "|&" else 1
            self._newlines()
            stages.append(self._command())
            self.blank()
        return Pipe(tuple(stages)) if len(stages) > 1 else stages[0]

    def _command(self) -> Node:
        self.blank()
        word = self._reserved()
        if word in ("coproc", "function"):
            self.bash_only = True
            self.at += len(word)
            self.blank()
            return self._coprocess() if word == "coproc" else self._function()
        if block := self._compound(word):
            return self._redirected(block)
        if word:
            raise NotUnderstood(f"{word} where no command can begin with it")
        return self._simple()

    def _compound(self, word: str) -> Block | None:
        if self.peek(2) == "((" and (inner := self.arithmetic(self.at + 2)):
            self.bash_only = True
            return Block("arithmetic", words=(inner,))
        if self.peek() == "(":
            self.at += 1
            return Block("subshell", self._nested(self.script_until))
        if word not in ("{", "if", "while", "until", "for", "select", "case", "[["):
            return None
        self.at += len(word)
        match word:
            case "{":
                return Block("group", self._body("}"))
            case "if":
                return Block("branch", self._branches())
            case "while" | "until":
                return Block("loop", (*self._body("do"), *self._body("done")))
            case "case":
                return self._case()
            case "[[":
                return self._test()
            case _:
                return self._for()

    def _body(self, *ends: str) -> Script:
        body = self._list(*ends)
        if not body:
            raise NotUnderstood("a compound command without commands")
        self._take(*ends)
        return body

    def _branches(self) -> Script:
        nodes = list(self._body("then"))
        while True:
            nodes += self._list("elif", "else", "fi")
            match self._take("elif", "else", "fi"):
                case "elif":
                    nodes += self._body("then")
                case "else":
                    return (*nodes, *self._body("fi"))
                case _:
                    return tuple(nodes)

    def _for(self) -> Block:
        self.blank()
        if self.peek(2) == "((":
            if (inner := self._for_arithmetic()) is None:
                raise NotUnderstood("a loop head that is none")
            self.bash_only = True
            name, words = "", (inner,)
        else:
            match = _NAME.match(self.text, self.at)
            if not match:
                raise NotUnderstood("a loop over nothing")
            self.at, name, words = match.end(), match[0], None
            self._newlines()
            if re.match(r"in(?=[\s;])", self.text[self.at : self.at + 3]):
                self.at += 2
                words = self._words()
        self.blank()
        if self.peek() == ";":
            self.at += 1
        self._newlines()
        self._take("do")
        return Block("for", self._body("done"), name=name, words=words)

    def _for_arithmetic(self) -> Word | None:
        """`((a; b; c))`."""
        end = self.text.find("))", self.at)
        inside = self.text[self.at + 2 : end]
        if end < 0 or not re.fullmatch(r"[\w\s;=<>+*/%!&|,$-]*", inside, re.ASCII):
            return None
        self.at = end + 2
        return self._expanded(inside)

    def _words(self) -> tuple[Word, ...]:
        found: list[Word] = []
        while True:
            self.blank()
            word = self.word()
            if word is None:
                return tuple(found)
            found.append(word)

    def _case(self) -> Block:
        self.blank()
        subject, nodes = self.word(), list[Node]()
        self._newlines()
        if subject is None or not re.match(r"in(?=\s)", self.text[self.at : self.at + 3]):
            raise NotUnderstood("a case that is none")
        self.at += 2
        words = [subject]
        while True:
            self._newlines()
            if self._reserved() == "esac":
                self.at += 4
                return Block("branch", tuple(nodes), words=tuple(words))
            if self.peek() == "(":
                self.at += 1
            while True:
                pattern = self._words()
                if len(pattern) != 1:
                    raise NotUnderstood("a case that is none")
                words += pattern
                if self._take("|", ")") == ")":
                    break
            nodes += self._list("esac")
            if self.peek(3) == ";;&":
                self.at += 3
            elif self.peek(2) in (";;", ";&"):
                self.at += 2
            elif self._reserved() != "esac":
                raise NotUnderstood("a case that is none")

    def _test(self) -> Block:
        """`[[ … ]]`: which expansions take place in it; whether it would be true is of no concern here."""
        self.bash_only = True
        words: list[Word] = []
        while True:
            self._newlines()
            if re.match(r"\]\](?=[\s;&|<>()]|$)", self.text[self.at : self.at + 3]):
                self.at += 2
                return Block("test", words=tuple(words))
            word = self.word()
            if word is not None:
                words.append(word)
            elif self.peek() and self.peek() in "()&|<>":
                self.at += 1
            else:
                raise NotUnderstood("an unclosed test")

    def _function(self) -> Block:
        name = self.word()
        self.blank()
        if name is None or not re.fullmatch(r"[^\s'\"\\$`]+", name.source):
            raise NotUnderstood("a function without a plain name")
        if self.peek() == "(":
            self.at += 1
            self._take(")")
        return self._defined(name.source)

    def _defined(self, name: str) -> Block:
        self._newlines()
        block = self._compound(self._reserved())
        if block is None:
            raise NotUnderstood("a function without a body")
        return Block("function", (self._redirected(block),), name=name)

    def _coprocess(self) -> Node:
        if match := re.compile(r"[A-Za-z_]\w*[ \t]+(?=[({]|\[\[|(?:if|while|until|for|case)\b)").match(
            self.text, self.at
        ):
            self.at = match.end()
        return self._command()

    def _redirected(self, block: Block) -> Block:
        redirects: list[Redirect] = []
        self.blank()
        while redirect := self._redirect():
            redirects.append(redirect)
            self.blank()
        kind: BlockKind = block.kind
        return Block(kind, block.body, tuple(redirects), block.name, block.words) if redirects else block

    def _redirect(self) -> Redirect | None:
        match = _REDIRECT.match(self.text, self.at)
        if not match:
            return None
        self.at = match.end()
        operator = match[2] or match[4]
        self.bash_only |= operator in ("<<<", "&>", "&>>", ">&")
        self.blank()
        target = self.word()
        if target is None:
            raise NotUnderstood("a redirection to nowhere")
        redirect = Redirect(operator.removesuffix("-"), target, match[1] or "")
        if redirect.operator == "<<":
            if not all(isinstance(part, Text) for part in target.parts):
                raise NotUnderstood("a here-document without a plain end")
            end = "".join(part.text for part in target.parts if isinstance(part, Text))
            literal = any(character in target.source for character in "'\"\\")
            self.awaited.append((end, literal, operator == "<<-", lambda body: setattr(redirect, "target", body)))
        return redirect

    def _simple(self) -> Node:
        start = self.at
        assignments: list[Assignment] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            self.blank()
            if redirect := self._redirect():
                redirects.append(redirect)
                continue
            word = self.word()
            if word is None:
                break
            assignment = assignment_of(word) if not words or words[0].source in _DECLARING else None
            if assignment and self.peek() == "(" and word.source.endswith("="):
                assignments.append(self._array(assignment))
            elif assignment and not words:
                assignments.append(assignment)
            else:
                words.append(word)
            if len(words) == 1 and not assignments and not redirects and self._is_definition():
                return self._function_at(word)
        if not (assignments or words or redirects):
            raise NotUnderstood("no command where one is needed")
        if words and _RESERVED.fullmatch(_literal(words[0])):
            raise NotUnderstood("a reserved word in disguise")
        return Simple(tuple(assignments), tuple(words), tuple(redirects), self.text[start : self.at].strip())

    def _is_definition(self) -> bool:
        self.blank()
        return self.peek() == "("

    def _function_at(self, name: Word) -> Block:
        if not re.fullmatch(r"[^\s'\"\\$`=]+", name.source):
            raise NotUnderstood("a function without a plain name")
        self.at += 1
        self._take(")")
        return self._defined(name.source)

    def _array(self, assignment: Assignment) -> Assignment:
        self.bash_only = True
        self.at += 1
        words: list[Word] = []
        while True:
            self._newlines()
            if self.peek() == ")":
                self.at += 1
                return Assignment(assignment.name, tuple(words), True, assignment.append)
            word = self.word()
            if word is None:
                raise NotUnderstood("an array that is none")
            words.append(word)


def _literal(word: Word) -> str:
    """What an unquoted word says when nothing in it is expanded, or empty."""
    texts = [part.text for part in word.parts if isinstance(part, Text) and not part.quoted]
    return "".join(texts) if len(texts) == len(word.parts) else ""
