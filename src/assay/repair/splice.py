"""Put a new version of one function in the place of the old one, by position in the syntax tree, touching nothing else.

Decorators, signature and docstring of the original stay as they are written, unless the signature was extended in a
way that all callers survive; the body is new. Line ends and indentation are those of the file.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Sequence

from msgspec import Struct

from assay.repair.excerpt import body_line, find_function
from assay.repair.missing import usual
from assay.repair.source import (
    Function,
    docstring,
    first_line,
    functions,
    inside_strings,
    lines_of,
    parsed,
    shares_line,
    shifted,
    span,
)


class Spliced(Struct, frozen=True):
    text: str = ""
    """The whole file; "" when it was refused."""
    reason: str = ""
    """Why it was refused, in one line."""


def splice(source: str, symbol: str, code: str, near: int = 0, imports: Sequence[str] = ()) -> Spliced:
    """`source` with the function `symbol` (the one nearest to line `near`) replaced by the function in `code`.

    `imports` are statements that stood beside it in the reply; only what the new body needs, the file lacks and the
    standard library has is added. Never raises.
    """
    old = find_function(source, symbol, near)
    if old is None:
        return Spliced(reason=f"the file has no function {symbol}, or is no Python")
    tree = parsed(code)
    new = next((node for name, node in functions(tree) if name == old.name), None) if tree is not None else None
    if new is None:
        return Spliced(reason=f"the new text has no function {old.name}")
    if type(old) is not type(new):
        return Spliced(reason=f"{old.name} changed between def and async def")
    same = _shape(old.args) == _shape(new.args)
    if not same and not compatible(old.args, new.args):
        return Spliced(reason=f"the signature of {old.name} changed: callers would break")
    ending = "\r\n" if source.count("\r\n") * 2 > source.count("\n") else "\n"
    lines = lines_of(source)
    start, end = span(old)
    text = [*lines[: start - 1], *_function(lines, old, lines_of(code), new, same), *lines[end:]]
    # A file may mix its line ends; the untouched lines keep theirs.
    done = _joined(source, text, start - 1, len(lines) - end, ending)
    done = _with_imports(done, symbol, near, imports, ending)
    if parsed(done) is None:
        return Spliced(reason=f"the file with the new {old.name} is no Python")
    return Spliced(done)


def compatible(old: ast.arguments, new: ast.arguments) -> bool:
    """Every call that fits `old` fits `new` too: what is added has defaults and comes last."""
    before, after = [*old.posonlyargs, *old.args], [*new.posonlyargs, *new.args]
    if [arg.arg for arg in before] != [arg.arg for arg in after[: len(before)]]:
        return False
    if len(after) - len(before) > len(new.defaults) or len(new.defaults) - (len(after) - len(before)) < len(
        old.defaults
    ):
        return False
    if [arg.arg for arg in old.posonlyargs] != [arg.arg for arg in new.posonlyargs]:
        return False
    if (old.vararg and (not new.vararg or len(after) > len(before))) or (old.kwarg and not new.kwarg):
        return False
    keywords = {arg.arg: default for arg, default in zip(new.kwonlyargs, new.kw_defaults, strict=True)}
    known = {arg.arg: default for arg, default in zip(old.kwonlyargs, old.kw_defaults, strict=True)}
    if any(name not in keywords or (default and not keywords[name]) for name, default in known.items()):
        return False
    return all(default is not None for name, default in keywords.items() if name not in known)


def _shape(args: ast.arguments) -> str:
    """The signature without annotations; default values count."""

    def names(found: Sequence[ast.arg]) -> list[str]:
        return [arg.arg for arg in found]

    defaults = [ast.dump(item) if item else "" for item in [*args.defaults, *args.kw_defaults]]
    stars = [args.vararg.arg if args.vararg else "", args.kwarg.arg if args.kwarg else ""]
    return repr((names(args.posonlyargs), names(args.args), names(args.kwonlyargs), stars, defaults))


def _function(lines: list[str], old: Function, fresh: list[str], new: Function, same: bool) -> list[str]:
    """The lines of the new function at the place of the old."""
    start = span(old)[0]
    outer = _indent(lines[old.lineno - 1])
    below = not shares_line(lines, old)
    inner = _indent(lines[first_line(old.body[0]) - 1]) if below else outer + "    "
    if same:
        head = _head(lines, old, start)
    else:
        head = [
            *lines[start - 1 : old.lineno - 1],
            *shifted(_head(fresh, new, new.lineno), outer, new.col_offset, set()),
        ]
    text = docstring(old) if below else None
    documented = lines[text.lineno - 1 : text.end_lineno] if text is not None else []
    statements = new.body[1:] if documented and docstring(new) is not None else new.body
    return [*head, *documented, *_body(fresh, new, statements, inner)]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _head(lines: list[str], node: Function, start: int) -> list[str]:
    """The lines from number `start` to the colon of the signature."""
    if not shares_line(lines, node):
        return lines[start - 1 : body_line(node, lines) - 1]
    first = node.body[0]
    return [
        *lines[start - 1 : first.lineno - 1],
        lines[first.lineno - 1].encode()[: first.col_offset].decode().rstrip(),
    ]


def _body(fresh: list[str], new: Function, statements: list[ast.stmt], inner: str) -> list[str]:
    """The lines of `statements`, comments ahead of them included, indented with `inner`."""
    if not statements:
        return []
    last = new.end_lineno or new.lineno
    if shares_line(fresh, new):
        first = new.body[0]
        rest = fresh[first.lineno : last]
        return [inner + fresh[first.lineno - 1].encode()[first.col_offset :].decode(), *rest]
    begin = first_line(statements[0])
    floor = (new.body[0].end_lineno or 0) if statements is not new.body else body_line(new, fresh) - 1
    while begin - 1 > floor and fresh[begin - 2].strip()[:1] in ("", "#"):
        begin -= 1
    while begin < first_line(statements[0]) and not fresh[begin - 1].strip():
        begin += 1
    return shifted(fresh[begin - 1 : last], inner, statements[0].col_offset, inside_strings(new), begin)


def _joined(source: str, text: list[str], before: int, after: int, ending: str) -> str:
    """Lines put together; the first `before` and the last `after` of them with the ends they had in `source`."""
    ends = re.findall(r"\r\n|\r|\n", source)
    head = "".join(line + end for line, end in zip(text[:before], ends[:before], strict=True))
    middle = text[before : len(text) - after]
    # Lines are one more than line ends: the last line of a file carries none.
    tail = text[len(text) - after :] if after else []
    kept = [*(ends[len(ends) - after + 1 :] if after > 1 else []), ""]
    closing = "".join(line + end for line, end in zip(tail, kept, strict=True)) if tail else ""
    return head + ending.join(middle) + (ends[len(ends) - after] if tail else "") + closing


# --- names that the new body needs ------------------------------------------------------------------------------------


def _with_imports(text: str, symbol: str, near: int, imports: Sequence[str], ending: str) -> str:
    tree, node = parsed(text), find_function(text, symbol, near)
    if tree is None or node is None:
        return text
    offered = _offered(imports)
    wanted = sorted(offered.get(name) or next(iter(usual(name)), "") for name in unbound(tree, node))
    added = [statement for statement in dict.fromkeys(wanted) if statement]
    if not added:
        return text
    at = _import_line(tree)
    ends = [match.end() for match in re.finditer(r"\r\n|\r|\n", text)]
    place = 0 if at == 0 else (ends[at - 1] if at <= len(ends) else len(text))
    return text[:place] + "".join(statement + ending for statement in added) + text[place:]


def _offered(imports: Sequence[str]) -> dict[str, str]:
    """Name -> the statement that would bring it in from the standard library."""
    found: dict[str, str] = {}
    for statement in imports:
        tree = parsed(statement)
        for node in tree.body if tree is not None else []:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] in sys.stdlib_module_names:
                        as_name = f" as {alias.asname}" if alias.asname else ""
                        found[alias.asname or alias.name.split(".")[0]] = f"import {alias.name}{as_name}"
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                for alias in node.names:
                    if node.module.split(".")[0] in sys.stdlib_module_names and alias.name != "*":
                        as_name = f" as {alias.asname}" if alias.asname else ""
                        found[alias.asname or alias.name] = f"from {node.module} import {alias.name}{as_name}"
    return found


def unbound(tree: ast.Module, node: ast.AST) -> list[str]:
    """Names that `node` reads and that nothing in the file binds; none where anything may come from `import *`."""
    if any(isinstance(item, ast.ImportFrom) and item.names[0].name == "*" for item in tree.body):
        return []
    bound = set(dir(builtins)) | {"__file__", "__class__", "__path__"}
    for item in ast.walk(tree):
        match item:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.alias(name=name, asname=asname):
                bound.add(asname or name.split(".")[0])
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                bound.add(name)
            case _:
                pass
    read = [item.id for item in ast.walk(node) if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load)]
    return [name for name in dict.fromkeys(read) if name not in bound]


def _import_line(tree: ast.Module) -> int:
    """The number of the line after which an import may be put."""
    line = 0
    for nth, statement in enumerate(tree.body):
        documentation = nth == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if documentation or isinstance(statement, ast.Import | ast.ImportFrom):
            line = statement.end_lineno or line
    if line == 0 and tree.body:
        line = first_line(tree.body[0]) - 1
    return line
