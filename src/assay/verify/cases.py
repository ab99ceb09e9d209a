"""Calls that a project's own tests make with plain values, and neighbours of these calls."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import cast

from msgspec import Struct

from assay.core.messages import Json

MOST_CALLS = 24
NEIGHBOURS = 4


class Case(Struct, frozen=True):
    """`module.name(*args, **named)`, which a test says is equal to `expected`."""

    module: str
    """A dotted name, or for JavaScript a path from the root."""
    name: str
    args: tuple[Json, ...]
    named: dict[str, Json] = {}
    expected: Json = None
    test: str = ""

    def shown(self) -> str:
        inside = [json.dumps(part, ensure_ascii=False) for part in self.args]
        inside += [f"{key}={json.dumps(part, ensure_ascii=False)}" for key, part in self.named.items()]
        return f"{self.name}({', '.join(inside)})"[:120]


def python_cases(text: str, tests: frozenset[str]) -> list[Case]:
    """From a test module: `assert f(1, "a") == 2` and `self.assertEqual(f(1), 2)` in the functions named in `tests`,
    where `f` is imported and all values are literals."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    names = _imports(tree)
    found: list[Case] = []
    for function in ast.walk(tree):
        if (
            isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
            and function.name in tests
            and stateless(function)
        ):
            for node in ast.walk(function):
                for call, expected in _equalities(node):
                    if case := _case(call, expected, names, function.name):
                        found.append(case)
    return found[:MOST_CALLS]


def _imports(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Name in the module -> (module, name in it); an imported module has no name in it."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.update({alias.asname or alias.name: (node.module, alias.name) for alias in node.names})
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname or "." not in alias.name:
                    found[alias.asname or alias.name] = (alias.name, "")
    return found


def _equalities(node: ast.AST) -> Iterator[tuple[ast.Call, ast.expr]]:
    sides: list[ast.expr] = []
    match node:
        case ast.Assert(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right])):
            sides = [left, right]
        case ast.Call(
            func=ast.Attribute(attr="assertEqual" | "assertListEqual" | "assertDictEqual"), args=[left, right, *_]
        ):
            sides = [left, right]
        case _:
            pass
    for call, other in (sides, sides[::-1]) if sides else ():
        if isinstance(call, ast.Call):
            yield call, other


def _case(call: ast.Call, expected: ast.expr, names: dict[str, tuple[str, str]], test: str) -> Case | None:
    if isinstance(call.func, ast.Name):
        module, name = names.get(call.func.id, ("", ""))
    elif isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
        module, inner = names.get(call.func.value.id, ("", "x"))
        name = "" if inner else call.func.attr
    else:
        return None
    if not module or not name or any(isinstance(part, ast.Starred) for part in call.args):
        return None
    try:
        args = tuple(_literal(part) for part in call.args)
        named = {str(keyword.arg): _literal(keyword.value) for keyword in call.keywords if keyword.arg}
        return Case(module, name, args, named, _literal(expected, tuples=True), test)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return None


def _literal(node: ast.expr, tuples: bool = False) -> Json:
    """A value that JSON brings over unchanged; `tuples` may come over as lists."""
    value: object = ast.literal_eval(node)
    if tuples and isinstance(value, tuple):
        value = [*cast("tuple[object, ...]", value)]
    if json.loads(json.dumps(value, allow_nan=False)) != value or isinstance(value, tuple):
        raise TypeError
    return cast("Json", value)


