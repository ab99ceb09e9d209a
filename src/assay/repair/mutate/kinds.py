"""What kind of value a name or an expression holds, as far as its uses in one function tell."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

Kinds = frozenset[str]
UNKNOWN: Kinds = frozenset()
NUMBER, TEXT, LIST = frozenset({"num"}), frozenset({"str"}), frozenset({"list"})
DICT, SET, BOOL, CALL = frozenset({"dict"}), frozenset({"set"}), frozenset({"bool"}), frozenset({"call"})
TUPLE, NONE = frozenset({"tuple"}), frozenset({"none"})
SEQUENCE = LIST | TEXT | TUPLE
SIZED = SEQUENCE | DICT | SET

_ANNOTATED = {
    "int": NUMBER, "float": NUMBER, "complex": NUMBER, "str": TEXT, "bytes": TEXT, "bool": BOOL, "list": LIST,
    "List": LIST, "Sequence": SEQUENCE, "Iterable": SIZED, "Iterator": frozenset({"iter"}), "dict": DICT, "Dict": DICT,
    "Mapping": DICT, "set": SET, "Set": SET, "frozenset": SET, "tuple": TUPLE, "Tuple": TUPLE, "Callable": CALL,
    "deque": LIST,
}  # fmt: skip
_RESULTS = {
    "len": NUMBER, "int": NUMBER, "float": NUMBER, "abs": NUMBER, "sum": NUMBER, "ord": NUMBER, "round": NUMBER,
    "hash": NUMBER, "str": TEXT, "repr": TEXT, "chr": TEXT, "input": TEXT, "bin": TEXT, "hex": TEXT, "list": LIST,
    "sorted": LIST, "deque": LIST, "range": LIST, "dict": DICT, "defaultdict": DICT, "Counter": DICT, "set": SET,
    "frozenset": SET, "tuple": TUPLE, "bool": BOOL, "any": BOOL, "all": BOOL, "isinstance": BOOL, "callable": BOOL,
    "hasattr": BOOL, "pow": NUMBER,
}  # fmt: skip
_METHODS = {
    "append": LIST, "extend": LIST, "insert": LIST, "sort": LIST, "reverse": LIST, "popleft": LIST, "appendleft": LIST,
    "items": DICT, "keys": DICT, "values": DICT, "get": DICT, "setdefault": DICT, "update": DICT | SET, "add": SET,
    "discard": SET, "union": SET, "split": TEXT, "lower": TEXT, "upper": TEXT, "strip": TEXT, "join": TEXT,
    "startswith": TEXT, "endswith": TEXT, "isdigit": TEXT, "isalpha": TEXT, "isupper": TEXT, "islower": TEXT,
    "replace": TEXT, "format": TEXT, "lstrip": TEXT, "rstrip": TEXT, "swapcase": TEXT, "capitalize": TEXT,
    "encode": TEXT, "splitlines": TEXT, "isalnum": TEXT,
}  # fmt: skip
_METHOD_RESULTS = {
    "split": LIST, "splitlines": LIST, "rsplit": LIST, "lower": TEXT, "upper": TEXT, "strip": TEXT, "lstrip": TEXT,
    "rstrip": TEXT, "replace": TEXT, "join": TEXT, "format": TEXT, "swapcase": TEXT, "capitalize": TEXT, "title": TEXT,
    "startswith": BOOL, "endswith": BOOL, "isdigit": BOOL, "isalpha": BOOL, "isupper": BOOL, "islower": BOOL,
    "isalnum": BOOL, "isspace": BOOL, "count": NUMBER, "index": NUMBER, "find": NUMBER, "rfind": NUMBER, "keys": LIST,
    "values": LIST, "items": LIST,
}  # fmt: skip


class Roles:
    """Kinds of the names of one function, from annotations, assignments and uses."""

    def __init__(self, node: ast.AST) -> None:
        self._known: dict[str, Kinds] = {}
        self._own = getattr(node, "name", "")
        self._result: Kinds = UNKNOWN
        items = list(ast.walk(node))
        for _ in range(2):  # the second time sees what the first learnt
            for item in items:
                for name, kinds in self._learnt(item):
                    self._known[name] = self._known.get(name, UNKNOWN) | kinds
                if isinstance(item, ast.Return) and item.value is not None:
                    self._result |= self.of(item.value) - NONE

    def name(self, name: str) -> Kinds:
        return self._known.get(name, UNKNOWN)

    def of(self, node: ast.expr) -> Kinds:
        """Kinds of an expression; empty when nothing is known."""
        match node:
            case ast.Name(id=name):
                return self.name(name)
            case ast.Constant(value=value):
                return _constant(value)
            case ast.List() | ast.ListComp():
                return LIST
            case ast.Dict() | ast.DictComp():
                return DICT
            case ast.Set() | ast.SetComp():
                return SET
            case ast.Tuple():
                return TUPLE
            case ast.JoinedStr():
                return TEXT
            case ast.Compare():
                return BOOL
            case ast.UnaryOp(op=ast.Not()):
                return BOOL
            case ast.UnaryOp():
                return NUMBER
            case ast.BoolOp(values=values):
                return self.of(values[-1])
            case ast.IfExp(body=body, orelse=other):
                return self.of(body) or self.of(other)
            case ast.BinOp(left=left, op=op, right=right):
                known = self.of(left) or self.of(right)
                return (
                    known if isinstance(op, ast.Add | ast.Mult | ast.Mod | ast.BitOr | ast.BitAnd | ast.Sub) else NUMBER
                )
            case ast.Call(func=ast.Name(id=name)):
                return self._result if name == self._own else _RESULTS.get(name, UNKNOWN)
            case ast.Call(func=ast.Attribute(attr=name)):
                return _METHOD_RESULTS.get(name, UNKNOWN)
            case ast.Lambda():
                return CALL
            case ast.Subscript(value=value, slice=ast.Slice()):
                return self.of(value)
            case ast.Subscript(value=value):
                return TEXT if self.of(value) == TEXT else UNKNOWN
            case _:
                return UNKNOWN

    def _learnt(self, item: ast.AST) -> Iterator[tuple[str, Kinds]]:
        match item:
            case ast.arg(arg=name, annotation=note) if note is not None:
                yield name, _annotation(note)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=note):
                yield name, _annotation(note)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from self._bound(target, value)
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                yield name, self.of(value)
            case ast.For(target=target, iter=source) | ast.comprehension(target=target, iter=source):
                yield from self._looped(target, source)
            case ast.BinOp(left=left, op=op, right=right):
                if isinstance(op, ast.Sub | ast.Div | ast.FloorDiv | ast.Pow | ast.LShift | ast.RShift):
                    yield from _named((left, right), NUMBER)
                else:
                    yield from _named((left,), self.of(right) & (NUMBER | TEXT | LIST))
                    yield from _named((right,), self.of(left) & (NUMBER | TEXT | LIST))
            case ast.Compare(left=left, ops=ops, comparators=rights):
                for op, one, other in zip(ops, (left, *rights), rights, strict=False):
                    if not isinstance(op, ast.In | ast.NotIn | ast.Is | ast.IsNot):
                        yield from _named((one,), self.of(other))
                        yield from _named((other,), self.of(one))
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
                yield name, _METHODS.get(method, UNKNOWN)
            case ast.Call(func=ast.Name(id=name), args=args):
                yield name, CALL
                if name == "len":
                    yield from _named(args, frozenset({"sized"}))
                elif name in {"range", "abs", "chr"}:
                    yield from _named(args, NUMBER)
            case ast.Subscript(value=ast.Name(id=name), slice=index):
                yield name, frozenset({"sized"})
                if isinstance(index, ast.Slice):
                    yield from _named([part for part in (index.lower, index.upper) if part is not None], NUMBER)
            case _:
                return

    def _bound(self, target: ast.expr, value: ast.expr) -> Iterator[tuple[str, Kinds]]:
        match target, value:
            case ast.Name(id=name), _:
                yield name, self.of(value)
            case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
                for one, other in zip(targets, values, strict=True):
                    yield from self._bound(one, other)
            case _:
                return

    def _looped(self, target: ast.expr, source: ast.expr) -> Iterator[tuple[str, Kinds]]:
        match target, source:
            case ast.Name(id=name), ast.Call(func=ast.Name(id="range")):
                yield name, NUMBER
            case ast.Name(id=name), _ if self.of(source) == TEXT:
                yield name, TEXT
            case ast.Tuple(elts=[ast.Name(id=name), *_]), ast.Call(func=ast.Name(id="enumerate")):
                yield name, NUMBER
            case _:
                return


def fit(one: Kinds, other: Kinds) -> float:
    """How well a value of the kinds `one` may stand where `other` stood, 0 to 1."""
    if not one or not other:
        return 0.5
    if one & other:
        return 1.0
    if ("sized" in one and other & SIZED) or ("sized" in other and one & SIZED):
        return 0.9
    return 0.1


def _named(nodes: Sequence[ast.expr], kinds: Kinds) -> Iterator[tuple[str, Kinds]]:
    return ((node.id, kinds) for node in nodes if isinstance(node, ast.Name))


def _constant(value: object) -> Kinds:
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int | float | complex):
        return NUMBER
    if isinstance(value, str | bytes):
        return TEXT
    return NONE if value is None else UNKNOWN


def _annotation(node: ast.expr) -> Kinds:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _ANNOTATED.get(name, UNKNOWN)
        case ast.Subscript(value=value, slice=inner):
            name = value.id if isinstance(value, ast.Name) else ""
            return _annotation(inner) if name == "Optional" else _annotation(value)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _annotation(left) | _annotation(right)
        case _:
            return UNKNOWN
