"""One function as a place for changes: its nodes with their surroundings, what is in scope, and edits that fit in."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import cast

from assay.repair.mutate.change import Change
from assay.repair.mutate.clues import Clues
from assay.repair.mutate.kinds import Kinds, Roles
from assay.repair.mutate.text import Source
from assay.repair.source import Function, docstring, first_line

Owner = Function | ast.Module
ATOM = 15
LONGEST = 400
"""Characters of an expression whose outermost operator is looked for; a longer one goes into parentheses."""
_LEVELS: dict[type[ast.AST], int] = {
    ast.Or: 2, ast.And: 3, ast.BitOr: 6, ast.BitXor: 7, ast.BitAnd: 8, ast.LShift: 9, ast.RShift: 9, ast.Add: 10,
    ast.Sub: 10, ast.Mult: 11, ast.Div: 11, ast.FloorDiv: 11, ast.Mod: 11, ast.MatMult: 11, ast.Pow: 13,
}  # fmt: skip


class Site:
    """`body` of `owner`, without a docstring. Everything is in source order."""

    def __init__(self, source: Source, owner: Owner, body: list[ast.stmt], clues: Clues) -> None:
        self.source, self.owner, self.body, self.clues = source, owner, body, clues
        self.roles = Roles(owner)
        self.statements: list[ast.stmt] = []
        self.values: list[ast.expr] = []
        """Expressions that are read, and may be replaced."""
        self.targets: list[ast.expr] = []
        """Names, attributes and subscripts that are assigned to."""
        self._parents: dict[ast.AST, ast.AST] = {}
        self._statement: dict[ast.AST, ast.stmt] = {}
        self._block: dict[ast.stmt, tuple[list[ast.stmt], int]] = {}
        self._levels: dict[str, int] = {}
        self._kinds: dict[ast.expr, Kinds] = {}
        self.conditions: dict[tuple[str, ...], list[tuple[str, float]]] = {}
        """What `conditions` made for a scope."""
        for statement in self._enter(body):
            self._parents[statement] = owner
        if isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef):
            for default in [*owner.args.defaults, *(item for item in owner.args.kw_defaults if item is not None)]:
                self._visit(default, owner, body[0] if body else owner)

    def _enter(self, block: list[ast.stmt]) -> Iterator[ast.stmt]:
        for number, statement in enumerate(block):
            self._block[statement] = block, number
            self._visit_statement(statement)
            yield statement

    def _visit_statement(self, statement: ast.stmt) -> None:
        self.statements.append(statement)
        self._statement[statement] = statement
        for name, field in ast.iter_fields(statement):
            if name in {"annotation", "returns", "decorator_list", "type_params", "pattern", "bases", "keywords"}:
                continue
            if name == "args" and isinstance(field, ast.arguments):
                continue
            for child in _listed(field):
                if isinstance(child, ast.stmt):
                    if child not in self._block:
                        for entered in self._enter(cast("list[ast.stmt]", field)):
                            self._parents[entered] = statement
                else:
                    self._visit(child, statement, statement)

    def _visit(self, node: ast.AST, parent: ast.AST, statement: ast.AST) -> None:
        self._parents[node] = parent
        if isinstance(statement, ast.stmt):
            self._statement[node] = statement
        if isinstance(node, ast.expr):
            if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
                self.targets.append(node)
            elif not isinstance(node, ast.Starred | ast.FormattedValue | ast.Slice):
                self.values.append(node)
        if isinstance(node, ast.ExceptHandler | ast.match_case):
            for entered in self._enter(node.body):
                self._parents[entered] = node
        for child in self._children(node):
            self._visit(child, node, statement)

    def _children(self, node: ast.AST) -> Iterator[ast.AST]:
        """What may be changed in `node`: in an f-string only what the parser gave true positions."""
        if isinstance(node, ast.arguments | ast.arg | ast.pattern):
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                continue
            if isinstance(node, ast.JoinedStr) and not isinstance(child, ast.FormattedValue):
                continue
            if isinstance(node, ast.FormattedValue) and (child is not node.value or not self._true(node.value)):
                continue
            yield child

    def _true(self, node: ast.expr) -> bool:
        try:
            found = ast.parse(self.source.of(node), mode="eval").body
        except (SyntaxError, ValueError, IndexError):
            return False
        return ast.dump(found) == ast.dump(node)

    # Surroundings

    def parent(self, node: ast.AST) -> ast.AST:
        return self._parents.get(node, self.owner)

    def statement(self, node: ast.AST) -> ast.stmt | None:
        return self._statement.get(node)

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """Its ancestors below the owner, nearest first."""
        while (node := self.parent(node)) is not self.owner:
            yield node

    def block(self, statement: ast.stmt) -> tuple[list[ast.stmt], int]:
        """The block that it is in, and its number there."""
        return self._block[statement]

    def looped(self, statement: ast.AST) -> ast.stmt | None:
        """The loop around it in the same function."""
        for node in self.above(statement):
            if isinstance(node, ast.For | ast.While | ast.AsyncFor):
                return node
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
                return None
        return None

    @cached_property
    def params(self) -> list[str]:
        return parameters(self.owner) if not isinstance(self.owner, ast.Module) else []

    @cached_property
    def bound(self) -> list[str]:
        """Parameters and names that statements of the body bind; those of comprehensions not."""
        found = dict.fromkeys(self.params)
        for target in self.targets:
            if isinstance(target, ast.Name) and not any(
                isinstance(node, ast.comprehension) for node in self.above(target)
            ):
                found[target.id] = None
        return list(found)

    @cached_property
    def helpers(self) -> dict[str, int]:
        """Functions that this one defines inside -> how many arguments they need."""
        return {
            item.name: len(parameters(item)) - len(item.args.defaults)
            for item in self.statements
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    @cached_property
    def unread(self) -> frozenset[str]:
        """Bound names that nothing reads: likely forgotten somewhere."""
        read = {
            item.id for item in ast.walk(self.owner) if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load)
        }
        return frozenset(self.bound) - read - {"self", "cls", "_"}

    def scope(self, node: ast.AST) -> list[str]:
        """Variables that may be read at `node`, nearest first where that is known."""
        inner: dict[str, None] = {}
        for item in (node, *self.above(node)):
            generators = getattr(item, "generators", None)
            for comprehension in generators or ():
                inner |= dict.fromkeys(_stored(comprehension.target))
            if isinstance(item, ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef):
                inner |= dict.fromkeys(parameters(item))
        return list(inner | dict.fromkeys(self.bound))

    def kinds(self, node: ast.expr) -> Kinds:
        if node not in self._kinds:
            self._kinds[node] = self.roles.of(node)
        return self._kinds[node]

    # Changes

    def put(self, node: ast.expr, text: str, weight: float = 1.0) -> Change:
        """`node` replaced, in parentheses where its surroundings ask for them."""
        start, end = self.source.span(node)
        return Change(((start, end, self.fitted(node, text)),), node.lineno, weight)

    def fitted(self, node: ast.expr, text: str) -> str:
        wanted = self._wanted(node)
        if wanted and self.level(text) < wanted and not self._enclosed(node):
            return f"({text})"
        return text

    def _enclosed(self, node: ast.expr) -> bool:
        start, end = self.source.span(node)
        text = self.source.text
        before, after = text[max(0, start - 40) : start].rstrip(), text[end : end + 40].lstrip()
        parent = self.parent(node)
        if isinstance(parent, ast.Call) and node is parent.func:
            return False
        return before.endswith("(") and after.startswith(")")

    def level(self, text: str) -> int:
        """How tightly the outermost operator of an expression binds; 15 is a name, a call, a literal, 0 is unknown."""
        if len(text) > LONGEST:
            return 0
        if text not in self._levels:
            try:
                self._levels[text] = _level(ast.parse(text.strip(), mode="eval").body)
            except (SyntaxError, ValueError, RecursionError):
                self._levels[text] = 0
        return self._levels[text]

    def tight(self, node: ast.expr, least: int) -> str:
        """The text of `node` as an operand of something that binds at `least`."""
        text = self.source.of(node)
        return text if _level(node) >= least and "\n" not in text else f"({text})"

    def _wanted(self, node: ast.expr) -> int:
        match self.parent(node):
            case ast.BinOp(op=ast.Pow()) as parent:
                return 14 if node is parent.left else 12
            case ast.BinOp(op=op) as parent:
                return _LEVELS[type(op)] + (node is not parent.left)
            case ast.BoolOp(op=op):
                return _LEVELS[type(op)] + 1
            case ast.UnaryOp(op=op):
                return 4 if isinstance(op, ast.Not) else 12
            case ast.Compare() | ast.Starred():
                return 6
            case ast.Attribute() | ast.Await():
                return ATOM
            case ast.Subscript() as parent if node is parent.value:
                return ATOM
            case ast.Call() as parent if node is parent.func:
                return ATOM
            case ast.IfExp() as parent:
                return 1 if node is parent.orelse else 2
            case ast.comprehension():
                return 2
            case _:
                return 0

    def before(self, statement: ast.stmt, lines: Sequence[str], weight: float = 1.0) -> Change | None:
        """New lines in front of a statement, in its indentation; None where no line can stand there."""
        if not self.source.alone(statement) or self.is_elif(statement):
            return None
        at = self.source.start_of(first_line(statement))
        at += int(at == 0 and self.source.text.startswith("\ufeff"))
        return Change(((at, at, self._lines(statement, lines)),), first_line(statement), weight)

    def after(self, statement: ast.stmt, lines: Sequence[str], weight: float = 1.0) -> Change | None:
        """New lines behind a statement."""
        if not self.source.alone(statement) or self.is_elif(statement):
            return None
        last = statement.end_lineno or statement.lineno
        at = self.source.start_of(last + 1)
        text = self._lines(statement, lines)
        if at == len(self.source.text) and not self.source.text.endswith(("\n", "\r")):
            text = self.source.newline + text.removesuffix(self.source.newline)
        return Change(((at, at, text),), last, weight)

    def _lines(self, statement: ast.stmt, lines: Sequence[str]) -> str:
        margin = self.source.indent(statement)
        return "".join(f"{margin}{line}{self.source.newline}" for line in lines)

    def whole(self, statement: ast.stmt) -> tuple[int, int]:
        """Its lines with their ends."""
        return self.source.start_of(first_line(statement)), self.source.start_of((statement.end_lineno or 0) + 1)

    def without(self, statement: ast.stmt, weight: float = 1.0) -> Change:
        """The statement gone; `pass` where a block would be left empty or its line holds more."""
        block, _ = self.block(statement)
        start, end = self.source.span(statement)
        if self.is_elif(statement):
            return Change(
                ((self.source.start_of(statement.lineno), self.whole(statement)[1], ""),), statement.lineno, weight
            )
        if len(block) == 1 or not self.source.alone(statement):
            decorated = (
                self.source.start_of(first_line(statement)) if first_line(statement) != statement.lineno else start
            )
            margin = self.source.indent(statement) if decorated != start else ""
            return Change(((decorated, end, margin + "pass"),), first_line(statement), weight)
        return Change(((*self.whole(statement), ""),), first_line(statement), weight)

    def is_elif(self, statement: ast.stmt) -> bool:
        return isinstance(statement, ast.If) and self.source.text.startswith("elif", self.source.span(statement)[0])

    @cached_property
    def unit(self) -> str:
        """One step of indentation, as the place does it."""
        for item in self.statements:
            inner = [child for child in _listed(getattr(item, "body", None)) if isinstance(child, ast.stmt)]
            if inner and self.source.alone(inner[0]):
                deep, here = self.source.indent(inner[0]), self.source.indent(item)
                if deep.startswith(here) and deep != here:
                    return deep[len(here) :]
        if not isinstance(self.owner, ast.Module) and self.body:
            deep, here = self.source.indent(self.body[0]), self.source.indent(self.owner)
            if deep.startswith(here) and deep != here:
                return deep[len(here) :]
        return "    "


def parameters(node: Function | ast.Lambda) -> list[str]:
    """Names of all parameters, in order."""
    args = node.args
    found = [*args.posonlyargs, *args.args, *([args.vararg] if args.vararg else []), *args.kwonlyargs]
    return [item.arg for item in (*found, *([args.kwarg] if args.kwarg else []))]


def body_of(node: Function) -> list[ast.stmt]:
    return node.body[1:] if docstring(node) is not None else node.body


def _level(node: ast.expr) -> int:
    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op):
            return _LEVELS[type(op)]
        case ast.UnaryOp(op=op):
            return 4 if isinstance(op, ast.Not) else 12
        case ast.Compare():
            return 5
        case ast.IfExp() | ast.Lambda():
            return 1
        case ast.Await():
            return 14
        case ast.NamedExpr() | ast.Yield() | ast.YieldFrom() | ast.Starred():
            return 0
        case _:
            return ATOM


def _listed(field: object) -> list[ast.AST]:
    items = cast("list[object]", field) if isinstance(field, list) else [field]
    return [item for item in items if isinstance(item, ast.AST)]


def _stored(target: ast.expr) -> list[str]:
    return [item.id for item in ast.walk(target) if isinstance(item, ast.Name)]