def stateless(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A test that only asks: no fixtures, no blocks, nothing called for its effect."""
    arguments = [argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)]
    if isinstance(function, ast.AsyncFunctionDef) or arguments not in ([], ["self"]):
        return False
    for node in function.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            if not ast.unparse(node.value.func).startswith("self.assert"):
                return False
        elif not isinstance(node, (ast.Assert, ast.Assign, ast.Expr, ast.Import, ast.ImportFrom)):
            return False
    return True


IMPORT = re.compile(r"import\s+(?:(\w+)\s*,?\s*)?(?:\{([^}]*)\}\s*)?from\s+['\"](\.[^'\"]+)['\"]")
REQUIRE = re.compile(r"(?:const|let|var)\s+(?:(\w+)|\{([^}]*)\})\s*=\s*require\(\s*['\"](\.[^'\"]+)['\"]\s*\)")
EQUAL = re.compile(
    r"\b(?:assert|expect|t)?\.?(?:deepStrictEqual|strictEqual|deepEqual|equal|same|is)\s*\(\s*(\w+)(?:\.(\w+))?\("
)
EXPECT = re.compile(r"\bexpect\s*\(\s*(\w+)(?:\.(\w+))?\(")


def script_cases(text: str, path: str) -> list[Case]:
    """From a JavaScript test file: `assert.equal(f([1, 2]), 3)` and `expect(f(1)).toBe(2)` with values that are JSON
    (single quotes allowed), where `f` is imported from a relative path."""
    names: dict[str, tuple[str, str]] = {}
    for found in [*IMPORT.finditer(text), *REQUIRE.finditer(text)]:
        target = _resolved(path, found[3])
        if found[1]:
            names[found[1]] = (target, "")
        for part in (found[2] or "").split(","):
            words = re.split(r"\s+as\s+|\s*:\s*", part.strip())
            if words[0]:
                names[words[-1]] = (target, words[0])
    cases: list[Case] = []
    for pattern in (EQUAL, EXPECT):
        for found in pattern.finditer(text):
            module, name = names.get(found[1], ("", ""))
            inner = found[2] or ""
            if not module or (name and inner):
                continue
            args, after = _values(text, found.end())
            between = re.compile(
                r"\s*\)\s*\.\s*to(?:Be|Equal|StrictEqual)\s*\(" if pattern is EXPECT else r"\s*,"
            ).match(text, after)
            if args is None or between is None:
                continue
            rest, _ = _values(text, between.end())
            if rest:
                cases.append(Case(module, name or inner, tuple(args), {}, rest[0], path))
    return cases[:MOST_CALLS]


def _resolved(path: str, relative: str) -> str:
    parts = [*PurePosixPath(path).parent.parts]
    for part in relative.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _values(text: str, start: int) -> tuple[list[Json] | None, int]:
    """Comma-separated values up to the bracket that closes them; None where they are not plain."""
    depth, position, quote = 0, start, ""
    while position < min(len(text), start + 2000):
        char = text[position]
        if quote:
            if char == "\\":
                position += 1
            elif char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            if depth == 0:
                break
            depth -= 1
        position += 1
    try:
        body = re.sub(r"'((?:[^'\\\"]|\\.)*)'", lambda match: json.dumps(match[1]), text[start:position])
        body = re.sub(r"([{,]\s*)([A-Za-z_]\w*)\s*:", r'\1"\2":', body)
        return json.loads(f"[{body}]"), position + 1
    except ValueError:
        return None, position + 1


def neighbours(cases: Sequence[Case]) -> list[Case]:
    """Calls near to those given, none of them one of those: other numbers, other text of the same kind."""
    taken = {json.dumps([case.module, case.name, case.args, case.named]) for case in cases}
    found: list[Case] = []
    for case in cases:
        for step in range(1, NEIGHBOURS + 1):
            args = tuple(shifted(value, step + at) for at, value in enumerate(case.args))
            named = {key: shifted(value, step) for key, value in case.named.items()}
            other = Case(case.module, case.name, args, named, None, case.test)
            key = json.dumps([other.module, other.name, other.args, other.named])
            if key not in taken:
                taken.add(key)
                found.append(other)
    return found


def shifted(value: Json, step: int) -> Json:
    """A value of the same type, near by."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return value + (step if step % 2 else step * 10 + 1)
    if isinstance(value, str):
        words = value.split(" ")
        if len(words) > 1:
            words[step % len(words)] += "abcde"[step % 5]
            return " ".join(words)
        return value + "abcde"[step % 5] if step % 2 else "abcde"[step % 5] + value
    if isinstance(value, list):
        items = cast("list[Json]", value)
        return [shifted(item, step + at) for at, item in enumerate(items)]
    if isinstance(value, dict):
        return {key: shifted(item, step) for key, item in cast("dict[str, Json]", value).items()}
    return value
