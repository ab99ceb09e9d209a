"""Other languages, read by tree-sitter's grammars: the extra `grammars`.

One query a language says which nodes are symbols: `@function` or `@type` is the whole of it, `@name` its name, `@body`
what its signature ends before, and `@owner` the type that it belongs to where it does not lie inside of it.
"""

from __future__ import annotations

import re
import warnings
from functools import cache
from typing import TYPE_CHECKING, cast

from assay.repair.outline.symbols import MOST_SYMBOLS, NO_OWNER, Kind, Symbol, one_line

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Query

_VALUE = "[(arrow_function body: (_) @body) (function_expression body: (_) @body)]"
_SCRIPT = f"""
(function_declaration name: (_) @name body: (_) @body) @function
(generator_function_declaration name: (_) @name body: (_) @body) @function
(method_definition name: (_) @name body: (_) @body) @function
(variable_declarator name: (identifier) @name value: {_VALUE}) @function
(assignment_expression left: (identifier) @name right: {_VALUE}) @function
(assignment_expression left: (member_expression object: (_) @owner property: (_) @name) right: {_VALUE}) @function
(pair key: (_) @name value: {_VALUE}) @function
(class_declaration name: (_) @name body: (_) @body) @type
"""
_TYPED = f"""{_SCRIPT}
(public_field_definition name: (_) @name value: {_VALUE}) @function
(abstract_class_declaration name: (_) @name body: (_) @body) @type
(interface_declaration name: (_) @name body: (_) @body) @type
(enum_declaration name: (_) @name body: (_) @body) @type
(internal_module name: (_) @name body: (_) @body) @type
"""
_C = """
(function_definition declarator: (_) @name body: (_) @body) @function
(struct_specifier name: (_) @name body: (_) @body) @type
(union_specifier name: (_) @name body: (_) @body) @type
(enum_specifier name: (_) @name body: (_) @body) @type
"""
_QUERIES: dict[str, tuple[str, str, str]] = {
    "javascript": (
        "tree_sitter_javascript",
        "language",
        f"{_SCRIPT}(field_definition property: (_) @name value: {_VALUE}) @function",
    ),
    "typescript": ("tree_sitter_typescript", "language_typescript", _TYPED),
    "tsx": ("tree_sitter_typescript", "language_tsx", _TYPED),
    "go": (
        "tree_sitter_go",
        "language",
        """
(function_declaration name: (_) @name body: (_) @body) @function
(method_declaration receiver: (_) @owner name: (_) @name body: (_) @body) @function
(type_spec name: (_) @name type: [(struct_type) (interface_type)] @body) @type
""",
    ),
    "rust": (
        "tree_sitter_rust",
        "language",
        """
(function_item name: (_) @name body: (_) @body) @function
(impl_item type: (_) @name body: (_) @body) @type
(trait_item name: (_) @name body: (_) @body) @type
(struct_item name: (_) @name body: (_) @body) @type
(enum_item name: (_) @name body: (_) @body) @type
(mod_item name: (_) @name body: (_) @body) @type
(macro_definition name: (_) @name) @function
""",
    ),
    "java": (
        "tree_sitter_java",
        "language",
        """
(method_declaration name: (_) @name body: (_) @body) @function
(constructor_declaration name: (_) @name body: (_) @body) @function
(class_declaration name: (_) @name body: (_) @body) @type
(interface_declaration name: (_) @name body: (_) @body) @type
(enum_declaration name: (_) @name body: (_) @body) @type
(record_declaration name: (_) @name body: (_) @body) @type
""",
    ),
    "c": ("tree_sitter_c", "language", _C),
    "cpp": (
        "tree_sitter_cpp",
        "language",
        f"""{_C}
(class_specifier name: (_) @name body: (_) @body) @type
(namespace_definition name: (_) @name body: (_) @body) @type
""",
    ),
    "ruby": (
        "tree_sitter_ruby",
        "language",
        """
(method name: (_) @name body: (_)? @body) @function
(singleton_method name: (_) @name body: (_)? @body) @function
(class name: (_) @name body: (_)? @body) @type
(module name: (_) @name body: (_)? @body) @type
""",
    ),
    "php": (
        "tree_sitter_php",
        "language_php",
        """
(function_definition name: (_) @name body: (_) @body) @function
(method_declaration name: (_) @name body: (_) @body) @function
(class_declaration name: (_) @name body: (_) @body) @type
(interface_declaration name: (_) @name body: (_) @body) @type
(trait_declaration name: (_) @name body: (_) @body) @type
(enum_declaration name: (_) @name body: (_) @body) @type
""",
    ),
}
_WORD = re.compile(r"[^\W\d]\w*")


