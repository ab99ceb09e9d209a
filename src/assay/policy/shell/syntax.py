"""What a parsed shell line is made of. `parts` of a word stand in order; `quoted` ones are not split or expanded."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct


class Text(Struct, frozen=True):
    text: str
    quoted: bool = False


class Variable(Struct, frozen=True):
    """`$name`, `${name}` or `${name OPERATOR argument}`; `!` as operator is indirection, `[` a subscript."""

    name: str
    quoted: bool = False
    operator: str = ""
    argument: Word | None = None


class Output(Struct, frozen=True):
    """`$(…)` or backquotes."""

    script: Script
    quoted: bool = False


class Process(Struct, frozen=True):
    """`<(…)` or `>(…)`."""

    script: Script


class Number(Struct, frozen=True):
    """`$((…))`: what is expanded within it."""

    inner: Word


Part: TypeAlias = Text | Variable | Output | Process | Number


class Word(Struct, frozen=True):
    parts: tuple[Part, ...] = ()
    source: str = ""


class Assignment(Struct, frozen=True):
    name: str
    values: tuple[Word, ...]
    array: bool = False
    append: bool = False


class Redirect(Struct):
    """Filled in late when it is a here-document: its body comes after the line."""

    operator: str
    """Without the descriptor: `>`, `>>`, `>|`, `<`, `<>`, `>&`, `<&`, `&>`, `&>>`, `<<`, `<<<`."""
    target: Word
    """For `<<` the body."""
    descriptor: str = ""


class Simple(Struct, frozen=True):
    assignments: tuple[Assignment, ...] = ()
    words: tuple[Word, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    source: str = ""


class Pipe(Struct, frozen=True):
    stages: tuple[Node, ...]


BlockKind = Literal["subshell", "group", "loop", "for", "branch", "function", "test", "arithmetic"]


class Block(Struct, frozen=True):
    kind: BlockKind
    body: tuple[Node, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    name: str = ""
    """The variable of a `for`, the name of a function."""
    words: tuple[Word, ...] | None = None
    """What a `for` goes over (None: the positional parameters), a `case` looks at, a test or arithmetic expands."""


Node: TypeAlias = Simple | Pipe | Block
Script: TypeAlias = tuple[Node, ...]


class NotUnderstood(Exception):
    """The line is no shell that this parser is sure about."""