def symbols_of(language: str, text: str) -> tuple[Symbol, ...] | None:
    """The symbols of `text`; None where the grammar is not installed or is another than this was written for."""
    known = reader(language)
    if known is None:
        return None
    from tree_sitter import QueryCursor

    parser, query = known
    data = text.encode("utf-8", "replace")
    found: dict[tuple[int, int], Symbol] = {}
    for _, captures in QueryCursor(query).matches(parser.parse(data).root_node):
        kind: Kind = "function" if "function" in captures else "type"
        whole = captures[kind][0]
        symbol = _symbol(data, kind, whole, {name: nodes[0] for name, nodes in captures.items()})
        if symbol is not None:
            found.setdefault((whole.start_byte, -whole.end_byte), symbol)
            if len(found) >= MOST_SYMBOLS:
                break
    return _nested([(*place, found[place]) for place in sorted(found)])


@cache
def reader(language: str) -> tuple[Parser, Query] | None:
    """The parser and the query for a language; None where its grammar can not be had."""
    from importlib import import_module

    module, function, query = _QUERIES[language]
    try:
        from tree_sitter import Language, Parser, Query

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some grammars hand over their pointer in the older way
            grammar = Language(cast("object", getattr(import_module(module), function)()))
        return Parser(grammar), Query(grammar, query)
    except (ImportError, AttributeError, ValueError):
        return None


def _symbol(data: bytes, kind: Kind, whole: Node, parts: dict[str, Node]) -> Symbol | None:
    def said(node: Node | None) -> str:
        return data[node.start_byte : node.end_byte].decode("utf-8", "replace") if node else ""

    owner, name = _owner(said(parts.get("owner"))), said(parts["name"]).strip("\"'`")
    if whole.type == "function_definition" and parts["name"].type.endswith("declarator"):
        owner, name = _declared(name)
    elif kind == "type":
        name = re.sub(r"<.*", "", name, flags=re.DOTALL).strip()
    name = name.replace("::", ".")
    if not name or len(name) > 200 or any(char.isspace() for char in name):
        return None
    body = parts.get("body")
    head = data[whole.start_byte : body.start_byte if body else whole.end_byte].decode("utf-8", "replace")
    signature = one_line(head if body else head.partition("\n")[0]).rstrip("{ ")
    inner = said(body)[:100_000] if kind == "function" else ""
    uses = tuple(dict.fromkeys(_WORD.findall(inner)))
    return Symbol(name, kind, owner, whole.start_point[0] + 1, whole.end_point[0] + 1, signature, uses)


def _owner(text: str) -> str:
    """The type behind `(s *Foo[T])` and `Foo.prototype`; "" for `exports` and `this`."""
    words = _WORD.findall(re.sub(r"[\[<].*", "", text, flags=re.DOTALL))
    words = words[-1:] if text.startswith("(") else [word for word in words if word not in NO_OWNER]
    return ".".join(words)


def _declared(text: str) -> tuple[str, str]:
    """Owner and name of a declarator in C: `*n::Foo<T>::bar(int a) const` is `n.Foo` and `bar`."""
    head = text.partition("(")[0] if not text.startswith("operator()") else text
    while "<" in head and ">" in head and "operator" not in head:
        head = re.sub(r"<[^<>]*>", "", head) if re.search(r"<[^<>]*>", head) else head.replace("<", "")
    *owner, name = re.sub(r"^[\s*&]+", "", head).strip().split("::")
    return ".".join(owner), name.replace(" ", "")


def _nested(placed: list[tuple[int, int, Symbol]]) -> tuple[Symbol, ...]:
    """The symbols with the names of what they lie in."""
    from msgspec.structs import replace

    found: list[Symbol] = []
    around: list[tuple[int, Symbol]] = []
    for start, end, symbol in placed:
        while around and around[-1][0] <= start:
            around.pop()
        outer = around[-1][1] if around else None
        container = ".".join(part for part in (outer.full if outer else "", symbol.container) if part)
        method = symbol.kind == "function" and bool(symbol.container or (outer and outer.kind == "type"))
        named = replace(symbol, container=container, kind="method" if method else symbol.kind)
        found.append(named)
        around.append((-end, named))
    return tuple(found)
